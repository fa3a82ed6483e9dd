"""Loudness, compared with the standard's reference tone and pyloudnorm."""

import numpy as np
import pyloudnorm
import pytest
from test_audio import sine

from rlhf_lib.analysis.audio import Audio
from rlhf_lib.editing.loudness import loudness
from rlhf_lib.errors import InputError


@pytest.mark.parametrize("sample_rate", [44100, 48000, 22050, 11025])
@pytest.mark.parametrize("seconds", [0.4, 0.45, 7.77])
def test_loudness_agrees_with_pyloudnorm(sample_rate, seconds):
    n_samples = int(np.ceil(seconds * sample_rate))
    noise = np.random.default_rng(sample_rate).standard_normal((n_samples, 2))
    samples = (noise * np.geomspace(1e-5, 0.3, n_samples)[:, None]).astype(np.float32)
    expected = pyloudnorm.Meter(sample_rate).integrated_loudness(samples)
    assert loudness(Audio(samples, sample_rate)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("sample_rate", [44100, 48000])
def test_loudness_of_the_reference_tone(sample_rate):
    # BS.1770: a 997 Hz sine at 0 dBFS peak in one channel measures −3.01 LUFS.
    tone = Audio(sine(sample_rate, 3.0, peak=1.0), sample_rate)
    assert loudness(tone) == pytest.approx(-3.01, abs=0.05)
    quiet = Audio(tone.samples * 0.1, sample_rate)
    assert loudness(quiet) == pytest.approx(-23.01, abs=0.05)
    both = Audio(np.repeat(quiet.samples, 2, axis=1), sample_rate)
    assert loudness(both) == pytest.approx(-20.0, abs=0.05)


@pytest.mark.filterwarnings("error")
def test_loudness_ignores_silence_around_the_sound():
    tone = sine(48000, 4.0, peak=0.1)
    padded = np.concatenate([np.zeros_like(tone), tone, np.zeros_like(tone)])
    # Ungated it would be 10 log10(1/3) = 4.8 lower; blocks half in silence cost some tenths.
    assert loudness(Audio(padded, 48000)) == pytest.approx(-23.01, abs=0.5)


@pytest.mark.filterwarnings("error")
def test_silence_has_no_loudness():
    for samples in (np.zeros((48000, 2)), sine(48000, 2.0, peak=1e-5)):
        with pytest.raises(InputError, match="silent"):
            loudness(Audio(samples, 48000))
    with pytest.raises(InputError, match=r"0\.4 s"):
        loudness(Audio(sine(48000, 0.3), 48000))
