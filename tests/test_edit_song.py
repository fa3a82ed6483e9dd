"""`edit_song` as a user types it: a sound file in, a shorter one out, cut lists beside it."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import opentimelineio
import pytest
import soundfile
from mutagen.flac import FLAC
from mutagen.mp4 import MP4
from mutagen.wave import WAVE
from sound_files import write_mp4
from toy import toy_song

from rlhf_lib.analysis.audio import load_audio
from rlhf_lib.analysis.confidence import Confidence
from rlhf_lib.analysis.song import load_song
from rlhf_lib.app.cli import main
from rlhf_lib.composer.compose import compose_songs
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.reward.explain import seam_parts
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.paths import file_sha256
from rlhf_lib.steps.checkpoints import load_policy
from rlhf_lib.steps.edit_places import songs_of_folder
from rlhf_lib.steps.edit_song import EditedSong, edit_song

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Return a folder with two tagged composed songs of 60 s."""
    folder = tmp_path_factory.mktemp("music")
    for path in compose_songs(folder, 2, 4, 60.0):
        tags = FLAC(path)
        tags["title"] = f"Tune of {path.stem}"
        tags.save()
    return folder


@pytest.fixture
def here(music, tmp_path, monkeypatch):
    """Return an empty current folder; the cache lies elsewhere."""
    monkeypatch.setenv("RLHF_WORKSPACE", str(music.parent / "workspace"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def run(*arguments) -> int:
    try:
        return main(["edit_song", *map(str, arguments)])
    except SystemExit as exit:  # how argparse refuses
        return exit.code


def test_a_song_becomes_shorter_and_the_report_says_how(music, here, capsys):
    source = music / "song_001.flac"
    assert run(source, "--seconds", "0:40") == 0
    told = capsys.readouterr().out
    assert [path.name for path in here.iterdir()] == ["song_001_short.flac"]
    info = soundfile.info("song_001_short.flac")
    bar = np.diff(load_song(source).beat_bounds).max() * 4 / info.samplerate
    assert abs(info.duration - 40) <= bar / 2 + 0.1
    assert info.samplerate == soundfile.info(source).samplerate
    assert FLAC("song_001_short.flac")["title"] == ["Tune of song_001"]
    assert "song_001.flac (1:00.2) → song_001_short.flac" in told
    assert "asked for 0:40.0; policy_v14" in told
    assert "left out; reward" in told and "compared with stopping at" in told


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_every_format_is_read_by_another_program(music, here, suffix):
    """PyAV (FFmpeg) reads what libsndfile wrote: sound, rate and title."""
    (made,) = edit_song(music / "song_001.flac", f"x{suffix}", keep=0.5)
    with av.open(f"x{suffix}") as file:
        frames = [frame.to_ndarray() for frame in file.decode(audio=0)]
        stream = file.streams.audio[0]
        tags = {name.lower(): text for name, text in (file.metadata | stream.metadata).items()}
        assert stream.rate == made.edit.song.sample_rate
    channels = load_audio(f"x{suffix}").n_channels
    length = sum(f.shape[-1] // (channels if f.shape[0] == 1 else 1) for f in frames)
    wanted = round(made.edit.duration * made.edit.song.sample_rate)
    assert abs(length - wanted) <= 2304  # an MP3 is padded to whole frames
    if suffix != ".wav":  # FFmpeg reads no ID3 in WAV
        assert tags["title"] == "Tune of song_001"


def test_start_end_and_protected_passages_are_the_song_sample_by_sample(music, here):
    source = music / "song_002.flac"
    (made,) = edit_song(source, "x.wav", seconds=30, protect=[(20.0, 28.0)])
    song, edit = soundfile.read(source)[0], soundfile.read("x.wav")[0]
    rate = made.edit.song.sample_rate
    assert (edit[:rate] == song[:rate]).all() and (edit[-rate:] == song[-rate:]).all()
    passage = song[21 * rate : 27 * rate]  # inside, away from crossfades
    places = np.flatnonzero((edit[: len(edit) - len(passage)] == passage[0]).all(axis=1))
    assert any((edit[at : at + len(passage)] == passage).all() for at in places)


def test_without_start_and_end_the_policy_is_free(music, here):
    free = edit_song(music / "song_001.flac", "x.wav", keep=0.4, must_start=False, must_end=False)
    bound = edit_song(music / "song_001.flac", "y.wav", keep=0.4)
    assert bound[0].edit.order[0] == 0
    assert bound[0].edit.order[-1] == bound[0].edit.song.n_beats - 1
    assert abs(free[0].edit.duration - bound[0].edit.duration) < 4


def test_variants_and_cut_lists_lie_beside_the_edit(music, here, capsys):
    kinds = "txt,csv,otio,json"
    assert (
        run(music / "song_001.flac", "x.wav", "--keep", 0.5, "--variants", 2, "--cut_list", kinds)
        == 0
    )
    names = {path.name for path in here.iterdir()}
    assert names == {f"{stem}.{end}" for stem in ("x", "x_2") for end in ("wav", *kinds.split(","))}
    source, _ = soundfile.read(music / "song_001.flac")
    for stem in ("x", "x_2"):
        edit, rate = soundfile.read(f"{stem}.wav")
        with Path(f"{stem}.csv").open(encoding="utf-8-sig", newline="") as file:
            pieces = list(csv.DictReader(file))
        spans = [(int(p["source_start_sample"]), int(p["source_end_sample"])) for p in pieces]
        rendered = np.concatenate([source[start:end] for start, end in spans])
        differs = np.flatnonzero((rendered != edit).any(axis=1))
        seams = np.array([int(p["output_start_sample"]) for p in pieces])
        assert len(rendered) == len(edit)
        assert np.abs(differs[:, None] - seams).min(axis=1).max() <= 0.1 * rate
        timeline = opentimelineio.adapters.read_from_file(f"{stem}.otio")
        assert timeline.duration().value == len(edit)
        assert json.loads(Path(f"{stem}.json").read_text())["song"]["sha256"] == file_sha256(
            music / "song_001.flac"
        )
        labels = [line.split("\t") for line in Path(f"{stem}.txt").read_text().splitlines()]
        assert float(labels[-1][1]) == pytest.approx(len(edit) / rate, abs=1e-5)


def test_a_song_beyond_full_scale_is_lowered_and_the_report_and_the_cut_list_say_so(music, here):
    """Joined by soundfile from the CSV alone, it is the edit; both variants have one level."""
    samples, rate = soundfile.read(music / "song_001.flac")
    soundfile.write("loud.wav", samples * (1.25 / np.abs(samples).max()), rate, subtype="FLOAT")
    made = edit_song("loud.wav", "x.wav", keep=0.5, variants=2, cut_lists="csv")
    source, _ = soundfile.read("loud.wav")
    assert len(made) == 2
    for one in made:
        assert "\n  level lowered by 1.9 dB: the song exceeds full scale\n" in str(one)
        with one.cut_lists[0].open(encoding="utf-8-sig", newline="") as file:
            pieces = list(csv.DictReader(file))
        (gain,) = {float(piece["gain"]) for piece in pieces}
        assert gain == pytest.approx(0.8, rel=1e-6)
        spans = [(int(p["source_start_sample"]), int(p["source_end_sample"])) for p in pieces]
        joined = gain * np.concatenate([source[start:end] for start, end in spans])
        edit, _ = soundfile.read(one.path)
        differs = np.flatnonzero((np.abs(joined - edit) > 2**-23).any(axis=1))  # 24 bits
        seams = np.array([int(piece["output_start_sample"]) for piece in pieces])
        assert np.abs(differs[:, None] - seams).min(axis=1).max() <= 0.1 * rate
    barely = replace(made[0].edit.song, gain=0.999)
    told = str(replace(made[0], edit=Edit(barely, made[0].edit.actions, made[0].edit.target)))
    assert "level lowered by less than 0.1 dB" in told


@pytest.mark.parametrize(
    ("kept", "hints"),
    [
        (
            [(0, 4), (40, 80)],
            ["2.0 s are left of the beginning; to keep more, protect 0:00.0-0:10.0"],
        ),
        (
            [(0, 40), (77, 80)],
            ["1.5 s are left of the ending; to keep more, protect 0:30.0-0:40.0"],
        ),
        ([(0, 10), (70, 80)], []),  # 5 s
        ([(4, 8), (40, 76)], []),  # neither the song's beginning nor its ending
        ([(0, 4)], []),  # no seam: it stops
    ],
)
def test_short_beginnings_and_endings_are_named(kept, hints):
    song = toy_song(80)  # 40 s
    actions = np.full(80, Action.CUT)
    for start, stop in kept:
        actions[start:stop] = Action.KEEP
    edit = Edit(song, actions, 0.5)
    seams = seam_parts(edit, SYNTHETIC_WEIGHTS)
    told = str(EditedSong(Path("x.wav"), edit, 20.0, "policy_v14", seams, {}, ()))
    assert [line.removeprefix("  hint: ") for line in told.splitlines() if "hint" in line] == hints


def test_a_cut_list_named_twice_is_written_once(music, here):
    song = music / "song_001.flac"
    (made,) = edit_song(song, "x.wav", keep=0.5, cut_lists=["csv", "txt", "csv"])
    assert [path.name for path in made.cut_lists] == ["x.csv", "x.txt"]
    assert str(made).count("cut list:") == 2
    assert "level lowered" not in str(made)


def test_a_folder_of_songs(music, here, capsys):
    (music / "sub").mkdir(exist_ok=True)
    short = music / "sub" / "short.wav"
    soundfile.write(short, np.zeros(8000), 8000)
    assert run(music, "out", "--keep", 0.5) == 2
    told = capsys.readouterr()
    assert "lasts 1.00 s" in told.err and "1 of 3 songs were skipped" in told.err
    assert sorted(p.name for p in (here / "out").rglob("*.*")) == [
        "song_001_short.flac",
        "song_002_short.flac",
    ]
    short.unlink()


def test_songs_of_one_name_get_edits_of_their_own(tmp_path):
    """Also their cut lists, which have no more than the stem of the edit."""
    for name in ("a.aiff", "a.wav", "b.mp3", "c.flac", "c.m4a", "c_m4a.wav", "sub/a.wav"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    pairs = songs_of_folder(tmp_path / "in", tmp_path / "out")
    places = [place.relative_to(tmp_path / "out").as_posix() for _, place in pairs]
    assert places == [
        *("a_short.wav", "a_wav_short.wav", "b_short.mp3"),
        *("c_short.flac", "c_m4a_short.wav", "c_m4a_wav_short.wav", "sub/a_short.wav"),
    ]
    with pytest.raises(InputError, match="give another folder"):
        songs_of_folder(tmp_path / "in", tmp_path / "in")


def test_an_uncertain_grid_is_told_once_beside_the_report(music, here, capsys, caplog, monkeypatch):
    loaded = load_song(music / "song_001.flac")
    doubtful = replace(loaded, confidence=Confidence(0.5, 1.0, 1.0))
    monkeypatch.setattr("rlhf_lib.steps.edit_song.load_song", lambda *_, **__: doubtful)
    assert run(music / "song_001.flac", "x.wav", "--keep", 0.5, "--variants", 2) == 0
    assert Path("x_2.wav").exists()
    (told,) = [record.getMessage() for record in caplog.records]
    assert "song_001: estimated with a confidence below 0.8: the tempo 0.50" in told
    assert "confidence" not in capsys.readouterr().out
    caplog.clear()
    sure = replace(loaded, confidence=Confidence(1.0, 1.0, 1.0))
    monkeypatch.setattr("rlhf_lib.steps.edit_song.load_song", lambda *_, **__: sure)
    edit_song(music / "song_001.flac", "y.wav", keep=0.5)
    assert caplog.records == []


def test_nothing_is_overwritten_unless_asked(music, here, capsys):
    source = here / "mine.flac"
    source.write_bytes((music / "song_001.flac").read_bytes())
    before = source.read_bytes()
    (here / "x.wav").write_bytes(b"precious")
    (here / "y.csv").write_bytes(b"precious too")
    for arguments in (["x.wav"], ["y.wav", "--cut_list", "csv"]):
        assert run(source, *arguments, "--keep", 0.5) == 2
        assert "exists; give another output" in capsys.readouterr().err
    assert run(source, source, "--keep", 0.5, "--overwrite") == 2
    assert "is the song itself" in capsys.readouterr().err
    assert source.read_bytes() == before
    assert (here / "y.csv").read_bytes() == b"precious too" and not (here / "y.wav").exists()
    assert run(source, "x.wav", "--keep", 0.5, "--overwrite") == 0
    assert soundfile.info("x.wav").duration > 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "90"], r"lasts 60\.2 s, so an edit of 90\.0 s would be longer; ask for at"),
        (["--seconds", "5"], r"At least 20% must stay: ask for 12\.0 s or more"),
        (["--seconds", "15", "--protect", "0-0:30"], "cannot be reached; what must stay takes"),
        (["--keep", "0.5", "--protect", "50-70"], "cannot be protected; give a start before"),
        (["--keep", "0.5", "--cut_list", "edl"], "'edl' is no kind of cut list"),
        (["--keep", "0.5", "--variants", "0"], "is no number of variants; ask for 1 to 99"),
        (["--keep", "0.5", "--policy", "nothing.pt"], r"nothing\.pt is missing; .*: policy_v14$"),
        (["x.aiff", "--keep", "0.5"], r"cannot write x\.aiff: its suffix is not one of"),
        (["--keep", "a lot"], "is not a share"),
        (["--keep", "0.5", "--must_start", "maybe"], "neither on nor off"),
    ],
)
def test_impossible_wishes_are_refused_and_nothing_is_written(
    music, here, capsys, arguments, message
):
    assert run(music / "song_001.flac", *arguments) == 2
    assert re.search(message, capsys.readouterr().err, re.MULTILINE)
    assert list(here.iterdir()) == []


