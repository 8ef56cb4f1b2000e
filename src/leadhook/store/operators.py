"""The calls of the commands for operators, and their replies: pauses, budgets and the backlog."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from leadhook.domain.console import HeldScope
from leadhook.domain.facts import Facts
from leadhook.domain.findings import describe_budget
from leadhook.domain.forecast import TextSize
from leadhook.domain.phrases import sentence
from leadhook.domain.spend import dollars
from leadhook.domain.status import BudgetStatus, Pause, Scope, Spend
from leadhook.store.calls import Calls


class Paused(Facts):
    paused: bool
    already: bool


class Resumed(Facts):
    resumed: bool
    pauses: tuple[Scope, ...] = ()
    """The first 20 wider or narrower pauses that still block part of the scope."""


class BudgetSet(Facts):
    daily_usd: float | None
    left_usd: float | None


class Admission(Facts):
    pauses: tuple[Pause, ...] = ()
    budgets: tuple[BudgetStatus, ...] = ()
    spend: Spend = Spend()

    def consequence(self, user_id: UUID | None, daily_usd: float | None) -> str | None:
        """Describe the effect of a changed budget; None if it neither stops leads nor lets waiting ones continue."""
        before = next((budget for budget in self.budgets if budget.user_id == user_id), None)
        whose = Scope(user_id=user_id)
        if daily_usd is None:
            return (
                None if before is None else f"{sentence(describe_budget(before))} Without it, the cost is not limited."
            )
        used = self.spend.spent_usd + self.spend.reserved_usd if user_id is None else 0
        used = used if before is None else before.daily_usd - before.left_usd
        spent = f"{dollars(used)} of {dollars(daily_usd)} a day is spent or reserved today"
        if daily_usd <= used:
            return f"{whose}: {spent}: its leads wait for midnight UTC or a higher budget."
        if before is not None and before.spent:
            return f"{whose}: {spent}: its waiting leads continue at once, for up to {dollars(daily_usd - used)} today."
        return None


class HeldGroup(HeldScope):
    """The held leads of a user and tag, all of them counted."""

    answered: int
    """Held leads with a row in `llm_response`."""
    sent: int
    """Held leads that another program marked as sent."""


class Backlog(Facts):
    """The leads that were eligible before the installation."""

    backlog: str
    """How the first round of the sweep treats eligible leads: `hold` or `run`."""
    first_round_finished_at: datetime | None = None
    released: int
    """Ready leads of low priority."""
    leased: int
    """Leased leads of low priority."""
    sent_while_leased: int
    """Leads that another program marked as sent in the last 24 hours while leadhook had leased them."""
    groups: tuple[HeldGroup, ...] = ()
    """The group with the newest `prompts` row first."""
    size: TextSize

    def releasable(self, *, redo: bool) -> int:
        return sum(group.held - group.sent - (0 if redo else group.answered) for group in self.groups)


class Released(Facts):
    """What became of held leads."""

    last_lead: str | None = Field(default=None, exclude=True)
    """Where to continue; None after the last slice of a group."""
    released: int = 0
    answered: int = 0
    unwanted: int = 0

    def __add__(self, other: "Released") -> "Released":
        return Released(**{name: count + getattr(other, name) for name, count in self.model_dump().items()})


def of_scope(scope: Scope) -> dict[str, Any]:
    return {"p_user_id": scope.user_id, "p_tag": scope.tag}


class OperatorCalls(Calls):
    async def pause(self, scope: Scope, actor: str, reason: str | None = None) -> Paused:
        """Stop claiming these leads; leads in progress are finished."""
        return await self._ask("leadhook_pause", Paused, of_scope(scope) | {"p_actor": actor, "p_reason": reason})

    async def resume(self, scope: Scope, actor: str, reason: str | None = None) -> Resumed:
        """End the pause of exactly this scope."""
        return await self._ask("leadhook_resume", Resumed, of_scope(scope) | {"p_actor": actor, "p_reason": reason})

    async def set_budget(
        self, user_id: UUID | None, daily_usd: float | None, actor: str, reason: str | None = None
    ) -> BudgetSet:
        """Set the daily budget (UTC) of a user, or of all users together, in dollars. None removes the budget."""
        parameters = {"p_user_id": user_id, "p_daily_usd": daily_usd, "p_actor": actor, "p_reason": reason}
        return await self._ask("leadhook_set_budget", BudgetSet, parameters)

    async def admission(self) -> Admission:
        return await self._ask("leadhook_admission", Admission, {})

    async def backlog(
        self, user_id: UUID | None = None, tag: str | None = None, since: datetime | None = None, *, redo: bool = False
    ) -> Backlog:
        """Return the backlog, or the part of it that a release with these arguments would queue."""
        parameters = {"p_user_id": user_id, "p_tag": tag, "p_since": since, "p_redo": redo}
        return await self._ask("leadhook_backlog", Backlog, parameters)

    async def release_backlog(
        self, group: HeldGroup, after: str, limit: int, actor: str, reason: str | None = None, *, redo: bool
    ) -> Released:
        """Queue up to `limit` of the next 500 held leads of a group."""
        parameters = {
            "p_user_id": group.user_id,
            "p_tag": group.tag,
            "p_after_lead": after,
            "p_limit": limit,
            "p_redo": redo,
            "p_actor": actor,
            "p_reason": reason,
        }
        return await self._ask("leadhook_release_backlog", Released, parameters)
