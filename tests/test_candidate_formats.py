"""WAV and FLAC candidates: the same samples, one format at a time, a size that is announced."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from rlhf_lib.analysis.audio import load_audio
from rlhf_lib.analysis.song import load_songs
from rlhf_lib.composer.compose import compose_songs
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.manifest import Manifest, PolicyRef
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.paths import file_sha256
from rlhf_lib.steps import rendering_cost
from rlhf_lib.steps.candidate_files import MANIFEST_NAME, load_manifest_songs
from rlhf_lib.steps.candidates import candidate_edits, generate_candidates

REF = PolicyRef(name="policy_v14", sha256="0" * 64)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Two composed songs of 20 s, a policy, and their WAV candidates."""
    folder = tmp_path_factory.mktemp("formats")
    compose_songs(folder / "songs", 2, seed=5, seconds=20.0)
    songs, _ = load_songs(folder / "songs", cache_dir=folder / "cache")
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(hidden=8), SYNTHETIC_WEIGHTS)
    generate_candidates(songs, policy, REF, folder / "wav", per_song=3)
    return folder, songs, policy


@pytest.fixture
def out(material, tmp_path):
    """A folder with the finished WAV candidates."""
    return shutil.copytree(material[0] / "wav", tmp_path / "out")


@pytest.fixture
def generate(material, out):
    _, songs, policy = material

    def generated(audio_format, songs=songs):
        return generate_candidates(songs, policy, REF, out, per_song=3, audio_format=audio_format)

    return generated


