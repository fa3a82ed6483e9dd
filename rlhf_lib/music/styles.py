"""The styles that demo songs are written in: instruments, chords and one-bar patterns.

Patterns are tablature, four characters a beat. Drums and chords: ``X`` accent, ``x`` stroke,
``o`` soft stroke, ``-`` hold, ``.`` silence. Bass: ``r`` root, ``f`` fifth, ``o`` octave, ``a``
step towards the next root. Picking: ``0``-``3`` tones of the chord from below.
"""

from dataclasses import dataclass

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
_BACKBEAT = "....X.......X..."
_EIGHTHS = "x.o.x.o.x.o.x.o."


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
    beats_per_bar : 3 or 4
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


_MAJOR = {
    "verse": ((0, 5, 3, 4), (0, 3, 0, 4), (5, 3, 0, 4)),
    "chorus": ((0, 4, 5, 3), (3, 0, 4, 5), (0, 3, 4, 4)),
    "bridge": ((5, 4, 3, 3), (1, 5, 3, 4), (3, 3, 1, 4)),
}
_MINOR = {
    "verse": ((0, 0, 5, 6), (0, 3, 0, 6), (0, 6, 5, 6)),
    "chorus": ((0, 5, 2, 6), (5, 6, 0, 0), (5, 2, 6, 0)),
    "bridge": ((3, 3, 5, 6), (5, 5, 3, 4), (2, 6, 3, 3)),
}

