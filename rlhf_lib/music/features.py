"""The 125 numbers of a beat: their table, and how to get them from audio."""

import numpy as np

from rlhf_lib.music.audio import Audio
from rlhf_lib.music.downmix import Downmix
from rlhf_lib.music.feature_names import FEATURE_GROUPS, FEATURE_NAMES, FEATURE_TABLE, N_FEATURES
from rlhf_lib.music.metre import estimate_metre
from rlhf_lib.music.sound import sound_features
from rlhf_lib.music.structure import structure_features

__all__ = [
    "FEATURE_GROUPS",
    "FEATURE_NAMES",
    "FEATURE_TABLE",
    "N_FEATURES",
    "beat_features",
    "sound_features",
]


def beat_features(audio: Audio | Downmix, beat_times: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Return the features of every beat, and the metre they imply.

    Parameters
    ----------
    audio : Audio or Downmix
    beat_times : (n_beats,) float array
        Seconds, strictly increasing.

    Returns
    -------
    features : (n_beats, 125) float32 array
        Columns as in `FEATURE_TABLE`; raw units, always finite.
    beats_per_bar, downbeat : int
        See `estimate_metre`.
    """
    sound = sound_features(audio, beat_times)
    beats_per_bar, downbeat = estimate_metre(sound)
    structure = structure_features(sound, beat_times, audio.duration, beats_per_bar, downbeat)
    return np.hstack([sound, structure]).astype(np.float32), beats_per_bar, downbeat
