"""Explains a failed RPC: what it means for the caller, and a sentence for people."""

import json
import re
from typing import Any, Final

from leadhook.domain.failure import ALL_REFUSED, StoreError, breaks_own_constraint
from leadhook.domain.findings import INSTALL

_LONGEST_MESSAGE: Final = 200
_PASSING_CLASSES: Final = ("08", "25", "40", "53", "54", "55", "57", "58", "XX")
"""SQLSTATE classes: connection, read-only, rollback, resources, limits, locks, operator, system, internal."""
_PASSING_STATUSES: Final = (408, 425, 429)
_SQLSTATE: Final = re.compile("[0-9A-Z]{5}")
_CODE: Final = re.compile(r"PGRST\w{3}|[0-9A-Z]{5}", re.ASCII)
"""PostgREST's and Postgres's codes; a gateway's own say nothing that its status does not."""
_OUR_CLASS: Final = "PT"
_NAME: Final = r"(?:\"[^\"]{1,130}\"|[\w.]{1,130})(?:\([\w\s,.\[\]\"]*\))?"
_OF_POSTGRES: Final = re.compile(
    rf"permission denied for [a-z ]{{1,30}} {_NAME}|must be owner of [a-z ]{{1,30}} {_NAME}"
    rf"|(?:relation|column|function|type|schema|table|role|operator) {_NAME}(?: of relation {_NAME})? does not exist"
    rf"|operator does not exist: [\w\s.\[\]<>=|@#&!~+*/-]{{1,60}}|record {_NAME} has no field {_NAME}"
    rf"|(?:query would be affected by|new row violates) row-level security policy for table {_NAME}"
    rf"|[a-z]+ key value violates unique constraint {_NAME}|cannot execute [A-Z ]+ in a read-only transaction"
)
"""Postgres's own messages that contain nothing but names of the schema."""
_IN_SHORT: Final = {
    "25006": "it is read-only (25006)",
    "40P01": "a deadlock was resolved by ending this call (40P01)",
    "53100": "its disk is full (53100)",
    "53300": "it has too many connections (53300)",
    "55P03": "another transaction holds a lock (55P03)",
    "57P01": "it is shutting down (57P01)",
    "57P03": "it is starting or shutting down (57P03)",
}
_PAUSED: Final = 540
"""Supabase's status for a paused project, with an HTML page."""
_MISCONFIGURED_CLASSES: Final = ("0A", "28", "3D", "3F", "42")
"""Unsupported, authorisation, catalog, schema, and anything missing, misspelt or forbidden."""
_REFUSED_KEYS: Final = ("PGRST300", "PGRST301", "PGRST302", "PGRST303")


def explain(function: str, status: int, body: str) -> StoreError:
    """Convert a refusal, JSON from PostgREST or a gateway, or HTML from a proxy, to a `StoreError`."""
    code, said = _read(body)
    message = _without_foreign_words(code, said)
    error = (
        _explain_pause(status)
        or _explain_key(status, code, message)
        or _explain_function(function, code, message)
        or _explain_schema(function, code, message)
        or _explain_address(status, code)
        or _explain_rest(function, status, code, message)
    )
    return StoreError(error.kind, error.code, error.reason, said)


def not_supabase() -> StoreError:
    """Build the error for a reply that neither PostgREST nor Supabase's gateway makes."""
    return StoreError("unavailable", "not_json", "something between this machine and Supabase answers instead")


def _without_foreign_words(code: str, message: str) -> str:
    """Replace a message that a trigger, constraint or type of the application may have worded: it may name a person."""
    if not _SQLSTATE.fullmatch(code) or code.startswith(_OUR_CLASS) or _OF_POSTGRES.fullmatch(message):
        return message
    return _IN_SHORT.get(code, f"SQLSTATE {code}")


def _read(body: str) -> tuple[str, str]:
    """Return PostgREST's code and message; empty if the body is not its JSON."""
    try:
        error: Any = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(error, dict):
        return "", ""
    code = str(error.get("code") or "")
    message = error.get("message") or error.get("msg") or error.get("error") or ""
    return code if _CODE.fullmatch(code) else "", _printable(str(message))[:_LONGEST_MESSAGE]


