"""Encode sound: which files can be written, and what each of them can hold."""

import io
from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

import av
import numpy as np
import soundfile

from rlhf_lib.errors import InputError

Bits = Literal[16, 24]
#: Samples written at a time: libsndfile's Vorbis encoder overflows its stack on very long writes.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class _Format:
    """A format of sound files.

    Attributes
    ----------
    name : str
    subtype : str
        "PCM": the samples are stored as they are, at 16 or 24 bits. Else the name of a codec.
    channels : int
        The most that a file can have.
    rates : container of int
        Sample rates that a file can have, Hz.
    rates_in_words : str
    """

    name: str
    subtype: str
    channels: int
    rates: Container[int]
    rates_in_words: str

    def lacks(self, rate: int, channels: int) -> str:
        """Return what the format lacks for this sound, in words; empty when nothing."""
        if channels > self.channels:
            return f"{self.name} has at most {self.channels} channels, not {channels}"
        if rate not in self.rates:
            return f"{self.name} has no sample rate of {rate} Hz, but {self.rates_in_words}"
        return ""


_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
#: Hz; the format itself allows no more.
FLAC_HIGHEST_RATE = 655_350
#: libsndfile crashes on a Vorbis file of a higher rate, and does not open such a FLAC file.
_VORBIS_RATES, _FLAC_RATES = range(1, 200_001), range(1, FLAC_HIGHEST_RATE + 1)
_WAV_RATES = range(1, 1 << 31)
#: The bit rate of an MP3 is constant and the highest of its sample rate, because an edit of an MP3
#: is compressed for the second time: lowest sample rate in Hz, bits/s.
_MP3_BIT_RATES = ((32000, 320_000), (16000, 160_000), (0, 64_000))
#: LAME's quality 7 takes half the time of its default. The difference, in how bits are shared out,
#: matters at lower bit rates.
_LAME_QUALITY = "7"
_FORMATS = {
    ".wav": _Format("WAV", "PCM", 1024, _WAV_RATES, "1 … 2147483647 Hz"),
    ".flac": _Format("FLAC", "PCM", 8, _FLAC_RATES, f"1 … {FLAC_HIGHEST_RATE} Hz"),
    ".ogg": _Format("OGG", "VORBIS", 255, _VORBIS_RATES, "1 … 200000 Hz"),
    ".mp3": _Format("MP3", "MP3", 2, _MP3_RATES, f"{', '.join(map(str, _MP3_RATES))} Hz"),
}
#: Suffixes of the files that can be written.
WRITABLE = tuple(_FORMATS)


def check_format(suffix: str, rate: int, channels: int, name: str) -> None:
    """Raise an `InputError` when a file of this suffix cannot hold such a sound.

    Parameters
    ----------
    suffix : str
    rate, channels : int
        Of the sound; the rate in Hz.
    name : str
        Of the file, for the message.
    """
    if suffix.lower() not in _FORMATS:
        raise InputError(
            f"cannot write {name}: suffix {suffix!r} is not one of {', '.join(_FORMATS)}"
        )
    problem = _FORMATS[suffix.lower()].lacks(rate, channels)
    if problem:
        able = [one for one, form in _FORMATS.items() if not form.lacks(rate, channels)]
        raise InputError(f"cannot write {name}: {problem}; write {' or '.join(able)}")


def encode(samples: np.ndarray, rate: int, suffix: str, bits: Bits = 16) -> bytes:
    """Return the bytes of a sound file.

    Parameters
    ----------
    samples : (n, channels) float32 array
        Within −1 … 1.
    rate : int
        Hz.
    suffix : str
        ".wav", ".flac", ".ogg" (Vorbis) or ".mp3" (the highest constant bit rate).
    bits : 16 or 24
        Of a sample in .wav and .flac. Samples of a file with as many bits are stored exactly.

    Raises
    ------
    InputError
        When the format cannot hold such a sound (see `check_format`), or `bits` is neither 16
        nor 24.
    """
    check_format(suffix, rate, samples.shape[1], f"a {suffix} file")
    if bits not in (16, 24):
        raise InputError(f"bits is {bits!r}; a sample has 16 or 24 bits")
    form = _FORMATS[suffix.lower()]
    if form.subtype == "MP3":
        return _mp3(samples, rate)
    pcm = form.subtype == "PCM"
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer,
        "w",
        rate,
        samples.shape[1],
        format=form.name,
        subtype=f"PCM_{bits}" if pcm else form.subtype,
    ) as handle:
        for start in range(0, len(samples), _BLOCK):
            block = samples[start : start + _BLOCK]
            handle.write(_whole_numbers(block, bits) if pcm else block)
    return buffer.getvalue()


def _mp3(samples: np.ndarray, rate: int) -> bytes:
    """Return an MP3 by LAME, through FFmpeg: with libsndfile it would take twice as long."""
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    buffer = io.BytesIO()
    no_tags = {"id3v2_version": "0"}
    with av.open(buffer, "w", format="mp3", container_options=no_tags) as file:
        stream = file.add_stream(
            "libmp3lame", rate=rate, layout=layout, options={"compression_level": _LAME_QUALITY}
        )
        stream.bit_rate = next(bits for least, bits in _MP3_BIT_RATES if rate >= least)
        stream.format = "fltp"
        for start in range(0, len(samples), _BLOCK):
            block = np.ascontiguousarray(samples[start : start + _BLOCK].T)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def _whole_numbers(samples: np.ndarray, bits: Bits) -> np.ndarray:
    """Return samples as whole numbers: int16, or int32 whose upper 24 bits count.

    libsndfile reads int / 2^(bits − 1) but writes float * (2^(bits − 1) − 1); this is the inverse
    of reading.
    """
    full = np.float32(2 ** (bits - 1))
    scaled = samples * full
    np.rint(scaled, out=scaled)
    np.clip(scaled, -full, full - 1, out=scaled)
    return scaled.astype(np.int16) if bits == 16 else scaled.astype(np.int32) << 8
