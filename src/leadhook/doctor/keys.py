"""The Gemini keys as they are stored, and with `--live` as Google sees them."""

import re
from collections.abc import Sequence
from typing import Any, Final

import aiohttp

from leadhook import network
from leadhook.doctor.check import Check, fault, ok, warning
from leadhook.domain.findings import no_key
from leadhook.domain.phrases import amount

GOOGLE: Final = "https://generativelanguage.googleapis.com"
LIVE_S: Final = 15.0

_LOOKS_LIKE_A_KEY = re.compile(r"[!-~]{8,500}")


def check_format(keys: Sequence[dict[str, Any]]) -> list[Check]:
    """Blank, doubled and strange ones."""
    usable = [key for key in keys if key["api_key"]]
    if not usable:
        missing = no_key()
        return [fault("keys", missing.sentence, missing.remedy, cause=missing.code)]
    found = []
    if blank := sum(key["rows"] for key in keys if not key["api_key"]):
        fix = r"delete from public.gemini_api where btrim(coalesce(api_key, ''), E' \t\r\n') = '';"
        found.append(warning("keys", f"public.gemini_api has {amount(blank, 'blank row')}.", fix))
    for key in usable:
        if not _LOOKS_LIKE_A_KEY.fullmatch(key["api_key"]):
            found.append(
                fault(
                    "keys", f"Key {key['fingerprint']} does not look like an API key.", "Correct its row in gemini_api."
                )
            )
        elif key["rows"] > 1:
            found.append(
                warning(
                    "keys",
                    f"Key {key['fingerprint']} is stored {key['rows']} times; it counts once.",
                    "Delete the others.",
                )
            )
    return found or [ok("keys", f"{amount(len(usable), 'key')}, {'' if len(usable) == 1 else 'all '}of a key's form.")]


async def ask_google(keys: Sequence[dict[str, Any]], model: str, base_url: str | None) -> list[Check]:
    """One request a key that costs nothing: whether it may see the model."""
    url = f"{base_url or GOOGLE}/v1beta/models/{model}"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(LIVE_S)) as session:
        return [await _ask(session, url, key, model) for key in keys if _LOOKS_LIKE_A_KEY.fullmatch(key["api_key"])]


async def _ask(session: aiohttp.ClientSession, url: str, key: dict[str, Any], model: str) -> Check:
    name = f"Key {key['fingerprint']}"
    try:
        async with session.get(
            url, headers={"x-goog-api-key": key["api_key"]}, proxy=network.proxy_for(url), ssl=network.trust()
        ) as reply:
            status = reply.status
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return fault("keys", f"Google can't be asked about {name}: {type(error).__name__}.", "Is the network open?")
    match status:
        case 200:
            return ok("keys", f"{name} is accepted for {model}.")
        case 404:
            return fault("model", f"Google does not know the model {model}.", "Set GEMINI_MODEL.")
        case 429:
            return warning("keys", f"{name} is over its quota at the moment.", "Wait, or add a key of another project.")
        case 400 | 401 | 403:
            return fault("keys", f"Google refuses {name} (HTTP {status}).", "Correct or delete its row in gemini_api.")
        case _:
            return warning("keys", f"Google answered HTTP {status} for {name}.", "Try again later.")
