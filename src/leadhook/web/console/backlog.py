"""The backlog: held leads, what a release of them would cost, and the releases in progress."""

import os
from typing import Annotated, Final

from pydantic import BaseModel, Field
from starlette.responses import Response

from leadhook.domain.console import HeldLeads
from leadhook.domain.forecast import estimate
from leadhook.domain.phrases import amount, sentence
from leadhook.domain.status import Scope
from leadhook.prices import price_here
from leadhook.web.console.actions import ScopeQuery, Why, of, perform, preview
from leadhook.web.console.visit import Id, Visit
from leadhook.web.requests import Problem

HOME: Final = "/console/backlog"
_PARTIAL: Final = "More than 10,000 leads are held, and more than these 10,000 are not counted: all of them cost more."


class ReleaseQuery(ScopeQuery):
    limit: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    redo: bool = False
    """Also those that have an answer in `llm_response`."""


class StopReleaseQuery(BaseModel):
    release_id: Id


async def show(visit: Visit) -> Response:
    store = visit.state["store"]
    held, running = await store.held_leads(Scope()), await store.progress()
    cost = _estimate(held, held.releasable(redo=False))
    return visit.page("backlog.html", held=held, cost=cost, partial="" if held.counted else _PARTIAL, running=running)


async def show_live(visit: Visit) -> Response:
    return visit.page("backlog_live.html", running=await visit.state["store"].progress())


async def preview_release(visit: Visit) -> Response:
    query = visit.query(ReleaseQuery)
    scope = query.scope()
    held = await visit.state["store"].held_leads(scope, redo=query.redo)
    found = held.releasable(redo=query.redo)
    count, is_exact = min(found, query.limit), held.looked_at == held.held or found >= query.limit
    about = "" if is_exact else "About " if held.counted else "At least about "
    sentences = [f"{about}{amount(count, 'lead')}{of(scope)} would be queued, after fresh ones."]
    if held.answered and not query.redo:
        first = "" if held.looked_at == held.held else f" of the first {held.looked_at}"
        sentences.append(f"{amount(held.answered, 'lead')}{first} have an answer in llm_response and stay held.")
    sentences.append(_estimate(held, count))
    if not held.counted and found < query.limit:
        sentences.append(_PARTIAL)
    button = f"Release {amount(count, 'lead')}" if is_exact else "Release all of them"
    return preview(visit, "Release held leads", sentences, button if count else None, back=HOME)


async def release(visit: Visit) -> Response:
    """Begin the release; the engine goes on with it."""
    query, why = visit.query(ReleaseQuery), visit.fields(Why)
    call = visit.state["store"].begin_release
    await perform(call, query.scope(), query.limit, visit.actor, why.reason, why.request_id, redo=query.redo)
    visit.state["engine"].wake()
    return visit.go(HOME)


async def preview_stop(visit: Visit) -> Response:
    wanted = visit.query(StopReleaseQuery).release_id
    running = (await visit.state["store"].progress()).release
    found = next((one for one in running.releases if one.release_id == wanted), None) if running else None
    if found is None:
        raise Problem(404, f"Release {wanted} is over, or there is none.")
    sentences = [
        f"{amount(found.released, 'lead')} are released and stay in the queue. A pause keeps them from being scored.",
        "The others stay held.",
    ]
    button = None if found.ended_at else "Release no more"
    return preview(visit, f"Stop release {wanted}", sentences, button, back=HOME, stops=True)


async def stop(visit: Visit) -> Response:
    release_id, why = visit.query(StopReleaseQuery).release_id, visit.fields(Why).reason
    await perform(visit.state["store"].stop_release, release_id, visit.actor, why)
    return visit.go(HOME)


def _estimate(held: HeldLeads, count: int) -> str:
    return sentence(str(estimate(held.size, price_here(os.environ), count)))
