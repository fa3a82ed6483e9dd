"""Find a moment of one edit in another with the player's own code, run in a browser."""

from pathlib import Path

import pytest
from browsing import browser_page, need_browser

import rlhf_lib.studio.annotator as annotator

need_browser()

SOURCE = Path(annotator.__file__).with_name("timeline.js").read_text(encoding="utf-8")
# Beats of 1, 2, 1, 1, 0.5 and 1 s.
LENGTHS = [1.0, 2.0, 1.0, 1.0, 0.5, 1.0]


@pytest.fixture(scope="module")
def timeline():
    """Return a function that calls one of the module's functions with JSON arguments."""
    with browser_page() as page:
        page.evaluate(
            "async source => { globalThis.timeline = await import("
            "URL.createObjectURL(new Blob([source], {type: 'text/javascript'}))); }",
            SOURCE,
        )
        yield lambda name, *given: page.evaluate(
            "([name, given]) => timeline[name](...given)", [name, list(given)]
        )


def edit(*beats: int) -> dict:
    starts = [0.0]
    for beat in beats:
        starts.append(starts[-1] + LENGTHS[beat])
    return {"beats": list(beats), "starts": starts}


WHOLE = edit(0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("seconds", "place"), [(-1.0, 0), (0.0, 0), (0.99, 0), (1.0, 1), (2.5, 1), (6.4, 5), (99.0, 5)]
)
def test_the_beat_that_sounds(timeline, seconds, place):
    assert timeline("placeAt", WHOLE, seconds) == place


@pytest.mark.parametrize(
    ("start", "target", "seconds", "expected", "exact"),
    [
        # Beat 3 starts at 4 s in the song, and at 1 s where beats 1 and 2 are cut.
        (WHOLE, edit(0, 3, 4, 5), 4.25, 1.25, True),
        (edit(0, 3, 4, 5), WHOLE, 1.25, 4.25, True),
        # Beat 1 is cut: a quarter of its 2 s becomes a quarter of the 1 s of beat 2, the next.
        (WHOLE, edit(0, 2, 3), 1.5, 1.25, False),
        # Beats 4 and 5 are cut and nothing follows: the last beat, 3, is used.
        (WHOLE, edit(0, 1, 2, 3), 5.25, 4.5, False),
        # The next beat is the next in the song, wherever the edit plays it.
        (WHOLE, edit(5, 3, 0), 3.5, 1.5, False),
        # A loop of beat 2: its third repetition maps to the third, or to the last.
        (edit(2, 2, 2, 3), edit(1, 2, 2, 2, 2), 2.5, 4.5, True),
        (edit(2, 2, 2, 3), WHOLE, 2.5, 3.5, True),
        (WHOLE, edit(2, 2, 2, 3), 3.5, 0.5, True),
        # Reordered: beat 1 plays after beat 2.
        (WHOLE, edit(0, 2, 1, 3), 1.5, 2.5, True),
        # The very end stays the end.
        (WHOLE, WHOLE, 6.5, 6.5, True),
    ],
)
def test_the_same_moment_elsewhere(timeline, start, target, seconds, expected, exact):
    found = timeline("sameMoment", start, target, seconds)
    assert found["seconds"] == pytest.approx(expected, abs=1e-9)
    assert found["exact"] is exact


def test_seams_and_segments(timeline):
    assert timeline("seamsOf", WHOLE) == []
    assert timeline("segmentsOf", WHOLE) == [[0, 6]]
    # A start in the middle is no seam; loops, jumps ahead and jumps back are.
    piece = edit(1, 2, 2, 4, 3)
    assert timeline("seamsOf", piece) == [3.0, 4.0, 4.5]
    assert timeline("segmentsOf", piece) == [[0, 2], [2, 3], [3, 4], [4, 5]]
