"""The Gemini keys that this process may use: one for all leads, so that what one learns of a key the others know.

A key that no call has succeeded with yet may be bad; it is tried by one call at a time. What Google says against a key
counts here at once, and everywhere once the database knows it (`KeyReports`).
"""

import math
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import anyio

from leadhook.domain.job import ApiKey
from leadhook.engine.wakeup import Wakeup


class Keyring:
    """Keys by their fingerprint."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._proven: Final[set[str]] = set()
        self._on_trial: Final[set[str]] = set()
        self._parked: Final[dict[str, float]] = {}
        """When the database confirmed that a key is parked; it may have changed its mind only in later replies."""
        self._waiting: Final[set[Wakeup]] = set()

    @property
    def on_trial(self) -> bool:
        """Whether a call is under way that will prove a key, or not."""
        return not self._on_trial.isdisjoint(self._keys)

    def learn(self, keys: Iterable[ApiKey], asked_at: float) -> None:
        """Take over what the database offers.

        Args:
            keys: the usable ones.
            asked_at: when it was asked; what was said of a key after that it can't know.
        """
        offered = {key.fingerprint: key for key in keys}
        for fingerprint, known_at in list(self._parked.items()):
            if known_at > asked_at:
                offered.pop(fingerprint, None)
            elif fingerprint in offered:
                del self._parked[fingerprint]
        self._keys = offered
        self._proven.update(key.fingerprint for key in offered.values() if key.tried)
        self._wake()

    def pick(self, fingerprint: str | None = None) -> ApiKey | None:
        """The key of this fingerprint if it is proven, else a random one; None when none may be used now."""
        free = [key for name, key in self._keys.items() if name in self._proven or name not in self._on_trial]
        if fingerprint in self._keys and fingerprint in self._proven:
            return self._keys[fingerprint]
        return random.choice(free) if free else None  # noqa: S311 - spreads load

    @contextmanager
    def using(self, key: ApiKey) -> Iterator[None]:
        """Around a call with a key."""
        trial = key.fingerprint not in self._proven
        if trial:
            self._on_trial.add(key.fingerprint)
        try:
            yield
        finally:
            if trial:
                self._on_trial.discard(key.fingerprint)
                self._wake()

    def prove(self, key: ApiKey) -> None:
        """A call with it succeeded."""
        if key.fingerprint in self._keys and key.fingerprint not in self._proven:
            self._proven.add(key.fingerprint)
            self._wake()

    def park(self, fingerprint: str) -> bool:
        """Hand this key out no more; True when that is news, which the database must be told."""
        self._proven.discard(fingerprint)
        self._keys.pop(fingerprint, None)
        news = fingerprint not in self._parked
        self._parked[fingerprint] = math.inf
        self._wake()
        return news

    def told(self, fingerprints: Iterable[str]) -> None:
        """The database knows of these parked keys."""
        for fingerprint in fingerprints:
            self._parked[fingerprint] = anyio.current_time()

    @contextmanager
    def watched(self, news: Wakeup) -> Iterator[None]:
        """Within, `news` is set whenever there may be a key."""
        self._waiting.add(news)
        try:
            yield
        finally:
            self._waiting.discard(news)

    def _wake(self) -> None:
        for news in self._waiting:
            news.set()
