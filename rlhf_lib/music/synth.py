"""Playing a score: General MIDI notes from a soundfont, mixed and mastered to stereo."""

import importlib.util
from pathlib import Path

import numpy as np

from rlhf_lib.music.audio import Audio, loudness
from rlhf_lib.music.score import Note

SAMPLE_RATE = 44100
#: Loudness of a finished song in LUFS (before peaks are rounded off).
LOUDNESS = -16.0
_LEVELS = {"drums": -18, "bass": -20, "chords": -25, "pad": -29, "picking": -28}
_LEVELS |= {"lead": -22, "hook": -20}  # dB RMS while playing
_PAN = {"chords": -0.35, "picking": 0.45, "pad": 0.1, "lead": 0.1}  # −1 left … 1 right
_RELEASE = 0.08  # s
_RING = 2.0  # s that a drum may ring
#: s in which a struck or plucked sound falls by 1/e, by first program of the General MIDI
#: family (of 8); other families hold their level.
_DECAY = {0: 1.2, 8: 0.8, 24: 1.0, 32: 1.2, 104: 0.6}
_KNEE = 0.7  # amplitude from which peaks are rounded off


def soundfont() -> Path:
    """Return the General MIDI soundfont that the pretty_midi package ships."""
    spec = importlib.util.find_spec("pretty_midi")
    return Path(spec.origin).parent / "TimGM6mb.sf2"


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
        When each note starts and is let go, s.
    programs : dict
        Role → General MIDI program; the role "drums" plays the percussion kit.
    n_samples : int
        Length of the result at `SAMPLE_RATE`.

    Returns
    -------
    (n_samples, 2) float32
        Each role at its own level, whatever instrument plays it.

    Notes
    -----
    symusic's synthesizer plays every note equally loud and stops it dead, so it is used as a
    sampler: it renders each pitch of each instrument once, and velocity, decay, release and
    panning are applied here.
    """
    mix = np.zeros((n_samples, 2), np.float32)
    roles = sorted({note.role for note in notes})
    for role in roles:
        chosen = [k for k, note in enumerate(notes) if note.role == role]
        drum = role == "drums"
        lengths = np.full(len(notes), _RING) if drum else ends - onsets
        bank = _sample(
            0 if drum else programs[role],
            drum,
            sorted({notes[k].pitch for k in chosen}),
            float(lengths[chosen].max()) + _RELEASE,
        )
        track = np.zeros((n_samples, 2), np.float32)
        for k in chosen:
            gain = np.float32(notes[k].velocity ** 1.5)
            _add(track, bank[notes[k].pitch], onsets[k], lengths[k], gain)
        mix += track * _balance(track, _LEVELS[role], _PAN.get(role, 0.0))
    return mix


def master(mix: np.ndarray, envelope: np.ndarray) -> Audio:
    """Apply a gain envelope, bring the song to `LOUDNESS` and round off its peaks.

    Parameters
    ----------
    mix : (n, 2) float32
    envelope : (n,) float32
        Gain over time.

    Returns
    -------
    Audio
        At `SAMPLE_RATE`, peaks below 1.
    """
    mix = mix * envelope[:, None]
    mix *= np.float32(0.5 / np.abs(mix).max())
    gain = 10 ** ((LOUDNESS - loudness(Audio(mix, SAMPLE_RATE))) / 20)
    mix *= np.float32(gain)
    loud = np.abs(mix) > _KNEE
    over = (np.abs(mix[loud]) - _KNEE) / (1 - _KNEE)
    mix[loud] = np.sign(mix[loud]) * (_KNEE + (0.99 - _KNEE) * np.tanh(over))
    return Audio(mix, SAMPLE_RATE)


def _sample(program: int, drum: bool, pitches: list[int], seconds: float) -> dict[int, np.ndarray]:
    """Render each pitch of an instrument once: pitch → (samples, 2) float32."""
    import symusic

    spacing = seconds + 0.1
    score = symusic.Score(ttype="second")
    track = symusic.Track(program=program, is_drum=drum, name="", ttype="second")
    for k, pitch in enumerate(pitches):
        track.notes.append(symusic.Note(k * spacing, seconds, pitch, 100, ttype="second"))
    score.tracks.append(track)
    synthesizer = symusic.Synthesizer(str(soundfont()), SAMPLE_RATE, 0)
    sound = np.ascontiguousarray(synthesizer.render(score, stereo=True).T, dtype=np.float32)
    size = int(seconds * SAMPLE_RATE)
    decay = 0.6 if drum else _DECAY.get(program // 8 * 8)
    fade = np.ones(size) if decay is None else np.exp(-np.arange(size) / (decay * SAMPLE_RATE))
    bank = {}
    for k, pitch in enumerate(pitches):
        first = round(k * spacing * SAMPLE_RATE)
        tone = sound[first : first + size]
        bank[pitch] = tone * fade[: len(tone), None].astype(np.float32)
    return bank


def _add(track: np.ndarray, tone: np.ndarray, onset: float, length: float, gain: np.float32):
    """Add one note to a track: held for `length` s, then released linearly."""
    start = round(onset * SAMPLE_RATE)
    held = min(round(length * SAMPLE_RATE), len(tone), len(track) - start)
    track[start : start + held] += gain * tone[:held]
    release = min(round(_RELEASE * SAMPLE_RATE), len(tone) - held, len(track) - start - held)
    if release > 0:
        ramp = np.linspace(gain, 0, release, dtype=np.float32)[:, None]
        track[start + held : start + held + release] += ramp * tone[held : held + release]


def _balance(track: np.ndarray, level: float, pan: float) -> np.ndarray:
    """Return the gains (left, right) that bring a track's playing parts to `level` dB RMS."""
    block = SAMPLE_RATE // 4
    whole = track[: len(track) // block * block].reshape(-1, block * 2)
    power = np.einsum("ij,ij->i", whole, whole) / whole.shape[1]
    playing = power[power > power.max() * 1e-3]
    gain = 10 ** (level / 20) / np.sqrt(playing.mean())
    angle = (pan + 1) * np.pi / 4  # constant power; √2 keeps the centre at unity
    return (gain * np.sqrt(2) * np.array([np.cos(angle), np.sin(angle)])).astype(np.float32)
