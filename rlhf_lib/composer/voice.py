"""What a voice sings in a song: lines of the melody, with a breath between them."""

from dataclasses import dataclass, replace

import numpy as np

from rlhf_lib.composer.flaws import Flaw, spoil_notes
from rlhf_lib.composer.score import Note, Score, Section
from rlhf_lib.composer.styles import Style
from rlhf_lib.composer.timing import note_times

#: Where lines lie within four bars of a section, (start, end) in bars. A line with a negative start
#: begins with an upbeat; the first one of a section has none.
_SHAPES = (
    ((0, 1.75), (2, 3.75)),
    ((0, 3.5),),
    ((0, 1.5), (1.75, 3.5)),
    ((0, 1.25), (1.5, 3.5)),
    ((-0.5, 1.5), (1.75, 3.25)),
    ((-0.25, 1.75), (2, 3.5)),
)
#: Which melody is sung where; intros, bridges and endings are played.
_MELODY = {"verse": "lead", "chorus": "hook"}
_VOWELS = "aeiou"
#: Two syllables in four begin with a hiss or a stop, the others with the vowel.
_CONSONANTS = ("", "", "s", "t")
#: A melody above this MIDI pitch is sung an octave lower.
_HIGHEST = 79
#: Lines of fewer notes are not begun.
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class Syllable(Note):
    """A sung note.

    `text` is s, t or nothing, then two of the vowels a, e, i, o, u: the note glides from one to
    the other.
    """

    text: str


Line = list[Syllable]


@dataclass(frozen=True, eq=False)
class Voice:
    """What is sung and when.

    Parameters
    ----------
    notes : all notes, in order
    spans : (len(notes), 2) float64
        Start and end of each note, s.
    lines : (n, 2) float64
        Start and end of each line, s, in order, never overlapping.
    """

    notes: list[Syllable]
    spans: np.ndarray
    lines: np.ndarray


SILENT = Voice([], np.zeros((0, 2)), np.zeros((0, 2)))


def write_voice(score: Score, beats_per_bar: int, rng: np.random.Generator) -> list[Line]:
    """Write the lines that a voice sings, in order; they never overlap.

    The voice sings the melody of verses and choruses, each note until the next. Where its lines
    begin and end within four bars is drawn once for the verses and once for the choruses. All
    choruses have the same words, verses have their own.
    """
    first, second = rng.choice(len(_SHAPES), 2, replace=False)
    shapes = {"verse": _SHAPES[first], "chorus": _SHAPES[second]}
    octave = int(rng.choice((0, -12)))
    words: dict[float, str] = {}  # of the choruses: place in the section → syllable
    lines = []
    for section in score.sections:
        if section.name not in shapes:
            continue
        melody = [
            note
            for note in score.notes
            if note.role == _MELODY[section.name]
            and section.start_beat <= note.start < section.end_beat
        ]
        for start, end in _spans(section, shapes[section.name], beats_per_bar):
            notes = [note for note in melody if start <= note.start < end]
            if len(notes) < _FEWEST:
                continue
            ends = [*(note.start for note in notes[1:]), end]
            line = []
            for note, stop in zip(notes, ends, strict=True):
                text = str(rng.choice(_CONSONANTS)) + "".join(rng.choice(list(_VOWELS), 2))
                if section.name == "chorus":
                    text = words.setdefault(note.start - section.start_beat, text)
                loud = 0.8 + 0.2 * note.velocity
                line.append(
                    Syllable("voice", note.start, stop - note.start, note.pitch, loud, text)
                )
            lines.append(line)
    if any(note.pitch > _HIGHEST for line in lines for note in line):
        octave = -12
    return [[replace(note, pitch=note.pitch + octave) for note in line] for line in lines]


def time_voice(
    lines: list[Line],
    flaws: tuple[Flaw, ...],
    edges: np.ndarray,
    style: Style,
    rng: np.random.Generator,
) -> Voice:
    """Return when a voice sings lines in a song with flaws, which befall it as all others.

    What falls into a dead bar is left out; a line that runs across it becomes two.

    Parameters
    ----------
    lines, flaws : in order
    edges : (n_beats + 1,) float64
        When the beats start and the last one ends, s.
    style : Style
    rng : Generator
    """
    if not lines:
        return SILENT
    spoiling, playing = rng.spawn(2)  # a flaw does not change the timing of other notes
    notes = spoil_notes([note for line in lines for note in line], flaws, spoiling)
    onsets, ends = note_times(notes, edges, style, playing)
    ends[:-1] = np.minimum(ends[:-1], onsets[1:])
    numbers = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    starts = np.array([note.start for note in notes])
    heard = np.ones(len(notes), bool)
    for flaw in flaws:
        if flaw.kind == "dead_bar":
            before, after = starts < flaw.start_beat, starts >= flaw.end_beat
            ends[before] = np.minimum(ends[before], edges[flaw.start_beat])
            numbers += after
            heard &= before | after
    spans = np.column_stack([onsets, ends])[heard]
    _, first, counts = np.unique(numbers[heard], return_index=True, return_counts=True)
    times = np.column_stack([spans[first, 0], spans[first + counts - 1, 1]])
    return Voice(
        [note for note, is_heard in zip(notes, heard, strict=True) if is_heard], spans, times
    )


def _spans(
    section: Section, shape: tuple[tuple[float, float], ...], beats_per_bar: int
) -> list[tuple[float, float]]:
    """Return start and end of the lines of a section, in beats of the song."""
    spans = []
    for group in range(section.start_beat, section.end_beat, 4 * beats_per_bar):
        for start, end in shape:
            start = max(group + start * beats_per_bar, section.start_beat)
            end = min(group + end * beats_per_bar, section.end_beat - 0.25 * beats_per_bar)
            if start < end:
                spans.append((start, end))
    return spans
