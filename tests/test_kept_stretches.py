"""The stretches of songs that were asked for last are kept, up to a number of pairs of beats."""

from toy import toy_song

from rlhf_lib.learning.planning import stretch
from rlhf_lib.learning.planning.stretch import stretches


def test_the_songs_asked_for_last_are_kept(monkeypatch):
    monkeypatch.setattr(stretch, "_KEPT", {})
    monkeypatch.setattr(stretch, "_MOST_PAIRS", 2 * 64**2)
    a, b, c = (toy_song(64, seed=seed) for seed in range(3))
    first, second = stretches(a), stretches(b)
    assert stretches(a) is first and stretches(b) is second
    stretches(a)
    stretches(c)  # b, asked for longest ago, makes room
    assert stretches(a) is first
    assert stretches(b) is not second


def test_a_song_too_large_is_kept_until_the_next(monkeypatch):
    monkeypatch.setattr(stretch, "_KEPT", {})
    monkeypatch.setattr(stretch, "_MOST_PAIRS", 10)
    song = toy_song(64)
    assert stretches(song) is stretches(song)
    stretches(toy_song(64, seed=1))
    assert len(stretch._KEPT) == 1
