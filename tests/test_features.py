"""Sound features, compared with closed forms and librosa."""

import numpy as np
import pytest

from rlhf_lib.analysis.audio import Audio
from rlhf_lib.analysis.feature_table import FEATURE_GROUPS, FEATURE_NAMES, FEATURE_TABLE, N_FEATURES
from rlhf_lib.analysis.features import beat_features
from rlhf_lib.analysis.filters import chroma_filters, mel_filters
from rlhf_lib.analysis.sound import sound_features

RATE = 22050
FRAME, HOP = 2048, 512
BEATS = np.arange(0, 4, 0.5)
#: Frames centred in beat 3, 1.5 s … 2 s: ceil(1.5 · 22050 / 512) … ceil(2 · 22050 / 512) − 1.
BEAT_3 = slice(65, 87)


def audio_of(samples, rate=RATE):
    samples = np.asarray(samples, dtype=np.float32)
    return Audio(samples if samples.ndim == 2 else samples[:, None], rate)


def tone(frequency, amplitude=0.5, seconds=4.0, rate=RATE):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def column(features, name):
    return features[:, FEATURE_NAMES.index(name)]


@pytest.fixture(scope="module")
def noise():
    """Return four seconds of a tone and growing noise."""
    rng = np.random.default_rng(3)
    samples = tone(440, 0.3) + np.linspace(0.1, 0.15, 4 * RATE) * rng.standard_normal(4 * RATE)
    return samples.astype(np.float32)


@pytest.fixture(scope="module")
def reference(noise):
    """Return the power spectrogram of `noise` by librosa, full-scale sine = 1."""
    import librosa

    spectrum = librosa.stft(noise, n_fft=FRAME, hop_length=HOP, pad_mode="constant")
    return np.abs(spectrum * 2 / np.hanning(FRAME + 1)[:-1].sum()) ** 2


def test_table_lists_125_features_in_the_documented_groups():
    sizes = {name: place.stop - place.start for name, place in FEATURE_GROUPS.items()}
    assert sizes == {
        "mfcc_mean": 13,
        "mfcc_std": 13,
        "chroma": 12,
        "contrast": 7,
        "tonnetz": 6,
        "shape_mean": 5,
        "shape_std": 5,
        "rms": 4,
        "onset": 4,
        "bands": 8,
        "edge_start": 5,
        "edge_end": 5,
        "metre": 9,
        "novelty": 3,
        "segment": 3,
        "repetition": 2,
        "lag_similarity": 8,
        "best_join": 10,
        "offset": 2,
        "position": 1,
    }
    assert N_FEATURES == len(set(FEATURE_NAMES)) == 125
    assert FEATURE_GROUPS["metre"].start == 87
    assert all(row.unit and row.description for row in FEATURE_TABLE)


@pytest.mark.parametrize(("rate", "frame", "bands"), [(22050, 2048, 64), (16000, 512, 32)])
def test_filters_agree_with_librosa(rate, frame, bands):
    import librosa

    expected = librosa.filters.mel(sr=rate, n_fft=frame, n_mels=bands, norm=None)
    np.testing.assert_allclose(mel_filters(rate, frame, bands), expected, atol=1e-6)
    expected = librosa.filters.chroma(sr=rate, n_fft=frame)
    np.testing.assert_allclose(chroma_filters(rate, frame), expected, atol=1e-6)


def test_mfcc_agree_with_librosa(noise, reference):
    import librosa

    mel = librosa.feature.melspectrogram(S=reference, sr=RATE, n_mels=64, norm=None)
    expected = librosa.feature.mfcc(S=10 * np.log10(np.maximum(mel, 1e-8)), n_mfcc=13)[:, BEAT_3]
    features = sound_features(audio_of(noise), BEATS)[3]
    np.testing.assert_allclose(
        features[FEATURE_GROUPS["mfcc_mean"]], expected.mean(axis=1), atol=0.02
    )
    np.testing.assert_allclose(
        features[FEATURE_GROUPS["mfcc_std"]], expected.std(axis=1), atol=0.02
    )
    first, last = slice(65, 69), slice(83, 87)  # 1.5 … 1.58 s and 1.92 … 2 s
    full = librosa.feature.mfcc(S=10 * np.log10(np.maximum(mel, 1e-8)), n_mfcc=13)[1:6]
    np.testing.assert_allclose(
        features[FEATURE_GROUPS["edge_start"]], full[:, first].mean(axis=1), atol=0.02
    )
    np.testing.assert_allclose(
        features[FEATURE_GROUPS["edge_end"]], full[:, last].mean(axis=1), atol=0.02
    )


