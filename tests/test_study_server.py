"""The study's server by HTTP: pages, answers, restarts, and what it refuses."""

import io
import json

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from study_material import HEARD, Visitor, small_study

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.web import headphones, limits
from rlhf_lib.web.running import RunningStudy
from rlhf_lib.web.server import application
from rlhf_lib.web.study import Study

SCREENS = {
    "consent": {"en": "Agree?", "de": "Einverstanden?"},
    "instructions": [{"text": "Listen", "sound": "seam"}],
    "background": [
        {"name": "musician", "text": "Do you?", "options": [{"en": "no", "de": "nein"}]}
        | {"required": True},
        {"name": "devices", "text": "What with?"},
    ],
    "level": True,
    "headphones": {"method": "huggins", "trials": 2, "needed": 2, "attempts": 2},
    "training_trials": 2,
}


@pytest.fixture
def start(workspace):
    """Return a function that starts the study, again with the same folders when called again."""
    return lambda **changes: RunningStudy(small_study(workspace, **changes))


def stored(workspace):
    return PreferenceStore(workspace / "feedback").load()


def test_a_stranger_goes_from_link_to_finish_code(start, workspace):
    running = start(**SCREENS)
    visitor = Visitor(running, "5f1", language="de")
    assert visitor.page | {"key": ""} == {
        "rater": "5f1", "key": "", "step": "consent", "language": "de", "text": "Einverstanden?"
    }  # fmt: skip
    assert not list((workspace / "feedback").rglob("raters/*"))  # nothing before the consent
    visitor.fill("consent")
    assert visitor.page["paragraphs"] == [{"text": "Listen", "sound": "seam"}]
    visitor.fill("instructions")
    visitor.fill("background", devices="<b>big</b>")
    assert visitor.answered.json() == {"refused": "incomplete"}  # a required answer is missing
    visitor.fill("background", musician="nein", devices="<b>big</b>")
    assert visitor.page["step"] == "level"
    visitor.fill("level")
    for _ in range(2):
        record = running.parts[3].get("5f1")
        right = running._pages.trial(record)[1]
        visitor.fill("headphones", number=visitor.page["number"], place=right)
    assert visitor.page["step"] == "training"
    visitor.rate()
    assert visitor.page["notice"] in ("training right", "training wrong")
    visitor.rate("B")
    assert visitor.page["screen"]["stage"] == "done"
    visitor.fill("training")
    assert visitor.page["step"] == "rate"
    for place in range(3):
        assert visitor.page["screen"]["progress"] == [place, 3]
        assert visitor.rate().json()["stored"]
    assert len(stored(workspace)) == 3  # practice is kept apart
    visitor.fill("rate")
    assert visitor.page["code"] == "C0DE"
    (record,) = running.parts[3].all()
    assert record.ids == {"PROLIFIC_PID": "5f1"}
    assert record.background == {"musician": "no", "devices": "<b>big</b>"}  # first language
    assert [one.passed for one in record.headphones] == [True]


def test_an_answer_is_stored_once_however_often_it_comes(start, workspace):
    visitor = Visitor(start(), "anna")
    request = visitor.message("B strongly", notes="why", tags=["bad ending"])
    for _ in range(3):
        assert visitor.post("/act", request).json()["stored"] is True
    (answer,) = stored(workspace)
    assert answer.annotation_id == request["key"]
    assert (answer.rater_id, answer.strength, answer.tags) == ("anna", 3, ["bad ending"])
    # The same pair with another key, as from a second window, is not stored again.
    again = visitor.post("/act", request | {"key": "0" * 32}).json()
    assert again["stored"] is False
    assert len(stored(workspace)) == 1


def test_an_answer_sent_before_a_restart_finds_its_pair_after_it(start, workspace):
    visitor = Visitor(start(), "anna")
    visitor.rate("Tie")
    request = visitor.message("A")
    task = visitor.page["screen"]["serial"]
    visitor.client = TestClient(application(start()))  # the server was killed and started again
    assert visitor.post("/act", request).json()["stored"] is True
    first, second = stored(workspace)
    assert (second.annotation_id, second.seconds_spent) == (request["key"], None)
    assert second.task_id != first.task_id
    assert visitor.page["screen"]["progress"] == [2, 3]
    assert visitor.page["screen"]["serial"] != task


