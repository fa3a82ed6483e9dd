"""The time since a task was shown, and since the rater's last break."""

import time
from collections.abc import Callable

BREAK_AFTER = 30 * 60.0  # seconds of rating after which a break is suggested
BREAK = 5 * 60.0  # a pause of at least this many seconds is a break


class Stopwatch:
    """Times the present task and the time since the last break; stopped during a pause.

    Parameters
    ----------
    clock : callable
        Returns the time in s of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._shown_at = self._rated_since = clock()
        self._paused_at: float | None = None

    @property
    def paused(self) -> bool:
        """True between `pause` and `go_on`."""
        return self._paused_at is not None

    @property
    def seconds_spent(self) -> float:
        """Seconds since the present task was shown, without pauses."""
        return self._now - self._shown_at

    @property
    def break_due(self) -> bool:
        """True after half an hour of rating without a break."""
        return self._now - self._rated_since >= BREAK_AFTER

    @property
    def _now(self) -> float:
        return self._clock() if self._paused_at is None else self._paused_at

    def restart(self) -> None:
        """Time a new task."""
        self._shown_at = self._now

    def pause(self) -> None:
        """Stop the clock; a second call changes nothing."""
        self._paused_at = self._now

    def go_on(self) -> None:
        """End a pause; after five minutes, or when a break was due, a new half hour starts."""
        due, now = self.break_due, self._clock()
        away = now - self._now
        self._shown_at += away
        self._rated_since = now if due or away >= BREAK else self._rated_since + away
        self._paused_at = None
