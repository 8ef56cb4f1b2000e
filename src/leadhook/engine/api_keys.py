"""The Gemini keys that this process may use.

One pool serves all leads: what one lead learns of a key applies to all of them. A key that no call has succeeded with
may be bad, so it is on trial: one call at a time may use it. A new key is also checked by a call that costs nothing, so
that most are off trial before leads need them. A key that Google refuses rests, here at once, and everywhere once the
database has the report; when its rest is over, it is on trial again. What other processes learn of a key comes with the
database's replies.
"""

import math
import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import anyio

from leadhook.domain.blame import LATELY_S, PROBE_S, key_rest_s
from leadhook.domain.failure import Failure, StoreError
from leadhook.domain.job import ApiKey, KeyNews, ParkedKey
from leadhook.domain.phrases import amount
from leadhook.engine.context import EngineContext
from leadhook.engine.timing import Wakeup

CHECKS_AT_ONCE: Final = 10
DOUBTED_AFTER: Final = 3
"""After this many failures in a row without a known cause, while other keys are answered, a key is used last."""
DOUBTED_S: Final = 60.0
"""Time from its last failure until one call tries it again."""


class KeyPool:
    """Keys by their fingerprint; what is learned of them stays in memory."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._proven: Final[set[str]] = set()
        self._checked: Final[set[str]] = set()
        """Google said that they may use the model, so more than one call may."""
        self._on_trial: Final[set[str]] = set()
        self._parked: Final[dict[str, float]] = {}
        """When the database confirmed that a key is parked; only replies to later requests may offer it again."""
        self._waiting: Final[set[Wakeup]] = set()
        self._in_flight: Final[Counter[str]] = Counter()
        self._answered_at: Final[dict[str, float]] = {}
        """When any process last had an answer with a key that did not fail since."""
        self._failures: Final[dict[str, list[float]]] = {}
        """When calls with a key failed for a reason that does not speak of it, since its last answer."""
        self._turn_at = -math.inf
        """When the last of the resting keys has its turn, if none is answered."""

    def learn(self, keys: Iterable[ApiKey], asked_at: float) -> None:
        """Take over the healthy keys; a reply to a request sent at `asked_at` knows of no key that was parked later."""
        offered = {key.fingerprint: key for key in keys}
        for fingerprint, known_at in list(self._parked.items()):
            if known_at > asked_at:
                offered.pop(fingerprint, None)
            elif fingerprint in offered:
                del self._parked[fingerprint]
        self._keys = offered
        self._proven.update(key.fingerprint for key in offered.values() if key.tried)
        for key in offered.values():
            self._note_answer(key.fingerprint, key.answered_ms, asked_at)
        self._wake()

    def hear(self, news: Iterable[KeyNews], asked_at: float) -> None:
        """Take over what other processes have learned; a reply to a request that was sent at `asked_at` says it."""
        for item in news:
            if item.resting:
                self._drop(item.fingerprint)
                self._parked.setdefault(item.fingerprint, anyio.current_time())
            elif item.fingerprint in self._keys:
                self._proven.add(item.fingerprint)
                self._note_answer(item.fingerprint, item.answered_ms, asked_at)
        self._wake()

    def _note_answer(self, name: str, ago_ms: int | None, asked_at: float) -> None:
        if ago_ms is not None:
            self._answered_at[name] = max(self._answered_at.get(name, -math.inf), asked_at - ago_ms / 1000)

    def pick(self, fingerprint: str | None, failed: Mapping[str, float], *, may_try: bool = True) -> ApiKey | None:
        """Choose a key for a call that may begin now.

        Args:
            fingerprint: of the key to be preferred, if it is proven.
            failed: keys that failed for this lead, and when they were called. It goes on with a key that was answered
                since, not with the next one that may fail just as well.
            may_try: the call may find out whether a doubted key is good again: not one for a lead that failed before.

        Returns:
            Of those that may be used, the one with the fewest calls in flight; None when there is none.
        """
        free = [name for name in self._keys if name not in failed and self._may_be_used(name)]
        free = [name for name in free if not self._is_doubted(name, may_try=may_try)] or free
        if failed:
            since = min(failed.values())
            answered = [name for name in free if self._answered_at.get(name, -math.inf) >= since]
            free = answered or ([] if self._hopes(failed) else free)
        if fingerprint in free and fingerprint in self._proven:
            return self._keys[fingerprint]
        chosen = min(free, key=self._rank, default=None)
        return self._keys[chosen] if chosen else None

    def _rank(self, name: str) -> tuple[int, bool, float]:
        """Rank keys; the random number spreads the load over those with as many calls."""
        return self._in_flight[name], name not in self._proven, random.random()  # noqa: S311 - spreads load, guards nothing

    def has_other(self, key: ApiKey) -> bool:
        """Whether a call may begin with another key."""
        return any(name != key.fingerprint and self._may_be_used(name) for name in self._keys)

    def may_hear(self, failed: Collection[str]) -> bool:
        """Whether it makes sense to wait for a running call, which will prove a key or not."""
        return self._hopes(failed) or not self._on_trial.isdisjoint(self._keys)

    def _hopes(self, failed: Collection[str]) -> bool:
        return any(self._in_flight[name] for name in self._keys if name not in failed)

    def _may_be_used(self, name: str) -> bool:
        return name not in self._on_trial or name in self._proven or name in self._checked

    def _is_doubted(self, name: str, *, may_try: bool) -> bool:
        failures = self._failures.get(name, [])
        if len(failures) < DOUBTED_AFTER:
            return False
        others_answered = any(at > failures[0] for other, at in self._answered_at.items() if other != name)
        is_over = failures[-1] + DOUBTED_S <= anyio.current_time() and not self._in_flight[name]
        return others_answered and not (may_try and is_over)

    @contextmanager
    def using(self, key: ApiKey) -> Iterator[None]:
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

    def check(self, key: ApiKey) -> None:
        """Google confirmed that it may use the model; only a call shows whether it has quota."""
        if key.fingerprint in self._keys:
            self._checked.add(key.fingerprint)
            self._wake()

    def prove(self, key: ApiKey) -> None:
        """A call with it succeeded."""
        if key.fingerprint in self._keys:
            self._proven.add(key.fingerprint)
            self._answered_at[key.fingerprint] = anyio.current_time()
            self._failures.pop(key.fingerprint, None)

    def doubt(self, key: ApiKey) -> None:
        """A call with it failed for a reason that does not speak of the key."""
        failures = self._failures.setdefault(key.fingerprint, [])
        failures.append(anyio.current_time())
        del failures[1:-DOUBTED_AFTER]

    def rest(self, key: ApiKey, failure: Failure) -> None:
        """Let a key that failed rest, longer each time, and note the evidence."""
        now = anyio.current_time()
        others = sum(at > now - LATELY_S for name, at in self._answered_at.items() if name != key.fingerprint)
        rests = 0 if key.fingerprint in self._answered_at else key.rests
        turn_at = max(now, self._turn_at) + PROBE_S
        if rests and not others:
            self._turn_at = turn_at
        rest_s = key_rest_s(
            rests,
            others_answered=others > 0,
            turn_s=turn_at - now,
            asked_s=failure.park_s,
            again_s=failure.again_s,
        )
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
        self._drop(key.fingerprint)
        news = key.fingerprint not in self._parked
        # A late failure of a call that ran beside the first one must not make a reported rest endless.
        self._parked.setdefault(key.fingerprint, math.inf)
        self._wake()
        return news

    def _drop(self, name: str) -> None:
        self._proven.discard(name)
        self._checked.discard(name)
        self._answered_at.pop(name, None)
        self._failures.pop(name, None)
        self._keys.pop(name, None)

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
    """The service's own keys: new ones are checked, and parked ones reported, so that no other process calls them."""

    def __init__(self, context: EngineContext) -> None:
        super().__init__()
        self._context: Final = context
        self._unreported: dict[str, ParkedKey] = {}
        self._wakeup: Final = Wakeup()
        self._unchecked: Final[dict[str, ApiKey]] = {}
        self._seen: Final[set[str]] = set()
        self._new_keys: Final = Wakeup()

    def learn(self, keys: Iterable[ApiKey], asked_at: float) -> None:
        """Take over the keys that the database offers, and have the new ones checked."""
        super().learn(keys, asked_at)
        self._seen.intersection_update(self._keys)
        new = [key for name, key in self._keys.items() if name not in self._seen and key.is_new]
        self._seen.update(self._keys)
        self._unchecked.update({key.fingerprint: key for key in new})
        if new:
            self._new_keys.set()

    def park(self, key: ParkedKey) -> bool:
        """Stop using this key, and report it."""
        news = super().park(key)
        if news:
            self._context.observer.key_parked(key)
            self._unreported[key.fingerprint] = key
            self._wakeup.set()
        return news

    async def run(self) -> None:
        """Check new keys and report parked ones until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._check_new)
            tasks.start_soon(self._report)

    async def _check_new(self) -> None:
        while True:
            while not self._unchecked:
                await self._new_keys.wait()
            async with anyio.create_task_group() as checks:
                for name in list(self._unchecked)[:CHECKS_AT_ONCE]:
                    checks.start_soon(self._check_one, self._unchecked.pop(name))

    async def _check_one(self, key: ApiKey) -> None:
        if await self._context.scorer.check_key(key):
            self.check(key)

    async def _report(self) -> None:
        """Report parked keys, each until the database has it."""
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
