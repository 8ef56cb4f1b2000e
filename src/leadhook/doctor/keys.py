"""The Gemini keys as they are stored, the model that is set, and with `--live` what Google says of both."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import aiohttp

from leadhook import network
from leadhook.doctor.check import Check, fault, ok, warning
from leadhook.domain.phrases import amount
from leadhook.prices import PriceList, read_prices

WARN_BEFORE: Final = timedelta(days=30)
"""Of a model's end."""
_OTHER: Final = "gemini-3.5-flash-lite"
_NEXT: Final = f"Compare with `leadhook evaluate --model {_OTHER} --limit 100`, then set GEMINI_MODEL={_OTHER}."
_GOOGLE: Final = "https://generativelanguage.googleapis.com"
_TIMEOUT_S: Final = 15.0
_LOOKS_LIKE_A_KEY: Final = re.compile(r"[!-~]{8,500}")


def check_model(model: str, prices: PriceList, *, today: date | None = None) -> Check:
    """Check a model without asking Google."""
    name, today = model.removeprefix("models/"), today or datetime.now(UTC).date()
    ends = (read_prices(None).retired_on | prices.retired_on).get(name)
    if ends is not None and ends <= today:
        return fault("model", f"Google ended {model} on {ends}.", _NEXT)
    if ends is not None and ends - today <= WARN_BEFORE:
        return warning("model", f"Google ends {model} on {ends}.", _NEXT)
    if not prices.prices_of(name):
        words = f"{model} is not a model that leadhook knows: neither its price nor its shutdown date."
        remedy = (
            f"`leadhook doctor --live` asks Google whether the model exists; GEMINI_MODEL={_OTHER} is known; "
            "GEMINI_PRICE_FILE may have its price (docs/spend.md)."
        )
        return warning("model", words, remedy)
    if not prices.knows_price(name):
        words = f"The price of {model} is unknown: each call is booked at the highest price in the list."
        return warning("model", words, "Put its price into the file of GEMINI_PRICE_FILE (docs/spend.md).")
    end = f"Google ends it on {ends}" if ends else "no shutdown date is known for it"
    return ok("model", f"{model} is used; {end}.")


def check_keys(keys: Sequence[dict[str, Any]]) -> list[Check]:
    """Report blank, duplicate and malformed keys. The status reports that there is none at all."""
    found = []
    if blank := sum(key["rows"] for key in keys if not key["api_key"]):
        delete = r"delete from public.gemini_api where btrim(coalesce(api_key, ''), E' \t\r\n') = '';"
        found.append(warning("keys", f"public.gemini_api has {amount(blank, 'blank row')}.", delete))
    for key in (key for key in keys if key["api_key"]):
        name = f"Key {key['fingerprint']}"
        if not _LOOKS_LIKE_A_KEY.fullmatch(key["api_key"]):
            words = f"{name} does not look like an API key."
            found.append(fault("keys", words, "Correct its row in public.gemini_api."))
        elif key["rows"] > 1:
            words = f"{name} is stored {key['rows']} times and counts once."
            found.append(warning("keys", words, "Delete the other rows."))
    return found


async def ask_google(keys: Sequence[dict[str, Any]], model: str, base_url: str | None) -> list[Check]:
    """Ask for each key whether it may use the model; the request costs nothing."""
    url = f"{base_url or _GOOGLE}/v1beta/models/{model.removeprefix('models/')}"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_TIMEOUT_S)) as session:
        return [await _ask(session, url, key, model) for key in keys if _LOOKS_LIKE_A_KEY.fullmatch(key["api_key"])]


async def _ask(session: aiohttp.ClientSession, url: str, key: dict[str, Any], model: str) -> Check:
    name = f"Key {key['fingerprint']}"
    try:
        async with session.get(
            url, headers={"x-goog-api-key": key["api_key"]}, proxy=network.proxy_for(url), ssl=network.trust()
        ) as reply:
            status = reply.status
    except (aiohttp.ClientError, OSError, ValueError) as error:
        words = f"Google cannot be asked about {name}: {type(error).__name__}."
        return fault("keys", words, "Check that this machine reaches the internet.")
    match status:
        case 200:
            return ok("keys", f"{name} is accepted for {model}.")
        case 404:
            return fault("model", f"Google does not know the model {model}.", "Set GEMINI_MODEL.")
        case 429:
            return warning("keys", f"{name} is over its quota now.", "Wait, or add a key of another Google project.")
        case 400 | 401 | 403:
            remedy = "Correct or delete its row in public.gemini_api."
            return fault("keys", f"Google refuses {name} (HTTP {status}).", remedy)
        case _:
            return warning("keys", f"Google answered HTTP {status} for {name}.", "Try again later.")
