"""Integrated loudness of a sound in LUFS (ITU-R BS.1770-4).

The results agree with pyloudnorm's (C. Steinmetz and J. Reiss, AES 2021) and take a fraction of
its time. With pyloudnorm, loudness would take most of the time of generating candidates.
"""

from functools import cache

import numpy as np

from rlhf_lib.analysis.audio import Audio
from rlhf_lib.editing.compiled import compiled
from rlhf_lib.errors import InputError

#: A block lasts 0.4 s, and begins a hop after the one before; a shorter sound has no loudness.
_BLOCK, _HOPS_PER_BLOCK = 0.4, 4
_OFFSET = -0.691  # dB
#: Blocks below the first do not count, nor those 10 LU below the mean of the remaining ones.
_SILENCE, _RELATIVE = -70.0, -10.0


def loudness(audio: Audio) -> float:
    """Return the integrated loudness in LUFS, gated.

    Raises
    ------
    InputError
        When the sound is shorter than 0.4 s, or silent: nothing passes the gate at −70 LUFS.
    """
    if audio.duration < _BLOCK:
        raise InputError(f"loudness needs {_BLOCK} s of sound, got {audio.duration:.3f} s")
    hops = _hop_energies(audio)
    power = np.convolve(hops, np.ones(_HOPS_PER_BLOCK), "valid") / (_BLOCK * audio.sample_rate)
    power = power[power >= _power(_SILENCE)]
    if not len(power):
        raise InputError("the sound is silent (below −70 LUFS throughout); it has no loudness")
    power = power[power > power.mean() * 10 ** (_RELATIVE / 10)]
    return float(_OFFSET + 10 * np.log10(power.mean()))


def _power(lufs: float) -> float:
    return 10 ** ((lufs - _OFFSET) / 10)


def _hop_energies(audio: Audio) -> np.ndarray:
    """Return the sum over samples and channels of the squared weighted sound in every 0.1 s."""
    hop = _BLOCK / _HOPS_PER_BLOCK * audio.sample_rate
    n_blocks = round((audio.n_samples - _BLOCK * audio.sample_rate) / hop) + 1
    edges = np.arange(n_blocks + _HOPS_PER_BLOCK) * hop
    edges = np.minimum(np.rint(edges).astype(np.int64), audio.n_samples)
    samples = np.require(audio.samples, np.float32, ["C", "W"])
    return _weighted_energies(samples, edges, _weighting(audio.sample_rate))


@compiled
def _weighted_energies(samples, edges, weighting):
    """Return the energy of the weighted sound between edges, (n_edges - 1,).

    Both filters run in the transposed direct form II; their states are scalars for speed.
    """
    energies = np.zeros(len(edges) - 1)
    b, a = weighting[:, :3], weighting[:, 4:]
    for channel in range(samples.shape[1]):
        shelf_1 = shelf_2 = high_1 = high_2 = 0.0
        for hop in range(len(energies)):
            energy = 0.0
            for place in range(edges[hop], edges[hop + 1]):
                x = np.float64(samples[place, channel])
                y = b[0, 0] * x + shelf_1
                shelf_1 = b[0, 1] * x - a[0, 0] * y + shelf_2
                shelf_2 = b[0, 2] * x - a[0, 1] * y
                z = b[1, 0] * y + high_1
                high_1 = b[1, 1] * y - a[1, 0] * z + high_2
                high_2 = b[1, 2] * y - a[1, 1] * z
                energy += z * z
            energies[hop] += energy
    return energies


@cache
def _weighting(rate: int) -> np.ndarray:
    """Return K-weighting as second-order sections, (2, 6): a shelf of 4 dB, then a high pass.

    From R. Bristow-Johnson's "Cookbook formulae for audio EQ biquad filter coefficients", valid
    for any sample rate.
    """
    gain, turn = 10 ** (4.0 / 40), 2 * np.pi * 1500.0 / rate
    c, root = np.cos(turn), 2 * np.sqrt(gain) * np.sin(turn) / np.sqrt(2)
    up, down = gain + 1, gain - 1
    shelf = [
        gain * (up + down * c + root),
        -2 * gain * (down + up * c),
        gain * (up + down * c - root),
        up - down * c + root,
        2 * (down - up * c),
        up - down * c - root,
    ]
    turn = 2 * np.pi * 38.0 / rate
    c, slope = np.cos(turn), np.sin(turn)
    high_pass = [(1 + c) / 2, -(1 + c), (1 + c) / 2, 1 + slope, -2 * c, 1 - slope]
    return np.array([np.array(one) / one[3] for one in (shelf, high_pass)])
