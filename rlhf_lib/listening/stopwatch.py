"""How long a rater has been at a task, and at it without a break."""

import time
from collections.abc import Callable

BREAK_AFTER = 30 * 60.0  # seconds of rating after which a break is suggested
BREAK = 5 * 60.0  # a pause of so many seconds is a break


class Stopwatch:
    """Times the present task and the stretch since the last break; stands still in a pause.

    Parameters
    ----------
    clock : callable
        Returns s on a clock that never goes back.
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
        """Seconds since the present task was shown, pauses aside."""
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
        """Stop; a second pause within the first changes nothing."""
        self._paused_at = self._now

    def go_on(self) -> None:
        """End a pause; one of five minutes, or when a break was due, starts a new half hour."""
        due, now = self.break_due, self._clock()
        away = now - self._now
        self._shown_at += away
        self._rated_since = now if due or away >= BREAK else self._rated_since + away
        self._paused_at = None
