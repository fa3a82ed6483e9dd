"""Compare the analysis of a song with librosa's functions; measure first call and memory.

    python benchmarks/analysis.py [--minutes 4] [--write]
    python benchmarks/analysis.py --hours 10 [--jobs 2] [--write]

Both decode the file, find its beats and describe each beat by MFCC, chroma, tonal centroid,
contrast, spectral shape, level and onsets (mean, and spread where ours uses it). Ours also computes
features for which librosa has no functions: band energies, edges of beats, metre, sections, joins.
Everything runs in one thread. With ``--hours``, songs of one hour are made and analysed instead,
and the peak memory of all processes together is measured.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"

import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import threading  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import psutil  # noqa: E402
import soundfile  # noqa: E402
from measuring import arguments, publish, ratio, seconds, side_by_side, spread  # noqa: E402

from rlhf_lib.analysis.audio import save_audio  # noqa: E402
from rlhf_lib.analysis.beats import estimate_beats  # noqa: E402
from rlhf_lib.analysis.downmix import load_downmix  # noqa: E402
from rlhf_lib.analysis.features import beat_features  # noqa: E402
from rlhf_lib.analysis.song import load_songs  # noqa: E402
from rlhf_lib.composer.compose import compose_song  # noqa: E402

GOAL, SHARE = 100, 0.5
HOP = 512


def ours(path: Path) -> np.ndarray:
    """Return the features of a song, without a cache."""
    sound = load_downmix(path)
    return beat_features(sound, estimate_beats(sound).times)[0]


def librosa_calls(path: Path) -> np.ndarray:
    """Return the features of a song by librosa, each function called as in its documentation."""
    import librosa

    y, rate = librosa.load(path)
    _, beats = librosa.beat.beat_track(y=y, sr=rate, hop_length=HOP)
    frames = [
        librosa.feature.mfcc(y=y, sr=rate, n_mfcc=13),
        librosa.feature.chroma_stft(y=y, sr=rate),
        librosa.feature.tonnetz(y=y, sr=rate),
        librosa.feature.spectral_contrast(y=y, sr=rate),
        librosa.feature.spectral_centroid(y=y, sr=rate),
        librosa.feature.spectral_bandwidth(y=y, sr=rate),
        librosa.feature.spectral_rolloff(y=y, sr=rate),
        librosa.feature.spectral_flatness(y=y),
        librosa.feature.zero_crossing_rate(y),
        librosa.feature.rms(y=y),
        librosa.onset.onset_strength(y=y, sr=rate)[None],
    ]
    return by_beat(np.vstack(frames), beats)


def librosa_one_stft(path: Path) -> np.ndarray:
    """Return the same features from one STFT, the faster way to use librosa."""
    import librosa

    y, rate = librosa.load(path)
    magnitude = np.abs(librosa.stft(y))
    mel = librosa.feature.melspectrogram(S=magnitude**2, sr=rate)
    decibel = librosa.power_to_db(mel)
    onsets = librosa.onset.onset_strength(S=decibel, sr=rate)
    _, beats = librosa.beat.beat_track(onset_envelope=onsets, sr=rate)
    chroma = librosa.feature.chroma_stft(S=magnitude**2, sr=rate)
    frames = [
        librosa.feature.mfcc(S=decibel, n_mfcc=13),
        chroma,
        librosa.feature.tonnetz(chroma=chroma),
        librosa.feature.spectral_contrast(S=magnitude, sr=rate),
        librosa.feature.spectral_centroid(S=magnitude, sr=rate),
        librosa.feature.spectral_bandwidth(S=magnitude, sr=rate),
        librosa.feature.spectral_rolloff(S=magnitude, sr=rate),
        librosa.feature.spectral_flatness(S=magnitude),
        librosa.feature.zero_crossing_rate(y),
        librosa.feature.rms(S=magnitude),
        onsets[None],
    ]
    return by_beat(np.vstack(frames), beats)


def by_beat(frames: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """Return mean and spread of the frames of each beat."""
    import librosa

    parts = (librosa.util.sync(frames, beats, aggregate=how) for how in (np.mean, np.std))
    return np.vstack(list(parts)).T


SIDES = {
    "ours": ours,
    "librosa, one STFT": librosa_one_stft,
    "librosa, call by call": librosa_calls,
}


def compared(path: Path, minutes: float, rounds: int) -> tuple[pd.DataFrame, str]:
    """Time all sides warm, and the first call of each in a new process without compiled code."""
    times = side_by_side(
        {name: lambda side=side: side(path) for name, side in SIDES.items()}, rounds
    )
    rows = []
    for name, side in SIDES.items():
        with tempfile.TemporaryDirectory() as nothing_compiled:
            code = (
                f"import analysis, pathlib; analysis.{side.__name__}(pathlib.Path({str(path)!r}))"
            )
            environment = os.environ | {"NUMBA_CACHE_DIR": nothing_compiled}
            first = seconds(
                lambda code=code, environment=environment: subprocess.run(
                    [sys.executable, "-c", code],
                    cwd=Path(__file__).parent,
                    env=environment,
                    check=True,
                )
            )
        rows.append(
            {
                "analysis": name,
                "warm, s": spread(times[name]),
                "× real time": spread(60 * minutes / times[name], ".0f"),
                "/ ours": ratio(times[name], times["ours"]),
                "first call in a new process, s": f"{first:.1f}",
            }
        )
    speed = np.median(60 * minutes / times["ours"])
    share = np.median(times["ours"] / times["librosa, one STFT"])
    about = (
        f"A composed song of {minutes:g} minutes (FLAC, 44.1 kHz, stereo), one thread. Goals: "
        f"{GOAL} times real time, {'reached' if speed >= GOAL else 'not reached'}; half of plain "
        f"librosa's time, {'reached' if share <= SHARE else 'not reached'} ({share:.2f} of its "
        "faster way). A first call includes starting Python and imports; librosa also compiles."
    )
    return pd.DataFrame(rows), about


def held(hours: int, jobs: int, folder: Path) -> tuple[pd.DataFrame, str]:
    """Analyse songs of an hour each and measure the memory of all processes together."""
    for number in range(hours):
        part = compose_song(number, "rock", 120.0).audio
        with soundfile.SoundFile(folder / f"{number}.flac", "w", part.sample_rate, 2) as file:
            for _ in range(round(3600 / part.duration)):
                file.write(part.samples)
    most, done = [0], threading.Event()

    def watch() -> None:
        ourselves = psutil.Process()
        while not done.wait(0.1):
            total = 0
            for process in (ourselves, *ourselves.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            most[0] = max(most[0], total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    took = seconds(lambda: load_songs(folder, cache_dir=folder / "cache", jobs=jobs))
    done.set()
    watcher.join()
    row = {
        "hours of music": hours,
        "processes": jobs,
        "most memory, GiB": f"{most[0] / 2**30:.2f}",
        "minutes": f"{took / 60:.1f}",
        "× real time": f"{3600 * hours / took:.0f}",
    }
    about = f"{hours} songs of an hour each (FLAC, 44.1 kHz, stereo). Goal: less than 4 GiB."
    return pd.DataFrame([row]), about


def main() -> None:
    """Print the table; with ``--write``, write it too."""
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=4, help="length of the song")
    parser.add_argument("--hours", type=int, default=0, help="measure memory on this many hours")
    parser.add_argument("--jobs", type=int, default=2, help="processes, with --hours")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.hours:
            publish("memory", *held(args.hours, args.jobs, Path(folder)), args.write)
            return
        path = Path(folder, "song.flac")
        save_audio(path, compose_song(0, "pop", 60 * args.minutes).audio)
        minutes = soundfile.info(str(path)).duration / 60
        publish("analysis", *compared(path, round(minutes, 2), args.rounds), args.write)


if __name__ == "__main__":
    main()
