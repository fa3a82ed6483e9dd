"""The styles that demo songs are written in: instruments, chords and one-bar patterns.

Patterns are tablature, four characters a beat. Drums and chords: ``X`` accent, ``x`` stroke,
``o`` soft stroke, ``-`` hold, ``.`` silence. Bass: ``r`` root, ``f`` fifth, ``o`` octave, ``a``
step towards the next root. Picking: ``0``-``3`` tones of the chord from below.
"""

from dataclasses import dataclass, replace

#: General MIDI percussion keys.
DRUM_KEYS = {
    "kick": 36,
    "rim": 37,
    "snare": 38,
    "clap": 39,
    "hat": 42,
    "low_tom": 45,
    "open_hat": 46,
    "mid_tom": 47,
    "crash": 49,
    "high_tom": 50,
    "ride": 51,
    "tambourine": 54,
    "shaker": 70,
}
#: One-bar melody rhythms by beats per bar.
RHYTHMS = {
    4: (
        "x---x---x-x-x---",
        "x-----x-x---x---",
        "x-x-x---x-x-....",
        "..x-x-x-x-----..",
        "x--x--x-x-----..",
        "x---x-x-x-x-x-x-",
        "x-------x-x-x---",
        "x-x-x-x-x---x---",
    ),
    3: ("x---x---x---", "x-------x---", "x---x-x-x---", "x-----x-x---", "x-x-x---x---"),
}
BACKBEAT = "....X.......X..."
EIGHTHS = "x.o.x.o.x.o.x.o."


@dataclass(frozen=True)
class Style:
    """How songs of one style are made.

    Parameters
    ----------
    bpm : (lowest, highest)
    modes : scales to draw from, "major" or "minor"
    programs : role → General MIDI programs (0-127) to draw from; roles are bass, chords, pad,
        picking, lead (verses and bridge) and hook (choruses)
    progressions : section → choices of four-bar chord loops, as scale degrees from 0
    drums : section → drum → pattern; an intro plays a thinned verse, an outro plays the chorus
    bass, chords : patterns of (verse, chorus)
    picking : pattern, empty for none
    beats_per_bar : 3 or 4; see `in_bars_of` for others
    swing : delay of every second eighth in beats
    power_chords : root and fifth only, as distorted guitars need
    looseness : standard deviation of a note's onset in s
    """

    bpm: tuple[int, int]
    modes: tuple[str, ...]
    programs: dict[str, tuple[int, ...]]
    progressions: dict[str, tuple[tuple[int, ...], ...]]
    drums: dict[str, dict[str, str]]
    bass: tuple[str, str]
    chords: tuple[str, str]
    picking: str = ""
    beats_per_bar: int = 4
    swing: float = 0.0
    power_chords: bool = False
    looseness: float = 0.004


def in_bars_of(style: Style, beats: int) -> Style:
    """Return the style with bars of that many beats: its patterns begin anew, or are cut."""
    if beats == style.beats_per_bar:
        return style
    return replace(
        style,
        beats_per_bar=beats,
        drums={
            section: {drum: _fitted(pattern, beats) for drum, pattern in drums.items()}
            for section, drums in style.drums.items()
        },
        bass=tuple(_fitted(pattern, beats) for pattern in style.bass),
        chords=tuple(_fitted(pattern, beats) for pattern in style.chords),
        picking=_fitted(style.picking, beats),
    )


def rhythms(beats: int) -> tuple[str, ...]:
    """Return melody rhythms for bars of that many beats."""
    return RHYTHMS.get(beats) or tuple(_fitted(rhythm, beats) for rhythm in RHYTHMS[4])


def _fitted(pattern: str, beats: int) -> str:
    return (pattern * beats)[: 4 * beats]


MAJOR = {
    "verse": ((0, 5, 3, 4), (0, 3, 0, 4), (5, 3, 0, 4)),
    "chorus": ((0, 4, 5, 3), (3, 0, 4, 5), (0, 3, 4, 4)),
    "bridge": ((5, 4, 3, 3), (1, 5, 3, 4), (3, 3, 1, 4)),
}
MINOR = {
    "verse": ((0, 0, 5, 6), (0, 3, 0, 6), (0, 6, 5, 6)),
    "chorus": ((0, 5, 2, 6), (5, 6, 0, 0), (5, 2, 6, 0)),
    "bridge": ((3, 3, 5, 6), (5, 5, 3, 4), (2, 6, 3, 3)),
}
