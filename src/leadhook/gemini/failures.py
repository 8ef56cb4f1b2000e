"""Whose fault a failed model call was, from what Google's API, the SDK and the transport raise.

Every 4xx reaches us wrapped by LangChain with Google's own error as its cause, a 5xx unwrapped, transport errors as
aiohttp's (or httpx's) own, and an answer that is no JSON as a bare JSONDecodeError. Their texts hold the whole reply of
the server: they are never logged or stored; the sentences here are ours.
"""

import json
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import aiohttp
import httpx
from google.genai.errors import APIError

from leadhook.domain.failure import Failure, FailureClass

TRANSPORT_ERRORS: Final = (aiohttp.ClientError, httpx.HTTPError, OSError, json.JSONDecodeError, UnicodeDecodeError)
MINUTE_QUOTA_S: Final = 60.0
"""How long a key rests when Google names a minute quota but no delay."""

_BAD_KEY = ("API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED")
_PACIFIC = "America/Los_Angeles"


def timed_out(limit_s: float) -> Failure:
    """The call did not end within its limit."""
    return Failure(FailureClass.TRANSIENT, "model_timeout", f"The model did not answer within {limit_s:g} s.")


def classify(error: BaseException, *, model: str) -> Failure:
    """Name what a model call raised."""
    api_error = _api_error(error)
    if api_error is not None:
        return _from_api(api_error, model)
    if isinstance(error, TimeoutError):
        return Failure(FailureClass.TRANSIENT, "model_timeout", "The connection to the model timed out.")
    if isinstance(error, TRANSPORT_ERRORS):
        name = type(error).__name__
        return Failure(FailureClass.TRANSIENT, "model_unreachable", f"The call of the model broke off ({name}).")
    return Failure(
        FailureClass.TRANSIENT, "model_call_failed", f"The call of the model failed ({type(error).__name__})."
    )


def _api_error(error: BaseException) -> APIError | None:
    for candidate in (error, error.__cause__):
        if isinstance(candidate, APIError):
            return candidate
    return None


def _from_api(error: APIError, model: str) -> Failure:  # noqa: PLR0911 - a table, one line a case
    details = _details(error)
    match error.code:
        case 429:
            return _over_quota(details)
        case 400 if _is_bad_key(error, details):
            return Failure(FailureClass.KEY, "key_invalid", "Google does not accept this API key.")
        case 401 | 403:
            return Failure(FailureClass.KEY, "key_forbidden", f"Google refuses this API key (HTTP {error.code}).")
        case 404:
            reason = f"Google does not know the model {model}: check GEMINI_MODEL."
            return Failure(FailureClass.CONFIGURATION, "model_unknown", reason)
        case 400 if "token" in (error.message or "").lower():
            return Failure(FailureClass.CONTENT, "prompt_too_long", "The prompt is longer than the model takes.")
        case 400 if error.status == "FAILED_PRECONDITION":
            reason = "Google does not serve this project from here (HTTP 400, FAILED_PRECONDITION)."
            return Failure(FailureClass.CONFIGURATION, "model_precondition", reason)
        case code if code is not None and 400 <= code < 500 and code != 408:  # noqa: PLR2004 - HTTP's classes
            return Failure(FailureClass.CONTENT, "model_refused_request", f"Google refused the request (HTTP {code}).")
        case code:
            return Failure(FailureClass.TRANSIENT, "model_unavailable", f"The model's service answered HTTP {code}.")


def _over_quota(details: dict[str, dict[str, Any]]) -> Failure:
    violations = details.get("QuotaFailure", {}).get("violations") or []
    quotas = " ".join(str(violation.get("quotaId", "")) for violation in violations)
    delay_s = _seconds(details.get("RetryInfo", {}).get("retryDelay"))
    if "PerDay" in quotas:
        reason = "The daily quota of this API key is used up."
        return Failure(FailureClass.KEY, "key_day_quota", reason, park_s=_until_midnight_pacific())
    if quotas or delay_s is not None:
        reason = "This API key is over its quota."
        return Failure(FailureClass.KEY, "key_minute_quota", reason, park_s=delay_s or MINUTE_QUOTA_S)
    return Failure(FailureClass.TRANSIENT, "model_overloaded", "The model's service is short of capacity (HTTP 429).")


def _is_bad_key(error: APIError, details: dict[str, dict[str, Any]]) -> bool:
    return details.get("ErrorInfo", {}).get("reason") in _BAD_KEY or "api key" in (error.message or "").lower()


def _details(error: APIError) -> dict[str, dict[str, Any]]:
    body = error.details if isinstance(error.details, dict) else {}
    inner = body.get("error")
    items = inner.get("details") if isinstance(inner, dict) else None
    if not isinstance(items, list):
        return {}
    return {str(item["@type"]).rsplit(".", 1)[-1]: item for item in items if isinstance(item, dict) and "@type" in item}


def _seconds(duration: object) -> float | None:
    if not isinstance(duration, str):
        return None
    try:
        return max(0.0, float(duration.removesuffix("s")))
    except ValueError:
        return None


def _until_midnight_pacific() -> float:
    now = datetime.now(ZoneInfo(_PACIFIC))
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - now).total_seconds()
