"""What keeps a ready lead from being claimed, though nothing is wrong with it."""

from datetime import UTC, datetime, time, timedelta

from leadhook.domain.dossier import Dossier
from leadhook.domain.moment import moment
from leadhook.domain.spend import dollars
from leadhook.domain.standing.words import Standing, Why, clause, lane_words, resume_command


def paused(dossier: Dossier) -> Standing | None:
    """Somebody said so."""
    if not dossier.pauses:
        return None
    pause = dossier.pauses[0]
    if pause.user_id is None:
        what = "all work"
    elif pause.tag is None:
        what = f"user {pause.user_id}"
    else:
        what = lane_words(pause.user_id, pause.tag)
    since = moment(pause.paused_at, dossier.now)
    reason = f": {clause(pause.reason)}" if pause.reason else ""
    return Standing(
        Why.PAUSED,
        f"The lead is ready, but {what} is paused since {since} by {pause.actor}{reason}.",
        f"`{resume_command(pause.user_id, pause.tag)}` lets it go on.",
    )


def out_of_budget(dossier: Dossier) -> Standing | None:
    """The day's dollars are spent, or what is left does not pay for a lead."""
    budget = next((b for b in dossier.budgets if b.left_usd <= 0 or b.left_usd < (b.needed_usd or 0)), None)
    if budget is None:
        return None
    of_user = f" --user {budget.user_id}" if budget.user_id else ""
    whose = f"user {budget.user_id}" if budget.user_id else "all leads together"
    needs = f" and a lead needs up to {dollars(budget.needed_usd)}" if budget.needed_usd and budget.left_usd > 0 else ""
    midnight = datetime.combine(dossier.now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
    ends = f"it goes on at {moment(midnight, dossier.now)}"
    if budget.daily_usd <= 0 or budget.daily_usd < (budget.needed_usd or 0):
        ends = "a whole day's is too little for it, so it waits until the budget is raised"
    return Standing(
        Why.BUDGET_SPENT,
        f"The lead is ready, but the daily budget of ${budget.daily_usd:g} for {whose} is spent: "
        f"{dollars(max(budget.left_usd, 0))} is left{needs}; {ends}.",
        f"`leadhook budget set DOLLARS{of_user}` raises it, and the lead goes on at once.",
    )


def without_a_key(dossier: Dossier) -> Standing | None:
    """No Gemini key may be used now."""
    keys = dossier.keys
    if keys.healthy > 0:
        return None
    if keys.total == 0:
        return Standing(
            Why.NO_KEY,
            "The lead is ready, but public.gemini_api holds no API key, or can't be read.",
            "Insert a key; the service is told at once.",
        )
    told = f" ({clause(keys.parked[0].reason)})" if keys.parked else ""
    if keys.next_return_at is None:
        return Standing(
            Why.KEYS_REFUSED,
            f"The lead is ready, but Google refuses every Gemini key, {keys.total} in all{told}.",
            "Fix what Google says, then `update public.gemini_api set api_key = api_key;` has every key tried again; "
            "or insert another key.",
        )
    if dossier.job is not None and dossier.job.available_at > keys.next_return_at:
        return None
    refused = f", {keys.disabled} more are refused" if keys.disabled else ""
    return Standing(
        Why.KEYS_COOLING,
        f"The lead is ready, but all usable Gemini keys rest, {keys.cooling} in all{refused}{told}; the first returns "
        f"at {moment(keys.next_return_at, dossier.now)}.",
        "Nothing; another key in public.gemini_api would be used at once.",
    )
