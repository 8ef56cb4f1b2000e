"""`POST /webhooks/leads`: verify, parse, wake the dispatcher, 202. No database work: the claim finds the leads.

The body has the format of Supabase's webhooks, or our own variant of it. Our own triggers send `records`, an empty
list, because the change itself is in the outbox. Supabase's dashboard webhooks send the row, which is then the only
information about the change.
"""

import time
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from starlette.requests import Request
from starlette.responses import Response

from leadhook.web.request_log import SUMMED
from leadhook.web.requests import Answer, Problem, TooLarge, parse_json, read_body, require_json
from leadhook.web.state import MOST_HINTS, AppState
from leadhook.web.webhook_auth import Given, Proof, Refused, by_name

LARGEST_SIGNED: Final = 64 * 1024
"""In bytes. The body of a signed webhook must be read before its sender is authenticated."""
LARGEST_WEBHOOK: Final = 1024 * 1024
"""A dashboard webhook contains the whole row, and for an UPDATE the old row too."""
RECEIPT: Final = b"webhook-receipt"
"""The header by which `leadhook doctor` knows that a webhook reached this service and no other server."""
UNPROVEN: Final = "Webhook signature missing or invalid."
LONGEST_HINT: Final = 200

Table = Literal["all_leads", "lead_details", "prompts", "gemini_api"]
LEAD_TABLES: Final = ("all_leads", "lead_details")
EITHER_FORM: Final[dict[str, Any]] = {
    "anyOf": [
        {"required": ["records"], "properties": {"records": {"type": "array"}}},
        {
            "required": ["table", "schema"],
            "properties": {
                "type": {"enum": ["INSERT", "UPDATE", "DELETE"]},
                "table": {"type": "string"},
                "schema": {"type": "string"},
            },
        },
    ]
}
"""The rule of `_dashboard_webhooks_name_their_table`, for the document."""


class WebhookBody(BaseModel):
    """A change in the database. Of each row only `lead_id` and `sent_to_llm` are read."""

    model_config = ConfigDict(frozen=True, strict=True, json_schema_extra=EITHER_FORM)

    type: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z_]{0,39}$")]
    """INSERT, UPDATE or DELETE; leadhook's own triggers also send TRUNCATE and other reasons to look for work."""
    table: Table | None = None
    database_schema: Literal["public"] | None = Field(default=None, alias="schema")
    record: dict[str, Any] | None = None
    # Validation ends at the first error: half a million of them would take more memory than the body.
    records: tuple[str | dict[str, Any], ...] | None = Field(default=None, fail_fast=True)
    """Lead ids or rows; only leadhook's own triggers send it."""

    @model_validator(mode="after")
    def _dashboard_webhooks_name_their_table(self) -> "WebhookBody":
        if self.records is None and (
            self.table is None or self.database_schema is None or self.type not in ("INSERT", "UPDATE", "DELETE")
        ):
            raise ValueError("a webhook without `records` must have type INSERT, UPDATE or DELETE, table and schema")
        return self

    @property
    def means_work(self) -> bool:
        """False for changes that can't make a lead eligible: a row that is already sent, or a deleted row."""
        if self.records is not None:
            return not self.records or not all(map(_is_sent, self.records))
        return self.type != "DELETE" and not (self.record and _is_sent(self.record))

    def lead_ids(self) -> list[str]:
        """The ids of its leads, each once, at most 500, without ids that are too long."""
        if self.table is not None and self.table not in LEAD_TABLES:
            return []
        rows = self.records if self.records is not None else (self.record or {},)
        ids = (row if isinstance(row, str) else row.get("lead_id") for row in rows if not _is_sent(row))
        usable = (given for given in ids if isinstance(given, str) and 0 < len(given) <= LONGEST_HINT)
        return list(dict.fromkeys(usable))[:MOST_HINTS]


def _is_sent(row: str | dict[str, Any]) -> bool:
    return isinstance(row, dict) and row.get("sent_to_llm") is True


class WebhookAnswer(Answer):
    """Received. The service checks afterwards whether there is work."""

    ok: Literal[True] = True


async def receive_webhook(request: Request[AppState]) -> Response:
    """Receive a webhook from the database.

    The body is the one that Supabase's webhooks send, or the form with `records` that leadhook's own triggers send. A
    signature is made per message, so the curl line uses the static header; `leadhook doctor` tests the signed way.
    """
    started, state = time.perf_counter(), request.state
    headers = by_name(request.scope["headers"])
    # The signature covers the bytes, so it is checked before they are parsed.
    raw = await _read(request, headers)
    proof = _verify(request, headers, raw)
    require_json(request)
    webhook = parse_json(WebhookBody, raw)
    # A signed webhook comes from our own triggers, which wrote the leads to the outbox, so its ids add nothing.
    hints = webhook.lead_ids() if proof.by == "static_header" else []
    needed = webhook.means_work
    wakes = needed and (proof.punctual or state["late_webhooks"].take())
    if wakes:
        state["backend"].wake(hints)
    state["webhook_sum"].accepted(
        by=proof.by,
        kind=f"{webhook.table or 'any'}.{webhook.type}",
        age_s=proof.age_s,
        hints=len(hints),
        woke=wakes,
        needed=needed,
        seconds=time.perf_counter() - started,
    )
    request.scope[SUMMED] = True
    return Accepted(proof.receipts)


class Accepted(Response):
    """202. Only the receipts differ, so the rest is not made for each webhook."""

    status_code = 202
    body = WebhookAnswer().model_dump_json().encode()
    background = None

    def __init__(self, receipts: str) -> None:
        self.raw_headers = [(RECEIPT, receipts.encode()), *OF_ACCEPTED] if receipts else OF_ACCEPTED


OF_ACCEPTED: Final = [(b"content-length", str(len(Accepted.body)).encode()), (b"content-type", b"application/json")]


async def _read(request: Request[AppState], headers: Given) -> bytes:
    """Read the body; a large one is accepted only with a valid static header."""
    proven = request.state["webhook_auth"].proven_by_header(headers)
    try:
        return await read_body(request, LARGEST_WEBHOOK if proven else LARGEST_SIGNED)
    except TooLarge as error:
        _count_refusal(request, "body_too_large", body_bytes=error.size)
        if proven:
            raise Problem(413, too_large(request.state["sweep_interval_s"])) from None
        raise


def _verify(request: Request[AppState], headers: Given, raw: bytes) -> Proof:
    try:
        return request.state["webhook_auth"].prove(headers, raw, now_s=int(time.time()))
    except Refused as refused:
        _count_refusal(request, refused.reason, skew_s=refused.skew_s, body_bytes=len(raw))
        raise Problem(401, UNPROVEN, headers={"WWW-Authenticate": "Webhook"}) from None


def _count_refusal(request: Request[AppState], reason: str, *, body_bytes: int, skew_s: int | None = None) -> None:
    request.state["webhook_sum"].refused(reason, skew_s=skew_s, body_bytes=body_bytes)
    request.scope[SUMMED] = True


def too_large(sweep_interval_s: float) -> str:
    """Refuse a dashboard webhook that has a valid header but is too large."""
    return (
        "The webhook's body is larger than 1 MiB, so it was not read. Nothing is lost: the sweep finds its lead within "
        f"{sweep_interval_s:g} seconds. leadhook's own triggers send ids only: `leadhook webhooks install`."
    )