def test_a_correction_sent_before_a_restart_supersedes_its_answer(start, workspace):
    visitor = Visitor(start(), "anna")
    visitor.rate("A strongly", notes="first")
    visitor.act("undo")
    assert visitor.page["screen"]["previous"]["notes"] == "first"
    request = visitor.message("B strongly")
    visitor.client = TestClient(application(start()))
    visitor.post("/act", request)
    first, second = stored(workspace)
    assert second.supersedes == first.annotation_id
    assert visitor.page["screen"]["progress"] == [1, 3]


def test_sittings_and_totals(start):
    running = start(tasks={"per_sitting": 2, "sittings": 2, "overlap": 1.0, "repeat_share": 0.0})
    visitor = Visitor(running, "anna")
    for expected in ("pause", "end"):
        for place in range(2):
            assert visitor.page["screen"]["progress"] == [place, 2]
            visitor.rate()
        visitor.act("undo")  # the last answer of a sitting, too
        assert visitor.page["screen"]["previous"]["answer"] == "A"
        visitor.rate("B")
        visitor.fill("rate")
        assert visitor.page["step"] == expected
        visitor.fill("pause")


def test_a_disk_that_is_full_is_told_and_the_answer_can_come_again(start, workspace, monkeypatch):
    running = start()
    visitor = Visitor(running, "anna")
    request = visitor.message()

    def refuse(annotation):
        raise InputError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(running._store, "add", refuse)
        refused = visitor.post("/act", request)
    assert (refused.status_code, refused.json()) == (503, {"refused": "failed"})
    assert visitor.post("/act", request).json()["stored"] is True
    assert len(stored(workspace)) == 1


def test_sounds_are_blind_cached_and_come_in_ranges(start):
    visitor = Visitor(start(), "anna")
    names = visitor.page["sounds"][visitor.page["screen"]["serial"]]
    page = json.dumps(visitor.page)
    for secret in ("temp", "song_0", "check", ".wav", "policy"):
        assert secret not in page
    whole = visitor.get(f"/sound/{names['A']}")
    assert "immutable" in whole.headers["cache-control"]
    assert "private" in whole.headers["cache-control"]
    samples, rate = soundfile.read(io.BytesIO(whole.content))
    end = visitor.page["screen"]["timelines"]["A"]["starts"][-1]
    assert len(samples) == round(end * rate)
    part = visitor.get(f"/sound/{names['A']}", Range="bytes=100-199")
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    other = Visitor(visitor.client, "bert")
    assert other.get(f"/sound/{names['A']}").status_code == 404  # names are for one rater


def test_headphone_trials_turn_away_who_fails(start):
    running = start(headphones=SCREENS["headphones"] | {"on_failure": "end"})
    visitor = Visitor(running, "anna")
    for trial in range(4):
        right = running._pages.trial(running.parts[3].get("anna"))[1]
        sound, _ = soundfile.read(io.BytesIO(visitor.get("/trial").content))
        assert sound.shape == (4 * headphones.RATE, 2)
        assert visitor.page["again"] == (trial >= 2)
        number = visitor.page["number"]
        visitor.fill("headphones", number=number, place=(right + 1) % 3)
        visitor.fill("headphones", number=number, place=right)  # a second press changes nothing
    assert visitor.page == {"step": "turned away", "language": "en", "why": "no headphones"}


def test_failed_checks_end_the_study_where_it_says_so(start, workspace):
    tasks = {"per_sitting": 12, "overlap": 1.0, "check_share": 1.0, "repeat_share": 0.0}
    visitor = Visitor(start(checks={"allowed": 0, "beyond": "end"}, tasks=tasks), "anna")
    while visitor.page["step"] == "rate":
        visitor.rate("Tie")  # fails every check
    assert visitor.page["why"] == "too many failed"
    assert sum(answer.failed_check for answer in stored(workspace)) == 1


