"""The calls of the console."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from leadhook.domain.console import (
    Audit,
    AuditFilter,
    BegunRelease,
    Deliveries,
    Failures,
    HeldLeads,
    LeadInput,
    LeadPage,
    LeadSearch,
    ListedKeys,
    Overview,
    Progress,
)
from leadhook.domain.facts import Facts
from leadhook.domain.lead import Prompts
from leadhook.domain.replays import ReplayCount
from leadhook.domain.status import Scope
from leadhook.store.calls import Calls
from leadhook.store.operators import of_scope
from leadhook.store.replies import read_lead

PAGE: Final = 25


class _LeadInput(Facts):
    lead: dict[str, Any] | None = None
    prompts: Prompts | None = None


class _Redeemed(Facts):
    redeemed: bool


class ConsoleCalls(Calls):
    async def overview(self) -> Overview:
        return await self._ask("leadhook_overview", Overview, {})

    async def search_leads(self, search: LeadSearch, after: str | None = None, limit: int = PAGE) -> LeadPage:
        """Return the next leads, up to `limit` (1 to 100), and on the first page their number."""
        parameters = {"p_filter": search.fields(), "p_after": after, "p_limit": limit}
        return await self._ask("leadhook_search_leads", LeadPage, parameters)

    async def lead_input(self, lead_id: str) -> LeadInput | None:
        """Return what a claim would hand out of this lead now; None if it has no job, no details or no prompts."""
        reply = await self._ask("leadhook_lead_input", _LeadInput, {"p_lead_id": lead_id})
        if reply.lead is None or reply.prompts is None:
            return None
        lead, unreadable = read_lead(lead_id, reply.lead)
        return LeadInput(lead=lead, prompts=reply.prompts, unreadable=unreadable)

    async def failures(self) -> Failures:
        """Return what failed or waits for its next attempt, by reason."""
        return await self._ask("leadhook_failures", Failures, {})

    async def deliveries(self, before: int | None = None, limit: int = PAGE) -> Deliveries:
        """Return the webhooks before this one, newest first, up to `limit` (1 to 100)."""
        return await self._ask("leadhook_deliveries", Deliveries, {"p_before": before, "p_limit": limit})

    async def gemini_keys(self) -> ListedKeys:
        return await self._ask("leadhook_keys", ListedKeys, {})

    async def unpark_key(self, fingerprint: str, actor: str, reason: str | None = None) -> None:
        """Let a key be tried again now; nothing changes if it is not parked."""
        await self._call("leadhook_unpark_key", {"p_fingerprint": fingerprint, "p_actor": actor, "p_reason": reason})

    async def redeem_link(self, fingerprint: str, actor: str) -> bool:
        """Note that a sign-in link was used; False if it was before."""
        parameters = {"p_link": fingerprint, "p_actor": actor}
        return (await self._ask("leadhook_redeem_link", _Redeemed, parameters)).redeemed

    async def replay_preview(self, fields: Mapping[str, Any]) -> ReplayCount:
        """Count the leads of a replay, as many as a page has time for."""
        return await self._ask("leadhook_replay_preview", ReplayCount, {"p_filter": fields})

    async def held_leads(self, scope: Scope, *, redo: bool = False) -> HeldLeads:
        """Return how many leads are held, and of some of them what a release would come to."""
        return await self._ask("leadhook_held_leads", HeldLeads, of_scope(scope) | {"p_redo": redo})

    async def begin_release(
        self, scope: Scope, limit: int, actor: str, reason: str | None, request_id: UUID | None, *, redo: bool
    ) -> BegunRelease:
        """Begin to release held leads; the engine goes on. A call with the same request id is the same release."""
        given = {"p_limit": limit, "p_redo": redo, "p_actor": actor, "p_reason": reason, "p_request_id": request_id}
        return await self._ask("leadhook_begin_release", BegunRelease, of_scope(scope) | given)

    async def stop_release(self, release_id: int, actor: str, reason: str | None = None) -> BegunRelease:
        """Release no more leads; those that are queued stay so."""
        parameters = {"p_release_id": release_id, "p_actor": actor, "p_reason": reason}
        return await self._ask("leadhook_stop_release", BegunRelease, parameters)

    async def progress(self) -> Progress:
        """Return the replays and the release of the backlog that are not finished."""
        return await self._ask("leadhook_progress", Progress, {})

    async def audit(self, wanted: AuditFilter, before: int | None = None, limit: int = PAGE) -> Audit:
        """Return the entries before this one, newest first, up to `limit` (1 to 100)."""
        fields = wanted.model_dump(mode="json", exclude_none=True)
        return await self._ask("leadhook_audit", Audit, {"p_filter": fields, "p_before": before, "p_limit": limit})
