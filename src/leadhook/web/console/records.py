"""What happened: webhooks and pg_net's answers, and the audit."""

from typing import get_args

from starlette.responses import Response

from leadhook.domain.console import Action, AuditFilter
from leadhook.domain.findings import check_webhooks
from leadhook.web.console.rendering import url
from leadhook.web.console.visit import Place, Visit


async def list_webhooks(visit: Visit) -> Response:
    """List the webhooks that the database sent, and what keeps it from sending them."""
    store = visit.state["store"]
    found = await store.deliveries(visit.query(Place).before)
    status = await store.status()
    following = url("/console/webhooks", before=found.before) if found.before else None
    faults = list(check_webhooks(status.missing_triggers, status.webhook_setup))
    return visit.page("webhooks.html", deliveries=found.deliveries, next=following, faults=faults)


async def list_audit(visit: Visit) -> Response:
    wanted = visit.query(AuditFilter)
    found = await visit.state["store"].audit(wanted, visit.query(Place).before)
    fields = wanted.model_dump(mode="json", exclude_none=True)
    following = url("/console/audit", **fields, before=found.before) if found.before else None
    return visit.page("audit.html", entries=found.entries, next=following, fields=fields, actions=get_args(Action))
