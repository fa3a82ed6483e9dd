"""The 125 features of every beat, computed from audio."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlhf_lib.analysis.audio import Audio
from rlhf_lib.analysis.bars import Bars
from rlhf_lib.analysis.downmix import Downmix
from rlhf_lib.analysis.metre import Metre, estimate_metre
from rlhf_lib.analysis.sections import Section, Span, placed
from rlhf_lib.analysis.sound import sound_features
from rlhf_lib.analysis.structure import structure_features


class BeatFeatures(NamedTuple):
    """What the analysis of a song's beats gives.

    Attributes
    ----------
    features : (n_beats, 125) float32 array
        Columns as in `FEATURE_TABLE`; raw units, always finite.
    metre : Metre
        The given one with a confidence of 1, or see `estimate_metre`.
    sections : tuple of Section
        The given ones, on bar lines.
    """

    features: np.ndarray
    metre: Metre
    sections: tuple[Section, ...]


def beat_features(
    audio: Audio | Downmix,
    beat_times: np.ndarray,
    downbeats: np.ndarray | None = None,
    spans: Sequence[Span] = (),
) -> BeatFeatures:
    """Return the features of every beat, and the metre and sections they were computed for.

    Parameters
    ----------
    audio : Audio or Downmix
    beat_times : (n_beats,) float array
        Seconds, strictly increasing.
    downbeats : (n_bars,) int array, optional
        The beats that begin a bar; estimated when left out.
    spans : sequence of Span
        Given sections in s.

    Raises
    ------
    InputError
        When the downbeats form no bars, or the sections do not fit them.
    """
    sound = sound_features(audio, beat_times)
    metre = estimate_metre(sound) if downbeats is None else Metre(downbeats)
    sections = placed(spans, beat_times, metre.downbeats, audio.duration)
    bars = Bars(metre.downbeats, len(beat_times), [section.start for section in sections])
    structure = structure_features(sound, beat_times, audio.duration, bars, sections)
    return BeatFeatures(np.hstack([sound, structure]).astype(np.float32), metre, sections)
