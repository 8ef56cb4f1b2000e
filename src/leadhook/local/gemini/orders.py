"""Orders: rules by which the stand-in is told to misbehave; the package's docstring has the list."""

import hashlib
import random
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    field_validator,
    model_validator,
)

from leadhook.local.gemini.answers import Manner
from leadhook.local.gemini.reading import Reading, Step
from leadhook.local.gemini.refusals import KNOWN

_TAIL: Final = 4
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{16}")

Place = Literal["after_headers", "in_body"]
"""Where a reply breaks off."""
Milliseconds = Annotated[float, Field(ge=0, le=3_600_000)]


def _in_order(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError("a range is [low, high]")
    return span


Span = Annotated[tuple[Milliseconds, Milliseconds], AfterValidator(_in_order)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Strict):
    """Which calls a rule is for; everything named must hold."""

    key: Annotated[str, Field(min_length=_TAIL)] | None = None
    lead: str | None = None
    step: Step | None = None
    share: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: int | None = None
    first: Annotated[int, Field(ge=1)] | None = None

    @field_validator("key")
    @classmethod
    def _forget_the_key(cls, key: str | None) -> str | None:
        known = key is None or len(key) == _TAIL or _FINGERPRINT.fullmatch(key)
        return key if known else fingerprint(key or "")


class Error(_Strict):
    """An error to answer with."""

    status: int
    reason: str | None = None
    retry_s: Annotated[float, Field(ge=0)] | None = 30

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if (self.status, self.reason) not in KNOWN:
            raise ValueError(f"status {self.status} with reason {self.reason} can't be ordered; GET / has the list")
        return self


class Raw(_Strict):
    """Anything at all to answer with."""

    status: Annotated[int, Field(ge=200, le=599)] = 200
    body: str = ""
    content_type: str = "application/json"


class Drip(_Strict):
    """How slowly a body is sent."""

    bytes: Annotated[int, Field(ge=1)] = 20
    every_ms: Milliseconds = 500


def _error(value: Any) -> Any:
    return {"status": value} if isinstance(value, int) else value


def _cut(value: Any) -> Any:
    return "in_body" if value is True else value


def _drip(value: Any) -> Any:
    return {} if value is True else value


class Do(_Strict):
    """What to do with a call; an empty one means to answer properly."""

    latency_ms: Milliseconds | Span | None = None
    error: Annotated[Error, BeforeValidator(_error)] | None = None
    answer: Manner | None = None
    text: str | None = None
    finish: Annotated[str, Field(min_length=1)] | None = None
    block: Annotated[str, Field(min_length=1)] | None = None
    raw: Raw | None = None
    hang: Literal[True] | None = None
    reset: Literal[True] | None = None
    close: Literal[True] | None = None
    cut: Annotated[Place, BeforeValidator(_cut)] | None = None
    stall: Annotated[Place, BeforeValidator(_cut)] | None = None
    drip: Annotated[Drip, BeforeValidator(_drip)] | None = None

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        if len(self.model_fields_set & {"error", "answer", "text", "block", "raw", "hang", "reset", "close"}) > 1:
            raise ValueError("only one of error, answer, text, block, raw, hang, reset, close can be done")
        return self

    @property
    def is_only_latency(self) -> bool:
        """Whether later rules may decide the rest."""
        return self.model_fields_set == {"latency_ms"}


class Rule(_Strict):
    """One order."""

    match: Match = Match()
    do: Do

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.do.model_fields_set:
            raise ValueError("`do` is empty")
        return self


_RULES: Final = TypeAdapter(list[Rule])


@dataclass(slots=True)
class _Standing:
    rule: Rule
    chance: random.Random
    matched: int = 0

    def takes(self, key: str, print_: str, reading: Reading) -> bool:
        match = self.rule.match
        if match.first is not None and self.matched >= match.first:
            return False
        if match.key is not None and match.key != print_ and match.key != key[-_TAIL:]:
            return False
        if match.step is not None and match.step != reading.step:
            return False
        if match.lead is not None and match.lead not in reading.text:
            return False
        if match.share is not None and self.chance.random() >= match.share:
            return False
        self.matched += 1
        return True


@dataclass(slots=True)
class Orders:
    """The rules that stand."""

    _standing: list[_Standing] = field(default_factory=list)

    def replace(self, body: bytes) -> None:
        """Put these rules in the place of all others.

        Raises:
            pydantic.ValidationError: names every fault; the old rules stay.
        """
        rules = _RULES.validate_json(body)
        self._standing = [_Standing(rule, random.Random(rule.match.seed)) for rule in rules]  # noqa: S311 - a die

    def cancel(self) -> None:
        """Behave again."""
        self._standing = []

    def listed(self) -> list[dict[str, Any]]:
        """The rules, and how many calls each matched."""
        return [
            standing.rule.model_dump(mode="json", exclude_unset=True) | {"matched": standing.matched}
            for standing in self._standing
        ]

    def decide(self, key: str, print_: str, reading: Reading) -> Do:
        """Find what to do with this call, and count it."""
        latency = None
        for standing in self._standing:
            if standing.takes(key, print_, reading):
                do = standing.rule.do
                latency = do.latency_ms if latency is None else latency
                if not do.is_only_latency:
                    return do.model_copy(update={"latency_ms": latency})
        return Do(latency_ms=latency)


def fingerprint(key: str) -> str:
    """Name a key without telling it: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(key.strip().encode(errors="replace")).hexdigest()[:16]
