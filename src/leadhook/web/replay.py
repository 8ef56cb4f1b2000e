"""`POST /replay`: an admin has leads judged again; the database decides lead by lead what that means."""

from typing import Annotated, Final

import structlog
from pydantic import Field, StringConstraints

from leadhook.observability.events import Event
from leadhook.store import StoreError
from leadhook.web.openapi import Answer, Body, Call, operation
from leadhook.web.problems import Problem

LARGEST_REPLAY: Final = 256 * 1024
RETRY_AFTER_S: Final = "10"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class ReplayRequest(Body):
    """The leads that are to be judged again."""

    lead_ids: list[Annotated[str, StringConstraints(min_length=1, max_length=1000)]] = Field(
        min_length=1, max_length=1000
    )
    reason: Annotated[str, StringConstraints(max_length=500)] | None = None
    """For the audit."""


class ReplayedLeadAnswer(Answer):
    """What became of one lead."""

    lead_id: str
    outcome: str
    """`queued`, `queued_after`, `already_queued`, `not_eligible` or `unknown`."""
    missing: tuple[str, ...] = Field(default=(), exclude_if=lambda missing: not missing)
    """The conditions that a lead which is not eligible does not meet."""


class ReplayAnswer(Answer):
    """What became of the leads."""

    replay_id: int | None
    counts: dict[str, int]
    """Leads by outcome."""
    leads: tuple[ReplayedLeadAnswer, ...]


@operation(
    "POST",
    "/replay",
    who="admin",
    body=ReplayRequest,
    largest_body=LARGEST_REPLAY,
    answers={202: ReplayAnswer},
    problems={503: "The database could not take the replay."},
)
async def replay(call: Call[ReplayRequest]) -> ReplayAnswer:
    """Judge leads again.

    The earlier verdicts stay; the database decides lead by lead.
    """
    lead_ids = list(dict.fromkeys(call.body.lead_ids))
    try:
        reply = await call.request.state["replayer"].replay(lead_ids, call.actor, call.body.reason)
    except StoreError as error:
        log.warning(
            Event.REPLAY_REQUESTED, actor=call.actor, leads=len(lead_ids), error_code=error.code, reason=error.reason
        )
        raise _unanswered(error) from None
    log.info(
        Event.REPLAY_REQUESTED, actor=call.actor, leads=len(lead_ids), replay_id=reply.replay_id, counts=reply.counts
    )
    leads = tuple(ReplayedLeadAnswer.model_validate(lead.model_dump()) for lead in reply.leads)
    return ReplayAnswer(replay_id=reply.replay_id, counts=reply.counts, leads=leads)


def _unanswered(error: StoreError) -> Problem:
    if error.kind == "caller_bug":
        return Problem(500)
    return Problem(
        503, f"The database could not take the replay: {error.reason}.", headers={"Retry-After": RETRY_AFTER_S}
    )
