"""The size of candidates and the time to render them, announced before anything is rendered."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rlhf_lib.analysis.audio import Audio, load_audio, save_audio
from rlhf_lib.analysis.decode import decode
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.editing.loudness import loudness
from rlhf_lib.editing.render import render
from rlhf_lib.errors import InputError
from rlhf_lib.parallel import processes
from rlhf_lib.paths import shown

#: Typical size of a FLAC file as a share of the WAV file with the same samples; see docs/scale.md.
FLAC_SHARE = 0.6
_WAV_HEADER = 44

SongEdits = Sequence[tuple[Song, Sequence[Edit]]]


def announce(
    work: SongEdits,
    folder: Path,
    audio_format: str = "wav",
    replaced: int = 0,
    jobs: int | None = 1,
    scheduler: str | None = None,
) -> None:
    """Print the size of the files to come and the time that rendering takes.

    The size of WAV files is exact, that of FLAC files typical. The time is measured: the shortest
    edit of the first song is rendered and written once.

    Parameters
    ----------
    work : sequence of (Song, its edits)
    folder : Path
        Where they will be written.
    audio_format : "wav" or "flac"
    replaced : int
        Bytes of files there that the new ones replace.
    jobs, scheduler
        Where the edits will be rendered; see `rlhf_lib.parallel.run`.

    Raises
    ------
    InputError
        When the free space is too small.
    """
    place = next(one for one in (folder, *folder.parents) if one.exists())
    needed, free = size(work, audio_format), shutil.disk_usage(place).free
    n_edits = sum(len(edits) for _, edits in work)
    what = f"{_counted(len(work), 'song')}, {_counted(n_edits, 'edit')}"
    if needed - replaced > free:
        smaller = ""
        if audio_format != "flac":
            smaller = f"choose FLAC (--format flac, about {_bytes(size(work, 'flac'))}), "
        raise InputError(
            f"{what}: {_bytes(needed)} are needed in {folder} and {_bytes(free + replaced)} are "
            f"free; nothing was changed. Free some space, {smaller}or take fewer songs (--n_songs) "
            "or candidates (--candidates_per_song)"
        )
    seconds = _core_seconds(work, folder, audio_format)
    if scheduler is None:
        took = f"{_time(seconds / processes(jobs, len(work)))} of rendering"
    else:
        took = f"{_time(seconds)} of rendering divided by the workers"
    where = f"in {shown(folder)} (free: {_bytes(free)})"
    print(f"{what}: about {_bytes(needed)} and {took} {where}", flush=True)


def size(work: SongEdits, audio_format: str = "wav") -> int:
    """Return the bytes of the edits' files and of the copies of the originals.

    Exact for WAV; for FLAC the edits count `FLAC_SHARE` of it.
    """
    share = FLAC_SHARE if audio_format == "flac" else 1
    total = 0
    for song, edits in work:
        channels = next(decode(song.path))[0].shape[1]
        lengths = np.diff(song.beat_bounds)
        samples = sum(int(lengths[edit.order].sum()) for edit in edits)
        total += round(share * (2 * channels * samples + _WAV_HEADER * len(edits)))
        total += song.path.stat().st_size
    return total


def _core_seconds(work: SongEdits, folder: Path, audio_format: str) -> float:
    """Return the time that one core needs, measured on one edit."""
    song, edits = work[0]
    edit = min(edits, key=lambda one: one.duration)
    trial = folder / f".trial.{audio_format}"
    for stale in folder.glob(".*trial.*"):  # left by a killed run
        stale.unlink()
    noise = np.random.default_rng(0).uniform(-1, 1, (44100, 1)).astype(np.float32)
    loudness(Audio(noise, 44100))  # compiled at its first call
    began = time.perf_counter()
    audio = load_audio(song.path)
    _ = audio.largest_jump  # computed once per song
    loaded = time.perf_counter()
    try:
        sound = render(edit, audio)
        save_audio(trial, sound)
        loudness(sound)
    finally:
        trial.unlink(missing_ok=True)
    loading, rendering = loaded - began, time.perf_counter() - loaded
    return sum(
        loading * other.duration / song.duration
        + rendering * sum(one.duration for one in its_edits) / edit.duration
        for other, its_edits in work
    )


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" + "s" * (n != 1)


def _bytes(n: float) -> str:
    unit, scale = ("GB", 1e9) if n >= 1e9 else ("MB", 1e6)
    return f"{n / scale:.0f} {unit}" if n >= 10 * scale else f"{n / scale:.1f} {unit}"


def _time(seconds: float) -> str:
    return f"{max(seconds, 1):.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
