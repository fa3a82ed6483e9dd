"""The sound of a singing voice: a choir of the soundfont with vowels, vibrato and syllables.

The choir's samples hold one vowel. Each sung note gets the resonances (formants) of its own vowel
instead: the level of the tone's harmonics is measured and brought to that of the vowel.
"""

from functools import lru_cache

import numpy as np

from rlhf_lib.composer.soundfont import general_midi
from rlhf_lib.composer.synth import SAMPLE_RATE, balance
from rlhf_lib.composer.voice import Voice

#: General MIDI 53, "Choir Aahs", counted from 0: 54 and 55 have hardly any overtones.
_PROGRAM = 52
#: Level of the voice where it is loudest, dB RMS: above every instrument.
_LEVEL = -14.0
#: Vowel → (frequency in Hz, level in dB) of its formants: a tenor's, from the Csound manual
#: (appendix "Formant values").
_FORMANTS = {
    "a": ((650, 0), (1080, -6), (2650, -7), (2900, -8), (3250, -22)),
    "e": ((400, 0), (1700, -14), (2600, -12), (3200, -14), (3580, -20)),
    "i": ((290, 0), (1870, -15), (2800, -18), (3250, -20), (3540, -30)),
    "o": ((400, 0), (800, -10), (2600, -12), (2800, -12), (3000, -26)),
    "u": ((350, 0), (600, -20), (2700, -17), (2900, -14), (3300, -26)),
}
#: Consonant → duration, s; lowest and highest frequency of its noise, Hz; level, dB below a vowel.
_CONSONANTS = {"s": (0.09, 4500, 9000, -12), "t": (0.03, 2000, 7000, -6)}
_WIDTH = 120.0  # of a formant, Hz
_MOST_GAIN = 30.0  # dB that a harmonic may be raised above the strongest's gain
_BETWEEN = 20.0  # dB by which the gaps between harmonics are lowered: one singer, not a choir
_SKIPPED = 0.15  # s that the choir takes to swell
_STEADY = 0.1  # s over which the choir's level is evened out
_ATTACK, _RELEASE = 0.04, 0.06  # s
_SPARE = 0.05  # s of a tone that vibrato may run ahead
_VIBRATO = (5.5, 35.0, 0.4)  # Hz; cents; s until it is full
_SCOOP = (-70.0, 0.05)  # cents at the start of a note; s until it is nearly in tune


def sing(voice: Voice, n_samples: int) -> np.ndarray:
    """Return the sound of a voice with at least one note, at its level in the mix.

    Returns
    -------
    (2, n_samples) float32
        At `SAMPLE_RATE`.
    """
    track = np.zeros((2, n_samples), np.float32)
    lengths = np.diff(voice.spans, axis=1)[:, 0].tolist()
    longest: dict[int, float] = {}
    for note, seconds in zip(voice.notes, lengths, strict=True):
        longest[note.pitch] = max(longest.get(note.pitch, 0.0), seconds)
    sounds = {(note.pitch, vowel) for note in voice.notes for vowel in note.text[-2:]}
    tones = {
        (pitch, vowel): _tone(pitch, vowel, longest[pitch] + _RELEASE + _SPARE)
        for pitch, vowel in sounds
    }
    for note, onset, seconds in zip(voice.notes, voice.spans[:, 0], lengths, strict=True):
        sound = _shaped(*(tones[note.pitch, vowel] for vowel in note.text[-2:]), seconds)
        for consonant in note.text[:-2]:
            noise = _noise(consonant)[: len(sound)]
            sound[: len(noise)] += noise
        start = round(onset * SAMPLE_RATE)
        sound = sound[: n_samples - start]
        track[:, start : start + len(sound)] += np.float32(note.velocity) * sound
    for channel, gain in enumerate(balance(track, _LEVEL, 0.0)):
        track[channel] *= gain
    return track


