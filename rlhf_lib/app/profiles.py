"""How much a run does: the sizes that the demo and the notebooks share."""

from dataclasses import dataclass

from rlhf_lib.errors import InputError


@dataclass(frozen=True)
class Profile:
    """How much of everything a run does.

    Attributes
    ----------
    n_songs, n_held_out : int
        Composed songs to learn from, and further ones that nothing learns from.
    seconds : float
        Length of each song.
    groups_per_song, pretraining_epochs, initial_episodes : int
        Initial training: of v8, of v8, of v14.
    candidates_per_song, episodes : int
        Feedback; refinement of a policy.
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
    "smoke": Profile(4, 2, 40.0, 3, 1, 50, 10, 50),
}


def profile_named(name: str) -> Profile:
    """Return a profile: "full" for results, "smoke" to see in minutes that everything runs.

    Raises
    ------
    InputError
        When there is no such profile.
    """
    if name not in PROFILES:
        raise InputError(f"unknown profile {name!r}; choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
