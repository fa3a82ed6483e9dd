"""Damaged files: each reader loads valid content, or refuses the file by name.

No damage may lead to an error of a library, a value that is not a number, a hang, or a change of
the file; `read_or_refuse` checks this. The damage is random with fixed seeds.
"""

import csv
import io
import json
import random
import re
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from feedback_examples import answer, manifest
from mutations import ODD_TEXT, damaged, named_twice, odd_json, read_or_refuse
from sound_files import (
    encoded,
    flac_of_unknown_length,
    mp3,
    music,
    wav_declaring,
    without_header,
)

from rlhf_lib.analysis import song_cache
from rlhf_lib.analysis.audio import load_audio
from rlhf_lib.analysis.beat_files import read_beats
from rlhf_lib.analysis.sections import read_sections
from rlhf_lib.analysis.song import load_song
from rlhf_lib.errors import InputError, quote
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.exchange import export_feedback, import_feedback
from rlhf_lib.feedback.manifest import Manifest
from rlhf_lib.feedback.store import PreferenceStore

ROUNDS = 150
EXAMPLES = dict(
    re.findall(
        r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$",
        (Path(__file__).parent.parent / "feedback/FEEDBACK_DATA_FORMAT.md").read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)
RATED = Manifest.model_validate_json(EXAMPLES.pop("evaluation_manifest.json"))


def _odd(data: bytes, chance: random.Random) -> str:
    return odd_json(json.loads(data), chance)


def _rounds(path, data, read, check, change=damaged, rounds=ROUNDS) -> int:
    """Damage and read a file many times; return how often it was loaded."""
    loaded = 0
    for seed in range(rounds):
        changed = change(data, random.Random(f"{path.name} {seed}"))
        path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())
        loaded += read_or_refuse(path, read, check)
    return loaded


def _is_sound(audio):
    assert np.isfinite(audio.samples).all()
    assert audio.n_samples > 0
    assert np.abs(audio.samples).max() <= 1


@pytest.mark.parametrize(
    ("name", "form", "subtype"),
    [
        ("a.wav", "WAV", "PCM_16"),
        ("b.wav", "WAV", "FLOAT"),
        ("a.flac", "FLAC", "PCM_16"),
        ("a.ogg", "OGG", "VORBIS"),
        ("a.opus", "OGG", "OPUS"),
        ("a.mp3", "MP3", "MPEG_LAYER_III"),
        ("a.aiff", "AIFF", "PCM_16"),
        ("a.au", "AU", "PCM_16"),
        ("a.w64", "W64", "PCM_16"),
        ("a.caf", "CAF", "PCM_16"),
    ],
)
def test_songs(tmp_path, name, form, subtype):
    time = np.arange(8000) / 8000
    sound = 0.5 * np.sin(2 * np.pi * np.outer(time, (220, 330)))
    path = tmp_path / name
    soundfile.write(path, sound, 8000, format=form, subtype=subtype)
    _rounds(path, path.read_bytes(), load_audio, _is_sound)


OTHER_SONGS = {
    "vbr_without_header.mp3": lambda wave: without_header(mp3(wave, 16000, "VARIABLE"))[0],
    "joined.mp3": lambda wave: mp3(wave, 16000) + mp3(wave, 16000, "VARIABLE"),
    "chained.ogg": lambda wave: encoded(wave, 16000, "OGG", "VORBIS") * 2,
    "chained.opus": lambda wave: encoded(wave, 16000, "OGG", "OPUS") * 2,
    "unknown_length.flac": lambda wave: flac_of_unknown_length(wave, 16000),
    "joined.flac": lambda wave: (
        flac_of_unknown_length(wave, 16000) + encoded(wave, 16000, "FLAC", "PCM_16")
    ),
    "short_header.wav": lambda wave: wav_declaring(wave, 20_000, 16000),
    "piped.wav": lambda wave: wav_declaring(wave, 0, 16000),
}


