"""`leadhook answers`: the newest answers of the model."""

from datetime import datetime
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from leadhook.cli.asking import ask
from leadhook.cli.options import TIME_EXAMPLE, AsJson, ForTag, ForUser, Time
from leadhook.cli.output import INDENT, line, open_console, paragraph, print_json
from leadhook.domain.facts import in_utc
from leadhook.domain.lead_snapshot import Answers, LeadAnswer
from leadhook.domain.phrases import distance


def answers(
    *,
    user: ForUser = None,
    tag: ForTag = None,
    min_score: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=0, lte=100), help="Only scores of at least this; from 50 up there is a message."
        ),
    ] = None,
    since: Annotated[
        Time, Parameter(help=f"Only answers since this time, e.g. {TIME_EXAMPLE} (UTC by default).")
    ] = None,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=1000), help="Maximum number of answers.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest answer of each lead, newest first.

    Shows score, contact, subject and reason; with --json also message, criteria and flags.

    For example: `leadhook answers --min-score 50 --limit 5`
    """
    found = ask(
        lambda store: store.answers(
            user_id=user, tag=tag, min_score=min_score, since=since and in_utc(since), limit=limit
        ),
    )
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found, open_console())


def _print(found: Answers, console: Console) -> None:
    if not found.answers:
        line(
            console, "No answers match. `leadhook status` shows how many leads are done and what keeps others waiting."
        )
        return
    for answer in found.answers:
        _print_answer(answer, found.now, console)
    if found.has_more:
        line(console, f"There are more than these {len(found.answers)}; --limit shows more.")
    line(console, "`leadhook explain LEAD_ID` shows the message and the criteria.")


def _print_answer(answer: LeadAnswer, now: datetime, console: Console) -> None:
    result = "contact" if answer.should_contact else "no contact"
    unwritten = "" if answer.written else ", not written to llm_response"
    name = answer.name or "(no name)"
    line(console, f"{answer.score:3}  {result}  {name}", "bold")
    where = f"{answer.lead_id}, tag {answer.tag}, {distance(answer.created_at, now)}{unwritten}"
    line(console, where, "dim", indent=INDENT)
    if answer.message is None:
        line(console, "no message: `leadhook explain` shows why", "yellow", indent=INDENT)
    elif answer.should_contact:
        line(console, f"subject: {answer.subject}", indent=INDENT)
    paragraph(console, f"reason: {answer.response}")
    for words in answer.flag_words:
        paragraph(console, f"! the lead's text {words}", "yellow")
    console.print()
