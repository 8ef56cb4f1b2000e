"""The Gemini keys that this process may use.

One pool serves all leads: what one lead learns of a key applies to all of them. A key that no call has succeeded with
may be bad, so it is on trial: one call at a time may use it. A key that Google refuses rests, here at once, and
everywhere once the database has the report; when its rest is over, it is on trial again.
"""

import math
import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import anyio

from leadhook.domain.blame import key_rest_s
from leadhook.domain.failure import Failure, StoreError
from leadhook.domain.job import ApiKey, ParkedKey
from leadhook.domain.phrases import amount
from leadhook.engine.context import EngineContext
from leadhook.engine.timing import Wakeup

LATELY_S: Final = 600.0
"""An answer to another key counts as evidence against a key for so long."""


class KeyPool:
    """Keys by their fingerprint; what is learned of them stays in memory."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._proven: Final[set[str]] = set()
        self._on_trial: Final[set[str]] = set()
        self._parked: Final[dict[str, float]] = {}
        """When the database confirmed that a key is parked; only replies to later requests may offer it again."""
        self._waiting: Final[set[Wakeup]] = set()
        self._in_flight: Final[Counter[str]] = Counter()
        self._answered_at: Final[dict[str, float]] = {}
        """When this process last had an answer with a key that did not fail since."""

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

    def pick(self, fingerprint: str | None, failed: Mapping[str, float]) -> ApiKey | None:
        """Choose a key for a call that may begin now.

        Args:
            fingerprint: of the key to be preferred, if it is proven.
            failed: keys that failed for this lead, and when they were called. It goes on with a key that was answered
                since, not with the next one that may fail just as well.

        Returns:
            Of those that may be used, the one with the fewest calls in flight; None when there is none.
        """
        free = [name for name in self._keys if name not in failed and self._may_be_used(name)]
        if failed:
            since = min(failed.values())
            answered = [name for name in free if self._answered_at.get(name, -math.inf) >= since]
            free = answered or ([] if self._hopes(failed) else free)
        if fingerprint in free and fingerprint in self._proven:
            return self._keys[fingerprint]
        chosen = min(free, key=self._rank, default=None)
        return self._keys[chosen] if chosen else None

    def _rank(self, name: str) -> tuple[int, bool, float]:
        """The random number spreads the load over keys with as many calls."""
        return self._in_flight[name], name not in self._proven, random.random()  # noqa: S311 - spreads load, guards nothing

    def may_hear(self, failed: Collection[str]) -> bool:
        """A call is running that will prove a key or not: waiting for it makes sense."""
        return self._hopes(failed) or not self._on_trial.isdisjoint(self._keys)

    def _hopes(self, failed: Collection[str]) -> bool:
        return any(self._in_flight[name] for name in self._keys if name not in failed)

    def _may_be_used(self, name: str) -> bool:
        return name in self._proven or name not in self._on_trial

    @contextmanager
    def using(self, key: ApiKey) -> Iterator[None]:
        """Wrap a call with a key."""
        trial = key.fingerprint not in self._proven
        if trial:
            self._on_trial.add(key.fingerprint)
        self._in_flight[key.fingerprint] += 1
        try:
            yield
        finally:
            self._in_flight[key.fingerprint] -= 1
            if trial:
                self._on_trial.discard(key.fingerprint)
            self._wake()

    def prove(self, key: ApiKey) -> None:
        """A call with it succeeded."""
        if key.fingerprint in self._keys:
            self._proven.add(key.fingerprint)
            self._answered_at[key.fingerprint] = anyio.current_time()

    def rest(self, key: ApiKey, failure: Failure) -> None:
        """Let a key rest that failed, the longer the more often, and note the evidence."""
        since = anyio.current_time() - LATELY_S
        others = sum(at > since for name, at in self._answered_at.items() if name != key.fingerprint)
        rests = 0 if key.fingerprint in self._answered_at else key.rests
        rest_s = key_rest_s(rests, others_answered=others > 0, asked_s=failure.park_s, again_s=failure.again_s)
        evidence = (
            f"{amount(others, 'other key')} answered in the last 10 minutes" if others else "No other key answered"
        )
        self.park(
            ParkedKey(
                fingerprint=key.fingerprint,
                reason=f"{failure.reason} {evidence}; rest {rests + 1} in a row.",
                for_ms=None if rest_s == math.inf else round(rest_s * 1000),
                rests=rests + 1,
                model=failure.for_model,
            )
        )

    def park(self, key: ParkedKey) -> bool:
        """Stop using this key; False when it was parked already."""
        self._proven.discard(key.fingerprint)
        self._answered_at.pop(key.fingerprint, None)
        self._keys.pop(key.fingerprint, None)
        news = key.fingerprint not in self._parked
        # A late failure of a call that ran beside the first one must not make a reported rest endless.
        self._parked.setdefault(key.fingerprint, math.inf)
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