def test_spectral_shape_and_contrast_agree_with_librosa(noise, reference):
    import librosa

    magnitude = np.sqrt(reference)
    expected = {
        "centroid_mean": librosa.feature.spectral_centroid(S=magnitude, sr=RATE),
        "bandwidth_mean": librosa.feature.spectral_bandwidth(S=magnitude, sr=RATE),
        "rolloff_mean": librosa.feature.spectral_rolloff(S=magnitude, sr=RATE),
        "flatness_mean": librosa.feature.spectral_flatness(S=magnitude, amin=1e-12),
    }
    features = sound_features(audio_of(noise), BEATS)
    for name, values in expected.items():
        assert column(features, name)[3] == pytest.approx(values[0, BEAT_3].mean(), rel=2e-3), name
    contrast = librosa.feature.spectral_contrast(S=reference, sr=RATE, n_bands=6)[:, BEAT_3]
    np.testing.assert_allclose(
        features[3, FEATURE_GROUPS["contrast"]], contrast.mean(axis=1), atol=0.05
    )


def test_chroma_of_a_known_note_and_its_tonal_centroid():
    import librosa

    features = sound_features(audio_of(tone(440)), BEATS)
    chroma = features[:, FEATURE_GROUPS["chroma"]]
    np.testing.assert_allclose(chroma.sum(axis=1), 1.0)
    assert (chroma.argmax(axis=1) == 9).all()  # A
    assert chroma[3, 9] > 0.5
    expected = librosa.feature.tonnetz(chroma=chroma.T).T
    np.testing.assert_allclose(features[:, FEATURE_GROUPS["tonnetz"]], expected, atol=1e-6)


def test_level_of_a_sine_in_closed_form():
    features = sound_features(audio_of(tone(441, amplitude=0.5)), BEATS)
    level = 20 * np.log10(0.5 / np.sqrt(2))
    for name in ("rms_mean", "rms_start", "rms_end"):
        np.testing.assert_allclose(column(features, name), level, atol=0.05)
    assert column(features, "rms_std")[3] == pytest.approx(0.0, abs=0.05)
    assert column(features, "band_400_800")[3] == pytest.approx(level, abs=0.05)
    assert column(features, "band_1600_3200")[3] < -60
    assert column(features, "zero_crossing_mean")[3] == pytest.approx(2 * 441 / RATE, rel=0.02)


def test_onset_place_and_strength_of_a_click():
    samples = np.zeros(4 * RATE)
    samples[np.arange(0, 4 * RATE, RATE // 2)] = 0.8  # on every beat …
    samples[int(1.75 * RATE)] = 0.8  # … and in the middle of beat 3 instead of at its start
    samples[int(1.5 * RATE)] = 0.0
    features = sound_features(audio_of(samples), BEATS)
    assert column(features, "onset_place")[3] == pytest.approx(0.45, abs=0.1)
    assert column(features, "onset_start")[2] > 5 * max(column(features, "onset_start")[3], 0.1)


def test_sample_rate_and_stereo_change_little():
    mono = sound_features(audio_of(tone(440)), BEATS)
    stereo = np.stack([tone(440, rate=48000)] * 2, axis=1)
    other = sound_features(audio_of(stereo, 48000), BEATS)
    np.testing.assert_allclose(mono[1:-1, :13], other[1:-1, :13], atol=1.5)
    np.testing.assert_allclose(column(mono, "rms_mean"), column(other, "rms_mean"), atol=0.1)


@pytest.mark.parametrize("kind", ["silence", "nearly silent", "constant", "a silent bar"])
def test_features_of_degenerate_sound_are_finite(kind):
    rng = np.random.default_rng(0)
    samples = {
        "silence": np.zeros(10 * RATE),
        "nearly silent": 1e-7 * rng.standard_normal(10 * RATE),
        "constant": np.full(10 * RATE, 0.5),
        "a silent bar": tone(440, seconds=10) * (np.arange(10 * RATE) // (2 * RATE) != 2),
    }[kind]
    features, metre, _ = beat_features(audio_of(samples), np.arange(0, 10, 0.5))
    assert features.shape == (20, 125) and features.dtype == np.float32
    assert np.isfinite(features).all()
    (bar,) = set(np.diff(metre.downbeats))
    assert bar in (3, 4) and 0 <= metre.downbeats[0] < bar


def test_beats_shorter_than_a_frame_are_finite():
    beats = np.concatenate([np.arange(0, 4, 0.5), [3.999, 3.9995]])
    assert np.isfinite(beat_features(audio_of(tone(300)), beats)[0]).all()