def sounds(folder) -> dict[str, int]:
    """The candidates' files below a folder, and when each was written."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.rglob("*_temp_*")
    }


def test_flac_has_the_samples_of_the_wav_and_takes_its_place(material, out, generate):
    plain = Manifest.load(out / MANIFEST_NAME)
    packed = generate("flac")
    assert Manifest.load(out / MANIFEST_NAME) == packed
    assert packed.manifest_id != plain.manifest_id
    sizes = {".wav": 0, ".flac": 0}
    for before, after in zip(plain.songs, packed.songs, strict=True):
        for one, other in zip(before.candidates, after.candidates, strict=True):
            assert other.path == one.path.removesuffix(".wav") + ".flac"
            paths = material[0] / "wav" / one.path, out / other.path
            first, second = map(load_audio, paths)
            np.testing.assert_array_equal(first.samples, second.samples)
            assert (first.sample_rate, one.loudness) == (second.sample_rate, other.loudness)
            assert other.sha256 == file_sha256(paths[1])
            for path in paths:
                sizes[path.suffix] += path.stat().st_size
    # Composed songs take 0.57 of the WAV, recorded ones 0.52 to 0.71 (docs/scale.md).
    assert 0.45 < sizes[".flac"] / sizes[".wav"] < 0.75
    written = sounds(out)
    assert {path.rpartition(".")[2] for path in written} == {"flac"}
    generate("flac")
    assert sounds(out) == written, "rendered again"
    generate("wav")
    assert {path.rpartition(".")[2] for path in sounds(out)} == {"wav"}


def test_a_damaged_or_missing_flac_is_rendered_again(out, generate):
    packed = generate("flac")
    first, second = (packed.songs[k].candidates[0] for k in (0, 1))
    (out / first.path).write_bytes((out / first.path).read_bytes()[:-1000])
    (out / second.path).unlink()
    assert generate("flac") == packed
    assert [file_sha256(out / one.path) for one in (first, second)] == [first.sha256, second.sha256]


def test_another_format_is_refused(out, generate):
    before = sounds(out)
    with pytest.raises(InputError, match="'mp3' is unknown; choose 'wav' or 'flac'"):
        generate("mp3")
    assert sounds(out) == before and (out / MANIFEST_NAME).is_file()


def test_a_sample_rate_that_flac_cannot_have_is_refused(material, out, generate):
    fast = replace(material[1][0], sample_rate=705_600)
    with pytest.raises(InputError, match="'song_001' has 705600 Hz, and FLAC at most 655350"):
        generate("flac", [fast])
    assert (out / MANIFEST_NAME).is_file()


def test_a_renamed_song_has_another_folder_and_the_same_id(material, out, tmp_path):
    folder, songs, policy = material
    first = Manifest.load(out / MANIFEST_NAME)
    for song in songs:
        (tmp_path / "own").mkdir(exist_ok=True)
        shutil.copy(song.path, tmp_path / "own" / f"renamed {song.path.name}")
    again, _ = load_songs(tmp_path / "own", cache_dir=folder / "cache")
    assert [song.song_id for song in again] == ["renamed song_001", "renamed song_002"]
    second = generate_candidates(again, policy, REF, out, per_song=3)
    assert [one.id for one in second.songs] == [one.id for one in first.songs]
    assert [one.name for one in first.songs] == ["song_001", "song_002"]
    for one, song in zip(second.songs, again, strict=True):
        assert one.name == song.song_id
        digits = one.id.removeprefix("song_")
        name = song.song_id.replace(" ", "_")
        assert one.path == f"{name}_{digits}/{name}_original.flac"
    # Loaded from the copies of the originals, songs have their own names.
    loaded = load_manifest_songs(second, out, folder / "cache")
    assert [song.song_id for song in loaded.values()] == [song.song_id for song in again]


# Size and time


def written_bytes(folder) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*/*") if path.suffix != ".json")


def work(material):
    _, songs, policy = material
    edits = candidate_edits(policy, songs, 3, seed=0)
    return [(song, [one.edit for one in each]) for song, each in zip(songs, edits, strict=True)]


def test_the_size_of_wav_files_is_exact_and_that_of_flac_typical(material, out, generate):
    assert rendering_cost.size(work(material)) == written_bytes(out)
    generate("flac")
    assert rendering_cost.size(work(material), "flac") == pytest.approx(
        written_bytes(out), rel=0.25
    )


def test_size_and_time_are_printed_before_rendering(out, generate, capsys, monkeypatch):
    generate("wav")
    assert capsys.readouterr().out == "", "nothing to render, nothing to announce"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9e10, 0, 12.4e9))
    printed = {}

    def stop(*_):
        printed["before"] = capsys.readouterr().out
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rlhf_lib.steps.candidate_files.render_song", stop)
        with pytest.raises(KeyboardInterrupt):
            generate("flac")
    form = r"2 songs, 6 edits: about [\d.]+ MB and \d+ s of rendering in \S+ \(free: 12 GB\)\n"
    assert re.fullmatch(form, printed["before"])
    assert not list(out.glob(".trial*"))
    assert sounds(out), "the trial replaces no file"


def test_a_disk_that_is_too_small_is_found_before_anything_is_replaced(
    material, out, generate, monkeypatch
):
    needed, now = rendering_cost.size(work(material), "flac"), written_bytes(out)

    def free(n):
        usage = shutil._ntuple_diskusage(n, 0, n)
        monkeypatch.setattr(rendering_cost.shutil, "disk_usage", lambda _: usage)

    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    for path in out.rglob("*.json"):
        if path.name != MANIFEST_NAME:
            path.unlink()  # nothing is finished
            del before[path]
    free(0)
    generate("flac")  # the files that are replaced make room
    assert needed < now
    shutil.rmtree(out)
    free(needed - 1)
    with pytest.raises(
        InputError, match=r"2 songs, 6 edits: .* MB are needed in .*out and"
    ) as told:
        generate("flac")
    assert "--format flac" not in str(told.value) and "--n_songs" in str(told.value)
    assert not out.exists()
    with pytest.raises(InputError, match=r"choose FLAC \(--format flac, about [\d.]+ MB\)"):
        generate("wav")
    assert not out.exists()
    free(needed)
    generate("flac")
    assert (out / MANIFEST_NAME).is_file()


def test_a_refusal_leaves_finished_candidates_as_they_are(material, out, monkeypatch):
    _, songs, policy = material
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    usage = shutil._ntuple_diskusage(1, 0, 1)
    monkeypatch.setattr(rendering_cost.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="nothing was changed"):
        generate_candidates(songs, policy, REF, out, per_song=6)
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before
