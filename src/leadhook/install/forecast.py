"""What the model would be asked for, estimated: tokens from the lengths of texts, and no money, as prices change."""

from collections.abc import Mapping
from typing import Any

_CHARACTERS_A_TOKEN = 4
_SCORE_TOKENS_OUT = 250
_MESSAGE_TOKENS_OUT = 200


def forecast(size: Mapping[str, Any], leads: int | None = None) -> str:
    """One sentence about so many leads, by default all of them.

    Args:
        size: how many `leads` were measured, and the `score_chars` and `message_chars` of what they would send.
        leads: how many of them are meant; the others count by their average.
    """
    count = size["leads"] if leads is None else leads
    share = count / size["leads"] if size["leads"] else 0.0
    score = size["score_chars"] * share / _CHARACTERS_A_TOKEN
    message = size["message_chars"] * share / _CHARACTERS_A_TOKEN
    return (
        f"estimate for {count} leads, from the lengths of the texts: {count} scores of {_words(score)} tokens in and "
        f"{_words(count * _SCORE_TOKENS_OUT)} out, and as many messages at most of {_words(message)} in and "
        f"{_words(count * _MESSAGE_TOKENS_OUT)} out"
    )


def _words(tokens: float) -> str:
    if tokens >= 1e6:  # noqa: PLR2004 - a million
        return f"{tokens / 1e6:.1f} million"
    return f"{max(round(tokens, -2), 100):,.0f}" if tokens else "0"
