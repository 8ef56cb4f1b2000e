"""Estimates the cost of model calls from the leads' earlier cost, or from the lengths of their texts."""

from dataclasses import dataclass
from typing import Final

from pydantic import computed_field, field_validator

from leadhook.domain.facts import Facts
from leadhook.domain.spend import MILLION, Price, dollars

ENOUGH: Final = 20
"""With at least this many scored leads, their average is used for the others; else that of all recent leads."""

_CHARACTERS_PER_TOKEN: Final = 4
_SCORE_TOKENS_OUT: Final = 250
_MESSAGE_TOKENS_OUT: Final = 200
_SUMMED: Final = ("calls", "input_tokens", "cached_tokens", "output_tokens", "thinking_tokens", "model_ms")


class Spending(Facts):
    """Sums or averages over leads; `cost_usd` is None if the price is unknown."""

    known: int = 0
    """For a sum: the number of leads in it."""
    calls: float = 0
    input_tokens: float = 0
    cached_tokens: float = 0
    output_tokens: float = 0
    thinking_tokens: float = 0
    model_ms: float = 0
    cost_usd: float | None = None

    @field_validator(*_SUMMED, mode="before")
    @classmethod
    def _nothing_is_0(cls, value: float | None) -> float:
        return value or 0

    def __add__(self, other: "Spending") -> "Spending":
        """Add field by field; an unknown cost stays unknown."""
        costs = [part.cost_usd for part in (self, other) if part.calls]
        known = [cost for cost in costs if cost is not None]
        return Spending(
            known=self.known + other.known,
            cost_usd=sum(known) if known and len(known) == len(costs) else None,
            **{name: getattr(self, name) + getattr(other, name) for name in _SUMMED},
        )

    def __mul__(self, factor: float) -> "Spending":
        return Spending(
            cost_usd=None if self.cost_usd is None else self.cost_usd * factor,
            **{name: getattr(self, name) * factor for name in _SUMMED},
        )


def forecast(leads: int, history: Spending, average: Spending) -> Spending | None:
    """Estimate the cost of this many leads; None if no lead was ever scored.

    Args:
        history: the earlier cost of those that were scored before.
        average: the average of all recent leads.
    """
    unknown = leads - history.known
    if history.known >= ENOUGH:
        average = history * (1 / history.known)
    if unknown > 0 and not average.calls:
        return None if not history.known else history * (leads / history.known)
    return history + average * unknown if unknown > 0 else history


@dataclass(frozen=True)
class PricedModel:
    """The model, and its price; None if it is unknown."""

    name: str
    price: Price | None = None


class TextSize(Facts):
    """The number of leads measured, and the characters that scoring them and writing their messages would send."""

    leads: int
    score_chars: int
    message_chars: int


class Estimate(Facts):
    """The maximum that a score and a message for each lead may need, from the lengths of the texts."""

    leads: int
    model: str
    score_input_tokens: float
    message_input_tokens: float
    cost_usd: float | None
    """None if the model's price is unknown."""

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def score_output_tokens(self) -> int:
        """With a fixed number for each lead."""
        return self.leads * _SCORE_TOKENS_OUT

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def message_output_tokens(self) -> int:
        """With a fixed number for each lead."""
        return self.leads * _MESSAGE_TOKENS_OUT

    def __str__(self) -> str:
        cost = (
            f"in dollars: unknown, as no price of {self.model} is known (docs/spend.md)"
            if self.cost_usd is None
            else f"about {dollars(self.cost_usd)} at most with {self.model}"
        )
        return (
            f"estimate for {self.leads} leads, from the lengths of the texts: {self.leads} scores of "
            f"{_words(self.score_input_tokens)} tokens in and {_words(self.score_output_tokens)} out, and as many "
            f"messages at most of {_words(self.message_input_tokens)} in and {_words(self.message_output_tokens)} out; "
            f"{cost}"
        )


def estimate(size: TextSize, model: PricedModel, leads: int | None = None) -> Estimate:
    """Estimate the calls for this many of the measured leads (default: all), each with the average size."""
    count = size.leads if leads is None else leads
    share = count / size.leads / _CHARACTERS_PER_TOKEN if size.leads else 0.0
    score, message = size.score_chars * share, size.message_chars * share
    tokens_out = count * (_SCORE_TOKENS_OUT + _MESSAGE_TOKENS_OUT)
    price = model.price
    cost = None if price is None else ((score + message) * price.input + tokens_out * price.output) / MILLION
    return Estimate(
        leads=count, model=model.name, score_input_tokens=score, message_input_tokens=message, cost_usd=cost
    )


def _words(tokens: float) -> str:
    if tokens >= MILLION:
        return f"{tokens / MILLION:.1f} million"
    return f"{max(round(tokens, -2), 100):,.0f}" if tokens else "0"
