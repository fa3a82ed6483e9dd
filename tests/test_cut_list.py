"""Cut lists, read back by other programs: csv, json, OpenTimelineIO, soundfile."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import opentimelineio as otio
import pytest
import soundfile
from test_render import noise, song_of
from toy import toy_song

from rlhf_lib.analysis.audio import load_audio
from rlhf_lib.analysis.downmix import load_downmix
from rlhf_lib.editing.cut_list import save_cut_list
from rlhf_lib.editing.edit import N_ACTIONS, Action, Edit
from rlhf_lib.editing.pieces import left_out, pieces, seams
from rlhf_lib.editing.render import render
from rlhf_lib.errors import InputError
from rlhf_lib.spreadsheet import restored

SUFFIXES = [".txt", ".csv", ".otio", ".json"]
ODD_NAME = "=cmd|' -C calc'!A0, \"Ünï\"\t100% #1?\n+1.wav"
#: Half a crossfade of 12 ms at 44,100 Hz.
HALF = 265


def by_hand():
    """Return an edit of 16 beats of 4,000 samples whose cut list is written out below.

    Beats 3 and 4 are cut, 6 plays three times, 9 plays after 11, the last is cut.
    """
    actions = np.zeros(16, int)
    actions[[3, 4, 15]] = Action.CUT
    actions[6], actions[9] = Action.LOOP_3, Action.REORDER_2
    return Edit(toy_song(16), actions, 0.9)


#: first beat, last beat, begun by
BY_HAND = [
    (0, 2, "start"),
    (5, 6, "cut"),
    (6, 6, "repeat"),
    (6, 8, "repeat"),
    (10, 11, "cut"),
    (9, 9, "step back"),
    (12, 14, "cut"),
]
SPANS = [(first * 4000, (last + 1) * 4000) for first, last, _ in BY_HAND]
PLACES = np.cumsum([0, 3, 2, 1, 3, 2, 1, 3]) * 4000


def any_edit(seed, suffix=".wav", subtype="PCM_16", folder=None, peak=0.5):
    """Write noise as a song and return an edit with all actions, also at the ends."""
    audio = noise(8.0, 2, seed=seed)
    path = folder / f"song{suffix}"
    soundfile.write(path, audio.samples * (peak / 0.5), audio.sample_rate, subtype=subtype)
    chance = np.random.default_rng(seed)
    song = song_of(load_audio(path), np.sort(chance.uniform(0, 7.9, 30)))
    song = replace(song, path=path, gain=load_downmix(path).gain)
    actions = chance.integers(0, N_ACTIONS, 30)
    actions[[0, -1]] = chance.permutation([Action.CUT, Action.LOOP_2])
    return Edit(song, actions, 1.0)


def rows_of(path):
    with path.open(encoding="utf-8-sig", newline="") as handle:
        return list(csv.DictReader(handle))


def clips_of(path):
    timeline = otio.adapters.read_from_file(str(path))
    return timeline, list(timeline.find_clips())


def media_path(clip):
    """Return the file that the URL of a clip names, by the standard library."""
    return Path(url2pathname(urlsplit(clip.media_reference.target_url).path))


def test_pieces_seams_and_what_is_left_out_by_hand():
    edit = by_hand()
    played = pieces(edit)
    assert [(one.first_beat, one.last_beat) for one in played] == [row[:2] for row in BY_HAND]
    assert [(one.source.start, one.source.end) for one in played] == SPANS
    assert [one.output.start for one in played] == PLACES[:-1].tolist()
    assert [one.output.end for one in played] == PLACES[1:].tolist()
    assert [one.number for one in played] == [1, 2, 3, 4, 5, 6, 7]
    assert (played[1].source.start_s, played[1].output.end_s) == (2.5, 2.5)
    assert [seam.kind for seam in seams(played)] == [row[2] for row in BY_HAND[1:]]
    gone = [(one.first_beat, one.last_beat, one.source.start) for one in left_out(edit)]
    assert gone == [(3, 4, 12000), (15, 15, 60000)]


def test_an_edit_that_keeps_all_is_one_piece_without_seams(workspace):
    edit = Edit(toy_song(16), np.zeros(16, int), 1.0)
    (piece,) = pieces(edit)
    assert (piece.source.start, piece.source.end) == (0, edit.song.n_samples)
    assert seams((piece,)) == () and left_out(edit) == ()
    for suffix in SUFFIXES:
        assert save_cut_list(edit, f"cuts{suffix}") == workspace / f"cuts{suffix}"
    assert len(rows_of(workspace / "cuts.csv")) == 1


@pytest.mark.parametrize("seed", range(6))
def test_pieces_are_the_playing_order_and_the_rest_is_left_out(tmp_path, seed):
    edit = any_edit(seed, folder=tmp_path)
    played = pieces(edit)
    beats = [beat for one in played for beat in range(one.first_beat, one.last_beat + 1)]
    assert beats == edit.order.tolist()
    gone = [beat for one in left_out(edit) for beat in range(one.first_beat, one.last_beat + 1)]
    assert sorted({*beats, *gone}) == list(range(30)) and not {*beats} & {*gone}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("suffix", "subtype", "peak"),
    [
        (".wav", "PCM_16", 0.5),
        (".wav", "PCM_24", 0.5),
        (".wav", "FLOAT", 0.5),
        (".flac", "PCM_24", 0.5),
        (".wav", "FLOAT", 2.5),
        (".ogg", "VORBIS", 1.2),
        (".mp3", "MPEG_LAYER_III", 1.2),
    ],
)
def test_soundfile_plays_the_csv_as_render_does_outside_the_crossfades(
    tmp_path, seed, suffix, subtype, peak
):
    edit = any_edit(seed, suffix, subtype, tmp_path, peak)
    rendered = render(edit, load_audio(edit.song.path)).samples
    rows = rows_of(save_cut_list(edit, tmp_path / "cuts.csv"))
    source, rate = soundfile.read(tmp_path / rows[0]["song"], dtype="float32")
    assert {row["sample_rate"] for row in rows} == {str(rate)}
    assert (np.abs(source).max() > 1) == (peak > 1) == (float(rows[0]["gain"]) < 1)
    parts = [
        source[int(row["source_start_sample"]) : int(row["source_end_sample"])] * float(row["gain"])
        for row in rows
    ]
    joined = np.concatenate(parts)
    assert joined.shape == rendered.shape
    same = np.ones(len(joined), bool)
    reach = HALF if peak <= 1 else 2 * HALF  # a loud crossfade is limited, over half a fade more
    for row in rows:
        for name in ("output_start_sample", "output_end_sample"):
            same[max(int(row[name]) - reach, 0) : int(row[name]) + reach] = False
    assert same.mean() > 0.5
    # libsndfile and FFmpeg decode MP3 with different roundings.
    np.testing.assert_allclose(
        joined[same], rendered[same], rtol=0, atol=1e-5 if suffix == ".mp3" else 0
    )
    assert not np.array_equal(joined, rendered)  # the crossfades differ


def test_the_rows_of_the_csv_by_hand(tmp_path):
    rows = rows_of(save_cut_list(by_hand(), tmp_path / "cuts.CSV"))
    for k, (row, (first, last, begun_by)) in enumerate(zip(rows, BY_HAND, strict=True)):
        (start, end), place, until = SPANS[k], PLACES[k], PLACES[k + 1]
        assert row == {
            "piece": str(k + 1),
            "first_beat": str(first),
            "last_beat": str(last),
            "output_start_s": str(place / 8000),
            "output_end_s": str(until / 8000),
            "output_start_sample": str(place),
            "output_end_sample": str(until),
            "source_start_s": str(start / 8000),
            "source_end_s": str(end / 8000),
            "source_start_sample": str(start),
            "source_end_sample": str(end),
            "begun_by": begun_by,
            "sample_rate": "8000",
            "gain": "1.0",
            "song": "toy_0.wav",
        }


def test_the_labels_by_hand(tmp_path):
    text = save_cut_list(by_hand(), tmp_path / "labels.txt").read_bytes().decode()
    assert text.splitlines() == [
        "0.000000\t1.500000\t1 0:00.0–0:01.5",
        "1.500000\t1.500000\tcut 0:01.5 → 0:02.5",
        "1.500000\t2.500000\t2 0:02.5–0:03.5",
        "2.500000\t2.500000\trepeat 0:03.5 → 0:03.0",
        "2.500000\t3.000000\t3 0:03.0–0:03.5",
        "3.000000\t3.000000\trepeat 0:03.5 → 0:03.0",
        "3.000000\t4.500000\t4 0:03.0–0:04.5",
        "4.500000\t4.500000\tcut 0:04.5 → 0:05.0",
        "4.500000\t5.500000\t5 0:05.0–0:06.0",
        "5.500000\t5.500000\tstep back 0:06.0 → 0:04.5",
        "5.500000\t6.000000\t6 0:04.5–0:05.0",
        "6.000000\t6.000000\tcut 0:05.0 → 0:06.0",
        "6.000000\t7.500000\t7 0:06.0–0:07.5",
    ]


def test_a_minute_is_written_as_a_minute(tmp_path):
    edit = Edit(toy_song(240, period=0.4998), np.zeros(240, int), 1.0)  # 119.95 s
    text = save_cut_list(edit, tmp_path / "labels.txt").read_text(encoding="utf-8")
    assert text == "0.000000\t119.952000\t1 0:00.0–2:00.0\n"


@pytest.mark.parametrize("seed", range(4))
def test_the_json_gives_the_same_edit_again(tmp_path, seed):
    edit = any_edit(seed, folder=tmp_path)
    content = json.loads(save_cut_list(edit, tmp_path / "cuts.json").read_text(encoding="utf-8"))
    again = Edit(
        replace(edit.song, beat_times=np.array(content["song"]["beat_times"])),
        np.array([Action[name] for name in content["edit"]["actions"]]),
        content["edit"]["target_keep_ratio"],
    )
    np.testing.assert_array_equal(again.order, edit.order)
    np.testing.assert_array_equal(again.song.beat_bounds, edit.song.beat_bounds)
    assert content["edit"]["order"] == edit.order.tolist()
    assert content["edit"]["keep_ratio"] == edit.keep_ratio
    assert content["song"]["sha256"] == edit.song.sha256
    assert content["song"]["file"] == "song.wav"
    assert [seam["output_sample"] for seam in content["seams"]] == [
        piece["output_start_sample"] for piece in content["pieces"][1:]
    ]
    length = sum(one["source_end_sample"] - one["source_start_sample"] for one in content["pieces"])
    assert content["edit"]["n_samples"] == length


def test_json_and_timeline_hold_the_gain_of_a_song_beyond_full_scale(tmp_path):
    for gain in (1.0, 0.8):
        edit = Edit(replace(toy_song(16), gain=gain), by_hand().actions, 0.9)
        content = json.loads(save_cut_list(edit, tmp_path / "cuts.json").read_text("utf-8"))
        timeline, _ = clips_of(save_cut_list(edit, tmp_path / "cuts.otio"))
        assert content["edit"]["gain"] == timeline.metadata["rlhf_lib"]["gain"] == gain


def test_seams_and_gaps_in_the_json_by_hand(tmp_path):
    content = json.loads(save_cut_list(by_hand(), tmp_path / "cuts.json").read_text("utf-8"))
    assert content["seams"][4] == {
        "kind": "step back",
        "output_s": 5.5,
        "leaves_s": 6.0,
        "reaches_s": 4.5,
        "output_sample": 44000,
        "leaves_sample": 48000,
        "reaches_sample": 36000,
    }
    assert [gap["source_end_sample"] for gap in content["left_out"]] == [20000, 64000]


def test_the_timeline_plays_the_pieces_of_the_song_to_the_sample(tmp_path):
    edit = by_hand()
    timeline, clips = clips_of(save_cut_list(edit, tmp_path / "cuts.otio", tmp_path / "a.wav"))
    (track,) = timeline.tracks
    assert (track.kind, timeline.name) == (otio.schema.TrackKind.Audio, "toy_0")
    assert timeline.duration() == otio.opentime.RationalTime(60000, 8000)
    for clip, (start, end), place in zip(clips, SPANS, PLACES[:-1], strict=True):
        assert clip.source_range.start_time.value == start
        assert clip.source_range.duration.value == end - start
        assert clip.range_in_parent().start_time.value == place
        assert clip.available_range().duration.value == edit.song.n_samples == 64000
        assert clip.source_range.start_time.rate == 8000
    names = [marker.name for marker in timeline.tracks.markers]
    assert names[0] == "cut 0:01.5 → 0:02.5" and len(names) == 6
    places = [marker.marked_range.start_time.value for marker in timeline.tracks.markers]
    assert places == PLACES[1:-1].tolist()


def test_crossfades_of_the_timeline_are_centred_on_the_seams(tmp_path):
    timeline, _ = clips_of(save_cut_list(by_hand(), tmp_path / "cuts.otio"))
    (track,) = timeline.tracks
    fades = [one for one in track if isinstance(one, otio.schema.Transition)]
    # 12 ms at 8,000 Hz are 48 samples on each side.
    assert [(one.in_offset.value, one.out_offset.value) for one in fades] == [(48, 48)] * 6
    around = [one.range_in_parent() for one in fades]
    assert [one.start_time.value + 48 for one in around] == PLACES[1:-1].tolist()


def test_crossfades_of_the_timeline_have_sound_on_both_sides(tmp_path):
    """A repeated first or last beat has no sound of the file before or after it."""
    actions = np.array([Action.LOOP_2, *[Action.KEEP] * 14, Action.LOOP_2])
    timeline, _ = clips_of(save_cut_list(Edit(toy_song(16), actions, 1.0), tmp_path / "cuts.otio"))
    (track,) = timeline.tracks
    fades = [one for one in track if isinstance(one, otio.schema.Transition)]
    assert [(one.in_offset.value, one.out_offset.value) for one in fades] == [(0, 48), (48, 0)]
    # The library's own expansion asks for that sound and refuses overlapping crossfades.
    otio.algorithms.track_with_expanded_transitions(track)


@pytest.mark.parametrize("seed", range(4))
def test_every_crossfade_of_the_timeline_lies_within_the_song(tmp_path, seed):
    edit = any_edit(seed, folder=tmp_path)
    timeline, _ = clips_of(save_cut_list(edit, tmp_path / "cuts.otio"))
    (track,) = timeline.tracks
    otio.algorithms.track_with_expanded_transitions(track)
    fades = [place for place, one in enumerate(track) if isinstance(one, otio.schema.Transition)]
    assert len(fades) > 5
    for place in fades:
        before, fade, after = track[place - 1 : place + 2]
        sound = before.available_range()
        assert after.source_range.start_time - fade.in_offset >= sound.start_time
        end = before.source_range.end_time_exclusive() + fade.out_offset
        assert end <= sound.end_time_exclusive()


def test_a_bundle_of_the_timeline_holds_the_song(tmp_path):
    """OpenTimelineIO's own packer resolves the URLs and copies what they name."""
    edit = any_edit(0, folder=tmp_path)
    timeline, _ = clips_of(save_cut_list(edit, tmp_path / "cuts.otio"))
    otio.adapters.write_to_file(
        timeline,
        str(tmp_path / "bundle.otiod"),
        media_policy=otio.adapters.file_bundle_utils.MediaReferencePolicy.ErrorIfNotFile,
    )
    (copy,) = (tmp_path / "bundle.otiod/media").iterdir()
    assert copy.read_bytes() == edit.song.path.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_odd_names_are_safe(tmp_path, suffix):
    song = replace(toy_song(16), song_id=ODD_NAME[:-4])
    edit = Edit(song, by_hand().actions, 0.9)
    path = save_cut_list(edit, tmp_path / f"{ODD_NAME}{suffix}", tmp_path / ODD_NAME)
    match suffix:
        case ".txt":
            lines = path.read_text(encoding="utf-8").splitlines()
            assert len(lines) == 13 and {line.count("\t") for line in lines} == {2}
        case ".csv":
            cells = {row["song"] for row in rows_of(path)}
            (cell,) = cells
            assert cell.startswith("'=") and "\n'+1.wav" in cell and restored(cell) == ODD_NAME
        case ".json":
            assert json.loads(path.read_text(encoding="utf-8"))["song"]["file"] == ODD_NAME
        case ".otio":
            _, clips = clips_of(path)
            assert {media_path(clip) for clip in clips} == {tmp_path / ODD_NAME}
            assert clips[0].name == ODD_NAME
            url = clips[0].media_reference.target_url
            assert url.isascii() and not {*' "\n#?'} & {*url}


def test_what_cannot_be_written_is_refused_and_changes_nothing(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"written to \.txt, \.csv, \.otio, \.json files.*'\.edl'"):
        save_cut_list(by_hand(), tmp_path / "cuts.edl")
    with pytest.raises(InputError, match="not UTF-8"):
        save_cut_list(by_hand(), tmp_path / "cuts.json", tmp_path / "\udcff.wav")
    assert not [*tmp_path.iterdir()]
    kept = tmp_path / "cuts.csv"
    kept.write_text("mine")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match="No space left"):
        save_cut_list(by_hand(), kept)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["cuts.csv"]
    assert kept.read_text() == "mine"
