"""The overview: what keeps leads waiting and where to fix it, and the figures of the last hours and days."""

from typing import Final

from starlette.responses import Response

from leadhook.domain.findings import Code, check_everything, leads_dead
from leadhook.web.console.charts import draw_periods, draw_scores
from leadhook.web.console.visit import Visit

PLACES: Final = {
    Code.PAUSED: ("/console/pauses", "Pauses"),
    Code.BUDGET_SPENT: ("/console/budgets", "Budgets"),
    Code.BUDGET_TOO_SMALL: ("/console/budgets", "Budgets"),
    Code.NO_KEY: ("/console/keys", "Keys"),
    Code.KEYS_REFUSED: ("/console/keys", "Keys"),
    Code.KEYS_COOLING: ("/console/keys", "Keys"),
    Code.LEADS_HELD: ("/console/backlog", "Backlog"),
    Code.LEADS_DEAD: ("/console/failures", "Failures"),
    Code.WEBHOOK_NOT_SET_UP: ("/console/webhooks", "Webhooks"),
}
"""The page on which a finding can be fixed."""


async def show(visit: Visit) -> Response:
    """Show the page, or the part of it that is renewed while it is open."""
    store = visit.state["store"]
    status, overview = await store.status(), await store.overview()
    findings = check_everything(status, visit.state["sweep_interval_s"])
    blockers = visit.state["readiness"].blockers()
    dead = status.jobs.get("dead", 0)
    return visit.live_page(
        "overview_live.html",
        "/console/live",
        title="Overview",
        found=status,
        overview=overview,
        blocked=bool(blockers or findings.reasons),
        findings=[*blockers, *findings.reasons, *findings.warnings, *([leads_dead(dead)] if dead else [])],
        places=PLACES,
        hours=draw_periods("hours", "Leads scored per hour", overview.hours, "%H:%M"),
        days=draw_periods("days", "Leads scored per day", overview.days, "%d %b"),
        scores=draw_scores(overview.scores),
    )
