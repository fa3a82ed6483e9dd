"""Sound files out: resolution, MP3 without a gap, and what each format cannot hold."""

import io

import av
import numpy as np
import pytest
import soundfile
from scipy import ndimage
from sound_files import flac_of_unknown_length, written
from test_audio import level, sine

from rlhf_lib.analysis.audio import Audio, load_audio, save_audio
from rlhf_lib.analysis.decode import source_bits
from rlhf_lib.analysis.encode import encode
from rlhf_lib.errors import InputError


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_24_bit_files_come_back_unchanged(tmp_path, suffix):
    # libsndfile takes the upper 24 of 32 bits.
    values = np.arange(-(2**23), 2**23, 257, dtype=np.int32)
    values[1:5] = 2**23 - 1, 1, -1, 0
    values = values[: len(values) // 2 * 2].reshape(-1, 2) << 8
    soundfile.write(tmp_path / "source.wav", values, 44100, subtype="PCM_24")
    assert source_bits(tmp_path / "source.wav") == 24
    save_audio(tmp_path / f"copy{suffix}", load_audio(tmp_path / "source.wav"), bits=24)
    assert soundfile.info(tmp_path / f"copy{suffix}").subtype == "PCM_24"
    back, _ = soundfile.read(tmp_path / f"copy{suffix}", dtype="int32")
    assert np.array_equal(back, values)
    top = encode(np.array([[1.0], [-1.0]], np.float32), 44100, suffix, 24)
    assert soundfile.read(io.BytesIO(top), dtype="int32")[0].tolist() == [0x7FFFFF00, -(2**31)]


@pytest.mark.parametrize(
    ("name", "subtype", "bits"),
    [
        ("a.wav", "PCM_16", 16),
        ("a.wav", "PCM_U8", 16),
        ("a.wav", "PCM_24", 24),
        ("a.wav", "PCM_32", 24),
        ("a.wav", "FLOAT", 24),
        ("a.wav", "ULAW", 16),
        ("a.aiff", "PCM_24", 24),
        ("a.w64", "DOUBLE", 24),
        ("a.flac", "PCM_16", 16),
        ("a.flac", "PCM_24", 24),
        ("a.mp3", "MPEG_LAYER_III", 16),
        ("a.ogg", "VORBIS", 16),
    ],
)
def test_the_bits_of_a_source(tmp_path, name, subtype, bits):
    soundfile.write(tmp_path / name, sine(44100), 44100, subtype=subtype)
    assert source_bits(tmp_path / name) == bits


def test_the_bits_of_unusual_sources(tmp_path):
    piped = written(tmp_path / "piped.flac", flac_of_unknown_length(sine(44100), subtype="PCM_24"))
    assert source_bits(piped) == 24
    for name in ("none.wav", "."):
        with pytest.raises(InputError, match="cannot read"):
            source_bits(tmp_path / name)
    with pytest.raises(InputError, match="cannot read"):
        source_bits(written(tmp_path / "text.wav", b"no sound"))


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_mp3_decodes_to_the_same_samples_at_the_same_place(tmp_path, rate, channels):
    """Length to the sample, no shift, and the bit rate that the docstring states."""
    for n_samples in (rate // 50, 2 * rate + 17):
        chance = np.random.default_rng(n_samples)
        # Noise below a quarter of the rate: what MP3 keeps at every bit rate.
        noise = ndimage.gaussian_filter1d(chance.normal(size=(n_samples, channels)), 2.0, axis=0)
        wave = Audio(0.2 * noise / np.abs(noise).max(), rate)
        save_audio(tmp_path / "a.mp3", wave)
        audio = load_audio(tmp_path / "a.mp3")
        assert (audio.sample_rate, audio.samples.shape) == (rate, wave.samples.shape)
    shifts = range(-40, 41)
    inner = wave.samples[50:-50]
    errors = [level(audio.samples[50 + k : len(wave.samples) - 50 + k] - inner) for k in shifts]
    assert shifts[int(np.argmin(errors))] == 0
    assert min(errors) < 0.1 * level(inner)
    with av.open(str(tmp_path / "a.mp3")) as container:
        kbits = 320 if rate >= 32000 else 160 if rate >= 16000 else 64
        assert container.streams.audio[0].codec_context.bit_rate == 1000 * kbits


def test_an_edit_in_mp3_has_no_gap_where_files_are_joined(tmp_path):
    """The two halves of a sound, coded apart, continue each other."""
    wave = sine(44100, 2.0)
    half = 40000
    for name, part in (("a.mp3", wave[:half]), ("b.mp3", wave[half:])):
        save_audio(tmp_path / name, Audio(part, 44100))
    joined = np.concatenate([load_audio(tmp_path / name).samples for name in ("a.mp3", "b.mp3")])
    assert len(joined) == len(wave)
    assert np.abs(joined - wave)[half - 200 : half + 200].max() < 0.1


@pytest.mark.parametrize(
    ("suffix", "rate", "channels", "words"),
    [
        (".mp3", 96000, 2, "no sample rate of 96000 Hz.*write .wav or .flac or .ogg"),
        (".mp3", 44101, 1, "8000, 11025, .*48000 Hz; write .wav or .flac or .ogg"),
        (".mp3", 44100, 3, "at most 2 channels, not 3; write .wav or .flac or .ogg"),
        (".flac", 44100, 9, "at most 8 channels, not 9; write .wav or .ogg"),
        (".flac", 655351, 2, "1 … 655350 Hz; write .wav$"),
        (".ogg", 200001, 2, "1 … 200000 Hz; write .wav or .flac"),
        (".ogg", 44100, 256, "at most 255 channels, not 256; write .wav"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_with_those_that_can(
    tmp_path, suffix, rate, channels, words
):
    with pytest.raises(InputError, match=f"cannot write song.*{words}"):
        save_audio(tmp_path / f"song{suffix}", Audio(np.zeros((1000, channels)), rate))
    assert not [*tmp_path.iterdir()]


def test_bits_are_16_or_24(tmp_path):
    with pytest.raises(InputError, match="bits is 20"):
        save_audio(tmp_path / "a.wav", Audio(sine(8000), 8000), bits=20)
