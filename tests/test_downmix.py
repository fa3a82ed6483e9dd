"""The downmix for analysis: block by block it equals that of the whole file."""

import numpy as np
import pytest
import soundfile

from rlhf_lib.analysis.audio import load_audio
from rlhf_lib.analysis.downmix import Downmix, load_downmix
from rlhf_lib.errors import InputError


def sounding(seconds, rate, channels, level=0.3):
    return level * np.random.default_rng(rate).standard_normal((int(seconds * rate), channels))


@pytest.mark.parametrize(
    ("suffix", "rate", "channels"),
    [("wav", 44100, 2), ("flac", 48000, 2), ("ogg", 44100, 1), ("wav", 22050, 2), ("wav", 8000, 1)],
)
def test_blocks_give_the_same_as_the_whole_file(tmp_path, suffix, rate, channels):
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, np.clip(sounding(4.3, rate, channels), -1, 1), rate)
    whole, heard = Downmix.of(load_audio(path)), load_downmix(path)
    if suffix == "ogg" and whole.peak == 1:  # scaled down before or after the resampler
        np.testing.assert_allclose(heard.samples, whole.samples, atol=1e-6)
    else:
        np.testing.assert_array_equal(heard.samples, whole.samples)
    assert (heard.n_samples, heard.sample_rate) == (whole.n_samples, whole.sample_rate)
    assert heard.duration == pytest.approx(4.3, abs=0.01)
    assert heard.peak == pytest.approx(whole.peak, abs=1e-6)
    assert heard.gain == 1 or suffix == "ogg"
    assert len(heard.samples) == pytest.approx(4.3 * 22050, abs=20)


def test_a_recording_beyond_full_scale_is_scaled_down_as_a_whole(tmp_path):
    path = tmp_path / "loud.wav"
    soundfile.write(path, sounding(3, 44100, 2, level=0.8), 44100, subtype="FLOAT")
    heard = load_downmix(path)
    assert heard.peak == 1
    assert heard.gain == 1 / np.abs(soundfile.read(path, dtype="float32")[0]).max().astype(float)
    np.testing.assert_allclose(heard.samples, Downmix.of(load_audio(path)).samples, atol=1e-6)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_channels_that_cancel_each_other_are_heard_by_the_first(tmp_path, suffix):
    time = np.arange(4 * 44100) / 44100
    left = 0.5 * np.exp(-4 * (time % 0.5)) * np.sin(2 * np.pi * np.outer((110, 440, 999), time))
    left = left.mean(axis=0)[:, None]
    path, mono = tmp_path / f"song.{suffix}", tmp_path / "mono.wav"
    soundfile.write(path, np.hstack([left, -left]), 44100)
    soundfile.write(mono, load_audio(path).samples[:, :1], 44100, subtype="FLOAT")
    heard = load_downmix(path)
    for same in (Downmix.of(load_audio(path)), load_downmix(mono)):
        np.testing.assert_allclose(heard.samples, same.samples, atol=1e-6)
    assert heard.samples.std() == pytest.approx(left.std(), rel=0.05)


def test_channels_that_cancel_each_other_for_a_while_are_averaged(tmp_path):
    sound = sounding(4, 44100, 1, level=0.2).clip(-1, 1)
    sign = np.where(np.arange(len(sound)) < 3 * 44100, -1, 1)[:, None]
    soundfile.write(tmp_path / "a.wav", np.hstack([sound, sign * sound]), 44100)
    heard = load_downmix(tmp_path / "a.wav")
    np.testing.assert_array_equal(heard.samples, Downmix.of(load_audio(tmp_path / "a.wav")).samples)
    assert np.abs(heard.samples[: int(2.9 * 22050)]).max() < 1e-3
    assert heard.samples[int(3.1 * 22050) :].std() > 0.1


def test_a_downmix_is_returned_unchanged(tmp_path):
    soundfile.write(tmp_path / "a.wav", sounding(1, 44100, 2), 44100)
    heard = load_downmix(tmp_path / "a.wav")
    assert Downmix.of(heard) is heard


def test_the_error_for_a_nan_gives_its_sample(tmp_path):
    samples = sounding(4, 44100, 2)
    samples[100_000, 1] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 44100, subtype="FLOAT")
    for load in (load_audio, load_downmix):
        with pytest.raises(InputError, match=r"nan.* at sample 100000,"):
            load(tmp_path / "a.wav")
