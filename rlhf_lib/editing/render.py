"""Render an edit as audio: source samples in playing order, with crossfades at the seams."""

import numpy as np
from scipy import ndimage

from rlhf_lib.analysis.audio import Audio, largest_jump
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError

#: Usual length of a crossfade in s.
FADE = 0.012
_SHORTEST_FADE, _LONGEST_FADE = 0.001, 0.1  # s
#: A fade that still jumps (slow, loud waves) is tried again this many times as long, and with its
#: middle this much softer.
_LENGTHS = (1, 2, 4, 8)
_DIPS = (0.0, 0.1, 0.2, 0.4)


def render(edit: Edit, audio: Audio, fade: float = FADE) -> Audio:
    """Render an edit as audio.

    Each seam gets an equal-power crossfade, centred on the beat. The source continues after the
    beat left while it fades out, and starts before the beat reached while it fades in. The gains
    are corrected for the correlation of the two, so that similar passages do not swell. All other
    samples are those of the source. If a jump between samples would exceed the largest in the
    source, the fade dips in its middle or is lengthened, up to eight times; next to short segments
    it is shortened. An edit that starts or ends elsewhere than the source fades in or out over
    half a crossfade.

    Parameters
    ----------
    edit : Edit
    audio : Audio
        The sound of ``edit.song``.
    fade : float
        Length of a crossfade in s, 0.001 … 0.1.

    Returns
    -------
    Audio
        Exactly as long as the played beats together; same rate and channels as `audio`.

    Raises
    ------
    InputError
        When `audio` is not the edit's song, or `fade` is out of range.
    """
    song = edit.song
    if (audio.n_samples, audio.sample_rate) != (song.n_samples, song.sample_rate):
        raise InputError(
            f"the audio has {audio.n_samples} samples at {audio.sample_rate} Hz, song "
            f"{song.song_id!r} has {song.n_samples} at {song.sample_rate} Hz; render with the "
            "file that the song was loaded from"
        )
    if not _SHORTEST_FADE <= fade <= _LONGEST_FADE:
        raise InputError(
            f"fade {fade!r} is outside {_SHORTEST_FADE} … {_LONGEST_FADE} s; {FADE} is usual"
        )
    pieces = song.beat_bounds[edit.segments]  # (n_segments, 2) samples
    source = audio.samples
    out = np.concatenate([source[start:stop] for start, stop in pieces])
    half = max(round(fade * audio.sample_rate / 2), 1)
    lengths = pieces[:, 1] - pieces[:, 0]
    whole = len(pieces) == 1 and len(out) == len(source)
    jump = 0.0 if whole else audio.largest_jump
    if len(pieces) > 1:
        room = lengths // 2  # so that neighbouring crossfades never overlap
        for k, place in enumerate(np.cumsum(lengths)[:-1]):
            before, after = crossfade(
                out, place, source, pieces[k, 1], pieces[k + 1, 0], half, room[k : k + 2], jump
            )
            _limit(out, place - before - half, place + after + half, half)
    if pieces[0, 0] > 0:
        _fade_in(out, half, jump)
    if pieces[-1, 1] < len(source):
        _fade_in(out[::-1], half, jump)
    return Audio(out, audio.sample_rate)


def crossfade(
    out: np.ndarray,
    place: int,
    source: np.ndarray,
    left: int,
    reached: int,
    half: int,
    room: np.ndarray,
    jump: float,
) -> tuple[int, int]:
    """Write into `out` around `place` the fade from source[..left] to source[reached..].

    Parameters
    ----------
    out : (n, channels) float32
        Changed in place.
    place : int
        Where the two meet in `out`, samples.
    source : (m, channels) float32
    left, reached : int
        Where playing leaves the source and where it resumes, samples.
    half : int
        Samples of half a fade, before it is lengthened.
    room : (2,) int
        Samples that the fade may take before and after `place`.
    jump : float
        Largest step between samples that is not heard as a click.

    Returns
    -------
    before, after : samples of `out` on either side of `place` that were written
    """
    best = None
    for times in _LENGTHS:
        before, after = np.minimum(times * half, room)
        mix = _mix(source, left, reached, before, after)
        swing = np.sin(np.linspace(0, np.pi, before + after, dtype=np.float32))[:, None] ** 2
        first, last = out[place - before - 1 : place - before], out[place + after :][:1]
        for dip in _DIPS:
            dipped = mix * (1 - np.float32(dip) * swing)
            step = largest_jump(np.concatenate([first, dipped, last]))
            if best is None or step < best[0]:
                best = step, before, after, dipped
            if step <= jump:
                break
        if step <= jump or np.all(room <= times * half):
            break
    _, before, after, mix = best
    out[place - before : place + after] = mix
    return before, after


def _fade_in(out: np.ndarray, half: int, jump: float) -> None:
    """Fade the start of `out` in, over `half` samples or longer where that would jump."""
    for times in _LENGTHS:
        part = out[: times * half]
        faded = part * _rise(len(part))[:, None].astype(np.float32)
        if largest_jump(faded) <= jump:
            break
    part[:] = faded


def _mix(source: np.ndarray, left: int, reached: int, before: int, after: int) -> np.ndarray:
    """Return the crossfade over `before` + `after` samples, (before + after, channels).

    At an end of the file, the leaving sound has faded out by the last sample and the arriving
    sound starts at the first.
    """
    width = before + after
    leaving = source[left - before : left + after]
    head = max(before - reached, 0)  # samples of the window before the file starts
    arriving = source[reached - before + head : reached + after]
    tail = len(leaving)
    parts = np.zeros((2, width, source.shape[1]))
    parts[0, :tail], parts[1, head:] = leaving, arriving
    gains = np.zeros((2, width, 1))
    gains[0, :tail, 0] = _rise(tail)[::-1]
    gains[1, head:, 0] = _rise(width - head)
    energies = (parts**2).sum(axis=(1, 2))
    likeness = (parts[0] * parts[1]).sum() / np.sqrt(max(energies.prod(), 1e-20))
    power = (gains**2).sum(axis=0) + 2 * max(likeness, 0) * gains.prod(axis=0)
    return ((parts * gains).sum(axis=0) / np.sqrt(np.maximum(power, 1))).astype(np.float32)


def _rise(width: int) -> np.ndarray:
    """Return gains from 0 to 1, (width,), flat at both ends; mirrored, they complete power to 1."""
    turn = np.sin((np.arange(width) + 0.5) / max(width, 1) * np.pi / 2) ** 2
    return np.sin(turn * np.pi / 2)


def _limit(out: np.ndarray, start: int, stop: int, reach: int) -> None:
    """Reduce out[start:stop] smoothly, over `reach` samples, where it exceeds full scale."""
    part = out[max(start, 0) : stop]
    peaks = np.abs(part).max(axis=1)
    if peaks.max() <= 1:
        return
    # The moving mean of the moving minimum is nowhere above the gain that is needed.
    gain = ndimage.minimum_filter1d(1 / np.maximum(peaks, 1), reach | 1)
    part *= ndimage.uniform_filter1d(gain, reach | 1)[:, None]
    np.clip(part, -1, 1, out=part)  # rounding can leave 1 + 1e-7
