"""The obvious check of a listening test: an edit that no rater should prefer."""

import numpy as np

from rlhf_lib.editing.edit import Action, Edit


def chopped(edit: Edit, rng: np.random.Generator) -> Edit:
    """Return an edit about as long as `edit` that keeps single beats drawn at random.

    No bar stays whole: a half-length edit has a seam at every second or third beat.

    Parameters
    ----------
    edit : Edit
        Its song must have two beats or more.
    rng : numpy Generator

    Returns
    -------
    Edit
        KEEP and CUT only, with the target of `edit`; at least one beat is cut.
    """
    song = edit.song
    # All beats count as equally long, although the first has the lead-in and the last the tail.
    wanted = round(edit.duration / song.duration * song.n_beats)
    n_kept = min(max(wanted, 1), song.n_beats - 1)
    actions = np.full(song.n_beats, Action.CUT)
    actions[rng.choice(song.n_beats, n_kept, replace=False)] = Action.KEEP
    return Edit(song, actions, edit.target)