def test_a_broken_sound_is_passed_and_recorded(start, workspace):
    visitor = Visitor(start(), "anna")
    heard = dict.fromkeys(HEARD, 0)
    assert visitor.rate("Can't tell", tags=["sound did not play"], heard=heard).json()["stored"]
    (answer,) = stored(workspace)
    assert (answer.cant_tell, answer.tags) == (True, ["sound did not play"])


def test_sign_in_links_admit_only_whom_they_name(start):
    running = start(sign_in="links")
    client = TestClient(application(running))
    good = running.keys.of_rater("anna")
    assert Visitor(client, query={"rater": "anna", "key": good}).page["rater"] == "anna"
    for query in (
        {},
        {"rater": "anna"},
        {"rater": "anna", "key": good[:-1] + "x"},
        {"rater": "bert", "key": good},
        {"rater": "anna", "key": "ü"},
    ):
        refused = client.post("/begin", json={"query": query})
        assert (refused.status_code, refused.json()) == (403, {"refused": "no link"})


def test_raters_without_a_link_get_a_number_and_keep_it(start):
    running = start()
    first = Visitor(running)
    again = Visitor(running)
    assert first.rater != again.rater
    sent = {"rater": first.rater, "key": first.key}
    back = first.client.post("/begin", json=sent).json()
    assert back["rater"] == first.rater
    forged = first.client.post("/begin", json=sent | {"key": again.key}).json()
    assert forged["rater"] not in (first.rater, again.rater)


def test_a_full_study_admits_nobody_new(start):
    running = start(most_raters=1)
    anna = Visitor(running, "anna")
    assert Visitor(anna.client, "bert").answered.json() == {"refused": "full"}
    assert Visitor(anna.client, "anna").page["step"] == "rate"


def test_only_who_has_the_key_of_the_simulation_is_called_simulated(start, workspace):
    running = start()
    client = TestClient(application(running))
    Visitor(client, "r1", simulation=running.keys.simulation).rate()
    Visitor(client, "anna").rate()
    kinds = {answer.rater_id: answer.rater_kind for answer in stored(workspace)}
    assert kinds == {"r1": "simulated", "anna": "human"}
    refused = client.post("/begin", json={"simulation": running.keys.coordinator})
    assert refused.status_code == 403


def test_nothing_outside_the_study_can_be_read(start, workspace):
    visitor = Visitor(start(), "anna")
    (workspace / "private.txt").write_text("private")
    for path in (
        "/../private.txt",
        "/page/../../private.txt",
        "/page/%2e%2e%2fprivate.txt",
        "/sound/..%2f..%2fprivate.txt",
        "/example/..%2fprivate.txt",
        "/page/secret",
        "/feedback/preferences.json",
        "/docs",
        "/openapi.json",
    ):
        assert visitor.get(path).status_code == 404, path


def test_keys_are_needed_and_wrong_ones_are_slowed_down(start):
    running = start()
    visitor = Visitor(running, "anna")
    for path in ("/now", "/overview", "/download/answers.csv", "/trial"):
        assert visitor.client.get(path).status_code == 403
    visitor.key = "0" * 32
    statuses = [visitor.get("/now").status_code for _ in range(20)]
    assert statuses[0] == 403 and statuses[-1] == 429
    visitor.key = running.keys.of_rater("anna")
    assert visitor.get("/now").status_code == 200  # others are not slowed down


def test_large_and_odd_requests_are_refused(start, workspace):
    visitor = Visitor(start(), "anna")
    good = visitor.message()
    assert visitor.post("/act", good | {"key": "x"}).status_code == 422
    assert visitor.post("/act", good | {"key": ""}).status_code == 422
    for odd in (
        {"answer": "C"},
        {"heard": HEARD | {"left": -1}},
        {"heard": None},
        {"tags": ["<script>"]},
        {"notes": "x" * 10_001},
        {"kind": "sign in"},
        {"path": "x"},
    ):
        request = {"key": good["key"], "message": good["message"] | odd}
        assert visitor.post("/act", request).status_code == 422, odd
    too_large = b'{"query": {"x": "' + b"y" * limits.LARGEST + b'"}}'
    assert visitor.client.post("/begin", content=too_large).status_code == 413
    chunks = iter([too_large[:100], too_large[100:]])
    assert visitor.client.post("/begin", content=chunks).status_code == 413
    odd = visitor.client.post("/begin", content=b"\xff")
    assert (odd.status_code, odd.json()) == (422, {"refused": "not ours"})
    assert (
        visitor.client.post("/begin", json={"query": {"PROLIFIC_PID": "a\nb"}}).status_code == 403
    )
    assert stored(workspace) == []


