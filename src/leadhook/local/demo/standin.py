"""Asks the Gemini stand-in how many calls it got, and what they would have cost."""

import http.client
import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

_TIMEOUT_S: Final = 5
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Counted:
    """What a stand-in says of the calls that have ended there; `usd` is None where the model has no price."""

    calls: int
    usd: float | None

    def __sub__(self, before: Self) -> "Counted":
        """What came in between."""
        usd = None if self.usd is None or before.usd is None else self.usd - before.usd
        return Counted(self.calls - before.calls, usd)


def calls_counted(gemini_url: str) -> Counted | None:
    """The sum of the model calls there; None where no stand-in answers: a real Gemini doesn't tell."""
    url = urlsplit(gemini_url)
    if url.scheme != "http":
        return None
    connection = http.client.HTTPConnection(url.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/usage")
        response = connection.getresponse()
        if response.getheader("X-Stand-In") is None:
            return None
        counted: dict[str, Any] = json.load(response)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return Counted(counted["calls"], _cost(counted))


def _cost(counted: dict[str, Any]) -> float | None:
    """The stand-in's own count of tokens, at the prices that the service has."""
    prices = _prices()
    models = list(counted["by_model"])
    if not models:
        return 0.0
    if len(models) > 1 or models[0] not in prices:
        return None
    price, tokens = prices[models[0]], counted["tokens"]
    cached = tokens.get("cached", 0)
    spent = (tokens["prompt"] - cached) * price["input"] + cached * price["cached"]
    spent += (tokens["output"] + tokens["thinking"]) * price["output"]
    return float(spent / _MILLION)


def _prices() -> dict[str, dict[str, float]]:
    named = os.environ.get("GEMINI_PRICE_FILE", "").strip()
    file = Path(named) if named else resources.files("leadhook").joinpath("gemini", "prices.json")
    prices: dict[str, dict[str, float]] = json.loads(file.read_text(encoding="utf-8"))["usd_per_million_tokens"]
    return prices
