"""The RPC calls of the service."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from leadhook.domain.job import (
    Batch,
    LeaseRef,
    LeaseReplies,
    OnDemandReplies,
    OnDemandResult,
    ParkedKey,
    Release,
    Renewal,
    Result,
    Source,
    SweepSlice,
)
from leadhook.domain.lead_snapshot import Answers, LeadSnapshot
from leadhook.domain.spend import ReservationTerms
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

    async def claim(
        self,
        *,
        worker: str,
        token: UUID,
        limit: int,
        low_priority_limit: int,
        after_user: UUID | None,
        hints: Sequence[str],
        source: Source,
        terms: ReservationTerms | None = None,
        model: str | None = None,
        probe: bool = False,
    ) -> Batch:
        """Lease up to `limit` leads, at most `low_priority_limit` of them from replays and backlog.

        Args:
            worker: this process's name, to show to people.
            token: a call with the same token returns the same leads with the same leases.
            limit: 1 to 50.
            low_priority_limit: 0 to `limit`.
            after_user: `last_user` of the last batch; users are served by turns.
            hints: ids from plain dashboard webhooks, at most 500.
            source: what made the caller claim; becomes `source` of what this claim makes ready.
            terms: what a lead may cost at the most; None: the model has no known price.
            model: that the keys are used for; with source `start`, rests for other models end.
            probe: preferably a lead whose model calls do not fail.
        """
        parameters = _claim(worker, token, limit, low_priority_limit, after_user, hints, source, terms)
        parameters |= {"p_model": model, "p_probe": probe}
        return await self._ask_for_batch("leadhook_claim", parameters)

    async def claim_bare(
        self,
        *,
        worker: str,
        token: UUID,
        low_priority_limit: int,
        after_user: UUID | None,
        hints: Sequence[str],
        source: Source,
        terms: ReservationTerms | None = None,
    ) -> LeaseRef | None:
        """Lease one lead without reading its row, after a claim whose reply failed. Arguments as for `claim`."""
        parameters = _claim(worker, token, 1, low_priority_limit, after_user, hints, source, terms) | {"p_bare": True}
        leases = (await self._ask("leadhook_claim", _BareClaim, parameters)).leads
        return leases[0] if leases else None

    async def renew(self, worker: str, renewals: Sequence[Renewal]) -> LeaseReplies:
        return await self._ask("leadhook_renew", LeaseReplies, {"p_worker": worker, "p_leases": renewals})

    async def save(self, worker: str, results: Sequence[Result]) -> LeaseReplies:
        return await self._ask("leadhook_save", LeaseReplies, {"p_worker": worker, "p_results": results})

    async def release(self, worker: str, releases: Sequence[Release]) -> LeaseReplies:
        """Release leads without a result."""
        return await self._ask("leadhook_release", LeaseReplies, {"p_worker": worker, "p_releases": releases})

    async def park_keys(self, keys: Sequence[ParkedKey]) -> None:
        """Keep every process from using these keys for their time."""
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


class _BareClaim(BaseModel):
    leads: tuple[LeaseRef, ...] = ()


def _claim(
    worker: str,
    token: UUID,
    limit: int,
    low_priority_limit: int,
    after_user: UUID | None,
    hints: Sequence[str],
    source: Source,
    terms: ReservationTerms | None,
) -> dict[str, Any]:
    return {
        "p_token": token,
        "p_worker": worker,
        "p_limit": limit,
        "p_low_priority_limit": low_priority_limit,
        "p_after_user": after_user,
        "p_hints": hints,
        "p_source": source,
        "p_price": terms or {},
    }
