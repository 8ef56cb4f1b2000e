"""An estimate of what the model would be asked for, from the lengths of texts: tokens, and dollars."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leadhook.domain.spend import MILLION, Price, dollars

_CHARACTERS_A_TOKEN = 4
_SCORE_TOKENS_OUT = 250
_MESSAGE_TOKENS_OUT = 200


@dataclass(frozen=True)
class Priced:
    """The model that would be asked, and what it costs.

    Attributes:
        model: its name.
        price: None where it is not known.
    """

    model: str
    price: Price | None = None


UNPRICED = Priced("the model")


def forecast(size: Mapping[str, Any], leads: int | None = None, *, priced: Priced) -> str:
    """One sentence about so many leads, by default all of them.

    Args:
        size: how many `leads` were measured, and the `score_chars` and `message_chars` of what they would send.
        leads: how many of them are meant; the others count by their average.
        priced: what the tokens cost.
    """
    count = size["leads"] if leads is None else leads
    share = count / size["leads"] if size["leads"] else 0.0
    score = size["score_chars"] * share / _CHARACTERS_A_TOKEN
    message = size["message_chars"] * share / _CHARACTERS_A_TOKEN
    tokens_out = count * (_SCORE_TOKENS_OUT + _MESSAGE_TOKENS_OUT)
    return (
        f"estimate for {count} leads, from the lengths of the texts: {count} scores of {_words(score)} tokens in and "
        f"{_words(count * _SCORE_TOKENS_OUT)} out, and as many messages at most of {_words(message)} in and "
        f"{_words(count * _MESSAGE_TOKENS_OUT)} out; {_cost(score + message, tokens_out, priced)}"
    )


def _cost(tokens_in: float, tokens_out: float, priced: Priced) -> str:
    if priced.price is None:
        return f"in dollars: unknown, as no price of {priced.model} is known (docs/spend.md)"
    usd = (tokens_in * priced.price.input + tokens_out * priced.price.output) / MILLION
    return f"about {dollars(usd)} at most with {priced.model}"


def _words(tokens: float) -> str:
    if tokens >= 1e6:  # noqa: PLR2004 - a million
        return f"{tokens / 1e6:.1f} million"
    return f"{max(round(tokens, -2), 100):,.0f}" if tokens else "0"
