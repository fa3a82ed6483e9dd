"""Names of songs: shown to researchers everywhere, to raters nowhere."""

import json

import numpy as np
import pytest
import soundfile
from feedback_examples import answer, candidate, song, task
from rating_material import small_manifest, small_songs

from rlhf_lib.analysis.audio import Audio, load_audio, save_audio
from rlhf_lib.feedback.carry_over import answers_to
from rlhf_lib.feedback.label_studio import copy_sounds, labelling_config, to_tasks
from rlhf_lib.feedback.manifest import (
    Candidate,
    Manifest,
    PolicyRef,
    SongEntry,
    Task,
    song_names,
)
from rlhf_lib.feedback.quality.report import quality_report, write_quality_report
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.steps.candidate_names import file_name
from rlhf_lib.studio.annotator import annotate

RATE = 8000
NAME, FOLDER = "Better Days: live", "Better_Days_live_3f2a9c01"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("better", "better"),
        ("AC/DC: Live?", "AC_DC_Live"),
        ("a.b...", "a_b"),
        ("cafe\u0301", "caf\u00e9"),
        ("हिन्दी 歌", "हिन्दी_歌"),
        ("one 🎵 two", "one_two"),
        ("a\nb\x1b[31m", "a_b_31m"),
        ("..", "song"),
        ("", "song"),
        ("x" * 250, "x" * 60),
        ("é" * 125, "é" * 30),
        ("x" + "é" * 125, "x" + "é" * 29),  # no half letter
    ],
)
def test_names_of_files_are_safe_and_never_empty(name, expected):
    assert file_name(name) == expected


def entry(number=1, name=NAME, **fields) -> SongEntry:
    folder = FOLDER
    candidates = [
        Candidate(**candidate(f"temp_{t}", actions) | {"path": f"{folder}/{NAME}_temp_{t}.flac"})
        for t, actions in ((0.1, [0, 0, 0, 0]), (0.9, [0, 1, 1, 0]))
    ]
    usual = {"id": f"song_3f2a9c0{number}", "path": f"{folder}/{NAME}_original.flac", "name": name}
    return SongEntry(**song() | usual | {"candidates": candidates} | fields)


def manifest(*songs) -> Manifest:
    tasks = [Task(**task(k) | {"song_id": one.id}) for k, one in enumerate(songs)]
    return Manifest.create(PolicyRef(name="policy_v14", sha256="0" * 64), list(songs), tasks)


def test_songs_that_share_a_name_get_their_digits():
    songs = [entry(1), entry(2), entry(3, "other"), entry(4, None)]
    expected = [f"{NAME}_3f2a9c01", f"{NAME}_3f2a9c02", "other", "song_3f2a9c04"]
    assert song_names(songs) == expected
    assert manifest(*songs).song_names() == {
        f"song_3f2a9c0{k}": name for k, name in enumerate(expected, 1)
    }


def test_answers_are_carried_between_manifests_with_and_without_names():
    old, named, renamed = (manifest(entry(name=name)) for name in (None, NAME, "other"))
    assert len({one.manifest_id for one in (old, named, renamed)}) == 3
    assert "name" not in json.loads(old.model_dump_json(exclude_defaults=True))["songs"][0]
    given = answer(song_id="song_3f2a9c01", manifest_id=old.manifest_id)
    kept = {one.manifest_id: one for one in (old, named, renamed)}.get
    for before, after in ((old, named), (named, renamed), (renamed, old)):
        given = given.model_copy(update={"manifest_id": before.manifest_id})
        (carried,) = answers_to(after, [given], kept)
        assert carried.task_id == "task_0" and carried.preference == given.preference


