"""Cut lists: which spans of the song an edit plays, in files for other programs."""

import json
from pathlib import Path
from typing import Any

from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.editing.pieces import Piece, Seam, Span, left_out, pieces, seams
from rlhf_lib.editing.render import FADE
from rlhf_lib.errors import InputError
from rlhf_lib.paths import atomic_path, resolve
from rlhf_lib.spreadsheet import defused, quoted


def save_cut_list(edit: Edit, path: str | Path, audio_file: str | Path | None = None) -> Path:
    """Write the cut list of an edit atomically, in the format of the suffix.

    docs/data-formats.md describes the files.

    Parameters
    ----------
    edit : Edit
    path : path
        ``.txt`` (a label track of Audacity for the sound of the edit), ``.csv`` (a row for every
        piece), ``.otio`` (an OpenTimelineIO timeline that plays the song) or ``.json`` (everything,
        also beats and actions).
    audio_file : path, optional
        The file of the song that the cut list names, by default the one that it was loaded from.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    InputError
        When the suffix is none of these, the name of the audio file is not UTF-8, or the file
        cannot be written.
    """
    path = resolve(path)
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise InputError(
            f"{path}: a cut list is written to {', '.join(_WRITERS)} files, not {path.suffix!r}"
        )
    source = resolve(edit.song.path if audio_file is None else audio_file)
    try:
        source.name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the name {str(source)!r} is not UTF-8; rename the file") from error
    text = write(edit, source)
    with atomic_path(path) as part:
        # Spreadsheets recognise UTF-8 by the byte order mark.
        encoding = "utf-8-sig" if write is _csv else "utf-8"
        part.write_text(text, encoding=encoding, newline="")
    return path


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, 2:30.0."""
    minutes, tenths = divmod(round(seconds * 10), 600)
    return f"{minutes}:{tenths / 10:04.1f}"


def _words(seam: Seam) -> str:
    left, reached = seam.before.source.end_s, seam.after.source.start_s
    return f"{seam.kind} {clock(left)} → {clock(reached)}"


def _labels(edit: Edit, _: Path) -> str:
    rows, played = [], pieces(edit)
    for piece in played:
        out, source = piece.output, piece.source
        words = f"{piece.number} {clock(source.start_s)}–{clock(source.end_s)}"
        rows.append((out.start_s, out.end_s, words))
    for seam in seams(played):
        at = seam.after.output.start_s
        rows.append((at, at, _words(seam)))
    return "".join(f"{start:.6f}\t{end:.6f}\t{words}\n" for start, end, words in sorted(rows))


def _ends(name: str, span: Span) -> dict[str, Any]:
    return {
        f"{name}_start_s": round(span.start_s, 6),
        f"{name}_end_s": round(span.end_s, 6),
        f"{name}_start_sample": span.start,
        f"{name}_end_sample": span.end,
    }


def _piece(piece: Piece) -> dict[str, Any]:
    row = {"piece": piece.number, "first_beat": piece.first_beat, "last_beat": piece.last_beat}
    return row | _ends("output", piece.output) | _ends("source", piece.source)


def _csv(edit: Edit, source: Path) -> str:
    played = pieces(edit)
    begun_by = ["start", *(seam.kind for seam in seams(played))]
    rows = [
        _piece(piece)
        | {
            "begun_by": kind,
            "sample_rate": piece.source.sample_rate,
            "gain": edit.song.gain,
            "song": defused(source.name),
        }
        for piece, kind in zip(played, begun_by, strict=True)
    ]
    lines = [rows[0], *(row.values() for row in rows)]
    return "".join(",".join(quoted(str(cell)) for cell in line) + "\n" for line in lines)


def _json(edit: Edit, source: Path) -> str:
    song, played = edit.song, pieces(edit)
    content = {
        "format": 1,
        "song": {
            "id": song.song_id,
            "file": source.name,
            "sha256": song.sha256,
            "sample_rate": song.sample_rate,
            "n_samples": song.n_samples,
            "beat_times": song.beat_times.tolist(),
        },
        "edit": {
            "actions": [Action(action).name for action in edit.actions],
            "order": edit.order.tolist(),
            "n_samples": played[-1].output.end,
            "target_keep_ratio": edit.target,
            "keep_ratio": edit.keep_ratio,
            "gain": song.gain,
        },
        "pieces": [_piece(piece) for piece in played],
        "seams": [
            {
                "kind": seam.kind,
                "output_s": round(seam.after.output.start_s, 6),
                "leaves_s": round(seam.before.source.end_s, 6),
                "reaches_s": round(seam.after.source.start_s, 6),
                "output_sample": seam.after.output.start,
                "leaves_sample": seam.before.source.end,
                "reaches_sample": seam.after.source.start,
            }
            for seam in seams(played)
        ],
        "left_out": [
            {"first_beat": one.first_beat, "last_beat": one.last_beat} | _ends("source", one.source)
            for one in left_out(edit)
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _otio(edit: Edit, source: Path) -> str:
    """Return a timeline at the rate of the samples, so that every cut is exact."""
    import opentimelineio as otio

    song, played = edit.song, pieces(edit)

    def time(samples: int) -> Any:
        return otio.opentime.RationalTime(samples, song.sample_rate)

    def span(start: int, end: int) -> Any:
        return otio.opentime.TimeRange(time(start), time(end - start))

    # OpenTimelineIO has no gain of its own.
    timeline = otio.schema.Timeline(song.song_id, metadata={"rlhf_lib": {"gain": song.gain}})
    track = otio.schema.Track(name="edit", kind=otio.schema.TrackKind.Audio)
    timeline.tracks.append(track)
    fades = [*(_offsets(seam, song.n_samples) for seam in seams(played)), None]
    for piece, fade in zip(played, fades, strict=True):
        media = otio.schema.ExternalReference(
            target_url=source.as_uri(), available_range=span(0, song.n_samples)
        )
        beats = {"first_beat": piece.first_beat, "last_beat": piece.last_beat}
        clip = otio.schema.Clip(
            name=source.name,
            media_reference=media,
            source_range=span(piece.source.start, piece.source.end),
            metadata={"rlhf_lib": {"piece": piece.number} | beats},
        )
        track.append(clip)
        if fade is not None and sum(fade):
            kind = otio.schema.TransitionTypes.SMPTE_Dissolve  # of sound: a crossfade
            track.append(otio.schema.Transition("crossfade", kind, *map(time, fade)))
    for seam in seams(played):
        at = seam.after.output.start
        timeline.tracks.markers.append(otio.schema.Marker(_words(seam), span(at, at)))
    return otio.adapters.write_to_string(timeline, "otio_json") + "\n"


def _offsets(seam: Seam, n_samples: int) -> tuple[int, int]:
    """Return the samples of a crossfade before and after the seam, as `render` begins with.

    It reaches at most half into a piece, and no further than the file: in a timeline, both pieces
    need sound during all of it.
    """
    before, after = seam.before.source, seam.after.source
    half = max(round(FADE * before.sample_rate / 2), 1)
    return (
        min(half, (before.end - before.start) // 2, after.start),
        min(half, (after.end - after.start) // 2, n_samples - before.end),
    )


_WRITERS = {".txt": _labels, ".csv": _csv, ".otio": _otio, ".json": _json}
#: Suffixes of the cut lists.
CUT_LIST_SUFFIXES = tuple(_WRITERS)