STYLES: dict[str, Style] = {
    "rock": Style(
        bpm=(112, 140),
        modes=("minor", "major"),
        programs={
            "bass": (33, 34),
            "chords": (29, 30),
            "pad": (18, 16),
            "lead": (27, 66),
            "hook": (30, 81),
        },
        progressions=_MINOR,
        drums={
            "verse": {"kick": "X.......x.x.....", "snare": _BACKBEAT, "hat": _EIGHTHS},
            "chorus": {
                "kick": "X.....x.X.x.....",
                "snare": _BACKBEAT,
                "open_hat": "x.x.x.x.x.x.x.x.",
            },
            "bridge": {
                "kick": "X.........x.....",
                "snare": "........X.......",
                "ride": "x...x...x...x...",
            },
        },
        bass=("r-r-r-r-r-r-r-r-", "r-r-r-r-r-r-o-a-"),
        chords=("x---..x-x---....", "X-----x-x-----x-"),
        power_chords=True,
    ),
    "pop": Style(
        bpm=(98, 122),
        modes=("major",),
        programs={
            "bass": (33, 38),
            "chords": (0, 2, 4),
            "pad": (48, 50),
            "picking": (27, 11),
            "lead": (80, 73, 24),
            "hook": (81, 61),
        },
        progressions=_MAJOR,
        drums={
            "verse": {"kick": "X.......X.......", "snare": _BACKBEAT, "hat": _EIGHTHS},
            "chorus": {
                "kick": "X..x....X.x.....",
                "snare": _BACKBEAT,
                "clap": _BACKBEAT,
                "hat": "x.o.x.o.x.o.x.o.",
                "tambourine": "o.o.x.o.o.o.x.o.",
            },
            "bridge": {
                "kick": "X...............",
                "rim": "........x.......",
                "hat": "x...o...x...o...",
            },
        },
        bass=("r---..r-r---..a-", "r-r-r-r-r-r-f-a-"),
        chords=("x-------x-----x-", "x---x---x---x-x-"),
        picking="0.1.2.1.3.1.2.1.",
    ),
    "funk": Style(
        bpm=(94, 112),
        modes=("minor",),
        programs={
            "bass": (36, 33),
            "chords": (7, 28),
            "pad": (16, 18),
            "lead": (66, 57),
            "hook": (61, 62),
        },
        progressions={**_MINOR, "verse": ((0, 0, 3, 0), (0, 3, 0, 3))},
        drums={
            "verse": {
                "kick": "X..x......x..x..",
                "snare": "....X..o.o..X..o",
                "hat": "x.oox.oox.oox.oo",
            },
            "chorus": {
                "kick": "X..x..x.X..x.x..",
                "snare": "....X..o.o..X.o.",
                "hat": "X.o.X.o.X.o.X.o.",
                "tambourine": "....x.......x...",
            },
            "bridge": {"kick": "X.......X.......", "clap": _BACKBEAT, "hat": "x...x...x...x..."},
        },
        bass=("r-.r..o.r-.f..oa", "r-.rr.o.r-rf.oaa"),
        chords=("..x...xo..x...xo", "x-.x..x-.x.x..x-"),
    ),
    "ballad": Style(
        bpm=(80, 92),
        modes=("major",),
        programs={
            "bass": (32, 33),
            "chords": (0, 4),
            "pad": (48, 52),
            "picking": (0, 24, 46),
            "lead": (73, 71, 68),
            "hook": (40, 66, 60),
        },
        progressions=_MAJOR,
        drums={
            "verse": {"kick": "X.......X.......", "rim": "....x.......x...", "hat": _EIGHTHS},
            "chorus": {"kick": "X.....x.X.......", "snare": _BACKBEAT, "ride": "x.o.x.o.x.o.x.o."},
            "bridge": {"kick": "X...............", "ride": "x...x...x...x..."},
        },
        bass=("r-------f-------", "r-----r-f-----a-"),
        chords=("x---------------", "x-------x-------"),
        picking="0.1.2.3.2.1.2.1.",
        looseness=0.006,
    ),
    "electronic": Style(
        bpm=(120, 132),
        modes=("minor",),
        programs={
            "bass": (38, 39),
            "chords": (81, 90),
            "pad": (89, 50),
            "picking": (80, 81),
            "lead": (80, 82),
            "hook": (81, 84),
        },
        progressions=_MINOR,
        drums={
            "verse": {"kick": "X...X...X...X...", "hat": "x.o.x.o.x.o.x.o."},
            "chorus": {
                "kick": "X...X...X...X...",
                "clap": _BACKBEAT,
                "open_hat": "..o...o...o...o.",
                "hat": "X.o.X.o.X.o.X.o.",
            },
            "bridge": {"kick": "X.......X.......", "shaker": "xoxoxoxoxoxoxoxo"},
        },
        bass=("r.r-r.r-r.r-r.o-", "rrr-rrr-rrr-rro-"),
        chords=("x--.....x--.....", "x--x--x---x--x--"),
        picking="0123210123213212",
        looseness=0.0,
    ),
    "waltz": Style(
        bpm=(112, 150),
        modes=("major", "minor"),
        programs={
            "bass": (32, 43),
            "chords": (20, 0),
            "pad": (48, 49),
            "lead": (71, 73, 68),
            "hook": (40, 20, 56),
        },
        progressions=_MAJOR,
        drums={
            "verse": {"kick": "X...........", "hat": "o...x...x...", "rim": "....o...o..."},
            "chorus": {"kick": "X...........", "snare": "....x...x...", "ride": "x...x...x.o."},
            "bridge": {"kick": "X...........", "hat": "o...x...x..."},
        },
        bass=("r-------....", "r---....f-a-"),
        chords=("....x-..x-..", "....X-..X-o-"),
        beats_per_bar=3,
        looseness=0.006,
    ),
    "folk": Style(
        bpm=(96, 118),
        modes=("major",),
        programs={
            "bass": (32,),
            "chords": (25, 24),
            "pad": (20, 48),
            "picking": (25, 105, 24),
            "lead": (73, 71, 110),
            "hook": (110, 40, 73),
        },
        progressions={**_MAJOR, "verse": ((0, 0, 3, 0), (0, 4, 3, 0), (0, 3, 4, 0))},
        drums={
            "verse": {"kick": "X.......X.......", "shaker": "x.o.x.o.x.o.x.o."},
            "chorus": {
                "kick": "X...x...X...x...",
                "rim": _BACKBEAT,
                "tambourine": "..o.x.o...o.x.o.",
                "shaker": "xoxoxoxoxoxoxoxo",
            },
            "bridge": {"kick": "X.......x.......", "shaker": "x...x...x...x..."},
        },
        bass=("r-----..f-----..", "r---r---f---a---"),
        chords=("x---o-x-x---o-x-", "X-o-x-ooX-o-x-oo"),
        picking="0.2.1.3.0.2.1.3.",
        looseness=0.006,
    ),
    "country": Style(
        bpm=(104, 128),
        modes=("major",),
        programs={
            "bass": (32, 33),
            "chords": (25, 27),
            "pad": (48, 16),
            "picking": (105, 25),
            "lead": (26, 71),
            "hook": (110, 40, 26),
        },
        progressions={**_MAJOR, "verse": ((0, 0, 3, 0), (0, 3, 4, 0), (0, 0, 4, 4))},
        drums={
            "verse": {"kick": "X.......X.......", "rim": _BACKBEAT, "hat": "x...x.o.x...x.o."},
            "chorus": {
                "kick": "X.......X.....x.",
                "snare": "..o.X.o...o.X.o.",
                "ride": "x...x.x.x...x.x.",
            },
            "bridge": {"kick": "X.......X.......", "hat": "x...x...x...x..."},
        },
        bass=("r---....f---....", "r---r---f---f-a-"),
        chords=("....x-......x-..", "..o.X-o...o.X-o."),
        picking="0.2.1.2.0.3.1.2.",
        swing=0.1,
        looseness=0.005,
    ),
    "latin": Style(
        bpm=(116, 138),
        modes=("minor", "major"),
        programs={
            "bass": (32, 33),
            "chords": (0, 24),
            "pad": (48, 52),
            "lead": (73, 11),
            "hook": (56, 61),
        },
        progressions=_MINOR,
        drums={
            "verse": {
                "kick": "X.....x.X.....x.",
                "rim": "o..o..o...o.o...",
                "hat": "x.o.x.o.x.o.x.o.",
            },
            "chorus": {
                "kick": "X.....x.X.....x.",
                "snare": "....X.......X.o.",
                "rim": "o..o..o...o.o...",
                "ride": "x.x.x.x.x.x.x.x.",
            },
            "bridge": {"kick": "X.......X.......", "shaker": "x.o.x.o.x.o.x.o."},
        },
        bass=("r-----f-f-----a-", "r-----f-o-----a-"),
        chords=("x--x--x---x-x---", "X-xx.-x-x.x-x-x-"),
        looseness=0.005,
    ),
    "punk": Style(
        bpm=(155, 170),
        modes=("major",),
        programs={
            "bass": (34,),
            "chords": (30, 29),
            "pad": (18,),
            "lead": (29, 81),
            "hook": (30, 80),
        },
        progressions={**_MAJOR, "verse": ((0, 3, 4, 3), (0, 0, 3, 4))},
        drums={
            "verse": {"kick": "X.......x.x.....", "snare": _BACKBEAT, "hat": "x.o.x.o.x.o.x.o."},
            "chorus": {
                "kick": "X.x.....X.x...x.",
                "snare": _BACKBEAT,
                "crash": "x.......o.......",
                "ride": "x...x...x...x...",
            },
            "bridge": {"kick": "X...............", "low_tom": "x.o.x.o.x.o.x.o."},
        },
        bass=("r-r-r-r-r-r-r-r-", "r-r-r-r-r-r-r-a-"),
        chords=("x-o-x-o-x-o-x-o-", "X-x-x-x-X-x-x-x-"),
        power_chords=True,
        looseness=0.005,
    ),
    "synthwave": Style(
        bpm=(84, 108),
        modes=("minor",),
        programs={
            "bass": (39, 38),
            "chords": (50, 90),
            "pad": (89, 91),
            "picking": (81, 88),
            "lead": (80, 84),
            "hook": (81, 62),
        },
        progressions=_MINOR,
        drums={
            "verse": {"kick": "X.......X.......", "snare": _BACKBEAT, "hat": "x.o.x.o.x.o.x.o."},
            "chorus": {
                "kick": "X...x...X...x.x.",
                "snare": _BACKBEAT,
                "clap": _BACKBEAT,
                "hat": "x.o.x.o.x.o.x.o.",
            },
            "bridge": {"kick": "X...............", "hat": "x...x...x...x..."},
        },
        bass=("r-r-r-r-r-r-r-r-", "rrorrrorrrorrroa"),
        chords=("x-----------....", "x-----x-----x---"),
        picking="0.2.3.2.1.2.3.2.",
        looseness=0.0,
    ),
    "soul": Style(
        bpm=(106, 126),
        modes=("major",),
        programs={
            "bass": (33, 32),
            "chords": (16, 4, 27),
            "pad": (52, 48),
            "lead": (66, 57),
            "hook": (61, 56),
        },
        progressions={**_MAJOR, "verse": ((0, 3, 0, 3), (0, 1, 3, 0))},
        drums={
            "verse": {"kick": "X.....x.X.......", "snare": "....X.......X.o.", "hat": _EIGHTHS},
            "chorus": {
                "kick": "X.....x.X.x.....",
                "snare": "x...X...x...X...",
                "tambourine": "o.o.x.o.o.o.x.o.",
                "hat": "x.o.x.o.x.o.x.o.",
            },
            "bridge": {"kick": "X.......X.......", "rim": _BACKBEAT, "ride": "x...x...x...x..."},
        },
        bass=("r---r-f-o---f-a-", "r-r-f-o-f-r-f-a-"),
        chords=("....x-......x-..", "x---X-..x---X-x-"),
        looseness=0.005,
    ),
}
