"""`leadhook backlog`: the leads that were eligible before the installation; they are held until released."""

import os
from collections.abc import Iterator
from typing import Annotated, Final

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console

from leadhook.cli.asking import actor, ask
from leadhook.cli.options import TIME_EXAMPLE, AsJson, DryRun, ForTag, ForUser, Reason, Time, Yes
from leadhook.cli.output import confirm, line, open_console, print_json
from leadhook.domain.facts import in_utc
from leadhook.prices import price_here
from leadhook.store import Backlog, Wanted, release_held
from leadhook.store.operators import Released

app = App(name="backlog", help="Show or release the leads that were eligible before the installation.")

_GROUPS_SHOWN: Final = 20


@app.command
def status(*, as_json: AsJson = False) -> None:
    """Show how many leads are held, and for which users and tags.

    Also reports the expected cost, and whether another program processes leads.

    For example: `leadhook backlog status`
    """
    found = ask(lambda store: Wanted().find(store))
    if as_json:
        size = Wanted().estimate(found, price_here(os.environ)).model_dump(mode="json")
        held = sum(group.held for group in found.groups)
        print_json({**found.model_dump(mode="json", exclude={"size"}), "held": held, "estimate": size})
        return
    console = open_console()
    for words in [*_describe_round(found), *_describe_groups(found)]:
        line(console, words)
    if found.groups:
        line(console, str(Wanted().estimate(found, price_here(os.environ))))
    for words in describe_others(found):
        line(console, words)


@app.command
def release(
    *,
    user: ForUser = None,
    tag: ForTag = None,
    limit: Annotated[int | None, Parameter(validator=Number(gte=1), help="Maximum number of leads.")] = None,
    since: Annotated[
        Time,
        Parameter(
            help=f"Only groups whose newest prompts row is not older than this, e.g. {TIME_EXAMPLE} (UTC by default)."
        ),
    ] = None,
    redo: Annotated[
        bool, Parameter(negative="", help="Include leads that have an answer in llm_response, and replace it.")
    ] = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Queue held leads, after fresh ones.

    Shows the number of leads and the expected cost, and asks. Groups with the newest prompts row come first, then leads
    by lead_id. Leads are released in slices of 500; Ctrl-C stops after the current slice. A lead that is no longer
    eligible is not released.

    For example: `leadhook backlog release --limit 100 --dry-run`
    """
    wanted = Wanted(user, tag, since and in_utc(since), limit, redo)
    console = open_console(to_stderr=as_json and not dry_run)
    if dry_run or not yes:
        found = ask(wanted.find)
        is_empty = not wanted.count(found)
        if found.groups or dry_run:
            _preview(wanted, found, console, as_json=as_json and dry_run)
        else:
            line(console, "no lead is held")
        if is_empty and as_json and not dry_run:
            print_json(Released().model_dump())
        if is_empty or dry_run:
            return
        confirm("Release them?", "--yes releases them; --dry-run only counts.")

    def report(released: int, total: int) -> None:
        line(console, f"{released} of about {total} released")

    done = ask(lambda store: release_held(store, wanted, actor(), reason, report=report))
    if as_json:
        print_json(done.model_dump())
        return
    line(console, f"{done.released} leads released; fresh leads go first{wanted.left_out(done.answered)}")
    if done.unwanted:
        line(console, f"{done.unwanted} leads were no longer eligible, and wait")


def _preview(wanted: Wanted, found: Backlog, console: Console, *, as_json: bool) -> None:
    count, answered = wanted.count(found), sum(group.answered for group in found.groups)
    size = wanted.estimate(found, price_here(os.environ))
    if as_json:
        print_json({"dry_run": True, "count": count, "answered": answered, "estimate": size.model_dump(mode="json")})
        return
    line(console, f"{count} leads would be released{wanted.left_out(answered)}")
    line(console, str(size))


def describe_others(found: Backlog) -> list[str]:
    """Warn if something else marks leads as sent: a predecessor that still runs, or a person."""
    seen = {
        "held leads were marked as sent by something else": sum(group.sent for group in found.groups),
        "leads were marked as sent by something else in the last 24 hours while leadhook had leased them": (
            found.sent_while_leased
        ),
    }
    lines = [f"{count} {words}" for words, count in seen.items() if count]
    advice = "is the predecessor still running? Each such lead may be paid for twice; docs/takeover.md has the cutover"
    return [*lines, advice] if lines else []


def _describe_round(found: Backlog) -> Iterator[str]:
    if found.first_round_finished_at is None:
        fate = "held" if found.backlog == "hold" else "processed at once (backlog = run)"
        yield f"the first sweep round is not finished yet: leads that it finds eligible are {fate}"
    else:
        yield f"the first sweep round was finished at {found.first_round_finished_at:%Y-%m-%d %H:%M:%S %Z}"
    held = sum(group.held for group in found.groups)
    released = f"{found.released} released or replayed ones wait for a free slot, {found.leased} are in progress"
    yield f"{held} leads are held; {released}"


def _describe_groups(found: Backlog) -> Iterator[str]:
    for group in found.groups[:_GROUPS_SHOWN]:
        asked = f", newest prompts row at {group.asked_at:%Y-%m-%d %H:%M}" if group.asked_at else ""
        yield f"  {group}: {group.held} held, {group.answered} of them answered before{asked}"
    if len(found.groups) > _GROUPS_SHOWN:
        yield f"  and {len(found.groups) - _GROUPS_SHOWN} more users and tags"
