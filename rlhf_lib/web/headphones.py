"""Sounds of two published headphone checks: three intervals, one of which is the odd one out.

Over loudspeakers, or with one ear, the right answer is hard to hear.
"""

from typing import Literal

import numpy as np

RATE = 44_100  # Hz
INTERVAL, GAP = 1.0, 0.5  # s
_LEVEL = 0.1  # RMS of the louder intervals, 1 being full scale
_TONE, _RAMP, _QUIETER = 200.0, 0.1, -6.0  # Hz, s, dB
_CENTRE, _BAND = 600.0, 0.06  # Hz, share of it to both sides


def trial(method: Literal["antiphase", "huggins"], seed: int) -> tuple[np.ndarray, int]:
    """Return the sound of a trial and the place of the right answer.

    Parameters
    ----------
    method : "antiphase" or "huggins"
        Antiphase (Woods, Siegel, Traer & McDermott 2017, Attention, Perception & Psychophysics
        79): three tones of 200 Hz, one of them 6 dB quieter. Another is in opposite phase at the
        two ears; loudspeakers cancel it, so that it seems the quietest. Six trials, five right.
        Huggins pitch (Milne et al. 2021, Behavior Research Methods 53): three white noises, in
        one of which the phase at the right ear is turned by 180° in 600 Hz ± 6 %; both ears
        together hear a faint tone there. Six trials, all right.
    seed : int

    Returns
    -------
    samples : (n, 2) array
        Three intervals of 1 s with gaps of 0.5 s, at `RATE`.
    answer : int
        0, 1 or 2.
    """
    rng = np.random.default_rng(seed)
    make = {"antiphase": _tones, "huggins": _noises}[method]
    intervals = make(rng)  # the right answer is the first of them
    order = rng.permutation(3)
    gap = np.zeros((round(GAP * RATE), 2))
    parts = [intervals[order[0]], gap, intervals[order[1]], gap, intervals[order[2]]]
    return np.concatenate(parts), int(np.flatnonzero(order == 0)[0])


def _tones(rng: np.random.Generator) -> list[np.ndarray]:
    t = np.arange(round(INTERVAL * RATE)) / RATE
    tone = _LEVEL * np.sqrt(2) * np.sin(2 * np.pi * _TONE * t) * _envelope(_RAMP)
    quieter = 10 ** (_QUIETER / 20) * tone
    return [np.stack(pair, axis=1) for pair in ((quieter, quieter), (tone, tone), (tone, -tone))]


def _noises(rng: np.random.Generator) -> list[np.ndarray]:
    n = round(INTERVAL * RATE)
    hertz = np.fft.rfftfreq(n, 1 / RATE)
    turned = np.abs(hertz - _CENTRE) <= _BAND * _CENTRE
    found = []
    for is_target in (True, False, False):
        left = _LEVEL * rng.standard_normal(n)
        right = np.fft.irfft(np.fft.rfft(left) * np.where(turned & is_target, -1, 1), n)
        found.append(np.clip(np.stack([left, right], axis=1), -1, 1) * _envelope(0.02)[:, None])
    return found


def _envelope(ramp: float) -> np.ndarray:
    """Return an interval's gain, (n,): raised cosine ramps at both ends."""
    n, m = round(INTERVAL * RATE), round(ramp * RATE)
    gain = np.ones(n)
    gain[:m] = np.sin(np.arange(m) / m * np.pi / 2) ** 2
    gain[-m:] = gain[:m][::-1]
    return gain
