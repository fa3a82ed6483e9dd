"""The live plot is drawn in one place, with all rows, and not too often."""

from types import SimpleNamespace

from rlhf_lib.studio import live


def shown_by(monkeypatch) -> list:
    shown = []
    place = SimpleNamespace(update=lambda figure: shown.append(("updated", figure)))
    monkeypatch.setattr(
        live, "display", lambda figure, display_id: shown.append(("new", figure)) or place
    )
    return shown


def test_it_draws_all_rows_in_one_place(monkeypatch):
    shown = shown_by(monkeypatch)
    plot = live.LivePlot(lambda rows: [row["loss"] for row in rows], every=0.0)
    plot({"loss": 3.0})
    plot({"loss": 2.0})
    plot.show("final")
    assert shown == [("new", [3.0]), ("updated", [3.0, 2.0]), ("updated", "final")]


def test_it_does_not_draw_more_often_than_asked(monkeypatch):
    shown = shown_by(monkeypatch)
    plot = live.LivePlot(len, every=3600.0)
    for loss in (3.0, 2.0, 1.0):
        plot({"loss": loss})
    assert shown == [("new", 1)]
    assert len(plot.rows) == 3
