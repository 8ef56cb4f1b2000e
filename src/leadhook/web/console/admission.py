"""What may be claimed: pauses, budgets and the Gemini keys."""

from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.responses import Response

from leadhook.domain.console import LeadSearch
from leadhook.domain.status import Scope
from leadhook.web.console.actions import ScopeQuery, Why, of, perform, preview
from leadhook.web.console.visit import Visit
from leadhook.web.requests import Identifier, Problem

PAUSES: Final = "/console/pauses"
BUDGETS: Final = "/console/budgets"
KEYS: Final = "/console/keys"
MOST_USD: Final = 1_000_000


class BudgetQuery(BaseModel):
    """Whose budget, and dollars a day. Without dollars, the budget is removed."""

    user_id: UUID | None = None
    daily_usd: Annotated[float, Field(ge=0, le=MOST_USD, allow_inf_nan=False)] | None = None


class KeyQuery(BaseModel):
    fingerprint: Identifier


async def list_pauses(visit: Visit) -> Response:
    found = await visit.state["store"].admission()
    return visit.page("pauses.html", pauses=found.pauses)


async def preview_pause(visit: Visit) -> Response:
    scope = visit.query(ScopeQuery).scope()
    sentences = [f"{await _ready(visit, scope)} would wait. Leads in progress are finished, and nothing is lost."]
    return preview(visit, f"Pause {scope}", sentences, "Pause", back=PAUSES, stops=True)


async def pause(visit: Visit) -> Response:
    scope = visit.query(ScopeQuery).scope()
    await perform(visit.state["store"].pause, scope, visit.actor, visit.fields(Why).reason)
    return visit.go(PAUSES)


async def preview_resume(visit: Visit) -> Response:
    scope = visit.query(ScopeQuery).scope()
    ready = await _ready(visit, scope)
    words = f"{ready} may be claimed again at once, unless another pause or a budget keeps them waiting."
    return preview(visit, f"Resume {scope}", [words], "Resume", back=PAUSES)


async def resume(visit: Visit) -> Response:
    """End the pause of exactly this scope."""
    scope = visit.query(ScopeQuery).scope()
    await perform(visit.state["store"].resume, scope, visit.actor, visit.fields(Why).reason)
    return visit.go(PAUSES)


async def list_budgets(visit: Visit) -> Response:
    found = await visit.state["store"].admission()
    return visit.page("budgets.html", found=found)


async def preview_budget(visit: Visit) -> Response:
    query = visit.query(BudgetQuery)
    found = await visit.state["store"].admission()
    whose = Scope(user_id=query.user_id)
    consequence = found.consequence(query.user_id, query.daily_usd)
    change = "remove it" if query.daily_usd is None else f"${query.daily_usd:g} a day"
    sentences = [consequence or f"{whose}: no lead is stopped, and none that waits continues because of it."]
    return preview(visit, f"Budget for {whose}: {change}", sentences, "Change the budget", back=BUDGETS)


async def set_budget(visit: Visit) -> Response:
    query = visit.query(BudgetQuery)
    call = visit.state["store"].set_budget
    await perform(call, query.user_id, query.daily_usd, visit.actor, visit.fields(Why).reason)
    return visit.go(BUDGETS)


async def list_keys(visit: Visit) -> Response:
    found = await visit.state["store"].gemini_keys()
    status = await visit.state["store"].status()
    return visit.page("keys.html", keys=found.keys, counts=status.keys)


async def preview_unpark(visit: Visit) -> Response:
    fingerprint = visit.query(KeyQuery).fingerprint
    found = await visit.state["store"].gemini_keys()
    key = next((key for key in found.keys if key.fingerprint == fingerprint), None)
    if key is None:
        raise Problem(404, f"There is no key {fingerprint}.")
    sentences = [
        f"Key {fingerprint} is {key.state}: {key.reason or 'no reason was given'}.",
        "It would be tried again at once. If Google refuses it again, it rests for longer.",
    ]
    button = "Try it again now" if key.state in ("cooling", "disabled") else None
    return preview(visit, f"Try key {fingerprint} again", sentences, button, back=KEYS)


async def unpark(visit: Visit) -> Response:
    fingerprint = visit.query(KeyQuery).fingerprint
    await perform(visit.state["store"].unpark_key, fingerprint, visit.actor, visit.fields(Why).reason)
    return visit.go(KEYS)


async def _ready(visit: Visit, scope: Scope) -> str:
    search = LeadSearch(user_id=scope.user_id, tag=scope.tag, state="ready")
    found = await visit.state["store"].search_leads(search, limit=1)
    count = found.count or 0
    more = "" if found.complete else " or more"
    return f"{count:,}{more} ready {'lead' if count == 1 else 'leads'}{of(scope)}"
