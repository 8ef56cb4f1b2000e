"""`POST /webhooks/leads`: a ring. It costs no database work; what it means is for the worker to find out."""

import time
from typing import Final

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from leadhook.web.auth import Proof
from leadhook.web.bodies import read_body, require_json
from leadhook.web.canonical_line import SUMMED
from leadhook.web.problems import Problem, unreadable
from leadhook.web.rings import Ring
from leadhook.web.signature import Refused
from leadhook.web.state import State

LARGEST_RING: Final = 64 * 1024


async def take_ring(request: Request[State]) -> Response:
    """Verify, look at the body, wake the worker."""
    started = time.perf_counter()
    body = await read_body(request, LARGEST_RING)
    proof = _prove(request, body)
    require_json(request)
    try:
        ring = Ring.model_validate_json(body)
    except ValidationError as error:
        raise unreadable(error) from None
    # A signed ring comes from our own triggers, which noted the leads in the database; its ids add nothing.
    hints = ring.lead_ids() if proof.by == "static_header" else []
    rang = ring.means_work and (proof.punctual or request.state["late_rings"].take())
    if rang:
        request.state["bell"].ring(hints)
    request.state["ring_sum"].accepted(
        by=proof.by,
        kind=f"{ring.table or 'any'}.{ring.type}",
        age_s=proof.age_s,
        hints=len(hints),
        rang=rang,
        needed=ring.means_work,
        seconds=time.perf_counter() - started,
    )
    request.scope[SUMMED] = True
    return JSONResponse({"ok": True}, 202)


def _prove(request: Request[State], body: bytes) -> Proof:
    try:
        return request.state["ring_auth"].prove(request.scope["headers"], body, now_s=int(time.time()))
    except Refused as refused:
        request.state["ring_sum"].refused(refused.reason, skew_s=refused.skew_s, body_bytes=len(body))
        request.scope[SUMMED] = True
        raise Problem(
            401, "This webhook did not prove where it comes from.", headers={"WWW-Authenticate": "Webhook"}
        ) from None
