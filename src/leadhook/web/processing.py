"""`POST /process-lead` and `/process-leads`: leads judged while the caller waits, in the predecessor's shapes."""

import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Final, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, StringConstraints

from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.engine import Errand, TooManyErrandsError
from leadhook.observability.events import Event
from leadhook.observability.redaction import redactor
from leadhook.store import cleaned
from leadhook.web.openapi import Answer, Call, operation
from leadhook.web.problems import Problem

MOST_LEADS: Final = 100
LARGEST_LEAD: Final = 1024 * 1024
LARGEST_LEADS: Final = 8 * 1024 * 1024
RETRY_AFTER_S: Final = "10"
PROBLEMS: Final = {503: "Too many leads of other requests wait already."}

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class _Lenient(BaseModel):
    """As the predecessor took it: unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class GivenLead(_Lenient):
    """What is known of a lead; all of it may be missing."""

    lead_id: Annotated[str, StringConstraints(max_length=500)] | None = None
    """Without it the answer is returned and written nowhere."""
    tag: str | None = None
    name: str | None = None
    title: str | None = None
    location: str | None = None
    company_name: str | None = None
    experience: JsonValue = None
    skills: JsonValue = None
    bio: str | None = None
    profile_url: str | None = None
    linkedin_url: str | None = None
    company_page_url: str | None = None


class _Terms(_Lenient):
    api_key: Annotated[SecretStr, Field(min_length=1)]
    """The Gemini key that pays."""
    wildnet_data: str
    """Who writes."""
    scoring_criteria_and_icp: str
    """What a good lead is."""
    message_prompt: str
    """How to write to one."""


class ProcessLeadRequest(_Terms):
    """One lead, and by what it is judged."""

    lead: GivenLead


class ProcessLeadsRequest(_Terms):
    """Leads, and by what they are judged."""

    leads: list[GivenLead] = Field(max_length=MOST_LEADS, json_schema_extra={"minItems": 1})


class Judged(Answer):
    """A lead's answer, as it stands in `llm_response`."""

    lead_id: str | None
    tag: str | None
    name: str | None
    linkedin_url: str | None
    location: str | None
    score: int = Field(ge=0, le=100)
    response: str
    """Why this score."""
    should_contact: Literal[0, 1]
    message: str
    """`ineligible` below a score of 50."""
    subject: str
    """`ineligible` below a score of 50."""


class ErrorOfLead(Answer):
    """Why a lead has no answer, or why its answer is not written."""

    place: int
    """Of the lead in the request, from 0."""
    lead_id: str | None
    code: str
    error: str
    """In words."""


class ProcessLeadAnswer(Answer):
    """What the model said of the lead, or why it did not."""

    result: Judged | None
    errors: list[ErrorOfLead]
    duration_sec: float


class ProcessLeadsAnswer(Answer):
    """What the model said of each lead, in the order of the request, and why it did not of the others."""

    results: list[Judged]
    errors: list[ErrorOfLead]
    duration_sec: float


@operation(
    "POST",
    "/process-lead",
    who="admin",
    body=ProcessLeadRequest,
    largest_body=LARGEST_LEAD,
    answers={200: ProcessLeadAnswer},
    problems=PROBLEMS,
)
async def process_lead(call: Call[ProcessLeadRequest]) -> ProcessLeadAnswer:
    """Judge one lead now, with the key and the prompts of the request.

    The answer is written to `llm_response`, and the lead's details are marked as sent, whether or not it is eligible; a
    lead without `lead_id` is only answered. A lead that is being judged already is not judged twice.
    """
    results, errors, duration_s = await _process(call, call.body, [call.body.lead])
    return ProcessLeadAnswer(result=results[0] if results else None, errors=errors, duration_sec=duration_s)


@operation(
    "POST",
    "/process-leads",
    who="admin",
    body=ProcessLeadsRequest,
    largest_body=LARGEST_LEADS,
    answers={200: ProcessLeadsAnswer},
    problems=PROBLEMS,
)
async def process_leads(call: Call[ProcessLeadsRequest]) -> ProcessLeadsAnswer:
    """Judge up to 100 leads now, with the key and the prompts of the request.

    As `/process-lead`. What fails of one lead stands in `errors`, and the others go on; so they do when the caller
    hangs up.
    """
    if not call.body.leads:
        raise Problem(400, "`leads` is empty: send at least one lead.")
    results, errors, duration_s = await _process(call, call.body, call.body.leads)
    return ProcessLeadsAnswer(results=results, errors=errors, duration_sec=duration_s)


async def _process(
    call: Call[ProcessLeadRequest] | Call[ProcessLeadsRequest], terms: _Terms, given: Sequence[GivenLead]
) -> tuple[list[Judged], list[ErrorOfLead], float]:
    started = time.perf_counter()
    errands = _errands(terms, given)
    first: dict[str, Errand] = {}
    for errand in errands:
        if errand.lead.lead_id and first.setdefault(errand.lead.lead_id, errand) is not errand:
            errand.trouble = (
                "repeated",
                "This lead stands in the request more than once; it is judged as it stands first.",
            )
    try:
        await call.request.state["processor"].process(
            [errand for errand in errands if first.get(errand.lead.lead_id, errand) is errand]
        )
    except TooManyErrandsError:
        raise Problem(503, f"{PROBLEMS[503]} Try again.", headers={"Retry-After": RETRY_AFTER_S}) from None
    results = [_judged(errand, lead) for errand, lead in zip(errands, given, strict=True) if errand.answer]
    errors = [
        ErrorOfLead(place=place, lead_id=errand.lead.lead_id or None, code=errand.trouble[0], error=errand.trouble[1])
        for place, errand in enumerate(errands)
        if errand.trouble
    ]
    log.info(
        Event.PROCESS_REQUESTED,
        actor=call.actor,
        leads=len(errands),
        results=len(results),
        errors=len(errors),
        key=errands[0].key.fingerprint,
    )
    return results, errors, round(time.perf_counter() - started, 3)


def _errands(terms: _Terms, given: Sequence[GivenLead]) -> list[Errand]:
    secret = terms.api_key.get_secret_value().strip()
    redactor.remember_keys([secret])
    key = ApiKey(fingerprint=sha256(secret.encode()).hexdigest()[:16], api_key=SecretStr(secret))
    prompts = Prompts(
        wildnet_data=terms.wildnet_data,
        scoring_criteria_and_icp=terms.scoring_criteria_and_icp,
        message_prompt=terms.message_prompt,
    )
    leads = (cleaned(lead.model_dump()) for lead in given)
    return [Errand(Lead.model_validate(lead | {"lead_id": lead["lead_id"] or ""}), prompts, key) for lead in leads]


def _judged(errand: Errand, given: GivenLead) -> Judged:
    assert errand.answer is not None, "asked for only then"  # noqa: S101 - for the type checker
    score, message = errand.answer
    return Judged(
        lead_id=given.lead_id,
        tag=given.tag,
        name=given.name,
        linkedin_url=given.linkedin_url,
        location=given.location,
        score=score.score,
        response=score.response,
        should_contact=1 if score.should_contact else 0,
        message=message.message,
        subject=message.subject,
    )