@pytest.mark.parametrize("name", OTHER_SONGS)
def test_songs_without_header_or_of_several_streams(tmp_path, name):
    data = OTHER_SONGS[name](music(2.0, 16000, 2))
    (tmp_path / name).write_bytes(data)
    assert read_or_refuse(tmp_path / name, load_audio, _is_sound) == (name != "short_header.wav")
    _rounds(tmp_path / name, data, load_audio, _is_sound, rounds=50)


def _rise(beats):
    assert np.isfinite(beats.times).all()
    assert (np.diff(beats.times) > 0).all()
    assert beats.times[0] >= 0
    assert beats.times[-1] < 30
    if beats.downbeats is not None:
        assert min(np.diff(beats.downbeats, append=len(beats.times))) >= 1
        assert max(np.diff(beats.downbeats, append=len(beats.times))) <= 12


def test_beat_files(tmp_path):
    data = "".join(f"{beat / 2:.6f}\n" for beat in range(40)).encode()
    assert 0 < _rounds(tmp_path / "a.beats", data, lambda path: read_beats(path, 30.0), _rise) < 100


def test_beat_files_with_bars(tmp_path):
    rows = (f"{beat / 2:.6f}\t{beat % 4 + 1}\t{beat // 4 + 1}\n" for beat in range(40))
    data = "".join(rows).encode()
    read = partial(read_beats, duration=30.0)
    assert 0 < _rounds(tmp_path / "bars.beats", data, read, _rise) < 100


def _in_order(spans):
    assert spans and all(0 <= span.start < 30 for span in spans)
    assert all(one.start < other.start for one, other in pairwise(spans))
    assert all(span.end is None or span.start < span.end <= 31 for span in spans)


@pytest.mark.parametrize("name", ["label,start,end", ""])
def test_section_files(tmp_path, name):
    rows = [
        f"part {k},{4 * k}.5,{4 * k + 4}.5" if name else f"{4 * k}.5 {4 * k + 4}.5 part {k}"
        for k in range(6)
    ]
    data = "\n".join([name, *rows]).encode()
    read = partial(read_sections, duration=30.0)
    assert 0 < _rounds(tmp_path / "a.sections", data, read, _in_order) < 120


def test_beat_files_with_a_byte_order_mark(tmp_path):
    data = "".join(f"{beat / 2:.6f}\r\n" for beat in range(40)).encode("utf-8-sig")
    read = partial(read_beats, duration=30.0)
    assert 0 < _rounds(tmp_path / "bom.beats", data, read, _rise, rounds=50) < 50


def test_a_song_over_a_damaged_cache_is_the_song(workspace):
    rng = np.random.default_rng(0)
    clicks = rng.normal(size=12 * 8000) * 0.01
    clicks[::4000] = 0.9
    soundfile.write(workspace / "song.wav", clicks, 8000)
    whole = load_song(workspace / "song.wav")
    (entry,) = (workspace / ".cache/songs").iterdir()
    data = entry.read_bytes()
    for seed in range(ROUNDS):
        changed = damaged(data, random.Random(seed))
        entry.write_bytes(changed)
        assert (song_cache.read(entry) is None) == (changed != data)
    again = load_song(workspace / "song.wav")
    np.testing.assert_array_equal(again.features, whole.features)


@pytest.mark.parametrize(
    "change", [damaged, lambda data, chance: odd_json(json.loads(data), chance)]
)
def test_manifests(tmp_path, change):
    manifest().save(tmp_path / "m.json")
    data = (tmp_path / "m.json").read_bytes()

    def is_the_manifest(loaded):
        assert loaded == manifest()  # the hash excludes anything else

    _rounds(tmp_path / "m.json", data, Manifest.load, is_the_manifest, change)


def _is_annotation(annotation):
    assert Annotation.model_validate_json(annotation.model_dump_json()) == annotation