def test_every_response_has_a_strict_policy(start):
    client = Visitor(start(), "anna").client
    for path in ("/", "/coordinator", "/page/study.js", "/now", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    for page in ("/", "/coordinator"):
        text = client.get(page).text
        assert "<script>" not in text and "style=" not in text and " on" not in text.lower()


def test_token_buckets_fill_up_again():
    now = [0.0]
    buckets = limits.Buckets(rate=2.0, burst=3.0, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    assert buckets.take("b")
    now[0] = 0.5  # one token more
    assert [buckets.take("a") for _ in range(2)] == [True, False]
    now[0] = 60.0  # no more than the burst
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]


def test_too_few_checks_for_the_practice_are_an_error(workspace):
    with pytest.raises(InputError, match="training_trials is 4, but the manifest has 3"):
        RunningStudy(small_study(workspace, training_trials=4))


def test_a_missing_sound_is_named_before_the_study_begins(workspace):
    study = small_study(workspace)
    path = next((workspace / "eval_outputs").rglob("*_temp_0.5.wav"))
    path.unlink()
    with pytest.raises(InputError, match=path.name):
        RunningStudy(study)


def test_a_lost_secret_is_not_replaced_by_rubbish(workspace):
    study = small_study(workspace)
    running = RunningStudy(study)
    secret = workspace / "feedback/study/secret"
    assert secret.stat().st_mode & 0o077 == 0
    assert RunningStudy(study).keys.secret == running.keys.secret
    secret.write_text("short")
    with pytest.raises(InputError, match="no secret of a study"):
        RunningStudy(study)


@pytest.mark.parametrize("method", ["antiphase", "huggins"])
def test_headphone_sounds_are_those_published(method):
    places = set()
    for seed in range(12):
        sound, answer = headphones.trial(method, seed)
        places.add(answer)
        n, step = headphones.RATE, round(1.5 * headphones.RATE)
        parts = [sound[place * step : place * step + n] for place in range(3)]
        hertz = np.fft.rfftfreq(n, 1 / n)
        if method == "antiphase":
            # Over headphones (each ear alone) the answer is 6 dB quieter than both others; over
            # loudspeakers (the sum of both channels) another one is the quietest.
            ears = np.array([10 * np.log10((part[:, 1] ** 2).mean()) for part in parts])
            assert np.argmin(ears) == answer
            np.testing.assert_allclose(np.delete(ears, answer) - ears[answer], 6.0, atol=0.01)
            summed = [(part.sum(axis=1) ** 2).mean() for part in parts]
            assert np.argmin(summed) != answer
            assert hertz[np.abs(np.fft.rfft(parts[answer][:, 0])).argmax()] == 200
        else:
            # Each ear hears plain noise. Only between the ears does a band differ: 600 Hz ± 6 %.
            for place, part in enumerate(parts):
                left, right = (np.fft.rfft(part[:, ear]) for ear in (0, 1))
                cross = (left * right.conj()).real
                inside = (hertz > 570) & (hertz < 630)
                outside = (hertz < 540) | (hertz > 660)
                assert (cross[inside].sum() < 0) == (place == answer)
                assert cross[outside].sum() > 0
    assert places == {0, 1, 2}


def test_the_example_works_as_it_is(workspace):
    small_study(workspace)  # its candidates are in eval_outputs/
    study = Study.load("rlhf_lib/web/example_study.yaml")
    visitor = Visitor(RunningStudy(study), query={"rater": "anna"}, language="de-AT")
    assert (visitor.rater, visitor.page["step"]) == ("anna", "consent")
