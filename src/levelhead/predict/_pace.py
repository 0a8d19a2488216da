"""How fast requests go out: so many a minute, so many tokens a minute, and none during a pause."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Pace"]


class Pace:
    """Evenly spaced reservations of a rate.

    Each reservation of a cost c moves the next free moment by 60 c / rate seconds, so that no minute
    holds more than the rate and nothing goes out in bursts.

    Args:
        per_minute: the rate, > 0; None for no limit (pauses still hold).
        clock: seconds that never go back.

    Attributes:
        shifted: seconds by which pauses have put off what had been reserved before them; whoever
            waits for a reservation waits so much longer.
    """

    def __init__(
        self, per_minute: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = 0.0 if per_minute is None else 60.0 / per_minute
        self._clock = clock
        self._next = self._until = clock()
        self.shifted = 0.0

    def reserve(self, cost: float = 1.0) -> float:
        """Seconds to wait before something of this cost may go out."""
        start = max(self._clock(), self._next, self._until)
        self._next = start + cost * self._seconds
        return start - self._clock()

    def correct(self, difference: float) -> None:
        """Something has cost so much more (or less) than was reserved for it."""
        self._next += difference * self._seconds

    def pause(self, seconds: float) -> None:
        """Nothing more goes out for so long, what is reserved already included.

        All that is reserved is put off by the same time, so that it stays spaced and does not go out
        at once when the pause ends.
        """
        now = self._clock()
        free = max(self._until, now)
        longer = max(now + seconds - free, 0.0)
        self._until = free + longer
        self._next = max(self._next, now) + longer
        self.shifted += longer
