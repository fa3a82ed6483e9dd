"""Small valid records for the feedback tests."""

from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.manifest import Candidate, Manifest, PolicyRef, SongEntry, Task

HASH = "0" * 64


def answer(**fields) -> Annotation:
    """Return a valid annotation; `fields` replaces parts of it."""
    usual = {
        "song_id": "song_001",
        "edit_a_id": "temp_0.1",
        "edit_b_id": "temp_0.9",
        "preference": "a",
        "strength": 2,
        "rater_id": "ann",
        "rater_kind": "human",
    }
    return Annotation.new(**usual | fields)


def candidate(name: str, actions: list[int], **fields) -> dict:
    """Return a valid candidate of a song with beats of 0.5 s, as a plain dict."""
    played = sum((1, 0, 2, 3, 4, 1, 1, 1, 1)[action] for action in actions)
    return {
        "id": name,
        "temperature": 0.5,
        "target_keep_ratio": 0.83,
        "keep_ratio": played / len(actions),
        "actions": actions,
        "n_beats_kept": sum(action != 1 for action in actions),
        "n_beats_total": len(actions),
        "duration": played * 0.5,
        "path": f"song_001/song_001_{name}.wav",
        "loudness": -14.5,
    } | fields


def song(**fields) -> dict:
    """Return a valid song of four beats with three candidates, as a plain dict."""
    return {
        "id": "song_001",
        "path": "song_001/song_001.flac",
        "sha256": HASH,
        "duration": 2.0,
        "beat_times": [0.1, 0.5, 1.0, 1.5],
        "candidates": [
            candidate("temp_0.1", [0, 0, 0, 0]),
            candidate("temp_0.5", [0, 0, 1, 0]),
            candidate("temp_0.9", [0, 1, 1, 0]),
        ],
    } | fields


def task(number: int, a: str = "temp_0.1", b: str = "temp_0.9", **fields) -> dict:
    """Return a valid task, as a plain dict."""
    usual = {"task_id": f"task_{number}", "song_id": "song_001", "edit_a_id": a, "edit_b_id": b}
    return usual | fields


def manifest() -> Manifest:
    """Return a valid manifest of one song, three candidates and two tasks."""
    return Manifest.create(
        PolicyRef(name="policy_v14", sha256=HASH),
        [SongEntry(**song() | {"candidates": [Candidate(**c) for c in song()["candidates"]]})],
        [Task(**task(1)), Task(**task(2, b="temp_0.5"))],
    )


def sitting(n, day=1, tie_from=None, seconds=lambda i: 30.0, **fields) -> list[Annotation]:
    """Return answers of one rater, a minute apart, complete, each on another song."""
    answers = []
    for i in range(n):
        tie = tie_from is not None and i >= tie_from
        answers.append(
            answer(
                song_id=f"s{i}",
                timestamp=f"2026-01-{day:02}T{10 + i // 60:02}:{i % 60:02}:00Z",
                preference="tie" if tie else "ab"[i % 2],
                strength=0 if tie else 1 + i % 3,
                seconds_spent=seconds(i),
                shown_first="ab"[i // 2 % 2],
                **fields,
            )
        )
    return answers
