"""The RPC calls of the service."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from leadhook.domain.facts import Facts
from leadhook.domain.job import (
    Batch,
    ClaimRequest,
    LeaseRef,
    LeaseReplies,
    OnDemandReplies,
    OnDemandResult,
    ParkedKey,
    Release,
    Renewal,
    Result,
    SweepSlice,
)
from leadhook.domain.lead_snapshot import Answers, LeadSnapshot
from leadhook.domain.status import Status
from leadhook.observability.redaction import redactor
from leadhook.store.calls import not_understood
from leadhook.store.console import ConsoleCalls
from leadhook.store.evaluations import EvaluationCalls
from leadhook.store.operators import OperatorCalls
from leadhook.store.replays import ReplayCalls
from leadhook.store.replies import to_batch

TIMEOUT_S: Final = 10.0
"""Longer than any of leadhook's statement timeouts, so that the database's own error arrives first."""


class SupabaseStore(ReplayCalls, OperatorCalls, EvaluationCalls, ConsoleCalls):
    """The functions `public.leadhook_*`. If a method fails, it raises `StoreError` and no other exception.

    All but `book_evaluation` may be repeated if their outcome is unknown.
    """

    async def claim(self, request: ClaimRequest) -> Batch:
        return await self._ask_for_batch("leadhook_claim", _parameters(request))

    async def claim_bare(self, request: ClaimRequest) -> LeaseRef | None:
        """Lease one lead without reading its row, after a claim of one lead whose reply failed."""
        leases = (await self._ask("leadhook_claim", _BareClaim, _parameters(request) | {"p_bare": True})).leads
        return leases[0] if leases else None

    async def renew(self, worker: str, renewals: Sequence[Renewal]) -> LeaseReplies:
        return await self._ask("leadhook_renew", LeaseReplies, {"p_worker": worker, "p_leases": renewals})

    async def save(self, worker: str, results: Sequence[Result]) -> LeaseReplies:
        return await self._ask("leadhook_save", LeaseReplies, {"p_worker": worker, "p_results": results})

    async def release(self, worker: str, releases: Sequence[Release]) -> LeaseReplies:
        """Release leads without a result."""
        return await self._ask("leadhook_release", LeaseReplies, {"p_worker": worker, "p_releases": releases})

    async def park_keys(self, keys: Sequence[ParkedKey]) -> None:
        await self._call("leadhook_park_keys", {"p_keys": keys})

    async def save_on_demand(self, worker: str, results: Sequence[OnDemandResult]) -> OnDemandReplies:
        """Save up to 100 outcomes of on-demand requests, each lead once; their ids must be clean text.

        Only the lead's columns that are written to `llm_response` are sent.
        """
        given = {"lead_id", "tag", "name", "linkedin_url", "location"}
        items = [
            {
                **result.ending.model_dump(),
                "request_id": result.request_id,
                "age_ms": result.age_ms,
                "lead": result.lead.model_dump(include=given),
            }
            for result in results
        ]
        parameters = {"p_worker": worker, "p_results": items}
        return await self._ask("leadhook_save_on_demand", OnDemandReplies, parameters)

    async def sweep(self, worker: str) -> SweepSlice:
        return await self._ask("leadhook_sweep", SweepSlice, {"p_worker": worker})

    async def explain(self, lead_id: str) -> LeadSnapshot:
        """Return everything known about one lead; an unknown id is not an error."""
        return await self._ask("leadhook_explain", LeadSnapshot, {"p_lead_id": lead_id})

    async def answers(
        self,
        *,
        user_id: UUID | None = None,
        tag: str | None = None,
        min_score: int | None = None,
        since: datetime | None = None,
        limit: int = 20,
    ) -> Answers:
        """Return the newest answer of each lead, newest first, up to `limit` (1 to 1000)."""
        wanted = {"p_user_id": user_id, "p_tag": tag, "p_min_score": min_score, "p_since": since, "p_limit": limit}
        return await self._ask("leadhook_answers", Answers, wanted)

    async def status(self) -> Status:
        return await self._ask("leadhook_status", Status, {})

    async def _ask_for_batch(self, function: str, parameters: Mapping[str, Any]) -> Batch:
        reply = await self._call(function, parameters)
        try:
            batch = to_batch(reply)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as error:
            raise not_understood(function, error) from None
        redactor.remember_keys(key.api_key.get_secret_value() for key in batch.keys)
        return batch


@asynccontextmanager
async def open_store(url: str, key: str, *, timeout_s: float = TIMEOUT_S) -> AsyncIterator[SupabaseStore]:
    """Connect to a Supabase project with a key that may act as `service_role`; nothing is sent yet."""
    # The HTTP client takes longer to import than everything else that a command needs.
    from leadhook.store.transport import open_transport

    async with open_transport(url, key, timeout_s) as transport:
        yield SupabaseStore(transport)


class _BareClaim(Facts):
    leads: tuple[LeaseRef, ...] = ()


def _parameters(request: ClaimRequest) -> dict[str, Any]:
    return {f"p_{name}": value for name, value in request if name != "terms"} | {"p_price": request.terms or {}}