def test_python_takes_what_the_command_takes(music, here):
    source = music / "song_001.flac"
    model = load_policy(ROOT / "models/policy_v14.pt")
    (one,) = edit_song(source, "x.wav", seconds="0:30", protect="0:20-0:28", cut_lists="txt")
    (other,) = edit_song(source, "y.wav", seconds=30, protect=[(20.0, 28.0)], policy=model)
    assert (one.edit.actions == other.edit.actions).all() and one.policy == other.policy
    assert Path("x.txt").exists() and not Path("y.txt").exists()
    plain = edit_song(source, "u.wav", keep=0.5, must_end=False, protect=None, cut_lists=None)
    words = edit_song(source, "v.wav", keep=0.5, must_end="off", spare_singing="on")
    assert (plain[0].edit.actions == words[0].edit.actions).all()
    for wishes, message in (
        ({"keep": 0.5, "must_start": "no"}, "'no' is neither on nor off"),
        ({"keep": 0.5, "overwrite": "yes"}, "'yes' is neither on nor off"),
        ({}, "either as seconds .* or as keep"),
        ({"keep": 0.5, "seconds": 30}, "either as seconds .* or as keep"),
        ({"seconds": 30, "protect": (30, 40)}, "30 is not a passage"),
        ({"seconds": 30, "variants": 2.5}, "2.5 is no number of variants"),
    ):
        with pytest.raises(InputError, match=message):
            edit_song(source, "z.wav", **wishes)
    with pytest.raises(InputError, match=r"is a folder; .* songs_of_folder"):
        edit_song(music, keep=0.5)
    assert not Path("z.wav").exists()


