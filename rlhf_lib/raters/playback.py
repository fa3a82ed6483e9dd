"""What a listener gets to hear: the original of a song and an edit of it, in one channel."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from rlhf_lib.analysis.audio import Audio, load_audio, resample
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.editing.render import render
from rlhf_lib.errors import InputError

#: Raters hear one channel at this rate, Hz.
RATE = 16000
_SONGS_DECODED = 32


def original(song: Song) -> np.ndarray:
    """Return the sound of a song, (n,) float32 at RATE.

    The last _SONGS_DECODED songs stay decoded (4 MB a minute each).

    Raises
    ------
    InputError
        When the song's audio file is missing or broken, or not the one that was analysed.
    """
    return _sound_of(song).samples[:, 0]


def played(edit: Edit) -> np.ndarray:
    """Return the sound of an edit, (n,) float32 at RATE: `render`, applied to `original`.

    Raises
    ------
    InputError
        As `original` does.
    """
    song, sound = edit.song, _sound_of(edit.song)
    slow = replace(song, sample_rate=RATE, n_samples=sound.n_samples)
    return render(Edit(slow, edit.actions, edit.target), sound).samples[:, 0]


def _sound_of(song: Song) -> Audio:
    return decoded(str(song.path), song.sha256, song.sample_rate, song.n_samples)


@lru_cache(maxsize=_SONGS_DECODED)
def decoded(path: str, sha256: str, sample_rate: int, n_samples: int) -> Audio:
    """Return the sound of a file at RATE, given what is known of the song; see `original`."""
    audio = load_audio(path)
    if (audio.sample_rate, audio.n_samples) != (sample_rate, n_samples):
        raise InputError(
            f"{path} has {audio.n_samples} samples at {audio.sample_rate} Hz, but {n_samples} at "
            f"{sample_rate} Hz when it was analysed; load the song again"
        )
    return Audio(resample(audio.mono(), sample_rate, RATE)[:, None], RATE)
