"""Shorten songs: from a sound file to a shorter one. Nothing here needs PyTorch."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlhf_lib.analysis.audio import find_audio, load_audio, save_audio
from rlhf_lib.analysis.decode import source_bits
from rlhf_lib.analysis.encode import WRITABLE, check_format
from rlhf_lib.analysis.song import Song, load_song
from rlhf_lib.editing.cut_list import CUT_LIST_SUFFIXES, clock, save_cut_list
from rlhf_lib.editing.descriptors import DESCRIPTOR_TABLE
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.editing.render import render
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.constraints import Constraints
from rlhf_lib.learning.policy.policy import Policy
from rlhf_lib.learning.policy.shorten import shorten, sparing_singing
from rlhf_lib.learning.reward.explain import SeamPart, reasons, seam_parts
from rlhf_lib.paths import expanded
from rlhf_lib.steps.checkpoints import load_policy
from rlhf_lib.steps.cycle import needed

#: Reasons that the report gives for an edit, and the least part of the score that counts as one.
_REASONS, _LEAST_PART = 3, 0.05
_MOST_VARIANTS = 99
_MORE = {one.name: one.more for one in DESCRIPTOR_TABLE}


@dataclass(frozen=True)
class EditedSong:
    """An edit of a song that was written as a sound file; printed, it tells what was done.

    Attributes
    ----------
    path : Path
        The file.
    edit : Edit
    wanted : float
        The length that was asked for, s.
    policy : str
        Name of the policy.
    seams : tuple of SeamPart
        With the part of the policy's reward that each seam costs.
    reasons : dict
        Why the policy's reward is higher, or lower, than for the song that stops after the same
        time; see `rlhf_lib.learning.reward.explain.reasons`. Empty when the edit is that.
    cut_lists : tuple of Path
        The cut lists beside the file.
    """

    path: Path
    edit: Edit
    wanted: float
    policy: str
    seams: tuple[SeamPart, ...]
    reasons: dict[str, float]
    cut_lists: tuple[Path, ...]

    def __str__(self) -> str:
        song = self.edit.song
        lines = [
            f"{song.path.name} ({clock(song.duration)}) → {self.path}",
            f"  {clock(self.edit.duration)}, {self.edit.keep_ratio:.0%} kept; asked for "
            f"{clock(self.wanted)}; {self.policy}, "
            f"{len(self.seams)} seam{'s' * (len(self.seams) != 1)}",
            *self._level(),
            *self._what_was_done(),
            *self._why(),
            *(f"  cut list: {path}" for path in self.cut_lists),
            *([f"  WARNING: {song.warning}"] if song.warning else []),
        ]
        return "\n".join(lines)

    def _level(self) -> list[str]:
        gain = self.edit.song.gain
        if gain == 1:
            return []
        lowered = -20 * np.log10(gain)
        by = f"{lowered:.1f} dB" if lowered >= 0.05 else "less than 0.1 dB"
        return [f"  level lowered by {by}: the song exceeds full scale"]

    def _what_was_done(self) -> list[str]:
        song, order = self.edit.song, self.edit.order
        starts = song.beat_bounds / song.sample_rate
        lines = []
        if order[0] > 0:
            lines.append(f"  starts at {clock(starts[order[0]])} of the song")
        for seam in self.seams:
            left, reached = starts[seam.left + 1], starts[seam.reached]
            done = "left out" if reached > left else "goes back"
            costs = {_MORE[name]: part for name, part in seam.by_descriptor.items() if part < 0}
            lines.append(
                f"  at {clock(seam.place)}: {clock(left)} → {clock(reached)}, "
                f"{abs(reached - left):.1f} s {done}; reward {seam.total:+.2f}"
                + (f" for {told}" if (told := _listed(costs)) else "")
            )
        if order[-1] < song.n_beats - 1:
            lines.append(f"  ends at {clock(starts[order[-1] + 1])} of the song")
        return lines

    def _why(self) -> list[str]:
        gains = _listed({what: part for what, part in self.reasons.items() if part > 0})
        costs = _listed({what: part for what, part in self.reasons.items() if part < 0})
        if not gains:
            return []
        stopped = f"  compared with stopping at {clock(self.edit.duration)}"
        return [f"{stopped}: {gains}" + (f"; the price: {costs}" if costs else "")]


def edit_song(
    source: str | Path,
    output: str | Path | None = None,
    *,
    seconds: float | None = None,
    keep: float | None = None,
    policy: str | Path | None = None,
    variants: int = 1,
    protect: Sequence[tuple[float, float]] = (),
    must_start: bool = True,
    must_end: bool = True,
    spare_singing: bool = True,
    cut_lists: str | Sequence[str] = (),
    overwrite: bool = False,
    beats: str = "own",
) -> list[EditedSong]:
    """Shorten one song and write the result.

    Parameters
    ----------
    source : path of a sound file
        Relative to the current folder, as is `output`.
    output : path, optional
        The suffix decides the format: .wav, .flac, .ogg or .mp3. Sample rate and tags are those
        of the source. A folder, by default the current one: NAME_short there, in the source's
        format if it can be written, else as WAV. The second variant is written beside it as …_2,
        and so on.
    seconds, keep : float
        Length of the edit in s, or as a share of the song. Give one of them. The length is
        reached within half a bar.
    policy : path, optional
        A checkpoint; by default the policy that was trained last in ``models/``, else the one
        that comes with the package.
    variants : int
        Number of edits of this length that differ, 1 to 99; see `shorten`.
    protect : sequence of (start, stop) in s
        Passages that stay as they are.
    must_start, must_end : bool
        Whether the edit begins and ends as the song does.
    spare_singing : bool
        Whether cuts in sung lines cost more than the policy's reward says, see `sparing_singing`;
        only with `must_start` and `must_end`.
    cut_lists : str or sequence of str
        "txt" (labels for Audacity), "csv", "otio" (OpenTimelineIO) and "json": written beside the
        output, with its name.
    overwrite : bool
        Replace files that exist.
    beats : str
        Who estimates beats that no file gives: "own" or "beat_this".

    Returns
    -------
    list of EditedSong
        One for each variant; fewer when no more differ enough.

    Raises
    ------
    InputError
        When the song or the policy cannot be read, the length cannot be reached, a file exists
        or cannot be written. Nothing is written then.

    Examples
    --------
    >>> from rlhf_lib.steps.edit_song import edit_song
    >>> (short,) = edit_song("song.mp3", "short.mp3", seconds=150)
    >>> print(short)
    """
    source, output = expanded(source), expanded(output or "")
    if output.is_dir():
        output = output_path(source, output)
    places = _places(source, output, variants, cut_lists, overwrite)
    model, about = load_policy(
        needed("models/policy_final.pt" if policy is None else expanded(policy).absolute())
    )
    if spare_singing and must_start and must_end:
        model = sparing_singing(model)
    with ThreadPoolExecutor(1) as background:
        decoded = background.submit(load_audio, source.absolute())
        song = load_song(source.absolute(), beats=beats)
        constraints = Constraints(song, protect, must_start, must_end)
        share = keep_ratio(song, seconds, keep)
        edits = shorten(model, constraints, share, variants)
        audio = decoded.result()
    check_format(output.suffix, audio.sample_rate, audio.n_channels, output.name)
    bits = source_bits(song.path)
    made = []
    for edit, (place, lists) in zip(edits, places, strict=False):
        save_audio(place, render(edit, audio), bits, tags_from=song.path)
        for path in lists:
            save_cut_list(edit, path.absolute())
        made.append(_described(edit, place, share, model, about["name"], lists))
    return made


def keep_ratio(song: Song, seconds: float | None = None, keep: float | None = None) -> float:
    """Return the share of a song that is asked for by `seconds` or `keep`.

    Raises
    ------
    InputError
        When not exactly one of them is given.
    """
    if (seconds is None) == (keep is None):
        raise InputError("give the length of the edit either in seconds or as a share to keep")
    return keep if seconds is None else seconds / song.duration


def output_path(source: Path, folder: Path) -> Path:
    """Return where the edit of a song is written in `folder`: NAME_short."""
    suffix = source.suffix if source.suffix.lower() in WRITABLE else ".wav"
    return folder / f"{source.stem}_short{suffix}"


def songs_of_folder(source: Path, output: Path) -> list[tuple[Path, Path]]:
    """Return the sound files below a folder, each with the path of its edit below `output`.

    Raises
    ------
    InputError
        When there are none, or `output` is the folder itself or a file.
    """
    if output.is_file() or output.resolve() == source.resolve():
        raise InputError(f"{output}: give another folder for the edits of the songs in {source}")
    found = find_audio(source)
    if not found:
        raise InputError(f"no sound file in {source}; give a file or a folder of songs")
    pairs = []
    for path in found:
        place = output_path(path, output / path.relative_to(source).parent)
        if place in dict(pairs).values():  # song.wav and song.aiff
            place = place.with_stem(f"{path.stem}_{path.suffix[1:]}_short")
        pairs.append((path, place))
    return pairs


def _places(
    source: Path, output: Path, variants: int, cut_lists: str | Sequence[str], overwrite: bool
) -> list[tuple[Path, list[Path]]]:
    """Return the file and the cut lists of each variant; refuse them if they exist."""
    kinds = [cut_lists] if isinstance(cut_lists, str) else [*dict.fromkeys(cut_lists)]
    unknown = [kind for kind in kinds if f".{kind}" not in CUT_LIST_SUFFIXES]
    if unknown:
        known = ", ".join(suffix.removeprefix(".") for suffix in CUT_LIST_SUFFIXES)
        raise InputError(f"{unknown[0]!r} is no kind of cut list; the kinds are {known}")
    if output.suffix.lower() not in WRITABLE:
        raise InputError(
            f"cannot write {output}: its suffix is not one of {', '.join(WRITABLE)}; give another "
            "name, or a folder"
        )
    if not 1 <= variants <= _MOST_VARIANTS:
        raise InputError(f"variants is {variants}; ask for 1 to {_MOST_VARIANTS} edits")
    places = []
    for number in range(1, variants + 1):
        stem = output.stem + (f"_{number}" if number > 1 else "")
        place = output.with_name(stem + output.suffix)
        places.append((place, [output.with_name(f"{stem}.{kind}") for kind in kinds]))
    for path in (path for place, lists in places for path in (place, *lists)):
        if path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"{path} is the song itself; give another output")
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists; give another output, or --overwrite (overwrite=True)")
    return places


def _described(
    edit: Edit, place: Path, share: float, policy: Policy, name: str, lists: list[Path]
) -> EditedSong:
    weights = policy.weights
    stopped = _stopped(edit)
    return EditedSong(
        place,
        edit,
        share * edit.song.duration,
        name,
        seam_parts(edit, weights),
        {} if (edit.actions == stopped.actions).all() else reasons(edit, stopped, weights),
        tuple(lists),
    )


def _stopped(edit: Edit) -> Edit:
    """Return the edit that plays the song from its start and stops after the same time."""
    ends = edit.song.beat_bounds[1:] / edit.song.sample_rate
    plays = ends <= edit.duration + edit.song.beat_durations.mean() / 2
    plays[0] = True
    actions = np.where(plays, Action.KEEP, Action.CUT)
    return Edit(edit.song, actions, edit.target)


def _listed(parts: dict[str, float]) -> str:
    """Return the largest parts of a reward in words; empty when all are small."""
    largest = sorted(parts.items(), key=lambda part: -abs(part[1]))[:_REASONS]
    told = [f"{what} ({part:+.2f})" for what, part in largest if abs(part) >= _LEAST_PART]
    return ", ".join(told)
