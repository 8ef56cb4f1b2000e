"""The Gemini keys that this process may use.

One pool serves all leads: what one lead learns of a key applies to all of them. A key that no call has succeeded with
may be bad, so it is on trial: one call at a time may use it. A key that Google refuses is parked, here at once, and
everywhere once the database has the report.
"""

import math
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import anyio

from leadhook.domain.failure import StoreError
from leadhook.domain.job import ApiKey, ParkedKey
from leadhook.engine.context import EngineContext
from leadhook.engine.timing import Wakeup


class KeyPool:
    """Keys by their fingerprint; what is learned of them stays in memory."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._proven: Final[set[str]] = set()
        self._on_trial: Final[set[str]] = set()
        self._parked: Final[dict[str, float]] = {}
        """When the database confirmed that a key is parked; only replies to later requests may offer it again."""
        self._waiting: Final[set[Wakeup]] = set()

    @property
    def on_trial(self) -> bool:
        """A call is running that will prove a key or not."""
        return not self._on_trial.isdisjoint(self._keys)

    def learn(self, keys: Iterable[ApiKey], asked_at: float) -> None:
        """Take over the keys that the database offers.

        Args:
            keys: the healthy ones.
            asked_at: when the request was sent; the reply can't know of keys that were parked after that.
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
        """The key with this fingerprint if it is proven, else a random one; None when none may be used now."""
        free = [key for name, key in self._keys.items() if name in self._proven or name not in self._on_trial]
        if fingerprint in self._keys and fingerprint in self._proven:
            return self._keys[fingerprint]
        return random.choice(free) if free else None  # noqa: S311 - spreads load

    @contextmanager
    def using(self, key: ApiKey) -> Iterator[None]:
        """Wrap a call with a key."""
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

    def park(self, key: ParkedKey) -> bool:
        """Stop using this key; False when it was parked already."""
        self._proven.discard(key.fingerprint)
        self._keys.pop(key.fingerprint, None)
        news = key.fingerprint not in self._parked
        self._parked[key.fingerprint] = math.inf
        self._wake()
        return news

    @contextmanager
    def watched(self, news: Wakeup) -> Iterator[None]:
        """Within the block, `news` is set whenever a key may have become usable."""
        self._waiting.add(news)
        try:
            yield
        finally:
            self._waiting.discard(news)

    def _wake(self) -> None:
        for news in self._waiting:
            news.set()


class SharedKeyPool(KeyPool):
    """The service's own keys: parked ones are reported, so that no other process spends a call to learn the same."""

    def __init__(self, context: EngineContext) -> None:
        super().__init__()
        self._context: Final = context
        self._unreported: dict[str, ParkedKey] = {}
        self._wakeup: Final = Wakeup()

    def park(self, key: ParkedKey) -> bool:
        """Stop using this key, and report it."""
        news = super().park(key)
        if news:
            self._context.observer.key_parked(key)
            self._unreported[key.fingerprint] = key
            self._wakeup.set()
        return news

    async def run(self) -> None:
        """Report parked keys, each until the database has it, until cancelled."""
        failures = 0
        while True:
            if not self._unreported:
                await self._wakeup.wait()
                continue
            sent = dict(self._unreported)
            try:
                await self._context.store.park_keys(list(sent.values()))
            except StoreError as error:
                failures += 1
                self._context.report("park", error, keys=len(sent))
                await anyio.sleep(self._context.timing.retry_s(error.kind, failures))
                continue
            failures = 0
            self._context.faults.clear("park")
            self._parked.update(dict.fromkeys(sent, anyio.current_time()))
            self._unreported = {name: key for name, key in self._unreported.items() if sent.get(name) is not key}
