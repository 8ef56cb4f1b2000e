"""The cost of model calls, and the maximum cost of a lead, which is reserved before the first call."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from leadhook.domain.facts import Facts
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Usage

MILLION: Final = 1_000_000
STEPS: Final = 2
"""A score and a message."""
BYTES_A_CHARACTER: Final = 4
"""The maximum in UTF-8."""
DIGITS: Final = 9
"""Decimals of dollar amounts: a billionth is less than the price of a token of any model."""


def dollars(usd: float | Decimal) -> str:
    """Format dollars with at least two significant digits: `$12.50`, `$0.0142`, `$0.00108`; zero is `$0.00`."""
    usd = float(usd)
    if abs(usd) >= 1 or abs(usd) < 10**-DIGITS:
        return f"${usd:,.2f}"
    places = next((places for places in range(2, DIGITS) if abs(usd) >= 10 ** (1 - places)), DIGITS)
    return f"${usd:.{places}f}"


class Price(Facts):
    """Dollars per million tokens of one model, on these days (UTC)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_day: date | None = Field(default=None, alias="from")
    """None: from the beginning."""
    until: date | None = None
    """The last day; None: no end is known."""

    input: float = Field(ge=0, le=MILLION, allow_inf_nan=False)
    cached: float = Field(ge=0, le=MILLION, allow_inf_nan=False)
    """For cached input."""
    output: float = Field(ge=0, le=MILLION, allow_inf_nan=False)
    """For output, including thoughts."""

    def holds_on(self, day: date) -> bool:
        return (self.first_day is None or self.first_day <= day) and (self.until is None or day <= self.until)

    def cost(self, usage: Usage) -> float:
        fresh = usage.input_tokens - usage.cached_tokens
        spent = fresh * self.input + usage.cached_tokens * self.cached + usage.output_tokens * self.output
        return round(spent / MILLION, DIGITS)


def price_on(prices: Sequence[Price], day: date) -> Price:
    """Return the price of that day; the highest of all if none is given for it."""
    return next((price for price in prices if price.holds_on(day)), None) or highest_price(prices)


def highest_price(prices: Iterable[Price]) -> Price:
    every = list(prices)
    return Price(
        input=max(price.input for price in every),
        cached=max(price.cached for price in every),
        output=max(price.output for price in every),
    )


@dataclass(frozen=True)
class CallLimits:
    """Maximum sizes of the calls of one step."""

    calls: int
    fixed_tokens: int
    """Input per call, in addition to lead and prompts."""
    extra_tokens: int
    """Input per step, for the answer that a repair call sends back."""
    output_tokens: int
    """Per step, including thoughts."""
    lead_bytes: int
    """Per call, as those of the prompts."""
    prompts_bytes: int


class ReservationTerms(Facts):
    """What the database needs to reserve a lead's maximum cost: a fixed part, and one per byte of its texts."""

    lead_usd: float
    byte_usd: float
    most_lead_bytes: int
    most_prompts_bytes: int


@dataclass(frozen=True)
class Tariff:
    """A model's prices and the limits of calls. A byte counts as a token: no tokenizer makes more of it."""

    prices: tuple[Price, ...]
    limits: CallLimits

    @property
    def price(self) -> Price:
        return price_on(self.prices, datetime.now(UTC).date())

    def cost(self, usage: Usage) -> float:
        return self.price.cost(usage)

    def step_cost(self, usage: Usage, lead: Lead, prompts: Prompts) -> float:
        """Dollars for a step of this lead: the most that it can cost if the tokens of one of its calls are unknown."""
        return self.max_step_cost(lead, prompts) if usage.unmetered else self.cost(usage)

    def terms(self) -> ReservationTerms:
        """The terms for all calls of all steps of a lead, at the higher price of today and tomorrow."""
        today = datetime.now(UTC).date()
        price = highest_price(price_on(self.prices, day) for day in (today, today + timedelta(days=1)))
        return ReservationTerms(
            lead_usd=STEPS * self._fixed_usd(price),
            byte_usd=STEPS * self._byte_usd(price),
            most_lead_bytes=self.limits.lead_bytes,
            most_prompts_bytes=self.limits.prompts_bytes,
        )

    def max_step_cost(self, lead: Lead, prompts: Prompts) -> float:
        price, limits = self.price, self.limits
        size = min(_bytes(lead), limits.lead_bytes) + min(_bytes(prompts), limits.prompts_bytes)
        return self._fixed_usd(price) + self._byte_usd(price) * size

    def _fixed_usd(self, price: Price) -> float:
        tokens = self.limits.calls * self.limits.fixed_tokens + self.limits.extra_tokens
        return tokens * _dearest_input(price) + self.limits.output_tokens * price.output / MILLION

    def _byte_usd(self, price: Price) -> float:
        return self.limits.calls * _dearest_input(price)


def _dearest_input(price: Price) -> float:
    return max(price.input, price.cached) / MILLION


def _bytes(text: BaseModel) -> int:
    return len(text.model_dump_json(exclude_none=True).encode("utf-8", "replace"))
