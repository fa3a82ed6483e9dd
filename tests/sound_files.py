"""Sound files as other programs leave them: without headers, joined, with wrong sizes."""

import io
from pathlib import Path

import av
import numpy as np
import soundfile

from rlhf_lib.analysis.audio import load_audio
from rlhf_lib.analysis.downmix import Downmix, load_downmix

RATE = 44100
#: Samples that LAME and a decoder add at the start of an MP3: 576 + 529.
MP3_DELAY = 1105


def music(seconds, rate=RATE, channels=1, seed=0):
    """Return noise whose level changes every half second, (n, channels)."""
    chance = np.random.default_rng(seed)
    n = int(seconds * rate)
    level = np.repeat(chance.uniform(0.01, 0.3, n // (rate // 2) + 1), rate // 2)[:n, None]
    return level * chance.uniform(-1, 1, (n, channels))


def encoded(samples, rate=RATE, form="MP3", subtype="MPEG_LAYER_III", **settings):
    """Return the bytes of a file that libsndfile writes."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form, subtype=subtype, **settings)
    return buffer.getvalue()


def mp3(samples, rate=RATE, mode="CONSTANT"):
    return encoded(samples, rate, bitrate_mode=mode, compression_level=0.5)


def without_header(data):
    """Return an MP3 without the frame of its Xing or Info table, and the frames that remain."""
    at = max(data.find(b"Info", 0, 64), data.find(b"Xing", 0, 64))
    assert at > 0 and data[at + 7] & 1
    second = data.index(data[:2], 4)
    return data[second:], int.from_bytes(data[at + 8 : at + 12], "big")


def id3(n_bytes):
    """Return an ID3v2 tag that holds a picture of so many bytes."""
    picture = np.random.default_rng(0).bytes(n_bytes)
    size = n_bytes + 10
    lengths = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + lengths + b"APIC" + n_bytes.to_bytes(4, "big") + b"\0\0" + picture


def write_mp4(path: Path, samples, rate=RATE, codec="aac", video=False, **options) -> Path:
    """Write an MP4 file by FFmpeg: AAC, or ALAC with 16 or 24 bits ("alac24"), and a video."""
    form = {"aac": "fltp", "alac": "s16p", "alac24": "s32p"}[codec]
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    values = np.ascontiguousarray(samples.T, np.float32)
    if form != "fltp":
        full = 2 ** (15 if codec == "alac" else 31)
        values = np.clip(np.rint(values * full), -full, full - 1)
        values = values.astype(np.int16 if codec == "alac" else np.int32)
    with av.open(str(path), "w", format="mp4", options=options) as file:
        stream = file.add_stream(codec.removesuffix("24"), rate=rate, layout=layout)
        stream.format = form
        if codec == "aac":
            stream.bit_rate = 128_000 * samples.shape[1]
        if video:
            pictures = file.add_stream("mpeg4", rate=10)
            pictures.width = pictures.height = 64
            pictures.pix_fmt = "yuv420p"
            for number in range(int(len(samples) / rate * 10)):
                picture = np.full((64, 64, 3), number, np.uint8)
                file.mux(pictures.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(pictures.encode(None))
        frame = av.AudioFrame.from_ndarray(values, format=form, layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def flac_of_unknown_length(samples, rate=RATE, subtype="PCM_16"):
    """Return a FLAC file as a pipe leaves it: its header declares 0 samples."""
    data = bytearray(encoded(samples, rate, "FLAC", subtype))
    data[21] &= 0xF0  # the last 36 bits of bytes 18 … 25
    data[22:26] = bytes(4)
    return bytes(data)


def wav_declaring(samples, n_bytes, rate=RATE):
    """Return a WAV file whose header declares so many bytes of sound."""
    data = bytearray(encoded(samples, rate, "WAV", "PCM_16"))
    assert data[36:40] == b"data"
    data[40:44] = n_bytes.to_bytes(4, "little")
    return bytes(data)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def loaded(path):
    """Return a file's sound after comparing it with the downmix that is decoded in blocks."""
    audio, heard = load_audio(path), load_downmix(path)
    assert (heard.n_samples, heard.sample_rate) == (audio.n_samples, audio.sample_rate)
    np.testing.assert_allclose(heard.samples, Downmix.of(audio).samples, atol=1e-6)
    return audio
