"""What a replay would cost, from what its leads cost when they were last judged."""

from typing import Final

from pydantic import BaseModel, ConfigDict, field_validator

ENOUGH: Final = 20
"""From so many leads on their own average stands for those that were never judged; below, that of any lead lately."""

_SUMMED: Final = ("calls", "input_tokens", "cached_tokens", "output_tokens", "thinking_tokens", "model_ms")


class Spending(BaseModel):
    """Sums or averages over leads; `cost_usd` None where no price is known."""

    model_config = ConfigDict(frozen=True)

    known: int = 0
    """How many leads it was summed over, where it is a sum."""
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
        """Sum field by field; an unknown cost stays unknown."""
        costs = [part.cost_usd for part in (self, other) if part.calls]
        known = [cost for cost in costs if cost is not None]
        return Spending(
            known=self.known + other.known,
            cost_usd=sum(known) if known and len(known) == len(costs) else None,
            **{name: getattr(self, name) + getattr(other, name) for name in _SUMMED},
        )

    def __mul__(self, factor: float) -> "Spending":
        """So many times as much."""
        return Spending(
            cost_usd=None if self.cost_usd is None else self.cost_usd * factor,
            **{name: getattr(self, name) * factor for name in _SUMMED},
        )


def forecast(leads: int, history: Spending, average: Spending) -> Spending | None:
    """What so many leads would cost; None while no lead was ever judged.

    Args:
        leads: how many would be judged.
        history: what those of them cost that were judged before.
        average: of any lead lately.
    """
    unknown = leads - history.known
    if history.known >= ENOUGH:
        average = history * (1 / history.known)
    if unknown > 0 and not average.calls:
        return None if not history.known else history * (leads / history.known)
    return history + average * unknown if unknown > 0 else history