def test_the_quality_report_names_songs(tmp_path):
    store, known = PreferenceStore(tmp_path), manifest(entry())
    store.keep_manifest(known)
    about = {"song_id": "song_3f2a9c01", "manifest_id": known.manifest_id}
    both = [answer(**about), answer(**about, preference="b")]
    store.add([*both, answer(song_id="song_9", manifest_id="f" * 64)])
    report = json.loads(write_quality_report(store).read_text())
    (found,) = report["contradictions"]
    assert (found["song"], found["song_id"]) == (NAME, "song_3f2a9c01")
    told = [one["found"] for one in report["warnings"]]
    assert f"1 contradicted preferences, in songs {NAME}" in told
    named = [one["song"] for group in report["strengths"] for one in group["songs"]]
    assert named == [NAME, "song_9"]
    (found,) = quality_report(both)["contradictions"]  # without manifests
    assert found["song"] == "song_3f2a9c01"


def noise(path, seed=0) -> np.ndarray:
    """Write two seconds of noise with the song's name as its title."""
    samples = np.random.default_rng(seed).integers(-(2**15), 2**15, (2 * RATE, 2), np.int16)
    path.parent.mkdir(exist_ok=True, parents=True)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16", format="FLAC") as handle:
        handle.title = NAME
        handle.write(samples)
    return samples


def test_label_studio_gets_neither_names_nor_temperatures_nor_tags(tmp_path):
    shown = manifest(entry())
    (only,) = shown.songs
    paths = [only.path, *(one.path for one in only.candidates)]
    written = [noise(tmp_path / path, seed) for seed, path in enumerate(paths)]
    assert NAME.encode() in (tmp_path / only.path).read_bytes()
    copy_sounds(shown, tmp_path, tmp_path / "project")
    (made,) = to_tasks(shown, "http://x/")
    received = json.dumps(made, ensure_ascii=False) + labelling_config()
    files = sorted((tmp_path / "project").rglob("*.*"))
    for secret in (NAME, "Better", FOLDER, "original.flac"):
        assert secret not in received
        assert not any(secret.encode() in path.read_bytes() for path in files)
    addresses = {value for key, value in made["data"].items() if key.startswith("audio_")}
    assert not any("temp" in one or "3f2a" in one for one in addresses)
    assert {one.removeprefix("http://x/audio/") for one in addresses} == {p.name for p in files}
    heard = [soundfile.read(path, dtype="int16")[0] for path in files]
    for samples in written:
        assert sum(np.array_equal(samples, one) for one in heard) == 1
    times = [path.stat().st_mtime_ns for path in files]
    copy_sounds(shown, tmp_path, tmp_path / "project")
    assert [path.stat().st_mtime_ns for path in files] == times, "written again"


def test_the_page_gets_no_name(workspace, monkeypatch):
    songs = small_songs(2, n_beats=40, period=0.05)
    plain = small_manifest(songs, n_candidates=2)
    named = [
        SongEntry(**dict(one) | {"name": NAME, "path": f"{FOLDER}_{one.id}/{NAME}.flac"})
        for one in plain.songs
    ]
    shown = Manifest.create(plain.policy, named, plain.tasks)
    shown.save(workspace / "eval/evaluation_manifest.json")
    for one in shown.songs:
        noise(workspace / "eval" / one.path)
        silence = Audio(np.zeros((100, 1)), RATE)
        for edit in one.candidates:
            save_audio(workspace / "eval" / edit.path, silence)
    assert load_audio(workspace / "eval" / shown.songs[0].path).n_samples == 2 * RATE
    annotator, messages = annotate("eval/evaluation_manifest.json", "anna"), []
    monkeypatch.setattr(
        annotator, "send", lambda content, buffers=(): messages.append((content, buffers))
    )
    while not annotator.session.finished:
        serial = annotator.screen["serial"]
        for side in "OAB":
            annotator.receive({"kind": "sound", "serial": serial, "side": side})
        received = [str(annotator.get_state()), annotator._repr_mimebundle_(), repr(annotator)]
        for message, buffers in messages:
            received.append(message)
            assert buffers and not any(NAME.encode() in bytes(one) for one in buffers)
        assert not any(secret in str(received) for secret in (NAME, "Better_", "Better Days"))
        annotator.session.answer("left", 1)
        annotator._show()
    assert len(messages) == 6
