"""The overview: what keeps leads waiting, and the figures of the day."""

from starlette.responses import Response

from leadhook.domain.findings import check_everything
from leadhook.web.console.visit import Visit


async def show(visit: Visit) -> Response:
    """Show the page; its figures are renewed while it is open."""
    return await _show("overview.html", visit)


async def show_live(visit: Visit) -> Response:
    """Show the part that is renewed."""
    return await _show("overview_live.html", visit)


async def _show(template: str, visit: Visit) -> Response:
    status = await visit.state["store"].status()
    findings = check_everything(status, visit.state["sweep_interval_s"])
    return visit.page(template, status=200, found=status, findings=findings)
