"""Play a score: General MIDI notes from a soundfont, mixed and mastered to stereo."""

import numpy as np

from rlhf_lib.analysis.audio import Audio
from rlhf_lib.composer.score import Note
from rlhf_lib.composer.soundfont import general_midi

SAMPLE_RATE = 44100
#: Loudness of a finished song in LUFS (before peaks are rounded off).
LOUDNESS = -16.0
#: Level of each role where it plays loudest, dB RMS.
_LEVELS = {
    "drums": -16,
    "bass": -18,
    "chords": -23,
    "pad": -27,
    "picking": -25,
    "lead": -20,
    "hook": -18,
}
_PAN = {"chords": -0.35, "picking": 0.45, "pad": 0.1, "lead": 0.1}  # −1 left … 1 right
_RELEASE = 0.08  # s
_RELEASE_RAMP = np.linspace(1, 0, round(_RELEASE * SAMPLE_RATE), dtype=np.float32)
_RING = 2.0  # s that a drum may ring
_KNEE, _PEAK = 0.7, 0.99  # peaks are rounded off from the first towards the second


def play(
    notes: list[Note],
    onsets: np.ndarray,
    ends: np.ndarray,
    programs: dict[str, int],
    n_samples: int,
) -> np.ndarray:
    """Mix `notes` to stereo.

    Parameters
    ----------
    notes : list of Note
    onsets, ends : (len(notes),) float64
        When each note starts and is released, s.
    programs : dict
        Role → General MIDI program; the role "drums" plays the percussion kit.
    n_samples : int
        Length of the result at `SAMPLE_RATE`.

    Returns
    -------
    (2, n_samples) float32
        Each role at its own level, the same for all instruments.
    """
    mix = np.zeros((2, n_samples), np.float32)  # channels as rows, which are fast to scale
    track = np.zeros_like(mix)
    font = general_midi()
    for role in sorted({note.role for note in notes}):
        chosen = [k for k, note in enumerate(notes) if note.role == role]
        drum = role == "drums"
        lengths = np.full(len(notes), _RING) if drum else ends - onsets
        longest: dict[int, float] = {}
        for k in chosen:
            longest[notes[k].pitch] = max(longest.get(notes[k].pitch, 0), lengths[k] + _RELEASE)
        program = 0 if drum else programs[role]
        bank = {
            pitch: font.tone(program, pitch, seconds, SAMPLE_RATE, drum)
            for pitch, seconds in longest.items()
        }
        for k in chosen:
            gain = np.float32(notes[k].velocity ** 1.5)
            _add(track, bank[notes[k].pitch], onsets[k], lengths[k], gain)
        for channel, gain in enumerate(balance(track, _LEVELS[role], _PAN.get(role, 0.0))):
            track[channel] *= gain
        mix += track
        track.fill(0)
    return mix


def master(mix: np.ndarray, envelope: np.ndarray) -> Audio:
    """Apply a gain envelope, bring the song to `LOUDNESS` and round off its peaks.

    Parameters
    ----------
    mix : (2, n) float32
    envelope : (n,) float32
        Gain over time.

    Returns
    -------
    Audio
        At `SAMPLE_RATE`, peaks below 1.
    """
    from pyloudnorm import Meter  # here: it imports scipy.signal

    mix = mix * envelope
    # `rlhf_lib.editing.loudness` differs by 1e-7 dB; a seed must keep giving the same bytes.
    measured = Meter(SAMPLE_RATE).integrated_loudness(mix.T)
    mix *= np.float32(10 ** ((LOUDNESS - measured) / 20))
    loud = np.abs(mix) > _KNEE
    over = (np.abs(mix[loud]) - _KNEE) / (1 - _KNEE)
    mix[loud] = np.sign(mix[loud]) * (_KNEE + (_PEAK - _KNEE) * np.tanh(over))
    return Audio(np.ascontiguousarray(mix.T), SAMPLE_RATE)


def _add(track: np.ndarray, tone: np.ndarray, onset: float, length: float, gain: np.float32):
    """Add one note to a track: held for `length` s, then released linearly."""
    start = round(onset * SAMPLE_RATE)
    room = min(tone.shape[1], track.shape[1] - start)
    held = min(round(length * SAMPLE_RATE), room)
    track[:, start : start + held] += gain * tone[:, :held]
    stop = min(held + len(_RELEASE_RAMP), room)
    if stop > held:
        released = gain * _RELEASE_RAMP[: stop - held] * tone[:, held:stop]
        track[:, start + held : start + stop] += released


def balance(track: np.ndarray, level: float, pan: float) -> tuple[np.float32, np.float32]:
    """Return the gains (left, right) that bring the loud parts of a track to `level` dB RMS."""
    block = SAMPLE_RATE // 4
    whole = track[:, : track.shape[1] // block * block].reshape(2, -1, block)
    power = np.einsum("cij,cij->i", whole, whole) / (2 * block)
    loud = np.percentile(power[power > power.max() * 1e-3], 95)
    gain = 10 ** (level / 20) / np.sqrt(loud)
    angle = (pan + 1) * np.pi / 4  # constant power; √2 keeps the centre at unity
    return (
        np.float32(gain * np.sqrt(2) * np.cos(angle)),
        np.float32(gain * np.sqrt(2) * np.sin(angle)),
    )
