"""Plots of a song: its waveform and its features."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox, TransformedBbox

from rlhf_lib.analysis.audio import Audio
from rlhf_lib.analysis.feature_table import FEATURE_GROUPS
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.plots import style
from rlhf_lib.plots.style import axes_or_new, figure_of, short_name, styled

_COLUMNS = 1500  # of the waveform's envelope; more than a screen shows
_LEAST_HEIGHT = 4  # rows for the smallest group of features, so that its name fits
_CLIP = 3.0  # standard deviations


@styled
def waveform(
    song: Song,
    audio: Audio,
    edit: Edit | None = None,
    sections: Sequence[tuple[float, str]] | None = None,
    span: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the waveform with its beats and bar lines.

    Parameters
    ----------
    song : Song
    audio : Audio
        The song's sound.
    edit : Edit, optional
        Grey out the beats it cuts and mark where its segments start and end.
    sections : sequence of (start in s, name), optional
        Written above the waveform; by default the sections that were given with the song.
    span : (start, stop) in s, optional
        Show only this part.

    Raises
    ------
    InputError
        When the audio is not the song's, or nothing lies within the span.
    """
    if audio.n_samples != song.n_samples:
        raise InputError(
            f"the audio has {audio.n_samples} samples, song {song.song_id!r} has "
            f"{song.n_samples}; load the audio from {song.path}"
        )
    start, stop = (0.0, song.duration) if span is None else span
    if not 0 <= start < stop or start >= song.duration:
        raise InputError(f"span {span} s lies outside the song, which lasts {song.duration:.1f} s")
    stop = min(stop, song.duration)
    ax = axes_or_new(ax, 10, 2.6)
    times, low, high = _envelope(audio, start, stop)
    top = max(float(np.abs([low, high]).max()), 1e-3) * 1.05
    ax.fill_between(times, low, high, color=style.BLUE, linewidth=0.3, label="waveform")
    beats = song.beat_times
    bars = song.bars.place == 0
    ax.vlines(beats[~bars], -top, -0.85 * top, color=style.ORANGE, linewidth=1.2, label="beats")
    ax.vlines(beats[bars], -top, top, color=style.BLACK, linewidth=0.6, alpha=0.55, label="bars")
    if edit is not None:
        _mark_edit(ax, edit, top)
    sections = _given_sections(song) if sections is None else sections
    _write_sections(ax, sections, (start, stop), (top, 1.18 * top))
    ax.set_xlim(start, stop)
    ax.set_ylim(-top, top * (1.2 if sections else 1))
    ax.set_xlabel("time (s)")
    ax.set_ylabel("amplitude (full scale = 1)")
    ax.set_title(
        f"{short_name(song.song_id)}: {song.n_beats} beats, {_metre(song)} to the bar", pad=18
    )
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=5, borderaxespad=0.2)
    ax.grid(False)
    return figure_of(ax)


def _metre(song: Song) -> str:
    """Return the beats of the bars, e.g. 4, or 4 and 7."""
    *others, last = sorted({*song.bars.length.tolist()})
    return f"{', '.join(map(str, others))} and {last}" if others else str(last)


def _given_sections(song: Song) -> list[tuple[float, str]]:
    """Return start in s and name of the given sections; where a gap begins, no name."""
    names = {one.stop: "" for one in song.sections if one.stop < song.n_beats}
    names |= {one.start: one.label for one in song.sections}
    return [(float(song.beat_times[beat]), names[beat]) for beat in sorted(names)]


def _write_sections(
    ax: Axes,
    sections: Sequence[tuple[float, str]],
    span: tuple[float, float],
    line: tuple[float, float],
) -> None:
    """Write section names at the foot of lines from `line[0]` to `line[1]` at their starts.

    A name that is wider than its section is cut off at the next one.
    """
    for place, name in sections:
        if span[0] <= place < span[1]:
            text = ax.annotate(
                short_name(name), (place, line[0]), (2, 2), textcoords="offset points", fontsize=8
            )
            later = [start for start, _ in sections if start > place]
            if later:
                room = Bbox([[place, 0], [min(later), 2]])
                text.set_clip_box(TransformedBbox(room, ax.get_xaxis_transform()))
                text.set_clip_on(True)
            ax.plot([place, place], line, color=style.BLACK, linewidth=1.2)