def _printable(text: str) -> str:
    """Return one line without what a terminal would obey, and without lone surrogates, which no log can hold."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())


def _explain_pause(status: int) -> StoreError | None:
    if status != _PAUSED:
        return None
    reason = (
        "the Supabase project is paused (HTTP 540): restore it in the dashboard; "
        "leads wait until then and are processed afterwards"
    )
    return StoreError("unavailable", f"http_{status}", reason)


def _explain_key(status: int, code: str, message: str) -> StoreError | None:
    if "Expected 3 parts in JWT" in message:
        reason = (
            "an sb_secret_ key reached PostgREST unchanged: SUPABASE_URL must name the project's API address, "
            "not PostgREST itself"
        )
        return StoreError("misconfigured", "key_not_translated", reason)
    if status == 401 or code in _REFUSED_KEYS:  # noqa: PLR2004 - unauthorized
        detail = f" ({message})" if message else ""
        reason = f"Supabase refuses the key{detail}: check SUPABASE_SECRET_KEY and that it belongs to SUPABASE_URL"
        return StoreError("misconfigured", "key_refused", reason)
    return None


def _explain_function(function: str, code: str, message: str) -> StoreError | None:
    match code:
        case "42883" if message.startswith("function ") and f"public.{function}(" not in message:
            reason = (
                f"public.{function} can't work ({message}): run `leadhook migrate`, which restores leadhook's "
                "functions and names columns whose type they can't use"
            )
        case "PGRST202" | "42883" if "operator does not exist" not in message:
            reason = (
                f"leadhook is not installed in this database, or is older than this version (public.{function} is "
                f"missing): run `{INSTALL}`, or `leadhook migrate` if it is installed"
            )
        case "PGRST203":
            reason = (
                f"the database has several functions public.{function}, of which only one is leadhook's: "
                "run `leadhook migrate`, which drops the others"
            )
        case _:
            return None
    return StoreError("misconfigured", code, reason)


def _explain_schema(function: str, code: str, message: str) -> StoreError | None:
    match code:
        case "42P01" | "42703" | "3F000":
            reason = f"public.{function} lacks a table or column ({message}): restore it, or run `leadhook migrate`"
        case "42501" if "affected by row-level security" in message:
            reason = (
                f"row level security hides rows from service_role ({message}), and public.{function} would treat those "
                "leads as deleted: no lead is claimed until you run `alter role service_role bypassrls;`"
            )
        case "42501":
            reason = (
                f"no permission for public.{function} ({message}): use the secret (service role) key, or grant what is "
                "missing (`leadhook doctor` names it)"
            )
        case "PGRST106":
            reason = "the schema public is not exposed: add it to the exposed schemas of the project's API"
        case _ if code == ALL_REFUSED:
            reason = (
                f"the application's own tables refuse every answer ({message}): no lead is lost; claims stop until the "
                "column, constraint or trigger of llm_response or lead_details is corrected, then go on by themselves"
            )
        case _ if breaks_own_constraint(code):
            reason = (
                f"a table of leadhook refuses a row of public.{function} ({message}): no lead can be claimed or saved, "
                "answers that are paid for are kept; run `leadhook migrate`, which moves sequences beyond their rows"
            )
        case _ if code.startswith(_MISCONFIGURED_CLASSES):
            reason = f"public.{function} can't work ({message}): `leadhook doctor` says what is missing"
        case _:
            return None
    return StoreError("misconfigured", code, reason)


def _explain_address(status: int, code: str) -> StoreError | None:
    if not code and (status in (404, 405) or 300 <= status < 400):  # noqa: PLR2004 - redirects
        reason = f"no Supabase REST API answers at SUPABASE_URL (HTTP {status}): check the address"
        return StoreError("misconfigured", "not_supabase", reason)
    return None


def _explain_rest(function: str, status: int, code: str, message: str) -> StoreError:
    if code == "57014":
        return StoreError("unavailable", code, f"public.{function} took too long and was stopped by the database")
    if code == "PGRST001":
        reason = (
            f"the database's process ended during public.{function}: it restarts, or a trigger or function of the "
            "application ends it (Postgres's log says which)"
        )
        return StoreError("unavailable", code, reason)
    detail = message or f"HTTP {status} without a message"
    if not code and 400 <= status < 500 and status not in _PASSING_STATUSES:  # noqa: PLR2004 - HTTP's refusals
        reason = (
            f"a firewall, proxy or gateway refuses public.{function} ({detail}), perhaps for the text of one lead: "
            "allow these calls to SUPABASE_URL"
        )
        return StoreError("unavailable", f"http_{status}", reason)
    if not code or status >= 500 or status in _PASSING_STATUSES or code.startswith(_PASSING_CLASSES):  # noqa: PLR2004 - HTTP's server errors
        return StoreError("unavailable", code or f"http_{status}", f"Supabase can't answer at the moment: {detail}")
    return StoreError("caller_bug", code, f"public.{function} refuses what it was sent: {detail}")