def test_a_name_that_ends_in_a_separator_is_a_folder(music, here, capsys):
    assert run(music / "song_001.flac", "new/", "--keep", 0.5) == 0
    assert [path.name for path in (here / "new").iterdir()] == ["song_001_short.flac"]
    assert run(music, "out.wav", "--keep", 0.5) == 2
    assert "out.wav is named like a sound file; give a folder" in capsys.readouterr().err
    assert not Path("out.wav").exists()


def test_edits_are_no_songs_of_their_folder(tmp_path):
    for name in (
        "a.wav",
        "sub/b.wav",
        "short/a_short.wav",
        "short/sub/b_short.wav",
        "shorter/c.wav",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def songs(output, source=tmp_path):
        pairs = songs_of_folder(source, output)
        return [path.relative_to(tmp_path).as_posix() for path, _ in pairs]

    assert songs(tmp_path / "short") == ["a.wav", "shorter/c.wav", "sub/b.wav"]
    assert songs(tmp_path, tmp_path / "sub") == ["sub/b.wav"]
    (tmp_path / "linked").symlink_to(tmp_path / "short")
    assert songs(tmp_path / "linked") == ["a.wav", "shorter/c.wav", "sub/b.wav"]


def test_a_folder_is_resumed(music, here, capsys):
    assert run(music, "--keep", 0.5) == 0
    first, second = sorted((here / "short").iterdir())
    before = first.stat().st_mtime_ns
    second.unlink()
    assert run(music, "--keep", 0.5) == 0
    assert "1 of 2 songs were already there; --overwrite" in capsys.readouterr().out
    assert first.stat().st_mtime_ns == before and second.exists()
    assert run(music, "--keep", 0.5) == 0
    assert "2 of 2 songs were already there" in capsys.readouterr().out
    assert run(music, "--keep", 0.5, "--cut_list", "txt") == 2  # asked for more than is there
    assert "exists; give another output" in capsys.readouterr().err
    assert run(music, "--keep", 0.5, "--overwrite") == 0
    assert first.stat().st_mtime_ns > before


def test_what_a_killed_run_left_of_a_song_is_replaced(music, here, capsys):
    """The first edit is written last: here it is missing, and a later one was half written."""
    wishes = ("--keep", 0.5, "--variants", 2, "--cut_list", "csv")
    assert run(music, *wishes) == 0
    short = here / "short"
    whole = {path.name: path.read_bytes() for path in short.iterdir()}
    assert len(whole) == 8
    (short / "song_002_short.flac").unlink()
    (short / "song_002_short_2.flac").write_bytes(b"of other wishes")
    (short / "song_002_short.csv").write_text("of other wishes")
    (short / "song_001_short_2.csv").write_text("mine")  # of a finished song
    assert run(music, *wishes) == 0
    assert {path.name: path.read_bytes() for path in short.iterdir()} == whole | {
        "song_001_short_2.csv": b"mine"
    }
    (short / "song_002_short.flac").unlink()
    one = music / "song_002.flac"
    assert run(one, short / "song_002_short.flac", *wishes) == 2  # a file: nothing is replaced
    assert "exists; give another output" in capsys.readouterr().err


def test_variants_of_an_earlier_run_are_named(music, here, capsys, caplog):
    song = music / "song_001.flac"
    assert run(song, "x.wav", "--keep", 0.5, "--variants", 2, "--cut_list", "csv") == 0
    assert run(song, "x.wav", "--keep", 0.6, "--overwrite", "--cut_list", "txt") == 0
    (told,) = [record.getMessage() for record in caplog.records]
    assert told == "note: of an earlier edit, not of this x.wav: x.csv, x_2.wav, x_2.csv"
    assert Path("x_2.wav").exists()
    caplog.clear()
    assert run(song, "y.wav", "--keep", 0.6, "--overwrite") == 0
    assert caplog.records == []


def test_a_finished_song_with_fewer_variants_is_told(music, here, capsys):
    assert run(music, "--keep", 0.5) == 0
    (here / "short" / "song_002_short_2.flac").touch()
    capsys.readouterr()
    assert run(music, "--keep", 0.5, "--variants", 2) == 0
    told = "2 of 2 songs were already there, 1 with fewer than 2 variants; --overwrite edits them"
    assert told in capsys.readouterr().out


def test_edits_of_a_song_appear_together_or_not_at_all(music, here, monkeypatch):
    from rlhf_lib.steps import edit_song as module

    def interrupted(path, *arguments, **more):
        if Path(path).name == "x.wav":
            raise KeyboardInterrupt
        return save(path, *arguments, **more)

    save = module.save_audio
    monkeypatch.setattr(module, "save_audio", interrupted)
    wishes = ("--keep", 0.5, "--variants", 2, "--cut_list", "txt,csv")
    assert run(music / "song_001.flac", "x.wav", *wishes) == 130
    assert list(here.iterdir()) == []
    (here / "x_2.csv").touch()
    assert run(music / "song_001.flac", "x.wav", *wishes, "--overwrite") == 130
    assert [path.name for path in here.iterdir()] == ["x_2.csv"]  # replaced, not removed


def test_mistakes_that_concern_no_song_are_told_once(music, here, capsys, monkeypatch):
    monkeypatch.setattr(
        "rlhf_lib.steps.edit_song.load_song", lambda *_, **__: pytest.fail("loaded")
    )
    (here / "broken.pt").write_bytes(b"no policy")
    for mistake in (
        ("--policy", "broken.pt"),
        ("--policy", "nothing"),
        ("--beats", "mine"),
        ("--cut_list", "edl"),
    ):
        assert run(music, "out", "--keep", 0.5, *mistake) == 2
        told = capsys.readouterr().err
        assert told.count("error: ") == 1 and "skipped" not in told


def test_that_singing_is_not_spared_is_told(music, here, capsys):
    source = music / "song_001.flac"
    for number, (wishes, told) in enumerate(
        [
            (("--must_end", "off"), True),
            (("--must_start", "off", "--spare_singing", "on"), True),
            (("--must_start", "off", "--spare_singing", "off"), False),
            ((), False),
        ]
    ):
        assert run(source, f"{number}.wav", "--keep", 0.5, *wishes) == 0
        assert ("note: sung lines are spared only" in capsys.readouterr().err) == told


def test_an_m4a_file_becomes_a_wav_with_its_title(music, here):
    sound = load_audio(music / "song_001.flac")
    tags = MP4(write_mp4(here / "phone.m4a", sound.samples, sound.sample_rate))
    tags["\xa9nam"] = "From a phone"
    tags.save()
    assert run("phone.m4a", "--keep", "50%", "--cut_list", "otio") == 0
    assert WAVE("phone_short.wav")["TIT2"].text == ["From a phone"]
    assert abs(soundfile.info("phone_short.wav").duration - sound.duration / 2) < 2


@pytest.mark.parametrize("name", ["wrong.mp3", "phone.3gp"])
def test_an_mp4_of_another_suffix_is_edited_by_its_content(music, here, capsys, name):
    sound = load_audio(music / "song_001.flac")
    (here / "in").mkdir()
    write_mp4(here / "a.m4a", sound.samples, sound.sample_rate).rename(here / "in" / name)
    assert run("in", "--keep", "50%") == 0
    (edit,) = (here / "short").iterdir()
    assert edit.name == {"wrong.mp3": "wrong_short.mp3", "phone.3gp": "phone_short.wav"}[name]
    assert abs(soundfile.info(edit).duration - sound.duration / 2) < 2


def test_a_wrong_policy_is_refused(music, here):
    with pytest.raises(InputError, match="not a Policy"):
        edit_song(music / "song_001.flac", keep=0.5, policy=ROOT / "models/reward_model_v8.pt")
