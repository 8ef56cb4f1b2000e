"""Exponential backoff with full jitter, so that many failures at once are not retried all at once."""

import random
from typing import Final

BASE_S: Final = 2.0
CEILING_S: Final = 600.0


def backoff(attempt: int, *, base_s: float = BASE_S, ceiling_s: float = CEILING_S) -> float:
    """Return the seconds to wait after a failed attempt.

    Args:
        attempt: 0 for the first failure.
        base_s: upper bound after the first failure.
        ceiling_s: upper bound after any failure.

    Returns:
        A number drawn evenly from 0 to `min(ceiling_s, base_s * 2 ** attempt)`.
    """
    return random.uniform(0.0, min(ceiling_s, base_s * 2.0 ** min(attempt, 32)))  # noqa: S311 - jitter, not a secret
