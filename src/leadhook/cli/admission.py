"""`leadhook pause`, `leadhook resume` and `leadhook budget`: they decide which leads may be claimed."""

from typing import Annotated
from uuid import UUID

from cyclopts import App, Parameter
from cyclopts.validators import Number

from leadhook.cli.asking import actor, ask
from leadhook.cli.options import AsJson, ForTag, ForUser, Reason, Yes, scope
from leadhook.cli.output import INDENT, confirm, line, open_console, print_json
from leadhook.domain.findings import describe_budget, describe_pause
from leadhook.domain.spend import dollars
from leadhook.domain.status import Scope
from leadhook.store import when_free

pause_app = App(name="pause")
budget_app = App(name="budget", help="Limit the cost of leads per day.")

MOST_USD = 1_000_000
"""Per day. A larger budget is a typing error."""
Dollars = Annotated[float, Parameter(validator=Number(gte=0, lte=MOST_USD), help="Dollars per day.")]


@pause_app.default
def pause(
    *,
    user: ForUser = None,
    tag: ForTag = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Stop claiming leads.

    Pauses all leads, those of a user, or those of a user and tag. Leads in progress are finished; the others wait.

    For example: `leadhook pause --user 00000000-0000-4000-8000-000000000001 --reason "wrong prompt"`
    """
    whose = scope(user, tag)
    reply = ask(lambda store: when_free(lambda: store.pause(whose, actor(), reason)))
    if as_json:
        print_json({**whose.model_dump(mode="json"), **reply.model_dump()})
        return
    end = f"`leadhook resume{whose.options}` ends it"
    if reply.already:
        line(open_console(), f"already paused: {whose}; that pause stays as it was, and {end}")
    else:
        line(open_console(), f"paused: {whose}; leads wait, those in progress are finished; {end}")


@pause_app.command(name="list")
def list_pauses(*, as_json: AsJson = False) -> None:
    """List all pauses, each with the command that ends it.

    For example: `leadhook pause list`
    """
    pauses = ask(lambda store: store.admission()).pauses
    if as_json:
        print_json({"pauses": [pause.model_dump(mode="json") for pause in pauses]})
        return
    console = open_console()
    for finding in map(describe_pause, pauses):
        line(console, finding.sentence)
        line(console, f"→ {finding.remedy}", indent=INDENT)
    if not pauses:
        line(console, "nothing is paused")


def resume(*, user: ForUser = None, tag: ForTag = None, reason: Reason = None, as_json: AsJson = False) -> None:
    """End a pause.

    Use the same --user and --tag as for the pause: `leadhook resume` without options ends only the pause of all leads.

    For example: `leadhook resume --user 00000000-0000-4000-8000-000000000001`
    """
    whose = scope(user, tag)
    reply = ask(lambda store: when_free(lambda: store.resume(whose, actor(), reason)))
    if as_json:
        print_json({**whose.model_dump(mode="json"), **reply.model_dump(mode="json")})
        return
    console = open_console()
    nothing = f"there is no pause of exactly {whose}: nothing was changed"
    line(console, f"resumed: {whose}" if reply.resumed else nothing)
    for other in reply.pauses:
        line(console, f"still paused: {other}; `leadhook resume{other.options}` ends it")


@budget_app.command(name="set")
def set_budget(
    daily_usd: Dollars, *, user: ForUser = None, reason: Reason = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Set the daily budget of all leads together, or of one user.

    A day ends at midnight UTC; costs from earlier today count. Asks if the change stops leads or lets waiting leads
    continue.

    For example: `leadhook budget set 5`
    """
    _change_budget(user, daily_usd, reason, yes=yes, as_json=as_json)


@budget_app.command(name="clear")
def clear_budget(*, user: ForUser = None, reason: Reason = None, yes: Yes = False, as_json: AsJson = False) -> None:
    """Remove a daily budget, so that the cost is no longer limited.

    Asks if there is such a budget.

    For example: `leadhook budget clear --user 00000000-0000-4000-8000-000000000001`
    """
    _change_budget(user, None, reason, yes=yes, as_json=as_json)


@budget_app.command(name="show")
def show_budgets(*, as_json: AsJson = False) -> None:
    """Show what is left of each budget, and today's spend.

    For example: `leadhook budget show --json`
    """
    found = ask(lambda store: store.admission())
    if as_json:
        print_json(found.model_dump(mode="json", include={"budgets", "spend"}))
        return
    console = open_console()
    for budget in found.budgets:
        line(console, describe_budget(budget))
    if not found.budgets:
        line(console, "there is no budget: the cost of leads is not limited")
    spend = found.spend
    line(
        console,
        f"today (UTC): {dollars(spend.spent_usd)} spent, {dollars(spend.wasted_usd)} of it wasted, "
        f"{dollars(spend.reserved_usd)} reserved for leads in progress",
    )


def _change_budget(user: UUID | None, daily_usd: float | None, reason: str | None, *, yes: bool, as_json: bool) -> None:
    if not yes:
        consequence = ask(lambda store: store.admission()).consequence(user, daily_usd)
        if consequence:
            line(open_console(to_stderr=as_json), consequence)
            confirm("Change the budget?", "--yes changes it.")
    reply = ask(lambda store: when_free(lambda: store.set_budget(user, daily_usd, actor(), reason)))
    whose = Scope(user_id=user)
    if as_json:
        print_json({"user_id": whose.model_dump(mode="json")["user_id"], **reply.model_dump()})
    elif daily_usd is None:
        line(open_console(), f"no budget for {whose}: the cost of leads is not limited by it")
    else:
        left = dollars(max(reply.left_usd or 0, 0))
        line(open_console(), f"budget for {whose}: {dollars(daily_usd)} a day (UTC); {left} left today")
