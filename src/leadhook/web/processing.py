"""`POST /process-lead` and `/process-leads`: on-demand requests, in the predecessor's format."""

import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Final, Literal

import structlog
from pydantic import Field, SecretStr, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from leadhook.domain.facts import Facts
from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Message, Score
from leadhook.engine import OnDemandLead, TooManyOnDemandError
from leadhook.observability.events import Event
from leadhook.observability.redaction import redactor
from leadhook.store import cleaned
from leadhook.web.auth import require_admin
from leadhook.web.requests import RETRY_AFTER, Answer, Identifier, Problem, json_answer, read_json
from leadhook.web.state import AppState

MOST_LEADS: Final = 100
LARGEST_LEAD: Final = 1024 * 1024
LARGEST_LEADS: Final = 8 * 1024 * 1024
TOO_MANY: Final = "Too many leads of other requests are already waiting."

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class GivenLead(Lead):
    """What is known about a lead. Every field is optional."""

    lead_id: Annotated[Identifier, StringConstraints(max_length=500)] | None = None  # type: ignore[assignment]  # in a Lead it is required
    """Without it the result is returned but not saved."""
    tag: Identifier | None = None


class _Terms(Facts):
    api_key: Annotated[SecretStr, Field(min_length=1)]
    """The Gemini API key to use; its owner pays."""
    wildnet_data: str
    """Who is writing: the sender and the offer."""
    scoring_criteria_and_icp: str
    """What makes a good lead."""
    message_prompt: str
    """How to write the message."""


class ProcessLeadRequest(_Terms):
    """One lead, and the key and prompts to score it with."""

    lead: GivenLead


class ProcessLeadsRequest(_Terms):
    """Leads, and the key and prompts to score them with."""

    leads: list[GivenLead] = Field(max_length=MOST_LEADS, json_schema_extra={"minItems": 1})


class LeadResult(Answer):
    """A lead's result, as in `llm_response`."""

    lead_id: str | None
    tag: str | None
    name: str | None
    linkedin_url: str | None
    location: str | None
    score: int = Field(ge=0, le=100)
    response: str
    """The reason for the score."""
    should_contact: Literal[0, 1]
    message: str | None
    """`ineligible` below a score of 50; null if only the message failed, for the reason in `errors`."""
    subject: str | None
    """`ineligible` below a score of 50; null if only the message failed."""


class LeadError(Answer):
    """Why a lead has no result or no message, or why its result is not saved."""

    place: int
    """The lead's position in the request, from 0."""
    lead_id: str | None
    code: str
    error: str
    """The reason as a sentence."""


class ProcessLeadAnswer(Answer):
    """The lead's result, or the error."""

    result: LeadResult | None
    errors: list[LeadError]
    duration_sec: float


class ProcessLeadsAnswer(Answer):
    """The results in the order of the request, and the errors of the other leads."""

    results: list[LeadResult]
    errors: list[LeadError]
    duration_sec: float


async def process_lead(request: Request[AppState]) -> Response:
    """Score one lead now and write its message, with the key and prompts of the request.

    The result is returned and saved in `llm_response`, and the lead is marked as sent, whether or not it is eligible. A
    lead without `lead_id` is not saved. A worker that is processing the lead loses it.
    """
    actor = await require_admin(request)
    body = await read_json(request, ProcessLeadRequest, LARGEST_LEAD)
    started = time.perf_counter()
    results, errors = await _process(request, actor, body, [body.lead])
    duration_s = round(time.perf_counter() - started, 3)
    return json_answer(
        ProcessLeadAnswer(result=results[0] if results else None, errors=errors, duration_sec=duration_s)
    )


async def process_leads(request: Request[AppState]) -> Response:
    """Score up to 100 leads now, with the key and prompts of the request.

    Like `POST /process-lead`. A lead that fails is reported in `errors`, and the others continue. They also continue if
    you disconnect.
    """
    actor = await require_admin(request)
    body = await read_json(request, ProcessLeadsRequest, LARGEST_LEADS)
    if not body.leads:
        raise Problem(400, "`leads` is empty: send at least one lead.")
    started = time.perf_counter()
    results, errors = await _process(request, actor, body, body.leads)
    duration_s = round(time.perf_counter() - started, 3)
    return json_answer(ProcessLeadsAnswer(results=results, errors=errors, duration_sec=duration_s))


async def _process(
    request: Request[AppState], actor: str, terms: _Terms, given: Sequence[GivenLead]
) -> tuple[list[LeadResult], list[LeadError]]:
    leads = _on_demand_leads(terms, given)
    first: dict[str, OnDemandLead] = {}
    for lead in leads:
        if lead.lead.lead_id and first.setdefault(lead.lead.lead_id, lead) is not lead:
            lead.error = "repeated", "This lead is in the request more than once; only its first place is scored."
    try:
        await request.state["engine"].process([lead for lead in leads if first.get(lead.lead.lead_id, lead) is lead])
    except TooManyOnDemandError:
        raise Problem(503, f"{TOO_MANY} Try again.", headers=RETRY_AFTER) from None
    results = [_result(as_given, *lead.answer) for lead, as_given in zip(leads, given, strict=True) if lead.answer]
    errors = [
        LeadError(place=place, lead_id=lead.lead.lead_id or None, code=lead.error[0], error=lead.error[1])
        for place, lead in enumerate(leads)
        if lead.error
    ]
    log.info(
        Event.ON_DEMAND_REQUESTED,
        actor=actor,
        leads=len(leads),
        results=len(results),
        errors=len(errors),
        key=leads[0].key.fingerprint,
    )
    return results, errors


def _on_demand_leads(terms: _Terms, given: Sequence[GivenLead]) -> list[OnDemandLead]:
    secret = terms.api_key.get_secret_value().strip()
    redactor.remember_keys([secret])
    key = ApiKey(fingerprint=sha256(secret.encode()).hexdigest()[:16], api_key=SecretStr(secret))
    prompts = Prompts(
        wildnet_data=terms.wildnet_data,
        scoring_criteria_and_icp=terms.scoring_criteria_and_icp,
        message_prompt=terms.message_prompt,
    )
    fields = (cleaned(lead.model_dump()) for lead in given)
    leads = (Lead.model_validate(lead | {"lead_id": lead["lead_id"] or ""}) for lead in fields)
    return [OnDemandLead(lead, prompts, key) for lead in leads]


def _result(given: GivenLead, score: Score, message: Message | None) -> LeadResult:
    return LeadResult(
        **given.model_dump(include={"lead_id", "tag", "name", "linkedin_url", "location"}),
        score=score.score,
        response=score.response,
        should_contact=1 if score.should_contact else 0,
        message=message.message if message else None,
        subject=message.subject if message else None,
    )
