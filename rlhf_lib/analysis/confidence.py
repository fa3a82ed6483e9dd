"""How certain the estimates of a song's tempo, metre and bar lines are."""

from dataclasses import dataclass, fields

#: Below this an estimate is reported as uncertain.
LEAST_CONFIDENCE = 0.8
_ABOUT = {
    "tempo": "the tempo",
    "metre": "the metre (3 or 4 beats to the bar, no others)",
    "bar_line": "which beat begins the bar",
}


@dataclass(frozen=True)
class Confidence:
    """Confidence in what was estimated of a song, 0 … 1 each; 1 for what was given.

    Attributes
    ----------
    tempo : float
        Share of the song in which the local tempo agrees with the beats. A tempo that jumps by
        an octave, or that is hard to follow, lowers it.
    metre : float
        Probability that the bar repeats more clearly every `beats_per_bar` beats than every 3, 4,
        5 or 7; see `rlhf_lib.analysis.metre`.
    bar_line : float
        Probability that the first beat of the bar is accented more than every other beat.
    """

    tempo: float = 1.0
    metre: float = 1.0
    bar_line: float = 1.0

    def uncertain(self) -> dict[str, float]:
        """Return what is below `LEAST_CONFIDENCE`: words for it → confidence."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {_ABOUT[name]: v for name, v in values.items() if v < LEAST_CONFIDENCE}
