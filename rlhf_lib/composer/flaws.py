"""Flaws planted in demo songs, so that it is known what a good edit would cut."""

from dataclasses import dataclass, replace

import numpy as np

from rlhf_lib.composer.score import Note, Section

#: Pitches off by a semitone or tritone; a nearly silent bar; a bar played late; two bars
#: (one where two have no room) far too soft.
FLAW_KINDS = ("wrong_notes", "dead_bar", "dragged_bar", "level_drop")
#: Gain of the kinds that change the level, dB.
FLAW_GAIN = {"dead_bar": -38.0, "level_drop": -14.0}
_EVERY = 30.0  # s of music per flaw
_WRONG = 0.7  # share of a bar's notes that go wrong
_LATE = (0.15, 0.30)  # lateness at the start and end of a dragged bar, beats


@dataclass(frozen=True)
class Flaw:
    """A planted flaw: beats ``start_beat`` (included) to ``end_beat`` (excluded)."""

    kind: str
    start_beat: int
    end_beat: int


def plan_flaws(
    sections: list[Section], beats_per_bar: int, seconds: float, rng: np.random.Generator
) -> tuple[Flaw, ...]:
    """Choose where flaws go: about one every 30 s, all kinds in turn.

    They fill whole bars of verses, bridges and choruses, at least two bars apart. The first
    chorus has none, so that every chorus passage exists once without a flaw.
    """
    first_chorus = next(section for section in sections if section.name == "chorus")
    bars = [
        (section, start)
        for section in sections
        if section.name in ("verse", "chorus", "bridge") and section is not first_chorus
        for start in range(section.start_beat, section.end_beat, beats_per_bar)
    ]
    kinds = [str(kind) for kind in rng.permutation(FLAW_KINDS)]
    gap = 2 * beats_per_bar
    planted: list[Flaw] = []

    def places(n_beats: int) -> list[int]:
        return [
            start
            for section, start in bars
            if start + n_beats <= section.end_beat
            and all(
                start >= flaw.end_beat + gap or start + n_beats + gap <= flaw.start_beat
                for flaw in planted
            )
        ]

    for k in range(max(1, round(seconds / _EVERY))):
        kind = kinds[k % len(kinds)]
        n_beats = beats_per_bar
        if kind == "level_drop" and places(2 * n_beats):
            n_beats *= 2
        free = places(n_beats)
        if free:
            start = int(rng.choice(free))
            planted.append(Flaw(kind, start, start + n_beats))
    return tuple(sorted(planted, key=lambda flaw: flaw.start_beat))


def spoil_notes(notes: list[Note], flaws: tuple[Flaw, ...], rng: np.random.Generator) -> list[Note]:
    """Return the notes with wrong pitches and late onsets in flawed bars."""
    spoilt = list(notes)
    for flaw in flaws:
        for k, note in enumerate(notes):
            if not flaw.start_beat <= note.start < flaw.end_beat:
                continue
            if flaw.kind == "wrong_notes" and note.role != "drums" and rng.random() < _WRONG:
                spoilt[k] = replace(note, pitch=note.pitch + int(rng.choice((-1, 1, 6))))
            elif flaw.kind == "dragged_bar":
                progress = (note.start - flaw.start_beat) / (flaw.end_beat - flaw.start_beat)
                spoilt[k] = replace(
                    note, start=note.start + float(np.interp(progress, (0, 1), _LATE))
                )
    return spoilt
