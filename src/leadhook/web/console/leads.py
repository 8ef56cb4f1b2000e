"""Leads: the list with its search, one lead with its story, and what the model was sent."""

from typing import Final, get_args

from pydantic import BaseModel
from starlette.responses import Response

from leadhook.domain.console import LeadSearch
from leadhook.domain.diagnosis import OUTCOMES, explain
from leadhook.domain.failure import Failure, StoreError
from leadhook.domain.lead_snapshot import FLAGS
from leadhook.domain.replays import Outcome
from leadhook.domain.timeline import timeline
from leadhook.web.console.rendering import url
from leadhook.web.console.visit import Place, Visit
from leadhook.web.requests import Identifier, Problem

STATES: Final = ("ready", "leased", "done", "dead", "held", "waiting")
MOMENTS: Final = {
    "webhook": "webhook sent",
    "changed": "change recorded",
    "eligible": "eligible",
    "claimed": "claimed",
    "called": "first model call",
    **OUTCOMES,
}
"""The events of the timeline in words."""


class LeadQuery(BaseModel):
    id: Identifier


async def list_leads(visit: Visit) -> Response:
    search, after = visit.query(LeadSearch), visit.query(Place).after
    try:
        found = await visit.state["store"].search_leads(search, after or None)
    except StoreError as error:
        if after and error.kind == "caller_bug":
            raise Problem(422, "The address names no place in this search. Search again.") from None
        raise
    fields = search.fields()
    by_filter, by_id = search.replay_filter(), [("lead_id", lead.lead_id) for lead in found.leads]
    return visit.page(
        "leads.html",
        fields=fields,
        found=found,
        first=not after,
        next=url("/console/leads", **fields, after=found.after) if found.after else None,
        replay=url("/console/replay", **by_filter) if by_filter else url("/console/replay", by_id) if by_id else None,
        replays_all=bool(by_filter),
        states=STATES,
        outcomes=get_args(Outcome),
        flags=FLAGS,
    )


async def show_lead(visit: Visit) -> Response:
    lead_id = visit.query(LeadQuery).id
    if "\x00" in lead_id:
        raise Problem(404)
    store = visit.state["store"]
    snapshot = await store.explain(lead_id)
    known = await store.search_leads(LeadSearch(lead_id=lead_id), limit=1)
    found = explain(snapshot, visit.state["readiness"].blockers())
    moving = found.state in ("ready", "leased", "waiting", "untracked")
    status = 404 if found.state == "unknown" else 200
    who = known.leads[0] if known.leads else None
    return visit.live_page(
        "lead_live.html",
        url("/console/lead/live", id=found.lead_id),
        status,
        moving=moving,
        title=found.lead_id,
        lead=found,
        who=who,
        moments=timeline(snapshot),
        words=MOMENTS,
    )


async def show_sent(visit: Visit) -> Response:
    """Show what the model is sent for a lead: rendered from the lead and its prompts as they are now."""
    lead_id = visit.query(LeadQuery).id
    found = await visit.state["store"].lead_input(lead_id)
    steps, problem = {}, "The lead has no job, no row in lead_details or no prompts row: nothing is sent."
    if found is not None:
        problem = found.unreadable or ""
        try:
            steps = {} if problem else visit.state["scorer"].show_question(found.lead, found.prompts)
        except Failure as failure:
            problem = failure.reason
    return visit.page("sent.html", lead_id=lead_id, steps=steps, problem=problem)
