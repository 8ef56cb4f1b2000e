"""What a failed RPC means for the caller, in words for a person."""

import json
import re
from typing import Any, Final, Literal

Kind = Literal["unavailable", "misconfigured", "caller_bug"]
"""`unavailable`: again later. `misconfigured`: somebody must change something. `caller_bug`: never like this."""

_LONGEST_MESSAGE: Final = 200
_PASSING_CLASSES: Final = ("08", "25", "40", "53", "54", "55", "57", "58", "XX")
"""SQLSTATE classes: connection, read-only, rollback, resources, limits, locks, operator, system, internal."""
_PASSING_STATUSES: Final = (408, 425, 429)
_PAUSED: Final = 540
"""Supabase's own status, with a page of HTML."""
_TIMEOUTS: Final = ("57014", "timeout", "http_504")
_LOST_CONNECTIONS: Final = ("PGRST001", "disconnected", "08", "57P")
_ALL_REFUSED: Final = "PT409"
"""Of leadhook_save: the application's tables refuse every answer, three in a row, with the same words."""
_SQLSTATE: Final = re.compile("[0-9A-Z]{5}")
_MISCONFIGURED_CLASSES: Final = ("0A", "28", "3D", "3F", "42")
"""Unsupported, authorisation, catalog, schema, and whatever is missing, misspelt or forbidden."""
_WRONG_SETTINGS: Final = ("key_not_translated", "key_refused", "bad_settings", "not_supabase")
_REFUSED_KEYS: Final = ("PGRST300", "PGRST301", "PGRST302", "PGRST303")


class StoreError(Exception):
    """The database could not be asked, or refused.

    Attributes:
        kind: what to do about it.
        code: the SQLSTATE, PostgREST's code, or a word of ours in `snake_case`.
        reason: one sentence for a person, without secrets.
    """

    def __init__(self, kind: Kind, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.kind: Final = kind
        self.code: Final = code
        self.reason: Final = reason

    @property
    def timed_out(self) -> bool:
        """Whether it took too long; fewer leads in a call may help."""
        return self.code in _TIMEOUTS

    @property
    def may_concern_one_lead(self) -> bool:
        """Whether code of the application that runs with a write may have raised it for one lead alone.

        Everything else befalls all leads: the network, the gateway, the key, a table of leadhook's own.
        """
        if self.code == _ALL_REFUSED or _is_ours(self.code):
            return False
        return self.timed_out or self.connection_lost or bool(_SQLSTATE.fullmatch(self.code))

    @property
    def connection_lost(self) -> bool:
        """Whether the database's process ended under the call: by a restart, or by what the call made it do."""
        return self.code.startswith(_LOST_CONNECTIONS)

    @property
    def wrong_settings(self) -> bool:
        """SUPABASE_URL or its key is wrong; nothing else helps."""
        return self.code in _WRONG_SETTINGS


def explain(function: str, status: int, body: str) -> StoreError:
    """Turn a refusal into words.

    Args:
        function: the name of the function that was called, without its schema.
        status: the HTTP status.
        body: what came with it; PostgREST's JSON, a gateway's JSON or a proxy's HTML.
    """
    code, message = _read(body)
    return (
        _explain_pause(status)
        or _explain_key(status, code, message)
        or _explain_schema(function, code, message)
        or _explain_address(status, code)
        or _explain_rest(function, status, code, message)
    )


def _read(body: str) -> tuple[str, str]:
    """PostgREST's code and message; empty where the body is not its JSON."""
    try:
        error: Any = json.loads(body)
    except ValueError:
        return "", ""
    if not isinstance(error, dict):
        return "", ""
    message = error.get("message") or error.get("msg") or error.get("error") or ""
    return str(error.get("code") or ""), " ".join(str(message).split())[:_LONGEST_MESSAGE]


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


def _explain_schema(function: str, code: str, message: str) -> StoreError | None:
    match code:
        case "PGRST202" | "42883" if "operator does not exist" not in message:
            reason = f"the function public.{function} is missing or older than this service: run `leadhook migrate`"
        case "PGRST203":
            reason = (
                f"the database has several functions public.{function}, of which only one is leadhook's: "
                "run `leadhook migrate`, which drops the others"
            )
        case "42P01" | "42703" | "3F000":
            reason = f"public.{function} misses a table or column ({message}): restore it, or run `leadhook migrate`"
        case "42501" if "affected by row-level security" in message:
            reason = (
                f"row level security hides rows from service_role ({message}), and public.{function} would take those "
                "leads for deleted: no lead is claimed until you run `alter role service_role bypassrls;`"
            )
        case "42501":
            reason = (
                f"no permission for public.{function} ({message}): use the secret (service role) key, or grant what is "
                "missing (`leadhook doctor` names it)"
            )
        case "PGRST106":
            reason = "the schema public is not exposed: add it to the exposed schemas of the project's API"
        case _ if code == _ALL_REFUSED:
            reason = (
                f"the application's own tables refuse every answer ({message}): no lead is lost; claims stop until the "
                "column, constraint or trigger of llm_response or lead_details is corrected, then go on by themselves"
            )
        case _ if _is_ours(code):
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
    if not code or status >= 500 or status in _PASSING_STATUSES or code.startswith(_PASSING_CLASSES):  # noqa: PLR2004 - HTTP's server errors
        return StoreError("unavailable", code or f"http_{status}", f"Supabase can't answer now: {detail}")
    return StoreError("caller_bug", code, f"public.{function} refuses what it was sent: {detail}")


def _is_ours(code: str) -> bool:
    """A violated constraint, or a sequence at its end.

    What the application's tables refuse never gets here: it is the outcome of its lead.
    """
    return code.startswith("23") or code == "2200H"
