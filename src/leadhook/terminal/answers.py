"""`leadhook answers`: what the model said of the leads, asked of the database itself."""

import sys
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rich.console import Console

from leadhook.domain.answers import Answers, LeadAnswer
from leadhook.domain.moment import distance
from leadhook.settings import Settings
from leadhook.terminal.asking import ask
from leadhook.terminal.page import INDENT, line, open_console, paragraph


@dataclass(frozen=True)
class Wanted:
    """Which answers are listed."""

    user_id: UUID | None = None
    tag: str | None = None
    min_score: int | None = None
    since: datetime | None = None
    limit: int = 20


def answers(settings: Settings, wanted: Wanted, *, as_json: bool) -> int:
    """Ask and print; an empty list is no failure."""
    found = ask(
        settings,
        lambda store: store.answers(
            user_id=wanted.user_id,
            tag=wanted.tag,
            min_score=wanted.min_score,
            since=wanted.since,
            limit=wanted.limit,
        ),
    )
    if as_json:
        sys.stdout.write(f"{found.model_dump_json(indent=2)}\n")
    else:
        _print(found, open_console())
    return 0


def _print(found: Answers, console: Console) -> None:
    if not found.answers:
        line(
            console, "There is no such answer. `leadhook status` shows how many leads are done, and what keeps others."
        )
        return
    for answer in found.answers:
        _print_answer(answer, found.now, console)
    if found.has_more:
        line(console, f"There are more than these {len(found.answers)}; --limit shows more.")
    line(console, "`leadhook explain LEAD_ID` shows the message and the criteria.")


def _print_answer(answer: LeadAnswer, now: datetime, console: Console) -> None:
    verdict = "contact" if answer.should_contact else "no contact"
    unwritten = "" if answer.written else ", not written to llm_response"
    name = answer.name or "(no name)"
    line(console, f"{answer.score:3}  {verdict}  {name}", "bold")
    where = f"{answer.lead_id}, tag {answer.tag}, {distance(answer.created_at, now)}{unwritten}"
    line(console, where, "dim", indent=INDENT)
    if answer.should_contact:
        line(console, f"subject: {answer.subject}", indent=INDENT)
    paragraph(console, f"reason: {answer.response}")
    for words in answer.flag_words:
        paragraph(console, f"! the lead's text {words}", "yellow")
    console.print()
