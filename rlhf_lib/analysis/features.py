"""The 125 features of every beat, computed from audio."""

import numpy as np

from rlhf_lib.analysis.audio import Audio
from rlhf_lib.analysis.downmix import Downmix
from rlhf_lib.analysis.metre import Metre, estimate_metre
from rlhf_lib.analysis.sound import sound_features
from rlhf_lib.analysis.structure import structure_features


def beat_features(audio: Audio | Downmix, beat_times: np.ndarray) -> tuple[np.ndarray, Metre]:
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
    metre : Metre
        See `estimate_metre`.
    """
    sound = sound_features(audio, beat_times)
    metre = estimate_metre(sound)
    structure = structure_features(
        sound, beat_times, audio.duration, metre.beats_per_bar, metre.downbeat
    )
    return np.hstack([sound, structure]).astype(np.float32), metre