def _envelope(audio: Audio, start: float, stop: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the times in s of up to `_COLUMNS` columns, and their least and largest sample."""
    first, last = (round(t * audio.sample_rate) for t in (start, stop))
    mono = audio.mono()[first:last]
    if len(mono) == 0:
        raise InputError(f"no sample lies between {start} s and {stop} s; choose a longer span")
    edges = np.unique(np.linspace(0, len(mono), _COLUMNS + 1).astype(int))
    low, high = (f.reduceat(mono, edges[:-1]) for f in (np.minimum, np.maximum))
    return (first + (edges[:-1] + edges[1:]) / 2) / audio.sample_rate, low, high


def _mark_edit(ax: Axes, edit: Edit, top: float) -> None:
    bounds = edit.song.beat_bounds / edit.song.sample_rate
    edges = np.flatnonzero(np.diff(np.pad(edit.actions == Action.CUT, 1).astype(int)))
    for number, cut in enumerate(edges.reshape(-1, 2)):
        ax.fill_between(
            bounds[cut],
            -top,
            top,
            color="#DDDDDD",
            alpha=0.85,
            linewidth=0,
            zorder=3,
            label="" if number else "cut",
        )
    leaves = bounds[edit.segments[:-1, 1]]
    lands = bounds[edit.segments[1:, 0]]
    seams = np.unique(np.concatenate([leaves, lands]))
    ax.vlines(seams, -top, top, color=style.VERMILLION, linewidth=1.5, zorder=4, label="seams")


@styled
def feature_map(song: Song, ax: Axes | None = None) -> Figure:
    """Draw the 125 features of every beat, group by group, under the given sections.

    Each feature is standardised over the song and clipped at ±3 standard deviations; one that
    never changes is 0. Small groups are drawn taller, so that their names fit.
    """
    ax = axes_or_new(ax, 10, 5.6)
    features = song.features.astype(np.float64)
    spread = features.std(axis=0)
    varies = spread > 1e-9
    values = np.where(varies, (features - features.mean(axis=0)) / np.where(varies, spread, 1), 0)
    edges, middles = [0.0], []
    for group in FEATURE_GROUPS.values():
        size = group.stop - group.start
        height = max(size, _LEAST_HEIGHT)
        middles.append(edges[-1] + height / 2)
        edges += list(edges[-1] + height * np.arange(1, size + 1) / size)
    mesh = ax.pcolormesh(
        song.beat_bounds / song.sample_rate,
        edges,
        values.T,
        cmap=style.AROUND_ZERO,
        vmin=-_CLIP,
        vmax=_CLIP,
        rasterized=True,
    )
    for group in FEATURE_GROUPS.values():
        ax.axhline(edges[group.start], color="white", linewidth=1.5)
    if song.sections:
        top = -0.035 * edges[-1]
        _write_sections(ax, _given_sections(song), (0, song.duration), (0, top))
        ax.set_ylim(edges[-1], top)
    else:
        ax.invert_yaxis()
    ax.set_yticks(middles, [name.replace("_", " ") for name in FEATURE_GROUPS])
    ax.tick_params(axis="y", length=0)
    ax.grid(False)
    ax.set_xlabel("time (s)")
    ax.set_title(
        f"{short_name(song.song_id)}: the {features.shape[1]} features of {song.n_beats} beats"
    )
    bar = figure_of(ax).colorbar(mesh, ax=ax, pad=0.01, aspect=40, extend="both")
    bar.set_label("standard deviations from the song's mean")
    return figure_of(ax)
