"""What happened: webhooks and pg_net's answers, and the audit."""

from typing import get_args

from pydantic import BaseModel
from starlette.responses import Response

from leadhook.domain.console import Action, AuditFilter
from leadhook.domain.findings import check_webhooks
from leadhook.web.console.leads import Time
from leadhook.web.console.rendering import url
from leadhook.web.console.visit import Id, Visit


class BeforeQuery(BaseModel):
    """The page."""

    before: Id | None = None


class AuditQuery(AuditFilter):
    """The filter in the URL, and the page."""

    since: Time | None = None
    until: Time | None = None
    before: Id | None = None


async def list_webhooks(visit: Visit) -> Response:
    """List the webhooks that the database sent, and what keeps it from sending them."""
    store = visit.state["store"]
    found = await store.deliveries(visit.query(BeforeQuery).before)
    status = await store.status()
    following = url("/console/webhooks", before=found.before) if found.before else None
    faults = list(check_webhooks(status.missing_triggers, status.webhook_setup))
    return visit.page("webhooks.html", deliveries=found.deliveries, next=following, faults=faults)


async def list_audit(visit: Visit) -> Response:
    """List who did what, and why."""
    query = visit.query(AuditQuery)
    wanted = AuditFilter(**query.model_dump(exclude={"before"}))
    found = await visit.state["store"].audit(wanted, query.before)
    fields = wanted.model_dump(mode="json", exclude_none=True)
    following = url("/console/audit", **fields, before=found.before) if found.before else None
    return visit.page("audit.html", entries=found.entries, next=following, fields=fields, actions=get_args(Action))
