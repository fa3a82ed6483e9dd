"""Write a song: form, sections, and the notes of every instrument, in beats."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from rlhf_lib.composer.styles import DRUM_KEYS, Style, rhythms

#: Sections of a song and their lengths in phrases; the longest form that fits is taken.
_FORMS = (
    "V1 C1",
    "V1 C1 O1",
    "I1 V1 C1 O1",
    "V1 C1 V1 C1 O1",
    "I1 V1 C1 V1 C1 O1",
    "I1 V1 C1 V1 C1 B1 C1 O1",
    "I1 V2 C1 V2 C1 B1 C1 O1",
    "I1 V2 C2 V1 C2 B1 C2 O1",
    "I1 V2 C2 V2 C2 B2 C2 O1",
    "I1 V2 C2 V2 C2 B2 C2 C2 O1",
    "I2 V2 C2 V2 C2 B2 V2 C2 O2",
    "I2 V2 C2 V2 C2 B2 V2 C2 C2 O2",
)
_SECTION_NAMES = {"I": "intro", "V": "verse", "C": "chorus", "B": "bridge", "O": "outro"}
_SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
#: How hard a section is played (1 = the chorus) and which roles play in it.
_INTENSITY = {"intro": 0.8, "verse": 0.82, "chorus": 1.0, "bridge": 0.76, "outro": 0.9}
_ROLES = {
    "intro": {"drums", "chords", "pad", "picking", "hook"},
    "verse": {"drums", "bass", "chords", "lead"},
    "chorus": {"drums", "bass", "chords", "pad", "picking", "hook"},
    "bridge": {"drums", "bass", "pad", "picking", "lead"},
    "outro": {"drums", "bass", "chords", "pad", "hook"},
}
_STROKES = {"X": 1.0, "x": 0.8, "o": 0.45}


@dataclass(frozen=True)
class Section:
    """A part of a song: beats ``start_beat`` (included) to ``end_beat`` (excluded)."""

    name: str
    start_beat: int
    end_beat: int


@dataclass(frozen=True, slots=True)
class Note:
    """One note: `start` and `length` in beats, MIDI `pitch`, `velocity` 0-1."""

    role: str
    start: float
    length: float
    pitch: int
    velocity: float


@dataclass(frozen=True)
class Score:
    """A written song: its notes, sections and the General MIDI program of each role."""

    notes: list[Note]
    sections: list[Section]
    programs: dict[str, int]
    key: str


def plan_form(n_bars: int, beats_per_bar: int) -> list[Section]:
    """Divide `n_bars` bars into sections.

    Phrases have four bars where the song is long enough, else two or one. Choruses are all
    equally long; bars that fit no phrase go to the outro, else the last section.
    """
    phrase = next((p for p in (4, 2, 1) if n_bars >= 10 * p), 1)
    n_phrases = n_bars // phrase
    form = [(part[0], int(part[1])) for part in _FORMS[0].split()]
    for text in _FORMS:
        candidate = [(part[0], int(part[1])) for part in text.split()]
        if sum(length for _, length in candidate) <= n_phrases:
            form = candidate
    spare = n_phrases - sum(length for _, length in form)
    while spare >= 4:  # a long song: more rounds of verse and chorus before the ending
        form[-2:-2] = [("V", 2), ("C", form[-2][1])]
        spare -= 2 + form[-2][1]
    lengths = [length * phrase for _, length in form]
    growable = [k for k, (name, _) in enumerate(form) if name in "BVI"][::-1]
    for k in range(max(spare, 0)):
        lengths[growable[k % len(growable)]] += phrase
    lengths[-1] += n_bars - sum(lengths)
    bounds = np.concatenate([[0], np.cumsum(lengths)]) * beats_per_bar
    return [
        Section(_SECTION_NAMES[name], int(start), int(stop))
        for (name, _), start, stop in zip(form, bounds[:-1], bounds[1:], strict=True)
    ]


def write_score(style: Style, n_bars: int, tonic: int, rng: np.random.Generator) -> Score:
    """Write a song of `n_bars` bars in `style` on the pitch class `tonic` (0 = C).

    Chords and melody are drawn once for each kind of section, so that choruses return nearly
    identical; only touch, fills and the last bar differ.
    """
    mode = str(rng.choice(style.modes))
    programs = {role: int(rng.choice(options)) for role, options in style.programs.items()}
    writer = _Writer(style, _SCALES[mode], tonic, rng)
    sections = plan_form(n_bars, style.beats_per_bar)
    notes: list[Note] = []
    seen: Counter[str] = Counter()
    for index, section in enumerate(sections):
        seen[section.name] += 1
        roles = set(_ROLES[section.name])
        if section.name == "verse" and seen["verse"] > 1:
            roles |= {"picking", "pad"}
        last = index == len(sections) - 1
        written = writer.section(section, closing=last)
        notes += [note for note in written if note.role in roles]
    names = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"]
    return Score(_touch(notes, style, rng), sections, programs, f"{names[tonic]} {mode}")


class _Writer:
    """The chords and melodies of one song; writes its sections."""

    def __init__(self, style: Style, scale: tuple[int, ...], tonic: int, rng: np.random.Generator):
        self.style, self.scale, self.tonic, self.rng = style, scale, tonic, rng
        loops = style.progressions
        self.loops = {
            name: tuple(loops[name][rng.integers(len(loops[name]))])
            for name in ("verse", "chorus", "bridge")
        }
        self.melodies = {
            "verse": self._melody("verse", centre=3, spread=2),
            "chorus": self._melody("chorus", centre=7, spread=3),
            "bridge": self._melody("bridge", centre=5, spread=4),
        }

    def pitch(self, degree: int) -> int:
        """Return the MIDI pitch of a scale degree; 0 is the tonic at 55-66, 7 an octave up."""
        return 60 + (self.tonic + 5) % 12 - 5 + 12 * (degree // 7) + self.scale[degree % 7]

    def low(self, degree: int, lowest: int) -> int:
        """Return the same tone in the octave that starts at MIDI pitch `lowest`."""
        return lowest + (self.pitch(degree) - lowest) % 12

    def _melody(self, kind: str, centre: int, spread: int) -> list[list[tuple[float, float, int]]]:
        """Return four bars of (start, length in beats, scale degree): motif and answer, twice."""
        choices = rhythms(self.style.beats_per_bar)
        first, second = self.rng.choice(len(choices), 2, replace=False)
        steps = self.rng.choice((-2, -1, -1, 0, 1, 1, 2), 16)
        contour = np.clip(np.cumsum(steps), -spread, spread)
        bars = []
        for bar, rhythm in enumerate((first, second, first, second)):
            root = self.loops[kind][bar % len(self.loops[kind])]
            strokes = _strokes(choices[rhythm])
            notes = []
            for k, (start, length, _) in enumerate(strokes):
                degree = centre + int(contour[(k + (8 if rhythm == second else 0)) % len(contour)])
                if start == int(start) or k == len(strokes) - 1:
                    degree = min(
                        range(degree - 2, degree + 3),
                        key=lambda d, goal=degree, root=root: (
                            (d - root) % 7 not in (0, 2, 4),
                            abs(d - goal),
                        ),
                    )
                notes.append((start, length, degree))
            bars.append(notes)
        start, _, _ = bars[3][-1]  # the phrase ends on a long note
        rest = max(self.style.beats_per_bar - start, 1.0)
        bars[3][-1] = (start, rest, bars[3][-1][2])
        return bars

    def section(self, section: Section, closing: bool) -> list[Note]:
        """Return the notes of all roles; the caller drops the roles that do not play."""
        per_bar = self.style.beats_per_bar
        kind = {"intro": "chorus", "outro": "chorus"}.get(section.name, section.name)
        full = section.name in ("chorus", "outro")
        loop = self.loops[kind]
        n_bars = (section.end_beat - section.start_beat) // per_bar
        strength = _INTENSITY[section.name]
        notes: list[Note] = []
        if section.name in ("chorus", "bridge", "verse") and section.start_beat > 0:
            notes.append(Note("drums", 0.0, 2.0, DRUM_KEYS["crash"], 0.8))
        for bar in range(n_bars):
            at = bar * per_bar
            root, following = loop[bar % len(loop)], loop[(bar + 1) % len(loop)]
            if closing and bar == n_bars - 1:
                notes += self._last_chord(at)
                continue
            fill = bar == n_bars - 1 and n_bars > 1
            notes += self._drums(section.name, at, fill, thin=section.name == "intro")
            notes += self._bass(self.style.bass[full], at, root, following)
            notes += self._chords(self.style.chords[full], at, root)
            notes += self._picking(at, root)
            notes += [Note("pad", at, per_bar, p, 0.7) for p in self._voicing(root, 60)]
            role = "lead" if kind in ("verse", "bridge") else "hook"
            if section.name != "intro" or bar >= n_bars // 2:
                for start, length, degree in self.melodies[kind][bar % 4]:
                    notes.append(Note(role, at + start, length, self.pitch(degree), 0.85))
        return [
            Note(n.role, n.start + section.start_beat, n.length, n.pitch, n.velocity * strength)
            for n in notes
        ]

    def _voicing(self, degree: int, centre: int) -> list[int]:
        """Return the chord on a scale degree, each tone in the octave around `centre`."""
        return sorted(self.low(degree + k, centre - 6) for k in (0, 2, 4))

    def _chords(self, pattern: str, at: float, degree: int) -> list[Note]:
        if self.style.power_chords:
            root = self.low(degree, 40)
            pitches = [root, root + 7, root + 12]
        else:
            pitches = self._voicing(degree, 59)
        return [
            Note("chords", at + start, length, pitch, _STROKES[stroke])
            for start, length, stroke in _strokes(pattern)
            for pitch in pitches
        ]

    def _picking(self, at: float, degree: int) -> list[Note]:
        tones = [*self._voicing(degree, 66)]
        tones.append(tones[0] + 12)
        return [
            Note("picking", at + start, max(length, 0.5), tones[int(tone)], 0.7)
            for start, length, tone in _strokes(self.style.picking)
        ]

    def _bass(self, pattern: str, at: float, degree: int, following: int) -> list[Note]:
        root = self.low(degree, 28)
        goal = self.low(following, 28)
        pitches = {
            "r": root,
            "f": root + 7,
            "o": root + 12,
            "a": goal + (2 if goal < root else -2) if goal != root else root + 7,
        }
        return [
            Note("bass", at + start, length, pitches[tone], 0.9)
            for start, length, tone in _strokes(pattern)
        ]

    def _drums(self, name: str, at: float, fill: bool, thin: bool) -> list[Note]:
        kind = {"intro": "verse", "outro": "chorus"}.get(name, name)
        per_bar = self.style.beats_per_bar
        fill_from = per_bar - (per_bar // 2 if fill else 0)
        notes = [
            Note("drums", at + start, 0.5, DRUM_KEYS[drum], _STROKES[stroke])
            for drum, pattern in self.style.drums[kind].items()
            for start, _, stroke in _strokes(pattern)
            if start < fill_from and not (thin and drum in ("snare", "clap"))
        ]
        if not fill:
            return notes
        steps = int((per_bar - fill_from) * 4)
        keys = ("snare", "high_tom", "mid_tom", "low_tom")
        for step in range(steps):
            if step % 2 == 0 or self.rng.random() < 0.7:
                key = DRUM_KEYS[keys[step * len(keys) // steps]]
                loud = 0.6 + 0.4 * step / steps
                notes.append(Note("drums", at + fill_from + step / 4, 0.5, key, loud))
        notes.append(Note("drums", at + fill_from, 0.5, DRUM_KEYS["kick"], 0.9))
        return notes

    def _last_chord(self, at: float) -> list[Note]:
        length = float(self.style.beats_per_bar)
        chord = self._voicing(0, 59)
        return [
            Note("drums", at, length, DRUM_KEYS["crash"], 1.0),
            Note("drums", at, 1.0, DRUM_KEYS["kick"], 1.0),
            Note("bass", at, length, self.low(0, 28), 1.0),
            Note("hook", at, length, self.pitch(7), 0.9),
            *(Note(role, at, length, p, 0.9) for role in ("chords", "pad") for p in chord),
        ]


def _strokes(pattern: str) -> list[tuple[float, float, str]]:
    """Parse tablature into (start, length in beats, stroke); four characters a beat."""
    strokes = []
    for k, stroke in enumerate(pattern):
        if stroke in "-.":
            continue
        held = len(pattern[k + 1 :]) - len(pattern[k + 1 :].lstrip("-"))
        strokes.append((k / 4, (1 + held) / 4, stroke))
    return strokes


def _touch(notes: list[Note], style: Style, rng: np.random.Generator) -> list[Note]:
    """Swing the offbeat eighths, accent the beats, vary velocities by about 5 %."""
    swung = []
    for note, push in zip(notes, rng.normal(1.0, 0.05, len(notes)).tolist(), strict=True):
        late = style.swing if note.start % 1 == 0.5 else 0.0
        if note.role != "drums":  # drum patterns have their own accents
            push *= {0.0: 1.0, 0.5: 0.8}.get(note.start % 1, 0.7)
        velocity = min(max(note.velocity * push, 0.05), 1.0)
        swung.append(Note(note.role, note.start + late, note.length, note.pitch, velocity))
    return swung
