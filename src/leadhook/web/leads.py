"""`GET /leads/{lead_id}`: why a lead stands where it stands, for admins, with the facts behind it."""

from typing import Final

import structlog
from starlette.convertors import PathConvertor, register_url_convertor

from leadhook.domain.diagnosis import Explanation, explain
from leadhook.observability.events import Event
from leadhook.store import StoreError
from leadhook.web.openapi import Call, operation
from leadhook.web.problems import Problem

RETRY_AFTER_S: Final = "10"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class WholePath(PathConvertor):
    """All that follows: slashes as with `path`, and line breaks, the last of which `.*$` would cut off an id."""

    regex = r"[\s\S]*"


register_url_convertor("whole", WholePath())


@operation(
    "GET",
    "/leads/{lead_id:whole}",
    tag="Leads",
    who="admin",
    answers={200: Explanation},
    problems={404: "No lead has this id.", 503: "The database cannot answer now."},
)
async def explain_lead(call: Call[None]) -> Explanation:
    """Explain where a lead stands and why it is not processed.

    A short diagnosis, what you can do, and the facts behind it. The id is the whole rest of the path, including
    slashes. The answer holds personal data.
    """
    actor, state = call.actor, call.request.state
    lead_id: str = call.request.path_params["lead_id"]
    # Postgres holds no NUL: without it this would be another lead's id.
    if not lead_id or "\x00" in lead_id:
        raise Problem(404, "Name a lead: GET /leads/LEAD_ID.")
    try:
        found = explain(await state["explainer"].explain(lead_id), state["readiness"].blockers())
    except StoreError as error:
        log.warning(Event.LEAD_EXPLAINED, actor=actor, lead_id=lead_id, error_code=error.code, reason=error.reason)
        raise _unanswered(error) from None
    log.info(Event.LEAD_EXPLAINED, actor=actor, lead_id=lead_id, diagnosis=found.diagnosis)
    if found.state == "unknown":
        raise Problem(404, _all_words(found))
    return found


def _all_words(found: Explanation) -> str:
    return f"{found.sentence} {found.next_step or ''}".strip()


def _unanswered(error: StoreError) -> Problem:
    if error.kind == "caller_bug":
        return Problem(500)
    return Problem(503, f"The database cannot answer: {error.reason}.", headers={"Retry-After": RETRY_AFTER_S})
