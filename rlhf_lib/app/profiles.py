"""Profiles: the sizes of a run, shared by the demo and the notebooks."""

from dataclasses import dataclass

from rlhf_lib.errors import InputError


@dataclass(frozen=True)
class Profile:
    """The sizes of a run.

    Attributes
    ----------
    n_songs, n_held_out : int
        Composed songs for training, and further ones held out from all training.
    seconds : float
        Length of each song.
    groups_per_song, pretraining_epochs, initial_episodes : int
        Initial training: the first two of v8, the last of v14.
    candidates_per_song, episodes : int
        Candidates for feedback; episodes of fine-tuning a policy.
    """

    n_songs: int
    n_held_out: int
    seconds: float
    groups_per_song: int
    pretraining_epochs: int
    initial_episodes: int
    candidates_per_song: int
    episodes: int


PROFILES = {
    "full": Profile(8, 6, 120.0, 12, 4, 500, 15, 500),
    "smoke": Profile(4, 2, 40.0, 3, 2, 150, 10, 150),
}


def profile_named(name: str) -> Profile:
    """Return a profile: "full" for results, "smoke" for a quick test run.

    Raises
    ------
    InputError
        When there is no such profile.
    """
    if name not in PROFILES:
        raise InputError(f"unknown profile {name!r}; choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
