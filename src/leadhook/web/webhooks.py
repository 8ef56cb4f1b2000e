"""`POST /webhooks/leads`: a ring. It costs no database work; what it means is for the worker to find out."""

from typing import Final, Literal

import structlog

from leadhook.observability.events import Event
from leadhook.web.openapi import Answer, Call, operation
from leadhook.web.rings import Ring

LARGEST_RING: Final = 64 * 1024

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class RingAnswer(Answer):
    """The ring was heard; whether there is work is for the worker to find out."""

    ok: Literal[True] = True


@operation("POST", "/webhooks/leads", who="webhook", body=Ring, largest_body=LARGEST_RING, answers={202: RingAnswer})
async def take_ring(call: Call[Ring]) -> RingAnswer:
    """Take a ring of the database.

    Supabase's webhook body, or our own form of it with `records`.
    """
    ring, proof, state = call.body, call.proof, call.request.state
    assert proof is not None, "only who proved itself gets here"  # noqa: S101 - for the type checker
    # A signed ring comes from our own triggers, which noted the leads in the database; its ids add nothing.
    hints = ring.lead_ids() if proof.by == "static_header" else []
    rang = ring.means_work and (proof.punctual or state["late_rings"].take())
    if rang:
        state["bell"].ring(hints)
    log.info(
        Event.WEBHOOK_ACCEPTED,
        by=proof.by,
        type=ring.type,
        table=ring.table,
        hints=len(hints),
        age_s=proof.age_s,
        punctual=proof.punctual,
        rang=rang,
    )
    return RingAnswer()
