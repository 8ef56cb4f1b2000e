"""`GET /leads/{lead_id}`: where a lead stands, for admins: in words, with the facts behind them."""

from typing import Final

import structlog
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from leadhook.domain.explanation import Explanation, explain
from leadhook.observability.events import Event
from leadhook.store import StoreError
from leadhook.web.problems import Problem
from leadhook.web.state import State

RETRY_AFTER_S: Final = "10"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class WholePath(PathConvertor):
    """All that follows: slashes as with `path`, and line breaks, the last of which `.*$` would cut off an id."""

    regex = r"[\s\S]*"


register_url_convertor("whole", WholePath())


async def explain_lead(request: Request[State]) -> Response:
    """Ask the database, and put it into words; 404 for a lead that nobody has."""
    actor = request.state["admins"].authenticate(request.scope["headers"])
    lead_id: str = request.path_params["lead_id"]
    # Postgres holds no NUL: without it this would be another lead's id.
    if not lead_id or "\x00" in lead_id:
        raise Problem(404, "No lead has such an id: name one behind /leads/.")
    try:
        found = explain(await request.state["explainer"].explain(lead_id), request.state["readiness"].troubles())
    except StoreError as error:
        log.warning(Event.LEAD_EXPLAINED, actor=actor, lead_id=lead_id, error_code=error.code, reason=error.reason)
        raise _unanswered(error) from None
    log.info(Event.LEAD_EXPLAINED, actor=actor, lead_id=lead_id, why=found.why)
    if found.state == "unknown":
        raise Problem(404, _all_words(found))
    return Response(found.model_dump_json(), media_type="application/json")


def _all_words(found: Explanation) -> str:
    return f"{found.sentence} {found.next_step or ''}".strip()


def _unanswered(error: StoreError) -> Problem:
    if error.kind == "caller_bug":
        return Problem(500)
    return Problem(503, f"The database can't tell: {error.reason}.", headers={"Retry-After": RETRY_AFTER_S})
