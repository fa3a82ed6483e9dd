"""Timelines for the player: which beat of the song a sound of a manifest plays when."""

from pathlib import Path

import numpy as np

from rlhf_lib.analysis.beats import beat_bounds
from rlhf_lib.analysis.decode import source_rate
from rlhf_lib.editing.edit import output_order
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.manifest import Candidate, SongEntry
from rlhf_lib.feedback.validation import inside


def timeline(song: SongEntry, folder: Path, candidate: Candidate | None = None) -> dict[str, list]:
    """Return the beats of an edit, or of the original, in playing order, with their times.

    Parameters
    ----------
    song : SongEntry
    folder : Path
        The folder that the manifest's paths start from.
    candidate : Candidate, optional
        The edit; without one, the original.

    Returns
    -------
    dict
        ``beats``: the song's beats, (n_played,) int; ``starts``: when each starts in the sound,
        then when the last one ends, (n_played + 1,) s, exact to the sample.

    Raises
    ------
    InputError
        When the original's file is missing or cannot be read.
    """
    path = inside(folder, song.path)
    try:
        rate = source_rate(path)
    except InputError as error:
        raise InputError(
            f"cannot read {path} ({error}); put the original back where the manifest names it, "
            "or generate the candidates again"
        ) from error
    # Not the header's number of samples: in an MP3 file it can be too large.
    bounds = beat_bounds(np.array(song.beat_times), round(song.duration * rate), rate)
    order = np.arange(len(song.beat_times))
    if candidate is not None:
        order = output_order(np.array(candidate.actions))
    starts = np.concatenate([[0], np.cumsum(np.diff(bounds)[order])]) / rate
    return {"beats": order.tolist(), "starts": starts.tolist()}
