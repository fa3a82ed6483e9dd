"""The plot of the quality report: its marks; names from files stay plain text."""

import pytest
from artists import y_labels
from feedback_examples import answer, sitting

from rlhf_lib import plots
from rlhf_lib.app.cli import main
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.quality.report import quality_report
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.plots import style

TRAP = "eve $\\frac{$"  # not valid as mathematics


@pytest.fixture
def report():
    checks = [answer(edit_b_id="check", preference=p, rater_id=TRAP) for p in "ab"]
    return quality_report([*sitting(20), *sitting(20, day=2, rater_id=TRAP), *checks])


def test_the_marks_are_the_figures_of_the_report(report):
    trust, sides, strengths, sittings = plots.quality(report).axes
    assert y_labels(trust) == ["ann", TRAP]
    marks = {line.get_label(): line.get_xdata().tolist() for line in trust.lines}
    assert marks == {"agrees with the others": [1.0, 1.0], "passes obvious checks": [0.5]}
    assert y_labels(sides) == ["everyone", "ann", TRAP]
    points = [line.get_xdata()[0] for line in sides.lines if line.get_marker() == "o"]
    assert points == [report["side_bias"]["first_shown_chosen"]["value"]] * 3
    rows = report["strengths"][0]["candidates"]
    assert y_labels(strengths) == [f"{row['id']} ({row['n']})" for row in rows]
    drawn = [line.get_ydata().tolist() for line in sittings.lines]
    assert drawn == [[30.0, 30.0]] * 2


def test_names_from_files_are_no_markup(report):
    figure = plots.quality(report)
    assert style.svg(figure)  # drawing fails if the name is parsed as mathematics
    assert style.svg(plots.answers([answer(rater_id=TRAP), answer(rater_id="bob $x$")]))


def test_the_command_writes_report_and_plot(workspace, capsys):
    store = PreferenceStore("feedback")
    store.add(sitting(12))
    assert main(["check_feedback", "--plot", "runs/quality.png"]) == 0
    assert "only 12 different pairs" in capsys.readouterr().out
    assert (workspace / "feedback/quality_report.json").is_file()
    assert (workspace / "runs/quality.png").read_bytes().startswith(b"\x89PNG")
    assert main(["check_feedback", "--plot", "runs/quality.doc"]) == 2
    assert ".png or .svg" in capsys.readouterr().err


def test_little_feedback_is_drawn_and_none_is_refused():
    assert style.svg(plots.quality(quality_report([answer()])))
    with pytest.raises(InputError, match="no answers to draw"):
        plots.quality(quality_report([]))
