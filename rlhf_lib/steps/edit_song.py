"""Shorten songs: from a sound file to a shorter one. Nothing here needs PyTorch."""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlhf_lib.analysis.audio import Audio, load_audio, save_audio
from rlhf_lib.analysis.decode import source_bits
from rlhf_lib.analysis.encode import check_format
from rlhf_lib.analysis.song import load_song
from rlhf_lib.editing.cut_list import clock, save_cut_list
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
from rlhf_lib.steps.cycle import policy_file
from rlhf_lib.steps.edit_places import edit_place, not_written, places_of_variants
from rlhf_lib.steps.wishes import (
    Time,
    read_cut_lists,
    read_passages,
    read_share,
    read_switch,
    read_time,
    read_variants,
)

_log = logging.getLogger(__name__)

#: Reasons that the report gives for an edit, and the least part of the score that counts as one.
_REASONS, _LEAST_PART = 3, 0.05
#: A beginning or an ending of the song that lasts less than this is named, s.
_SHORT_END = 5.0
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
            *self._short_ends(),
            *self._why(),
            *(f"  cut list: {path}" for path in self.cut_lists),
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

    def _short_ends(self) -> list[str]:
        song, order = self.edit.song, self.edit.order
        if not self.seams:
            return []
        more, last = 2 * _SHORT_END, self.edit.duration - self.seams[-1].place
        return [
            f"  hint: {kept:.1f} s are left of the {what}; to keep more, protect "
            f"{clock(start)}-{clock(start + more)}"
            for kept, what, start, played in (
                (self.seams[0].place, "beginning", 0.0, order[0] == 0),
                (last, "ending", song.duration - more, order[-1] == song.n_beats - 1),
            )
            if played and kept < _SHORT_END
        ]

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
    seconds: Time | None = None,
    keep: float | str | None = None,
    policy: str | Path | tuple[Policy, dict] | None = None,
    variants: int = 1,
    protect: str | Iterable[str | tuple[Time, Time]] | None = None,
    must_start: bool | str = True,
    must_end: bool | str = True,
    spare_singing: bool | str = True,
    cut_lists: str | Iterable[str] | None = None,
    overwrite: bool = False,
    beats: str = "own",
) -> list[EditedSong]:
    """Shorten one song and write the result.

    A song whose beats are uncertain gives a warning by `logging`.

    Parameters
    ----------
    source : path of a sound file
        Relative to the current folder, as is `output`.
    output : path, optional
        The suffix decides the format: .wav, .flac, .ogg or .mp3. Sample rate and tags are those
        of the source. A folder (one that exists, or a text that ends in "/"), by default the
        current one: NAME_short there, in the source's format if it can be written, else as WAV.
        The second variant is written beside it as …_2, and so on.
    seconds, keep : float or str
        Length of the edit in s ("2:30" for 150), or as a share of the song ("80%" for 0.8). Give
        one of them. The length is reached within about half a bar.
    policy : path or str, or what `load_policy` returns, optional
        A checkpoint or the name of a policy, see `policy_file`; by default the policy that was
        trained last in ``models/``, else the one that comes with the package.
    variants : int
        Number of edits of this length that differ, 1 to 99; see `shorten`.
    protect : sequence of (start, stop) in s, or str, optional
        Passages that stay as they are: [(30, 70)], or "0:30-1:10".
    must_start, must_end : bool or str
        Whether the edit begins and ends as the song does: True or "on", False or "off".
    spare_singing : bool or str
        Whether cuts in sung lines cost more than the policy's reward says, see `sparing_singing`;
        only with `must_start` and `must_end`.
    cut_lists : str or sequence of str, optional
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
    if (seconds is None) == (keep is None):
        raise InputError(
            "give the length of the edit either as seconds (such as 2:30) or as keep (such as 0.8)"
        )
    seconds = None if seconds is None else read_time(seconds)
    keep = None if keep is None else read_share(keep)
    variants, protect = read_variants(variants), read_passages(protect)
    cut_lists = read_cut_lists(cut_lists)
    must_start, must_end = read_switch(must_start), read_switch(must_end)
    spare_singing, overwrite = read_switch(spare_singing), read_switch(overwrite)
    source = expanded(source)
    place = edit_place(source, output)
    if source.is_dir():
        raise InputError(
            f"{source} is a folder; give a sound file, or use the command edit_song or "
            "songs_of_folder for every song of it"
        )
    places = places_of_variants(source, place, variants, cut_lists, overwrite)
    model, about = policy if isinstance(policy, tuple) else load_policy(policy_file(policy))
    if spare_singing and must_start and must_end:
        model = sparing_singing(model)
    with ThreadPoolExecutor(1) as background:
        decoded = background.submit(load_audio, source.absolute())
        song = load_song(source.absolute(), beats=beats)
        constraints = Constraints(song, protect, must_start, must_end)
        share = seconds / song.duration if keep is None else keep
        edits = shorten(model, constraints, share, variants)
        audio = decoded.result()
    if song.warning:
        _log.warning("%s", song.warning)
    check_format(place.suffix, audio.sample_rate, audio.n_channels, place.name)
    made = [
        _described(edit, path, share, model, about["name"], lists)
        for edit, (path, lists) in zip(edits, places, strict=False)
    ]
    _write(made, audio)
    if overwrite and (earlier := not_written(place, _files(made))):
        names = ", ".join(path.name for path in earlier)
        _log.warning("note: of an earlier edit, not of this %s: %s", place.name, names)
    return made


def _files(made: list[EditedSong]) -> list[Path]:
    return [path for one in made for path in (one.path, *one.cut_lists)]


def _write(made: list[EditedSong], audio: Audio) -> None:
    """Write edits and cut lists: all, or none when one of them cannot be written.

    The first edit is written last: where it is, the song is finished, see `is_finished`.
    """
    song = made[0].edit.song
    bits, written = source_bits(song.path), []
    there = {path for path in _files(made) if path.exists()}
    try:
        for one in reversed(made):
            for path in one.cut_lists:
                save_cut_list(one.edit, path.absolute())
                written.append(path)
            save_audio(one.path, render(one.edit, audio), bits, tags_from=song.path)
            written.append(one.path)
    except BaseException:  # Ctrl-C, too
        for path in {*written} - there:
            path.unlink(missing_ok=True)
        raise


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
