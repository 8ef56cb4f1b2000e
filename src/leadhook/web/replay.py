"""`POST /replay`: an admin has leads judged again; the database decides lead by lead what that means."""

from typing import Annotated, Any, Final

import structlog
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from leadhook.observability.events import Event
from leadhook.store import StoreError
from leadhook.web.bodies import read_body, require_json
from leadhook.web.problems import Problem, unreadable
from leadhook.web.state import State

LARGEST_REPLAY: Final = 256 * 1024
RETRY_AFTER_S: Final = "10"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class ReplayRequest(BaseModel):
    """The body of a replay."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    lead_ids: list[Annotated[str, StringConstraints(min_length=1, max_length=1000)]] = Field(
        min_length=1, max_length=1000
    )
    reason: Annotated[str, StringConstraints(max_length=500)] | None = None
    """For the audit."""


async def replay(request: Request[State]) -> Response:
    """Ask the database, and tell what became of each lead."""
    actor = request.state["admins"].authenticate(request.scope["headers"])
    require_json(request)
    try:
        wanted = ReplayRequest.model_validate_json(await read_body(request, LARGEST_REPLAY))
    except ValidationError as error:
        raise unreadable(error) from None
    lead_ids = list(dict.fromkeys(wanted.lead_ids))
    try:
        reply = await request.state["replayer"].replay(lead_ids, actor, wanted.reason)
    except StoreError as error:
        log.warning(
            Event.REPLAY_REQUESTED, actor=actor, leads=len(lead_ids), error_code=error.code, reason=error.reason
        )
        raise _unanswered(error) from None
    log.info(Event.REPLAY_REQUESTED, actor=actor, leads=len(lead_ids), replay_id=reply.replay_id, counts=reply.counts)
    content: dict[str, Any] = reply.model_dump(mode="json", exclude_defaults=True)
    return JSONResponse({"replay_id": reply.replay_id, "counts": {}, "leads": [], **content}, 202)


def _unanswered(error: StoreError) -> Problem:
    if error.kind == "caller_bug":
        return Problem(500)
    return Problem(
        503, f"The database could not take the replay: {error.reason}.", headers={"Retry-After": RETRY_AFTER_S}
    )
