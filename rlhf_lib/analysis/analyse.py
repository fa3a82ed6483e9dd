"""The analysis of one song: from its files to the values that are cached."""

from pathlib import Path

import numpy as np

from rlhf_lib.analysis.bars import Bars
from rlhf_lib.analysis.beat_files import file_beside
from rlhf_lib.analysis.downmix import load_downmix
from rlhf_lib.analysis.features import beat_features
from rlhf_lib.analysis.grid import beat_grid
from rlhf_lib.analysis.metre import rated
from rlhf_lib.analysis.sections import read_sections
from rlhf_lib.errors import InputError

#: A song must last this many seconds and have this many beats.
MIN_DURATION, MIN_BEATS = 10.0, 16
#: A song whose largest sample stays below this (−66 dB) counts as silent.
_SILENT_PEAK = 5e-4


def analyse(path: Path, beats: str) -> dict[str, object]:
    """Return the fields of `Song` other than its id, path and hash; see `load_song`.

    Raises
    ------
    InputError
        When the file, or one next to it, cannot be used.
    """
    audio = load_downmix(path)
    if audio.duration < MIN_DURATION:
        raise InputError(
            f"{path} lasts {audio.duration:.2f} s; give a song of at least {MIN_DURATION:.0f} s"
        )
    if audio.peak < _SILENT_PEAK:
        raise InputError(f"{path} is silent (peak {audio.peak:.1g}); export it again with sound")
    grid = beat_grid(path, audio, beats)
    if len(grid.times) < MIN_BEATS:
        name = path.with_suffix(".beats").name
        remedy = f"add the missing ones to {name}"
        if grid.source != "file":
            remedy = f"write them into {name} if it has a beat"
        raise InputError(
            f"{path} has {len(grid.times)} beats, at least {MIN_BEATS} are needed; {remedy}"
        )
    given = file_beside(path, ".sections")
    spans = read_sections(given, audio.duration) if given else ()
    features, metre, sections = beat_features(audio, grid.times, grid.downbeats, spans)
    if grid.source == "beat_this":
        metre = rated(features, Bars(metre.downbeats, len(features)))
    return {
        "sample_rate": audio.sample_rate,
        "n_samples": audio.n_samples,
        "gain": audio.gain,
        "beat_times": grid.times,
        "downbeats": metre.downbeats,
        "features": features,
        "confidence": np.array([grid.confidence, metre.confidence, metre.bar_line_confidence]),
        "sections": sections,
        "beats_from": grid.source,
    }
