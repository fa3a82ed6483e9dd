"""Decoding and encoding, compared with files made by hand and closed forms."""

import numpy as np
import pytest
import soundfile

from rlhf_lib.analysis.audio import (
    AUDIO_SUFFIXES,
    Audio,
    find_audio,
    headroom_gain,
    load_audio,
    resample,
    save_audio,
)
from rlhf_lib.errors import InputError


def sine(sample_rate, seconds=1.0, channels=1, hertz=997.0, peak=0.5):
    times = np.arange(int(sample_rate * seconds)) / sample_rate
    wave = peak * np.sin(2 * np.pi * hertz * times)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def level(samples):
    return np.sqrt(np.mean(samples**2))


FORMATS = [
    ("a.wav", "WAV", "PCM_16"),
    ("a.WAV", "WAV", "PCM_24"),
    ("a.wav", "WAV", "FLOAT"),
    ("a.flac", "FLAC", "PCM_24"),
    ("a.aiff", "AIFF", "PCM_16"),
    ("a.caf", "CAF", "PCM_24"),
    ("a.ogg", "OGG", "VORBIS"),
    ("a.opus", "OGG", "OPUS"),
    ("a.mp3", "MP3", "MPEG_LAYER_III"),
]


@pytest.mark.parametrize("name, form, subtype", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_decodes_to_the_same_sound(tmp_path, name, form, subtype, channels):
    path = tmp_path / name
    wave = sine(48000, 2.0, channels)
    soundfile.write(path, wave, 48000, format=form, subtype=subtype)
    audio = load_audio(path)
    assert (audio.sample_rate, audio.n_channels, audio.n_samples) == (48000, channels, 96000)
    assert audio.samples.dtype == np.float32
    assert audio.duration == 2.0
    assert level(audio.samples) == pytest.approx(level(wave), rel=0.02)
    assert path.suffix.lower() in AUDIO_SUFFIXES


@pytest.mark.parametrize("sample_rate", [8000, 11025, 22050, 32000, 44100, 48000, 88200, 96000])
def test_sample_rates_are_kept(tmp_path, sample_rate):
    wave = Audio(sine(sample_rate, 0.5, 2), sample_rate)
    for suffix in (".wav", ".flac", ".ogg"):
        save_audio(tmp_path / f"a{suffix}", wave)
        audio = load_audio(tmp_path / f"a{suffix}")
        assert (audio.sample_rate, audio.n_samples) == (sample_rate, wave.n_samples)
        assert level(audio.samples) == pytest.approx(level(wave.samples), rel=0.05)


def test_tags_and_cover_art_do_not_matter(tmp_path):
    plain = tmp_path / "plain.mp3"
    soundfile.write(plain, sine(44100, 2.0, 2), 44100, format="MP3", subtype="MPEG_LAYER_III")

    def frame(name, body):
        return name + len(body).to_bytes(4, "big") + b"\0\0" + body

    cover = np.random.default_rng(0).bytes(300_000)
    frames = frame(b"TIT2", b"\x03A title")
    frames += frame(b"APIC", b"\0image/jpeg\0\x03\0" + cover)
    size = len(frames)
    header = b"ID3\x03\0\0" + bytes((size >> shift) & 127 for shift in (21, 14, 7, 0))
    tagged = tmp_path / "tagged.mp3"
    tagged.write_bytes(header + frames + plain.read_bytes())
    assert np.array_equal(load_audio(tagged).samples, load_audio(plain).samples)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_16_bit_files_come_back_unchanged(tmp_path, suffix):
    values = np.arange(-32768, 32768, dtype=np.int16).reshape(-1, 2)
    soundfile.write(tmp_path / "source.wav", values, 44100, subtype="PCM_16")
    save_audio(tmp_path / f"copy{suffix}", load_audio(tmp_path / "source.wav"))
    back, _ = soundfile.read(tmp_path / f"copy{suffix}", dtype="int16")
    assert np.array_equal(back, values)


def test_a_long_vorbis_file_is_written(tmp_path):
    save_audio(tmp_path / "long.ogg", Audio(sine(44100, 120.0, 2), 44100))
    assert load_audio(tmp_path / "long.ogg").duration == pytest.approx(120.0, abs=0.01)


def test_full_scale_is_written_and_beyond_is_refused(tmp_path):
    save_audio(tmp_path / "a.wav", Audio(np.array([[1.0], [-1.0]]), 8000))
    assert load_audio(tmp_path / "a.wav").samples[:, 0].tolist() == [32767 / 32768, -1.0]
    for bad in (1.01, np.nan, np.inf):
        with pytest.raises(InputError, match="full scale"):
            save_audio(tmp_path / "b.wav", Audio(np.array([[0.0], [bad]]), 8000))
    with pytest.raises(InputError, match=r"\.xyz"):
        save_audio(tmp_path / "b.xyz", Audio(np.zeros((10, 1)), 8000))
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_recording_beyond_full_scale_is_scaled_as_a_whole(tmp_path):
    wave = sine(44100, 1.0, 2, peak=2.5)
    soundfile.write(tmp_path / "loud.wav", wave, 44100, subtype="FLOAT")
    samples = load_audio(tmp_path / "loud.wav").samples
    assert np.abs(samples).max() == pytest.approx(1.0)
    np.testing.assert_allclose(samples, wave / np.abs(wave).max(), atol=1e-6)


def test_the_gain_of_a_recording_by_hand():
    assert [headroom_gain(peak) for peak in (0.0, 0.5, 1.0)] == [1, 1, 1]
    assert [headroom_gain(peak) for peak in (1.25, 32768.0)] == [0.8, 2**-15]


def flawed(folder):
    """Yield (name, path, words of the message) of files that cannot be used."""
    whole = folder / "whole.mp3"
    soundfile.write(whole, sine(44100, 4.0), 44100, format="MP3", subtype="MPEG_LAYER_III")
    flac = folder / "whole.flac"
    soundfile.write(flac, sine(44100, 4.0), 44100)
    contents = {
        "empty.wav": (b"", "0 bytes"),
        "text.mp3": (b"<html>not found</html>" * 200, "cannot decode"),
        "text.wav": (b"hello", "cannot decode"),
        "cut.mp3": (whole.read_bytes()[: whole.stat().st_size // 2], "cut short"),
        "cut.flac": (flac.read_bytes()[: flac.stat().st_size // 2], "cannot decode"),
    }
    for name, (content, words) in contents.items():
        (folder / name).write_bytes(content)
        yield name, folder / name, words
    soundfile.write(folder / "none.wav", np.zeros((0, 2)), 44100)
    yield "no samples", folder / "none.wav", "0 samples"
    soundfile.write(folder / "six.wav", np.zeros((100, 6)), 44100)
    yield "six channels", folder / "six.wav", "6 channels"
    soundfile.write(folder / "slow.wav", sine(8000), 100)
    yield "sample rate", folder / "slow.wav", "sample rate of 100 Hz"
    bad = sine(8000)
    bad[123] = np.nan
    soundfile.write(folder / "nan.wav", bad, 8000, subtype="FLOAT")
    yield "nan", folder / "nan.wav", "sample 123"
    yield "missing", folder / "missing.wav", "no audio file"
    yield "folder", folder, "no audio file"


def test_unusable_files_are_refused_by_name_and_reason(tmp_path):
    for name, path, words in flawed(tmp_path):
        with pytest.raises(InputError) as error:
            load_audio(path)
        assert words in str(error.value), name
        assert str(path) in str(error.value), name


def test_audio_checks_its_samples():
    for shape in ((0, 1), (5,), (5, 0)):
        with pytest.raises(InputError, match="shape"):
            Audio(np.zeros(shape), 8000)
    with pytest.raises(InputError, match="sample rate 0"):
        Audio(np.zeros((5, 1)), 0)


def test_mono_is_the_mean_of_the_channels():
    audio = Audio(np.array([[0.5, -0.5], [1.0, 0.5]]), 8000)
    assert audio.mono().tolist() == [0.0, 0.75]
    assert audio.mono().dtype == np.float32


def test_resampling_keeps_a_tone():
    there = resample(sine(44100)[:, 0], 44100, 22050)
    assert abs(len(there) - 22050) <= 1
    spectrum = np.abs(np.fft.rfft(there[:22050]))
    assert spectrum.argmax() == 997
    np.testing.assert_allclose(there[500:-500], sine(22050)[500:-500, 0][: len(there)], atol=1e-3)


def test_find_audio_is_recursive_sorted_and_skips_the_hidden(tmp_path):
    for name in ("b.mp3", "a/z.FLAC", "a/b/c.opus", "notes.txt", "._b.mp3", ".cache/x.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_audio(tmp_path)]
    assert found == ["a/b/c.opus", "a/z.FLAC", "b.mp3"]
    with pytest.raises(InputError, match="no folder"):
        find_audio(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "form", "subtype"),
    [
        ("a.wav", "WAV", "PCM_16"),
        ("b.wav", "WAV", "FLOAT"),
        ("a.w64", "W64", "PCM_16"),
        ("a.aiff", "AIFF", "PCM_16"),
        ("a.au", "AU", "PCM_16"),
        ("a.caf", "CAF", "PCM_16"),
        ("a.ogg", "OGG", "VORBIS"),
        ("a.opus", "OGG", "OPUS"),
    ],
)
def test_a_half_copied_file_is_no_shorter_song(tmp_path, name, form, subtype):
    path = tmp_path / name
    soundfile.write(path, sine(48000, 8.0, 2), 48000, format=form, subtype=subtype)
    assert load_audio(path).duration == pytest.approx(8.0, abs=0.01)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    with pytest.raises(InputError, match=r"cut short|no sound|malformed"):
        load_audio(path)


def test_a_recording_whose_size_was_never_filled_in_is_whole(tmp_path):
    path = tmp_path / "piped.wav"
    soundfile.write(path, sine(8000, 2.0), 8000)
    data = bytearray(path.read_bytes())
    assert data[36:40] == b"data"
    data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert load_audio(path).duration == 2.0
