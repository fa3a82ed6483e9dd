"""Beats and bar lines by beat_this, a network that is installed separately.

F. Foscarin, J. Schlüter, G. Widmer: "Beat this! Accurate beat tracking without DBN
postprocessing", ISMIR 2024; ``pip install 'rlhf_lib[beats]'``. Its weights are a file that the
package itself would download; here they must be on the machine.
"""

import importlib.util
import os
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError

import numpy as np

from rlhf_lib.analysis.bars import LONGEST_BAR
from rlhf_lib.analysis.downmix import ANALYSIS_RATE, Downmix
from rlhf_lib.analysis.joins import local_periods
from rlhf_lib.analysis.tempo import FPS, SAME_TEMPO, local_period, onset_strength
from rlhf_lib.errors import InputError
from rlhf_lib.paths import file_sha256

#: The authors' model for general use, trained on all their data but one test set.
MODEL = "final0"
#: What a damaged file of weights, or a torchaudio for another torch, raises.
_UNUSABLE = (
    *(ImportError, OSError, EOFError, UnpicklingError),
    *(RuntimeError, LookupError, ValueError, TypeError, AttributeError),
)


def weights() -> Path:
    """Return the file of the network's weights, where torch keeps downloaded models.

    Raises
    ------
    InputError
        When the package or the file is missing; says what to do.
    """
    if importlib.util.find_spec("beat_this") is None:
        raise InputError(
            "beat_this is not installed; pip install 'rlhf_lib[beats]', or leave out --beats"
        )
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser()
    path = home / "hub" / "checkpoints" / f"beat_this-{MODEL}.ckpt"
    if not path.is_file():
        raise InputError(
            f"the weights of beat_this are not at {path}: while online, run once python -c "
            f"\"from beat_this.inference import load_model; load_model('{MODEL}')\", or copy "
            "the file from another machine"
        )
    return path


def model_key() -> str:
    """Return a name of the model with the hash of its weights.

    Raises
    ------
    InputError
        See `weights`.
    """
    path = weights()
    stat = path.stat()
    return f"beat_this {_hash(path, stat.st_mtime_ns, stat.st_size)}"


@lru_cache(maxsize=4)
def _hash(path: Path, changed: int, size: int) -> str:
    return file_sha256(path)


@lru_cache(maxsize=1)
def _tracker(path: Path, key: str):
    try:
        from beat_this.inference import Audio2Beats

        return Audio2Beats(checkpoint_path=str(path), device="cpu")
    except _UNUSABLE as error:
        raise InputError(
            f"beat_this cannot be loaded with {path} ({type(error).__name__}: {error}); install "
            "the torchaudio that fits the installed torch, or get the weights anew"
        ) from error


def learned_beats(audio: Downmix) -> tuple[np.ndarray, np.ndarray | None]:
    """Return beats and bar lines by beat_this.

    Returns
    -------
    times : (n_beats,) float64 array
        s, rounded to the microsecond, as beat files hold them.
    downbeats : (n_bars,) int array or None
        The beats that begin a bar. Where two are more than 12 beats apart, or the song goes on
        for longer before the first or after the last, bars of the usual length are filled in.
        None when fewer than two were found, or most bars would have one beat.

    Raises
    ------
    InputError
        When the package or its weights are missing, or no beats are found.
    """
    path = weights()
    tracker = _tracker(path, model_key())
    found, bar_lines = (np.asarray(x, float) for x in tracker(audio.samples, ANALYSIS_RATE))
    times = np.unique(np.round(found[(found >= 0) & (found < audio.duration)], 6))
    if len(times) < 2:
        raise InputError(
            f"beat_this found {len(times)} beats in {audio.duration:.1f} s; use rhythmic music, "
            "or put a beat file next to the song"
        )
    nearest = np.unique([np.abs(times - line).argmin() for line in bar_lines]).astype(np.int64)
    if len(nearest) < 2 or 2 * np.sum(np.diff(nearest) == 1) >= len(nearest) - 1:
        return times, None
    return times, filled(nearest, len(times))


def filled(downbeats: np.ndarray, n_beats: int) -> np.ndarray:
    """Return downbeats with bars of the usual length filled in where bars exceed 12 beats."""
    lengths = np.diff(downbeats)
    fitting = lengths[(lengths > 1) & (lengths <= LONGEST_BAR)]
    usual = int(np.bincount(fitting).argmax()) if len(fitting) else 4
    out = set(downbeats.tolist())
    for start, stop in zip(downbeats, np.append(downbeats[1:], n_beats), strict=True):
        if stop - start > LONGEST_BAR:
            out |= set(range(int(start), int(stop), usual))
    if downbeats[0] >= LONGEST_BAR:
        out |= set(range(int(downbeats[0]), -1, -usual))
    return np.array(sorted(out))


def tempo_agreement(audio: Downmix, times: np.ndarray) -> float:
    """Return the share of beats whose period is the local tempo of our own analysis, 0 … 1."""
    period, _, _ = local_period(onset_strength(audio))
    frames = np.clip(np.rint(times * FPS).astype(int), 0, len(period) - 1)
    octaves = np.log2(local_periods(times) * FPS / period[frames])
    return float(np.mean(np.abs(octaves) < SAME_TEMPO))
