"""A bound on how often something may happen."""

import time
from collections.abc import Callable


class TokenBucket:
    """Lets `burst` through at once and `per_second` in the long run."""

    def __init__(self, *, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._seen = clock()

    def take(self) -> bool:
        """Whether one more may happen now."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._seen) * self._per_second)
        self._seen = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
