"""Calibration: by hand, and against scipy's Wilson interval."""

import numpy as np
import pytest
from scipy.stats import binomtest

from rlhf_lib.errors import InputError
from rlhf_lib.steps.calibration import calibration_error, calibration_table, wilson_interval


@pytest.mark.parametrize("successes, n", [(0, 4), (3, 4), (4, 4), (37, 80)])
def test_wilson_interval_is_scipys(successes, n):
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes / n, n) == pytest.approx((expected.low, expected.high))


def test_table_and_error_of_a_hand_example():
    # Bin 0 … 0.5: predicted mean 0.3, one of two came true. Bin 0.5 … 1: 0.8, 0.9, 1.0 (mean
    # 0.9), outcomes 1, 1, ½ (mean 5/6). ECE = (2 · 0.2 + 3 · (0.9 − 5/6)) / 5 = 0.12.
    table = calibration_table([0.2, 0.8, 0.4, 0.9, 1.0], [0, 1, 1, 1, 0.5], bins=2)
    assert table["start"].tolist() == [0, 0.5]
    assert table["stop"].tolist() == [0.5, 1]
    assert table["n"].tolist() == [2, 3]
    assert table["predicted"].tolist() == pytest.approx([0.3, 0.9])
    assert table["observed"].tolist() == pytest.approx([0.5, 5 / 6])
    assert calibration_error(table) == pytest.approx(0.12)
    assert (table["low"] < table["observed"]).all() and (table["observed"] < table["high"]).all()


def test_empty_bins_are_left_out():
    table = calibration_table([0.05, 0.95], [0, 1], bins=10)
    assert table["start"].tolist() == pytest.approx([0, 0.9])


def test_a_calibrated_forecast_has_little_error():
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    table = calibration_table(probability, rng.random(20_000) < probability)
    assert calibration_error(table) < 0.02
    assert len(table) == 10


@pytest.mark.parametrize(
    "probability, outcome, bins, message",
    [
        ([], [], 10, "at least one"),
        ([0.5], [1, 0], 10, "one outcome for each"),
        ([0.5, 1.2], [1, 0], 10, r"probability 1\.2 at index 1"),
        ([0.5, float("nan")], [1, 0], 10, "probability nan at index 1"),
        ([0.5], [-1], 10, r"outcome -1\.0 at index 0"),
        ([0.5], [1], 0, "bins is 0"),
    ],
)
def test_unusable_input_is_refused(probability, outcome, bins, message):
    with pytest.raises(InputError, match=message):
        calibration_table(probability, outcome, bins)
