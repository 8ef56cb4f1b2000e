"""Exponential backoff with full jitter, so that many failures at once are not retried all at once."""

import random
from typing import Final

BASE_S: Final = 2.0
CEILING_S: Final = 600.0


def backoff(attempt: int, *, base_s: float = BASE_S, ceiling_s: float = CEILING_S) -> float:
    """Draw the seconds to wait evenly from 0 to `min(ceiling_s, base_s * 2 ** attempt)`; the first attempt is 0."""
    return random.uniform(0.0, min(ceiling_s, base_s * 2.0 ** min(attempt, 32)))  # noqa: S311 - jitter, not a secret
