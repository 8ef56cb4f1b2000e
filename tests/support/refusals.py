"""Errors in the shapes that Google answers with."""

from typing import Any, Final

from aiohttp import web

from leadhook.local.gemini_standin import google_error, unknown_model

_TYPE: Final = "type.googleapis.com/google.rpc."
HTML: Final = (
    b"<!DOCTYPE html>\n<html lang=en>\n<title>Error 502 (Server Error)!!1</title>\n"
    b"<p><b>502.</b> <ins>That&#8217;s an error.</ins>\n<p>The server encountered a temporary error."
)
_DAY: Final = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
_MINUTE: Final = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"


PLAIN: Final[dict[tuple[int, str | None], tuple[str, str]]] = {
    (400, None): ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    (400, "FAILED_PRECONDITION"): ("FAILED_PRECONDITION", "User location is not supported for the API use."),
    (400, "CONTEXT_OVERFLOW"): (
        "INVALID_ARGUMENT",
        "The input token count (1048999) exceeds the maximum number of tokens allowed (1048576).",
    ),
    (403, None): ("PERMISSION_DENIED", "The caller does not have permission"),
    (403, "API_KEY_LEAKED"): (
        "PERMISSION_DENIED",
        "Your API key was reported as leaked. Please use another API key.",
    ),
    (400, "SETTINGS"): ("INVALID_ARGUMENT", "Thinking level is not supported for this model."),
    (408, None): ("DEADLINE_EXCEEDED", "Request timed out."),
    (409, None): ("ABORTED", "The operation was aborted."),
    (413, None): ("INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes."),
    (499, None): ("CANCELLED", "The operation was cancelled."),
    (429, None): ("RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later."),
    (500, None): ("INTERNAL", "An internal error has occurred. Please retry or report in the issue tracker."),
    (503, None): ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    (504, None): ("DEADLINE_EXCEEDED", "The request timed out. Please try again."),
}

_EXPLAINED: Final[dict[tuple[int, str | None], tuple[str, str, str]]] = {
    (400, "API_KEY_INVALID"): (
        "INVALID_ARGUMENT",
        "API key not valid. Please pass a valid API key.",
        "API_KEY_INVALID",
    ),
    (400, "API_KEY_EXPIRED"): (
        "INVALID_ARGUMENT",
        "API key expired. Please renew the API key.",
        "API_KEY_INVALID",
    ),
    (401, None): (
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials.",
        "ACCESS_TOKEN_TYPE_UNSUPPORTED",
    ),
    (403, "SERVICE_DISABLED"): (
        "PERMISSION_DENIED",
        "Generative Language API has not been used in this project before or it is disabled.",
        "SERVICE_DISABLED",
    ),
}

KNOWN: Final = frozenset(
    {
        *PLAIN, *_EXPLAINED, (404, None), (502, None),
        *((429, reason) for reason in ("MINUTE_QUOTA", "DAY_QUOTA", "RETRY_ONLY")),
        *((status, "HTML") for status in (400, 401, 403, 404, 429, 500, 502, 503, 504)),
    }
)  # fmt: skip
"""Every (status, reason) that can be ordered."""


def refusal(status: int, reason: str | None, *, model: str, retry_s: float | None) -> web.Response:
    """Build the error that Google answers with in this case; one of `KNOWN`. No delay: it does not name one."""
    case = (status, reason)
    if reason == "HTML" or status == 502:
        page = HTML.replace(b"502", str(status).encode())
        return web.Response(status=status, body=page, headers={"Content-Type": "text/html; charset=UTF-8"})
    if status == 404:
        return unknown_model(model)
    if case in _EXPLAINED:
        name, text, why = _EXPLAINED[case]
        return google_error(status, name, text, _error_info(why, text))
    if reason == "RETRY_ONLY":
        return google_error(429, *PLAIN[429, None], _retry_info(retry_s))
    if reason in {"MINUTE_QUOTA", "DAY_QUOTA"}:
        return _quota(_DAY if reason == "DAY_QUOTA" else _MINUTE, model, retry_s)
    name, text = PLAIN[case]
    return google_error(status, name, text)


def _error_info(reason: str, text: str) -> list[dict[str, Any]]:
    return [
        {
            "@type": f"{_TYPE}ErrorInfo",
            "reason": reason,
            "domain": "googleapis.com",
            "metadata": {"service": "generativelanguage.googleapis.com"},
        },
        {"@type": f"{_TYPE}LocalizedMessage", "locale": "en-US", "message": text},
    ]


def _retry_info(retry_s: float | None) -> list[dict[str, Any]]:
    return [] if retry_s is None else [{"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{retry_s:g}s"}]


def _quota(quota_id: str, model: str, retry_s: float | None) -> web.Response:
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    value = "500" if quota_id == _DAY else "15"
    text = (
        "You exceeded your current quota, please check your plan and billing details.\n"
        f"* Quota exceeded for metric: {metric}, limit: {value}, model: {model}"
    )
    if retry_s is not None:
        text += f"\nPlease retry in {retry_s:.9f}s."
    violation = {
        "quotaMetric": metric,
        "quotaId": quota_id,
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": value,
    }
    links = [
        {
            "description": "Learn more about Gemini API quotas",
            "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
        }
    ]
    return google_error(
        429,
        "RESOURCE_EXHAUSTED",
        text,
        [
            {"@type": f"{_TYPE}Help", "links": links},
            {"@type": f"{_TYPE}QuotaFailure", "violations": [violation]},
            *_retry_info(retry_s),
        ],
    )