@pytest.mark.parametrize(
    "change", [damaged, lambda data, chance: odd_json(json.loads(data), chance)]
)
def test_preferences(tmp_path, change):
    store = PreferenceStore(tmp_path)
    one = answer(listening={"seconds_a": 1.0}, tags=["x"], confidence=0.5, shown_first="a")
    store.add([one, answer(supersedes=one.annotation_id), answer()])

    def check(annotations):
        for annotation in annotations:
            _is_annotation(annotation)

    def load_and_add(path):
        before = path.read_bytes()
        try:
            annotations = PreferenceStore(path).load()
        except InputError:
            with pytest.raises(InputError):
                PreferenceStore(path).add(answer())
            raise
        PreferenceStore(path).add(answer())
        assert len(PreferenceStore(path).load()) == len(annotations) + 1
        path.write_bytes(before)
        return annotations

    _rounds(store.path, store.path.read_bytes(), load_and_add, check, change)


def test_preferences_with_a_field_twice(tmp_path):
    store = PreferenceStore(tmp_path)
    store.add([answer(listening={"seconds_a": 1.0}, tags=["x"]), answer()])
    data = store.path.read_bytes()

    def load(path):
        return PreferenceStore(path).load()

    assert _rounds(store.path, data, load, None, named_twice) == 0


def _check_import(result):
    for annotation in result.annotations:
        _is_annotation(annotation)
    for refusal in result.refused:
        assert refusal.remedy
        assert len(str(refusal)) < 1000
        str(refusal).encode()  # can be printed
    for name in result.left_out:
        quote(name).encode()


def _read_import(path):
    return import_feedback(path, RATED, rater_id="ann", rater_kind="human", stored=[])


@pytest.mark.parametrize("name", EXAMPLES)
def test_imports_of_every_shape(tmp_path, name):
    _rounds(tmp_path / name, EXAMPLES[name].encode(), _read_import, _check_import)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.endswith(".json")])
def test_imports_with_odd_values(tmp_path, name):
    _rounds(tmp_path / name, EXAMPLES[name].encode(), _read_import, _check_import, _odd)


NOTES = ("first\rsecond", "\t=1", "fine;=1+1", "＝1", 'a "b",\r\nc', "'=x")


def test_csv_exports(tmp_path):
    given = [answer(reasoning=note, tags=["+energy", "x, y"]) for note in NOTES]
    data = export_feedback(given, tmp_path / "out.csv").read_bytes()
    loaded = _rounds(tmp_path / "out.csv", data, _read_export, _check_import)
    assert loaded > ROUNDS / 2


def test_csv_exports_with_odd_cells(tmp_path):
    given = [answer(reasoning=note, tags=["+energy", "x, y"]) for note in NOTES]
    path = export_feedback(given, tmp_path / "out.csv")
    with path.open(encoding="utf-8-sig", newline="") as handle:
        rows = list(csv.reader(handle))

    def change(_, chance):
        text = io.StringIO(newline="")
        cells = [list(row) for row in rows]
        row = chance.choice(cells)
        row[chance.randrange(len(row))] = chance.choice(ODD_TEXT)
        if chance.randrange(2):  # columns without a name
            cells = [[*row, ""] for row in cells]
        csv.writer(text, quoting=csv.QUOTE_ALL).writerows(cells)
        return text.getvalue()

    assert _rounds(path, b"", _read_export, _check_import, change) > ROUNDS / 2


def _read_export(path):
    return import_feedback(path, stored=[])


def test_csv_cells_with_odd_values(tmp_path):
    rows = [line.split(",") for line in EXAMPLES["sheet.csv"].splitlines()]

    def change(_, chance):
        cells = [list(row) for row in rows]
        row = chance.choice(cells)
        row[chance.randrange(len(row))] = chance.choice(
            (*ODD_TEXT, "9", "2.5", "TRUE", " a", "tie")
        )
        return "\n".join(",".join(row) for row in cells)

    _rounds(tmp_path / "sheet.csv", b"", _read_import, _check_import, change)
