"""The healthy keys that came with a batch."""

import random
from collections.abc import Iterable

from leadhook.domain.job import ApiKey


class Keyring:
    """Shared by the leads of one batch, so that a key which fails one of them is not tried by the next."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = {key.fingerprint: key for key in keys}

    def pick(self, fingerprint: str | None = None) -> ApiKey | None:
        """The key of this fingerprint while it is healthy, else a random one; None when none is left."""
        if fingerprint in self._keys:
            return self._keys[fingerprint]
        return random.choice(list(self._keys.values())) if self._keys else None  # noqa: S311 - spreads load

    def drop(self, fingerprint: str) -> None:
        """Hand this key out no more."""
        self._keys.pop(fingerprint, None)
