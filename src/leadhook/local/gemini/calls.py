"""The ledger of calls: what came in, what was answered, what it would have cost. Bounded."""

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from leadhook.local.gemini.tokens import Tokens

_ROWS: Final = 20_000
_BODIES: Final = 2_000
_BODY_BYTES: Final = 64 * 1024 * 1024


@dataclass(slots=True)
class Call:
    """One request. `time` is Unix time in ms, `key` a fingerprint; `status` is None while nothing was answered."""

    n: int
    time: float
    key: str
    model: str
    step: str = ""
    lead_id: str | None = None
    name: str | None = None
    turns: int = 0
    system_hash: str = ""
    config_hash: str = ""
    order: dict[str, Any] = field(default_factory=dict)
    status: int | None = None
    duration_ms: float | None = None
    tokens: Tokens = field(default_factory=Tokens)
    gone: bool = False

    def listed(self) -> dict[str, Any]:
        """As JSON tells it."""
        row = asdict(self)
        row["tokens"]["total"] = self.tokens.total
        return row


@dataclass(slots=True)
class Sum:
    """What the finished calls come to since they were last forgotten."""

    calls: int = 0
    gone: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    by_step: Counter[str] = field(default_factory=Counter)
    by_key: Counter[str] = field(default_factory=Counter)
    by_model: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)

    def add(self, call: Call) -> None:
        """Count a call that has ended."""
        self.calls += 1
        self.gone += call.gone
        self.by_status[str(call.status)] += 1
        self.by_step[call.step] += 1
        self.by_key[call.key] += 1
        self.by_model[call.model] += 1
        used = call.tokens
        self.tokens.update(
            prompt=used.prompt, cached=used.cached, output=used.output, thinking=used.thinking, total=used.total
        )

    def listed(self) -> dict[str, Any]:
        """As JSON tells it."""
        return {name: getattr(self, name) for name in self.__slots__}


class Ledger:
    """The calls that came in, newest last."""

    def __init__(self) -> None:
        self._n = 0
        self._in_flight = 0
        self._most_in_flight = 0
        self._calls: deque[Call] = deque(maxlen=_ROWS)
        self._bodies: OrderedDict[int, bytes] = OrderedDict()
        self._body_bytes = 0
        self._sum = Sum()
        self._forgotten_to = 0

    def begin(self, key: str, model: str, body: bytes) -> Call:
        """Open a row for a call that came in now."""
        self._n += 1
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        call = Call(self._n, time.time() * 1000, key, model)
        self._calls.append(call)
        self._keep(call.n, body)
        return call

    def end(self, call: Call) -> None:
        """Close the row."""
        call.duration_ms = round(time.time() * 1000 - call.time, 1)
        self._in_flight -= 1
        if call.n > self._forgotten_to:
            self._sum.add(call)

    def since(self, n: int) -> Iterable[Call]:
        """The calls after call `n` that are still remembered."""
        return [call for call in self._calls if call.n > n]

    def find(self, n: int) -> tuple[Call, bytes | None] | None:
        """One call with its request's body, if that is still kept."""
        call = next((call for call in self._calls if call.n == n), None)
        return None if call is None else (call, self._bodies.get(n))

    def total(self) -> dict[str, Any]:
        """The sum, with the calls under way."""
        return self._sum.listed() | {"in_flight": self._in_flight, "most_in_flight": self._most_in_flight}

    def forget(self) -> None:
        """Drop the rows, bodies and sums; numbering goes on."""
        self._calls.clear()
        self._bodies.clear()
        self._body_bytes = 0
        self._sum = Sum()
        self._forgotten_to = self._n
        self._most_in_flight = self._in_flight

    def _keep(self, n: int, body: bytes) -> None:
        self._bodies[n] = body
        self._body_bytes += len(body)
        while len(self._bodies) > _BODIES or self._body_bytes > _BODY_BYTES:
            _, oldest = self._bodies.popitem(last=False)
            self._body_bytes -= len(oldest)
