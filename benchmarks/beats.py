"""Measure the beat tracker against MIDI tempo maps; print one line per song.

    python benchmarks/beats.py [FOLDER]

FOLDER has one folder per song with song.ogg, guitar.ogg (optional, mixed in) and notes.mid, as
installed by Debian's package fretsonfire-songs-muldjord. The score is mir_eval's F-measure (beats
within 70 ms count; the first 5 s do not) at the best constant offset between sound and MIDI. The
same score is printed for librosa's default tracker.
"""

import argparse
import time
from pathlib import Path

import librosa
import mir_eval
import numpy as np
import pretty_midi

from rlhf_lib.analysis.audio import Audio, load_audio
from rlhf_lib.analysis.beats import estimate_beats

DEBIAN = Path("/usr/share/games/fretsonfire/data/songs/muldjord")
GOAL = 0.95


def mixed(folder: Path) -> Audio:
    """Return the sum of the song's stems, scaled to full scale."""
    stems = [load_audio(path) for path in sorted(folder.glob("*.ogg"))]
    n_samples = min(stem.n_samples for stem in stems)
    total = np.sum([stem.samples[:n_samples] for stem in stems], axis=0)
    return Audio(total / np.abs(total).max(), stems[0].sample_rate)


def midi_beats(path: Path, duration: float) -> np.ndarray:
    """Return the beats (s) of a MIDI tempo map, one per quarter note, up to `duration`."""
    midi = pretty_midi.PrettyMIDI(str(path))
    ticks = np.arange(0, midi.time_to_tick(duration), midi.resolution)
    return np.array([midi.tick_to_time(int(tick)) for tick in ticks])


def best_f_measure(reference: np.ndarray, estimate: np.ndarray) -> tuple[float, float]:
    """Return the F-measure at the best constant offset, and that offset (s).

    If several offsets are equally good, their mean.
    """
    reach = np.median(np.diff(reference)) / 2
    offsets = np.arange(-reach, reach, 0.005)
    reference = mir_eval.beat.trim_beats(reference)
    scores = np.array(
        [
            mir_eval.beat.f_measure(reference, mir_eval.beat.trim_beats(estimate + offset))
            for offset in offsets
        ]
    )
    return float(scores.max()), float(offsets[scores >= scores.max() - 1e-9].mean())


def main() -> None:
    """Print the table; exit with status 1 when a song is below the goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DEBIAN)
    songs = sorted(path.parent for path in parser.parse_args().folder.glob("*/notes.mid"))
    if not songs:
        raise SystemExit(
            "no song found: give a folder of folders with notes.mid and song.ogg, or install "
            "Debian's fretsonfire-songs-muldjord"
        )
    print(f"{'song':24}{'length':>8}{'tempo':>8}{'ours':>8}{'F':>7}{'librosa F':>11}", end="")
    print(f"{'offset':>9}{'time':>8}")
    short = 0
    for folder in songs:
        audio = mixed(folder)
        reference = midi_beats(folder / "notes.mid", audio.duration)
        started = time.perf_counter()
        beats = estimate_beats(audio).times
        seconds = time.perf_counter() - started
        score, offset = best_f_measure(reference, beats)
        mono = librosa.resample(audio.mono(), orig_sr=audio.sample_rate, target_sr=22050)
        _, peer = librosa.beat.beat_track(y=mono, sr=22050, units="time")
        peer_score, _ = best_f_measure(reference, peer)
        print(
            f"{folder.name:24}{audio.duration:6.0f} s{60 / np.median(np.diff(reference)):8.1f}"
            f"{60 / np.median(np.diff(beats)):8.1f}{score:7.3f}{peer_score:11.3f}"
            f"{1000 * offset:6.0f} ms{seconds:6.2f} s",
            flush=True,
        )
        short += score < GOAL
    if short:
        raise SystemExit(f"{short} of {len(songs)} songs below F = {GOAL}")


if __name__ == "__main__":
    main()
