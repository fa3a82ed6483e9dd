"""Measure beats and bar lines: ours, librosa's, and beat_this where its weights are installed.

    python benchmarks/beats.py [FOLDER] [--songs_per_style 3] [--write]

Composed songs of every style, whose beats and bars are known; one of each style with four beats to
the bar in bars that are not estimated, of 2, 5, 6 and 7; and recorded songs with tempo maps: FOLDER
has one folder per song with song.ogg, guitar.ogg (optional, mixed in) and notes.mid, as
installed by Debian's package fretsonfire-songs-muldjord; it is left out where there is none.

The score is mir_eval's F-measure (within 70 ms; the first 5 s do not count), of the beats and of
the first beats of the bars. The sound of a recorded song starts at a constant, unknown offset to
its tempo map: the offset that suits the beats best is used for both.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import librosa
import mir_eval
import numpy as np
import pandas as pd
import pretty_midi
from measuring import REPORT, publish
from tqdm.auto import tqdm

from rlhf_lib.analysis import learned_beats
from rlhf_lib.analysis.audio import Audio, load_audio
from rlhf_lib.analysis.beats import estimate_beats
from rlhf_lib.analysis.confidence import Confidence
from rlhf_lib.analysis.downmix import Downmix
from rlhf_lib.analysis.metre import estimate_metre
from rlhf_lib.analysis.sound import sound_features
from rlhf_lib.composer.compose import ComposedSong, compose_song
from rlhf_lib.composer.style_book import STYLES
from rlhf_lib.errors import InputError

DEBIAN = Path("/usr/share/games/fretsonfire/data/songs/muldjord")
GOAL = 0.95
SECONDS = 90.0
_FIRST_SEED = 1000  # songs that were used for nothing else
#: Beats to the bar that are composed and not estimated.
_OTHER_METRES = (2, 5, 6, 7)


class Grid(NamedTuple):
    """Beats and first beats of bars in s, None where they are not known; whether they are sure."""

    beats: np.ndarray
    bars: np.ndarray | None = None
    sure: bool = True


def ours(sound: Downmix) -> Grid:
    """Return beats and bar lines as `load_song` estimates them."""
    times, tempo = estimate_beats(sound)
    downbeats, *others = estimate_metre(sound_features(sound, times))
    return Grid(times, times[downbeats], not Confidence(tempo, *others).uncertain())


def by_librosa(sound: Downmix) -> Grid:
    """Return the beats of librosa's default tracker, which knows no bars."""
    return Grid(librosa.beat.beat_track(y=sound.samples, sr=22050, units="time")[1])


def by_beat_this(sound: Downmix) -> Grid:
    """Return beats and bar lines as `load_song` takes them from beat_this."""
    times, downbeats = learned_beats.learned_beats(sound)
    return Grid(times, None if downbeats is None else times[downbeats])


def mixed(folder: Path) -> Audio:
    """Return the sum of the song's stems, scaled to full scale."""
    stems = [load_audio(path) for path in sorted(folder.glob("*.ogg"))]
    n_samples = min(stem.n_samples for stem in stems)
    total = np.sum([stem.samples[:n_samples] for stem in stems], axis=0)
    return Audio(total / np.abs(total).max(), stems[0].sample_rate)


def midi_grid(path: Path, duration: float) -> Grid:
    """Return the grid of a MIDI file up to `duration`: a beat per quarter note.

    Bars are known where the file has time signatures.
    """
    midi = pretty_midi.PrettyMIDI(str(path))
    ticks = np.arange(0, midi.time_to_tick(duration), midi.resolution)
    beats = np.array([midi.tick_to_time(int(tick)) for tick in ticks])
    if not midi.time_signature_changes:
        return Grid(beats)
    # Bars are counted in the map, which may be longer than the notes.
    last = midi.time_signature_changes[-1]
    bars = np.asarray(midi.get_downbeats())
    if last.denominator == 4:
        first = int(np.abs(beats - last.time).argmin())
        bars = np.concatenate([bars[bars < last.time - 0.01], beats[first :: last.numerator]])
    return Grid(beats, bars[bars < duration])


