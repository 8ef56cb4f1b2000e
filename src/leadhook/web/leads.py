"""`GET /leads/{lead_id}`: explains the state of a lead to admins, with the facts behind it."""

import structlog
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from leadhook.domain.diagnosis import explain
from leadhook.observability.events import Event
from leadhook.store import StoreError
from leadhook.web.auth import require_admin
from leadhook.web.requests import Problem, json_answer
from leadhook.web.state import AppState

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class WholePath(PathConvertor):
    """The rest of the path: with slashes, as `path`, and with line breaks, the last of which `.*$` would cut off."""

    regex = r"[\s\S]*"


register_url_convertor("whole", WholePath())


async def explain_lead(request: Request[AppState]) -> Response:
    """Explain the state of a lead and why it is not processed.

    A short diagnosis, what you can do, and the facts behind it. The id is the whole rest of the path, including
    slashes. The answer contains personal data.
    """
    actor = await require_admin(request)
    lead_id: str = request.path_params["lead_id"]
    # Postgres can't store NUL, and the id without it would be another lead's.
    if not lead_id or "\x00" in lead_id:
        raise Problem(404, "Name a lead: GET /leads/LEAD_ID.")
    try:
        snapshot = await request.state["store"].explain(lead_id)
    except StoreError as error:
        log.warning(Event.LEAD_EXPLAINED, actor=actor, lead_id=lead_id, error_code=error.code, reason=error.reason)
        raise
    found = explain(snapshot, request.state["readiness"].blockers())
    log.info(Event.LEAD_EXPLAINED, actor=actor, lead_id=lead_id, diagnosis=found.diagnosis)
    if found.state == "unknown":
        raise Problem(404, f"{found.sentence} {found.next_step or ''}".strip())
    return json_answer(found)
