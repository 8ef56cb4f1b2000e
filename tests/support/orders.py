r"""Orders: rules by which the Gemini stand-in misbehaves, a JSON list: [{"match": {…}, "do": {…}}, …].

match, all optional, all must hold:
  key    the key itself (only its fingerprint is kept), its fingerprint, or its last four characters
  lead   a part of the request's text
  step   "score", "message" or "text"; "check": the model's description, which no other rule matches
  first  only the first n calls that match otherwise
do:
  latency_ms  a number, or [low, high]; alone, later rules still decide the rest. The first rule that matches and says
              more decides
  one of
    error   a status, or {"status": 429, "reason": "MINUTE_QUOTA", "retry_s": 7}; "retry_s": null names no delay.
            `KNOWN` of refusals.py has all; reason HTML is a proxy's page instead of Google's JSON
    answer  one of `Manner`
    text    this text instead of the answer's JSON
    block   the prompt is blocked for this reason: SAFETY, BLOCKLIST, … or one that Google does not have yet
    raw     {"status": 200, "body": "[]", "content_type": "application/json"}: these bytes
    hang    true: never answers
    reset   true: resets the connection before the headers
    close   true: closes the connection before the headers
  and, with a proper answer or `text`,
    finish  this finish reason instead: SPII, LANGUAGE, OTHER, … or one that Google does not have yet
  and, to how it is sent,
    cut     true or "in_body": closes the connection in the middle of the body; "after_headers": before the body
    stall   the same places, but the connection stays open and nothing more comes
    drip    {"bytes": 20, "every_ms": 500}: sends slowly
"""

import hashlib
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
from tests.support.refusals import KNOWN

from leadhook.local.gemini_standin import Step

_TAIL: Final = 4
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{16}")

Manner = Literal[
    "malformed",
    "truncated",
    "truncated_but_stop",
    "fenced",
    "out_of_range",
    "missing_field",
    "too_long",
    "empty",
    "no_parts",
    "no_candidates",
    "nothing",
    "blocked_prompt",
    "blocked_safety",
    "blocked_recitation",
    "thinking_only",
    "thought_parts",
    "non_json_200",
    "nul",
    "surrogate",
    "html_in_message",
]
"""The ways a model's answer can be unusable."""
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
    step: Step | Literal["check"] | None = None
    first: Annotated[int, Field(ge=1)] | None = None

    @field_validator("key")
    @classmethod
    def _forget_the_key(cls, key: str | None) -> str | None:
        known = key is None or len(key) == _TAIL or _FINGERPRINT.fullmatch(key)
        return key if known else fingerprint(key or "")


class Error(_Strict):
    status: int
    reason: str | None = None
    retry_s: Annotated[float, Field(ge=0)] | None = 30

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if (self.status, self.reason) not in KNOWN:
            raise ValueError(f"status {self.status} with reason {self.reason} can't be ordered")
        return self


class Raw(_Strict):
    status: Annotated[int, Field(ge=200, le=599)] = 200
    body: str = ""
    content_type: str = "application/json"


class Drip(_Strict):
    bytes: Annotated[int, Field(ge=1)] = 20
    every_ms: Milliseconds = 500


def _error(value: Any) -> Any:
    return {"status": value} if isinstance(value, int) else value


def _cut(value: Any) -> Any:
    return "in_body" if value is True else value


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
    drip: Drip | None = None

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
    matched: int = 0

    def takes(self, key: str, print_: str, step: str, text: str) -> bool:
        match = self.rule.match
        if match.first is not None and self.matched >= match.first:
            return False
        if match.key is not None and match.key != print_ and match.key != key[-_TAIL:]:
            return False
        if match.step != step and (match.step is not None or step == "check"):
            return False
        if match.lead is not None and match.lead not in text:
            return False
        self.matched += 1
        return True


@dataclass(slots=True)
class Orders:
    _standing: list[_Standing] = field(default_factory=list)

    def replace(self, body: bytes) -> None:
        """Put these rules in the place of all others.

        Raises:
            pydantic.ValidationError: names every fault; the old rules stay.
        """
        rules = _RULES.validate_json(body)
        self._standing = [_Standing(rule) for rule in rules]

    def cancel(self) -> None:
        self._standing = []

    def listed(self) -> list[dict[str, Any]]:
        """The rules, and how many calls each matched."""
        return [
            standing.rule.model_dump(mode="json", exclude_unset=True) | {"matched": standing.matched}
            for standing in self._standing
        ]

    def decide(self, key: str, print_: str, step: str, text: str = "") -> Do:
        latency = None
        for standing in self._standing:
            if standing.takes(key, print_, step, text):
                do = standing.rule.do
                latency = do.latency_ms if latency is None else latency
                if not do.is_only_latency:
                    return do.model_copy(update={"latency_ms": latency})
        return Do(latency_ms=latency)


def fingerprint(key: str) -> str:
    """Name a key without showing it: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(key.strip().encode(errors="replace")).hexdigest()[:16]