def f_measure(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return mir_eval's F-measure without the first 5 s."""
    return mir_eval.beat.f_measure(*map(mir_eval.beat.trim_beats, (reference, estimate)))


def best_offset(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return the constant offset (s) with the best F-measure; the mean of equally good ones."""
    reach = np.median(np.diff(reference)) / 2
    offsets = np.arange(-reach, reach, 0.005)
    scores = np.array([f_measure(reference, estimate + offset) for offset in offsets])
    return float(offsets[scores >= scores.max() - 1e-9].mean())


def scores(truth: Grid, sound: Audio, trackers: dict, shifted: bool) -> dict[str, float]:
    """Return the F-measures of each tracker, NaN where truth or tracker know no bars.

    And whether `load_song` would say that something of our estimate is uncertain.
    """
    found, downmix = {}, Downmix.of(sound)
    for name, tracker in trackers.items():
        grid = tracker(downmix)
        offset = best_offset(truth.beats, grid.beats) if shifted else 0.0
        known = truth.bars is not None and grid.bars is not None
        found[f"{name}, beats"] = f_measure(truth.beats, grid.beats + offset)
        found[f"{name}, bars"] = f_measure(truth.bars, grid.bars + offset) if known else np.nan
        if tracker is ours:
            found["uncertain"] = float(not grid.sure)
    return found


def composed(name: str, songs: list[ComposedSong], trackers: dict) -> dict[str, object]:
    """Return the row of some composed songs: means, and how many are uncertain."""
    rows = [
        scores(
            Grid(song.beat_times, song.beat_times[:: song.beats_per_bar]),
            song.audio,
            trackers,
            shifted=False,
        )
        for song in songs
    ]
    return {"songs": name, "n": len(songs)} | pd.DataFrame(rows).mean().to_dict()


def installed() -> tuple[dict[str, Callable[[Downmix], Grid]], str]:
    """Return the trackers of this machine, and a sentence about the one that is missing."""
    trackers = {"ours": ours, "librosa": by_librosa}
    try:
        learned_beats.weights()
    except InputError:
        return trackers, " beat_this was not measured: it, or its weights, were not installed."
    return trackers | {"beat_this": by_beat_this}, ""


def main() -> None:
    """Print the table; exit with status 1 when our beats of a recorded song miss the goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DEBIAN)
    parser.add_argument("--songs_per_style", type=int, default=3)
    parser.add_argument("--write", action="store_true", help=f"write the table to {REPORT}")
    args = parser.parse_args()
    trackers, missing = installed()
    rows = []
    for style, recipe in tqdm(STYLES.items(), "styles"):
        seeds = range(_FIRST_SEED, _FIRST_SEED + args.songs_per_style)
        songs = [compose_song(seed, style, SECONDS) for seed in seeds]
        rows.append(composed(f"{style}, {recipe.beats_per_bar} to the bar", songs, trackers))
    fours = [style for style, recipe in STYLES.items() if recipe.beats_per_bar == 4]
    for n in tqdm(_OTHER_METRES, "other metres"):
        songs = [compose_song(_FIRST_SEED, style, SECONDS, beats_per_bar=n) for style in fours]
        rows.append(composed(f"not estimated: {n} to the bar", songs, trackers))
    folders = sorted(path.parent for path in args.folder.glob("*/notes.mid"))
    for folder in tqdm(folders, "recorded songs"):
        sound = mixed(folder)
        truth = midi_grid(folder / "notes.mid", sound.duration)
        rows.append({"songs": f"recorded: {folder.name}", "n": 1})
        rows[-1] |= scores(truth, sound, trackers, shifted=True)
    table = pd.DataFrame(rows)
    short = int((table["ours, beats"][table["songs"].str.startswith("recorded")] < GOAL).sum())
    uncertain = (table.pop("uncertain") * table["n"]).round().astype(int)
    for name in table.columns[2:]:
        table[name] = [f"{value:.3f}" if np.isfinite(value) else "–" for value in table[name]]
    table.insert(2, "named as uncertain", uncertain)
    about = (
        "F-measures of beats and of the first beats of bars: mean of "
        f"{args.songs_per_style} composed songs of each style, {SECONDS:.0f} s each; of one song "
        f"of each of {len(fours)} styles in each metre that is not estimated; "
        f"{len(folders)} recorded ones with known tempo maps, and bars where the map has a time "
        f"signature. librosa estimates no bars.{missing}"
    )
    publish("beats", table, about, args.write)
    if short:
        raise SystemExit(f"{short} of {len(folders)} recorded songs below F = {GOAL}")


if __name__ == "__main__":
    main()
