"""The calls for replays."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import anyio

from leadhook.domain.job import ReplaySlice
from leadhook.domain.replays import ReplayCount, ReplayReply, Replays, ReplayStatus
from leadhook.store.calls import Calls

Fields = Mapping[str, Any]

MOST_COUNTED: Final = 10_000
"""More leads take longer to count than a call may take; so leadhook_replay_stop."""


class ReplayCalls(Calls):
    async def replay(self, lead_ids: Sequence[str], actor: str, reason: str | None = None) -> ReplayReply:
        """Start a replay of up to 1000 named leads. Don't repeat the call blindly: each call is a replay."""
        parameters = {"p_lead_ids": lead_ids, "p_actor": actor, "p_reason": reason}
        return await self._ask("leadhook_replay", ReplayReply, parameters)

    async def replay_filtered(
        self, fields: Fields, limit: int | None, actor: str, reason: str | None = None, request_id: UUID | None = None
    ) -> ReplayReply:
        """Start a replay of the leads that match a filter; a call with the same request id returns the same replay."""
        given = {"p_limit": limit, "p_actor": actor, "p_reason": reason, "p_request_id": request_id}
        return await self._ask("leadhook_replay_filtered", ReplayReply, {"p_filter": fields} | given)

    async def dry_run(
        self, lead_ids: Sequence[str] | None, fields: Fields | None, limit: int | None, after: str = ""
    ) -> ReplayCount:
        """Count the leads of a replay; with a filter, one slice after the given lead."""
        parameters = {"p_lead_ids": lead_ids, "p_filter": fields, "p_limit": limit, "p_after_lead": after}
        return await self._ask("leadhook_replay_dry_run", ReplayCount, parameters)

    async def replay_status(
        self, replay_id: int, *, after: str = "", limit: int = 100, most: int | None = MOST_COUNTED
    ) -> ReplayStatus:
        """Return its progress with a page of its leads; if it has more than `most`, only how many wait."""
        parameters = {"p_replay_id": replay_id, "p_after_lead": after, "p_limit": limit, "p_most": most}
        return await self._ask("leadhook_replay_status", ReplayStatus, parameters)

    async def replays(self, limit: int = 20) -> Replays:
        return await self._ask("leadhook_replays", Replays, {"p_limit": limit})

    async def stop_replay(self, replay_id: int, actor: str, reason: str | None = None) -> ReplayStatus:
        """Stop a replay: take its leads that are not leased out of the queue."""
        parameters = {"p_replay_id": replay_id, "p_actor": actor, "p_reason": reason}
        return await self._ask("leadhook_replay_stop", ReplayStatus, parameters)

    async def replay_slice(self) -> ReplaySlice:
        return await self._ask("leadhook_replay_slice", ReplaySlice, {})


async def begin_replay(
    store: ReplayCalls,
    lead_ids: Sequence[str] | None,
    fields: Fields | None,
    limit: int | None,
    actor: str,
    reason: str | None,
    request_id: UUID | None = None,
) -> ReplayReply:
    """Start a replay of named leads, or of those that match a filter."""
    if fields is None:
        return await store.replay(lead_ids or (), actor, reason)
    return await store.replay_filtered(fields, limit, actor, reason, request_id)


async def count_replay(
    store: ReplayCalls,
    lead_ids: Sequence[str] | None,
    fields: Fields | None,
    limit: int | None,
    within_s: float,
) -> ReplayCount:
    """Count the leads of a replay without starting it, for at most about `within_s`."""
    found = ReplayCount()
    deadline = anyio.current_time() + within_s
    after: str | None = ""
    while after is not None and anyio.current_time() < deadline:
        left = None if limit is None else limit - found.count
        piece = await store.dry_run(lead_ids, fields, left, after)
        found = found.plus(piece)
        after = None if limit is not None and found.count >= limit else piece.last_lead
    return found.model_copy(update={"complete": after is None})
