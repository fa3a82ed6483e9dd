"""Single notes from a soundfont: pitch, loops, envelopes and pan as defined in the file."""

import numpy as np
import pytest

from rlhf_lib.composer.soundfont import _RECORDS, SoundFont, general_midi
from rlhf_lib.composer.style_book import STYLES
from rlhf_lib.composer.styles import DRUM_KEYS

RATE = 44100
#: Keys that each role may reach, wrong notes included (the lowest bass keys are mostly body
#: resonance); a melody stays within 55-90.
KEYS = {"bass": (32, 48), "chords": (38, 70), "pad": (53, 72), "picking": (59, 84)}


def made_font(generators, loop=True):
    """Return a font of one program: a 441 Hz sine, ten periods at 44.1 kHz, root key 69."""
    wave = np.sin(2 * np.pi * np.arange(1010) / 100).astype(np.float32)
    rows = [*generators, (54, int(loop)), (53, 0)]
    records = {
        "phdr": [("p", 0, 0, 0, b""), ("EOP", 0, 0, 1, b"")],
        "pbag": [(0, 0), (1, 0)],
        "pgen": [(41, 0), (0, 0)],
        "inst": [("i", 0), ("EOI", 1)],
        "ibag": [(0, 0), (len(rows), 0)],
        "igen": [*rows, (0, 0)],
        "shdr": [("s", 0, 1001, 500, 1000, RATE, 69, 0, 0, 1)],
    }
    tables = {name: np.array(rows, dtype=_RECORDS[name.encode()]) for name, rows in records.items()}
    return SoundFont(wave, tables)


def test_a_looped_sine_continues_unchanged():
    tone = made_font([]).tone(0, 69, 1.0, RATE)
    expected = np.sin(2 * np.pi * 441 * np.arange(RATE) / RATE) / np.sqrt(2)  # pan law, centre
    assert tone.shape == (2, RATE)
    settled = slice(100, None)  # the shortest attack lasts 1 ms
    np.testing.assert_allclose(tone[0, settled], expected[settled], atol=2e-3)
    np.testing.assert_array_equal(tone[0], tone[1])


@pytest.mark.parametrize(
    ("generators", "key", "factor"),
    [
        ([], 81, 2.0),
        ([], 57, 0.5),
        ([(51, 12)], 69, 2.0),  # coarse tuning, semitones
        ([(52, 50)], 69, 2 ** (50 / 1200)),  # fine tuning, cents
        ([(58, 57)], 69, 2.0),  # root key
        ([(56, 0)], 81, 1.0),  # scale tuning: all keys alike
    ],
)
def test_pitch(generators, key, factor):
    tone = made_font(generators).tone(0, key, 1.0, RATE)
    peak = np.abs(np.fft.rfft(tone[0] * np.hanning(RATE), 4 * RATE)).argmax() / 4
    assert peak == pytest.approx(441 * factor, abs=0.5)


def test_a_sample_without_loop_ends():
    tone = made_font([], loop=False).tone(0, 69, 1.0, RATE)
    assert tone.shape[1] == 1000


def test_envelope_attenuation_and_pan():
    # 1200 timecents: 2 s for 100 dB; sustain 200 cB: 20 dB down, reached after 0.4 s.
    tone = made_font([(36, 1200), (37, 200), (48, 60), (17, 500)]).tone(0, 69, 1.0, RATE)

    def level(at):
        part = tone[1, int(at * RATE) : int(at * RATE) + 400]
        return 10 * np.log10(2 * np.mean(part.astype(float) ** 2))

    assert level(0.2) == pytest.approx(-6 - 10, abs=0.4)
    assert level(0.6) == pytest.approx(level(0.9), abs=0.05)
    assert level(0.6) == pytest.approx(-6 - 20, abs=0.1)
    assert np.abs(tone[0]).max() < 1e-6


def test_keys_outside_every_zone_are_an_error():
    font = made_font([(43, 60 | 72 << 8)])
    font.tone(0, 60, 0.1, RATE)
    with pytest.raises(KeyError, match="key 73"):
        font.tone(0, 73, 0.1, RATE)
    with pytest.raises(KeyError, match="program 5"):
        font.tone(5, 60, 0.1, RATE)


def test_every_key_that_songs_may_use_sounds_in_tune():
    wanted = {
        (program, *KEYS.get(role, (55, 90)))
        for recipe in STYLES.values()
        for role, programs in recipe.programs.items()
        for program in programs
    }
    font = general_midi()
    for program, low, high in sorted(wanted):
        for key in range(low, high + 1, 3):
            tone = font.tone(program, key, 0.5, RATE).mean(axis=0)
            spectrum = np.abs(np.fft.rfft(tone * np.hanning(len(tone)), 1 << 17))
            peak = spectrum.argmax() * RATE / (1 << 17)
            semitones = 12 * np.log2(peak / (440 * 2 ** ((key - 69) / 12)))
            # The strongest partial is a harmonic (or the octave below, its multiples) of the key.
            partials = 12 * np.log2(np.arange(1, 80) / 2)
            assert np.abs(semitones - partials).min() < 0.45, (program, key, semitones)
    for key in DRUM_KEYS.values():
        assert np.abs(font.tone(0, key, 0.5, RATE, drum=True)).max() > 0.01
