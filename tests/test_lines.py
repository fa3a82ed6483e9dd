"""Plain curves show the numbers they were given."""

import pandas as pd
import pytest
from artists import line, only_axes

from rlhf_lib import plots
from rlhf_lib.errors import InputError

TABLE = pd.DataFrame(
    {"ours": [0.5, 0.7, 0.9], "theirs": [0.4, 0.5, 0.6]}, index=pd.Index([10, 20, 40], name="pairs")
)


def test_lines_draws_each_column_against_the_index():
    ax = only_axes(plots.lines(TABLE, "accuracy", "Learning", level=0.5))
    assert line(ax, "ours").get_xdata().tolist() == [10, 20, 40]
    assert line(ax, "theirs").get_ydata().tolist() == [0.4, 0.5, 0.6]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("pairs", "accuracy")


def test_lines_draws_the_intervals_it_is_given():
    ours = TABLE[["ours"]]
    ax = only_axes(plots.lines(TABLE, "accuracy", low=ours - 0.1, high=ours + 0.05))
    (band,) = ax.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.4, 0.95))


def test_lines_refuses_an_empty_table_and_half_an_interval():
    with pytest.raises(InputError, match="table with values"):
        plots.lines(TABLE.iloc[:0], "accuracy")
    with pytest.raises(InputError, match="low and high together"):
        plots.lines(TABLE, "accuracy", low=TABLE)
