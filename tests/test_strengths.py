"""Compare Bradley–Terry strengths with closed forms and another optimiser; check answers."""

import numpy as np
import pytest
from feedback_examples import answer
from scipy.optimize import minimize

from rlhf_lib.feedback.quality.checks import checks_report, failed_checks
from rlhf_lib.feedback.quality.strengths import bradley_terry, strengths_report

NO_PRIOR = 1e6


def test_two_candidates_have_the_log_odds_between_them():
    strengths = bradley_terry(np.array([[0.0, 12.0], [4.0, 0.0]]), NO_PRIOR)
    assert strengths[0] - strengths[1] == pytest.approx(np.log(3), abs=1e-6)
    assert strengths.sum() == pytest.approx(0)


def test_a_chain_adds_its_log_odds():
    # Only neighbours were compared: x won 3 of 4 against y, y won 9 of 10 against z.
    wins = np.array([[0, 3, 0], [1, 0, 9], [0, 1, 0]], dtype=float)
    x, y, z = bradley_terry(wins, NO_PRIOR)
    assert (x - y, y - z) == pytest.approx((np.log(3), np.log(9)), abs=1e-6)


def test_strengths_are_the_maximum_of_the_penalised_likelihood():
    rng = np.random.default_rng(0)
    wins = np.triu(rng.integers(0, 9, (3, 5, 5)), 1) + np.tril(rng.integers(0, 9, (3, 5, 5)), -1)

    def loss(strengths, wins):
        gaps = strengths[:, None] - strengths[None, :]
        return (wins * np.log1p(np.exp(-gaps))).sum() + (strengths**2).sum() / (2 * 9)

    for one, strengths in zip(wins, bradley_terry(wins.astype(float)), strict=True):
        best = minimize(loss, np.zeros(5), args=(one,), method="Nelder-Mead", tol=1e-10)
        for other in (minimize(loss, strengths, args=(one,), tol=1e-12), best):
            np.testing.assert_allclose(strengths, other.x - other.x.mean(), atol=2e-3)


def test_a_candidate_that_always_wins_stays_finite():
    wins = np.array([[0.0, 1000.0], [0.0, 0.0]])
    assert np.isfinite(bradley_terry(wins)).all()
    assert bradley_terry(wins)[0] > 3


def _answers(song_id, n_wins, n_losses, **fields):
    wins = [answer(song_id=song_id, **fields) for _ in range(n_wins)]
    return wins + [answer(song_id=song_id, preference="b", **fields) for _ in range(n_losses)]


def test_candidates_are_ranked_with_intervals_over_songs_and_by_song():
    answers = [one for k in range(12) for one in _answers(f"s{k:02d}", 3, 1)]
    (report,) = strengths_report(answers)
    best, worst = report["candidates"]
    assert (best["id"], worst["id"], best["n"]) == ("temp_0.1", "temp_0.9", 48)
    assert best["strength"] - worst["strength"] == pytest.approx(np.log(3), abs=0.02)
    # All songs have the same answers, so resampling whole songs changes nothing.
    assert best["interval"] == pytest.approx([best["strength"]] * 2)
    assert [song["song_id"] for song in report["songs"]] == [f"s{k:02d}" for k in range(12)]
    few = report["songs"][0]["candidates"]
    assert few[0]["interval"] is None  # four answers


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """A rater prefers one edit with probability σ(1) in 40 answers on one song; 95 % intervals."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(60):
        n_wins = rng.binomial(40, 1 / (1 + np.exp(-1.0)))
        (report,) = strengths_report(_answers("s", n_wins, 40 - n_wins))
        row = next(one for one in report["candidates"] if one["id"] == "temp_0.1")
        held += row["interval"][0] <= 0.5 <= row["interval"][1]  # half of the gap of 1
    assert 51 <= held <= 60


def test_ties_count_half_and_manifests_stay_apart():
    ties = [answer(preference="tie", strength=0, manifest_id="0" * 64) for _ in range(6)]
    wins = _answers("song_001", 6, 0, manifest_id="1" * 64)
    tied, won = strengths_report(ties + wins)
    assert [row["strength"] for row in tied["candidates"]] == pytest.approx([0, 0])
    assert won["candidates"][0]["strength"] > 1


def _check(preference, rater="ann", swapped=False, **fields):
    names = ("check", "temp_0.9") if swapped else ("temp_0.9", "check")
    strength = 0 if preference == "tie" else 2
    return answer(
        edit_a_id=names[0],
        edit_b_id=names[1],
        preference=preference,
        strength=strength,
        rater_id=rater,
        **fields,
    )


def test_checks_are_passed_or_failed():
    answers = [
        _check("a"),
        _check("b", swapped=True),
        _check("b", task_id="t1"),
        _check("tie", rater="bob", task_id="t2"),
        _check("tie", rater="bob", cant_tell=True, task_id="t3"),
        answer(rater_id="eve"),
    ]
    assert failed_checks(answers) == {"ann": 1, "bob": 2}
    report = checks_report(answers)
    assert report["failed"] == {"value": 0.6, "n": 5, "reason": None}
    assert report["by_rater"]["ann"]["value"] == pytest.approx(1 / 3)
    assert report["by_rater"]["bob"] == {"value": 1.0, "n": 2, "reason": None, "failed": 2}
    assert [one["task_id"] for one in report["failed_answers"]] == ["t1", "t2", "t3"]
    assert checks_report([answer()])["failed"]["value"] is None