def _tone(pitch: int, vowel: str, seconds: float) -> np.ndarray:
    """Return a held vowel of even level, mono float32 of at least `seconds`."""
    held = general_midi().tone(_PROGRAM, pitch, seconds + _SKIPPED, SAMPLE_RATE).mean(axis=0)
    held = held[round(_SKIPPED * SAMPLE_RATE) :]
    spectrum = np.fft.rfft(held)
    frequencies = np.fft.rfftfreq(len(held), 1 / SAMPLE_RATE)
    fundamental = 440 * 2 ** ((pitch - 69) / 12)
    gain = _vowel(vowel, frequencies) - _harmonics(np.abs(spectrum), frequencies, fundamental)
    gain -= _BETWEEN * np.sin(np.pi * frequencies / fundamental) ** 2
    strongest = gain[np.abs(spectrum).argmax()]
    gain = np.minimum(gain, strongest + _MOST_GAIN)
    voiced = np.fft.irfft(spectrum * 10 ** (gain / 20), len(held))
    half = round(_STEADY / 2 * SAMPLE_RATE)
    total = np.cumsum(np.pad(voiced**2, (half + 1, half), mode="reflect"))
    level = np.sqrt((total[2 * half + 1 :] - total[: -2 * half - 1]) / (2 * half + 1))
    return (voiced / np.maximum(level, 1e-3 * level.max())).astype(np.float32)


def _vowel(vowel: str, frequencies: np.ndarray) -> np.ndarray:
    """Return the level of a vowel at frequencies (Hz), dB: its formants side by side."""
    power = sum(
        10 ** (level / 10) / (1 + ((frequencies - centre) / (_WIDTH / 2)) ** 2)
        for centre, level in _FORMANTS[vowel]
    )
    return 10 * np.log10(power)


def _harmonics(magnitude: np.ndarray, frequencies: np.ndarray, fundamental: float) -> np.ndarray:
    """Return the level of the nearest harmonics at all frequencies, dB."""
    numbers = np.arange(1, int(SAMPLE_RATE / 2 / fundamental))
    edges = np.searchsorted(frequencies, (np.append(numbers, numbers[-1] + 1) - 0.5) * fundamental)
    peaks = np.maximum.reduceat(magnitude, edges[:-1])
    return np.interp(frequencies, numbers * fundamental, 20 * np.log10(peaks + 1e-9))


def _shaped(first: np.ndarray, last: np.ndarray, seconds: float) -> np.ndarray:
    """Return a note that glides between two vowels: scoop, vibrato, attack, release; float32."""
    size = round((seconds + _RELEASE) * SAMPLE_RATE)
    time = np.arange(size) / SAMPLE_RATE
    rate, depth, delay = _VIBRATO
    cents = depth * np.clip(time / delay - 0.5, 0, 1) * np.sin(2 * np.pi * rate * time)
    cents += _SCOOP[0] * np.exp(-time / _SCOOP[1] * 2)
    place = np.cumsum(2 ** (cents / 1200)) - 1
    sound = np.interp(place, np.arange(len(first)), first)
    if last is not first:
        glide = time / time[-1]
        sound += glide * (np.interp(place, np.arange(len(last)), last) - sound)
    gain = np.clip(time / _ATTACK, 0, 1) * np.clip((seconds + _RELEASE - time) / _RELEASE, 0, 1)
    return (sound * gain).astype(np.float32)


@lru_cache(maxsize=len(_CONSONANTS))
def _noise(consonant: str) -> np.ndarray:
    """Return the noise of a consonant, beside a vowel of level 1; mono float32."""
    seconds, lowest, highest, level = _CONSONANTS[consonant]
    size = round(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(size))
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    spectrum[(frequencies < lowest) | (frequencies > highest)] = 0
    noise = np.fft.irfft(spectrum, size) * np.hanning(size)
    return (noise * 10 ** (level / 20) / np.sqrt(np.mean(noise**2))).astype(np.float32)
