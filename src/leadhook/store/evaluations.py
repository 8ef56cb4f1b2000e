"""The calls of `leadhook evaluate`."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from leadhook.domain.evaluation import AnsweredPage, LeadsToScore, LeadToScore, OpenAdmission
from leadhook.domain.facts import Facts
from leadhook.domain.job import ApiKey
from leadhook.store.calls import Calls
from leadhook.store.replies import read_lead


class _Leads(Facts):
    leads: tuple[dict[str, Any], ...] = ()
    keys: tuple[ApiKey, ...] = ()
    admission: OpenAdmission


class EvaluationCalls(Calls):
    async def answered_leads(self, fields: Mapping[str, Any], after_lead: str) -> AnsweredPage:
        """Return up to 250 answered leads that match a filter, after this lead."""
        parameters = {"p_filter": fields, "p_after_lead": after_lead}
        return await self._ask("leadhook_evaluation_leads", AnsweredPage, parameters)

    async def leads_to_score(self, lead_ids: Sequence[str]) -> LeadsToScore:
        """Return these leads, at most 10, with their fields, without those that have been deleted since."""
        reply = await self._ask("leadhook_evaluation_leads", _Leads, {"p_lead_ids": lead_ids})
        leads = tuple(_to_lead(lead) for lead in reply.leads)
        return LeadsToScore(leads=leads, keys=reply.keys, admission=reply.admission)

    async def book_evaluation(self, costs: Sequence[tuple[UUID | None, float]]) -> OpenAdmission:
        """Add these dollars of each user to today's spend. Unlike other calls, this one must not be repeated."""
        items = [{"user_id": user, "cost_usd": usd} for user, usd in costs]
        return await self._ask("leadhook_book_evaluation", OpenAdmission, {"p_costs": items})


def _to_lead(fields: Mapping[str, Any]) -> LeadToScore:
    lead, unreadable = read_lead(fields["lead_id"], fields["lead"])
    return LeadToScore.model_validate({**fields, "lead": lead, "unreadable": unreadable})
