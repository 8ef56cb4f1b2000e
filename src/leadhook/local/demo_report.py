"""The report of the demo: the table of leads, the totals, some answers in full, and what is not as promised."""

import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg.rows import class_row
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadhook.local.processes import ask
from leadhook.local.sample import Sample
from leadhook.terminal import printable

_QUERY: Final = (Path(__file__).parent / "sql" / "demo_rows.sql").read_bytes()
_WIDE: Final = 110
_LEAD: Final = 18
_LEAD_WIDE: Final = 22
_SUBJECT: Final = 48
_WITHOUT_SUBJECT: Final = 86
"""Columns that everything but the subject takes on a wide terminal."""
_FIRST: Final = 3
_LEGEND: Final = """
In ms from the commit. total: until the first model call; a lead waits for it
webhook    until the service has claimed leads; one webhook announces them all
key trial  until a new Gemini key is known to work: one lead tries each, once
slot       until one of the MAX_CONCURRENCY (16) leads being processed is done
saved: until the answer is in llm_response
"""


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One lead. Times are in ms; `saved_ms` and `commit_to_call_ms` count from the commit that made it eligible."""

    lead_id: str
    name: str | None
    bio: str | None
    score: int | None
    contact: bool | None
    subject: str | None
    message: str | None
    response: str | None
    """The reason for the score."""
    flags: list[str]
    """Codes of what looks like an attempt to steer the model."""
    state: str | None
    reason: str | None
    source: str | None
    commit_to_call_ms: float | None
    key_wait_ms: int | None
    """Of that, spent waiting for another lead's call to prove a key."""
    saved_ms: float | None
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None

    @property
    def answered(self) -> bool:
        """Whether its answer is in llm_response and its attempt is closed."""
        return self.score is not None and self.saved_ms is not None

    @property
    def label(self) -> str:
        return self.name or self.lead_id


def read_rows(connection: psycopg.Connection, sample: Sample) -> list[DemoRow]:
    """Read the sample's rows, the best score first, the unanswered last."""
    arguments = {"lead_ids": list(sample.lead_ids), "committed_at": sample.committed_at}
    with connection.cursor(row_factory=class_row(DemoRow)) as cursor:
        return cursor.execute(_QUERY, arguments).fetchall()


def calls_counted(gemini_url: str) -> int | None:
    """Return the number of calls that the stand-in at this address has answered, or None if none is there."""
    answer = ask(gemini_url, "/usage") if gemini_url.startswith("http:") else None
    if answer is None or answer[0].getheader("X-Stand-In") is None:
        return None
    calls: int = json.loads(answer[1])["calls"]
    return calls


def show_table(rows: list[DemoRow], console: Console) -> None:
    """Show one line per lead in 80 columns, in the order of their first calls; with the subject on a wide terminal."""
    wide = console.width >= _WIDE
    webhook_ms = _webhook_ms(rows)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False, show_edge=False)
    table.add_column("lead", max_width=_LEAD_WIDE if wide else _LEAD, no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("contact", no_wrap=True)
    for name in ("webhook", "key trial", "slot", "total", "saved"):
        table.add_column(name, justify="right", no_wrap=True)
    if wide:
        table.add_column("subject", max_width=min(_SUBJECT, console.width - _WITHOUT_SUBJECT), no_wrap=True)
    for row in sorted(rows, key=lambda row: math.inf if row.commit_to_call_ms is None else row.commit_to_call_ms):
        contact = "" if row.contact is None else "yes" if row.contact else "no"
        cells = [
            row.label,
            "-" if row.score is None else str(row.score),
            contact,
            *map(_figure, (*_waits(row, webhook_ms), row.commit_to_call_ms, row.saved_ms)),
        ]
        if wide:
            cells.append(row.subject or row.reason or row.state or "unknown")
        table.add_row(*map(Text, cells))
    console.print(table)
    console.print(_LEGEND)


def _webhook_ms(rows: list[DemoRow]) -> float:
    """Return the shared wait: the time to the first call that waited for neither a key trial nor a slot."""
    waits = [row.commit_to_call_ms - (row.key_wait_ms or 0) for row in rows if row.commit_to_call_ms is not None]
    return min(waits, default=0.0)


def _waits(row: DemoRow, webhook_ms: float) -> tuple[float | None, float | None, float | None]:
    """Split the wait for the first call in three: webhook, key trial, slot."""
    if row.commit_to_call_ms is None:
        return None, None, None
    key_ms = row.key_wait_ms or 0
    return webhook_ms, key_ms, row.commit_to_call_ms - webhook_ms - key_ms


def show_answers(rows: list[DemoRow], console: Console) -> None:
    """Show two answers in full, and the lead whose text tries to dictate its score."""
    contacts = sorted((row for row in rows if row.answered and row.contact), key=lambda row: -(row.score or 0))
    for row in [*contacts[:1], *contacts[1:][-1:]]:
        which = "The best lead" if row is contacts[0] else "The last that gets a message"
        console.print(Text(f"\n{which}: {printable(row.label)}, score {row.score}", style="bold"))
        console.print(_text(f"Reason: {row.response}\nSubject: {row.subject}\n{row.message}"))
    for row in rows:
        if row.answered and row.flags:
            flags = ", ".join(flag.replace("_", " ") for flag in row.flags)
            outcome = "a message was written" if row.contact else "no message was written"
            console.print(
                Text(f"\nA lead whose bio dictates its score: {printable(row.label)}, score {row.score}", style="bold")
            )
            console.print(_text(f"Bio: {row.bio}\nFlags: {flags}; {outcome}\nReason: {row.response}"))


def _text(lines: str) -> Text:
    return Text("\n".join(map(printable, lines.split("\n"))))


def show_last(rows: list[DemoRow], console: Console) -> None:
    for row in rows:
        if row.answered:
            took = f"commit → first call {_ms(row.commit_to_call_ms)}, commit → saved {_ms(row.saved_ms)}"
            console.print(_text(f"{row.label}: {took}"))


def show_summary(rows: list[DemoRow], counted: int | None, console: Console) -> None:
    """Show the totals. `counted` is the number of calls, None if the real Gemini answered."""
    answered = [row for row in rows if row.answered]
    calls = sum(row.calls for row in rows) if counted is None else counted
    by = "as the service counted" if counted is None else "counted by the stand-in"
    a_lead = f"{calls / len(answered):.2f} a lead" if answered else "no lead answered"
    tokens_in, tokens_out = sum(row.input_tokens for row in rows), sum(row.output_tokens for row in rows)
    console.print(
        f"answered             {len(answered)} of {len(rows)}, {sum(bool(row.contact) for row in rows)} to contact"
    )
    calls_ms = [row.commit_to_call_ms for row in answered]
    first = ", ".join(_figure(value) for value in sorted(value for value in calls_ms if value is not None)[:_FIRST])
    console.print(f"commit → first call  first {_FIRST} leads: {first or 'unknown'} ms")
    console.print(f"                     all: {_spread(calls_ms)}")
    console.print(f"commit → saved       {_spread([row.saved_ms for row in answered])}")
    console.print(f"model calls          {calls} {by}, {a_lead}")
    console.print(f"tokens               {tokens_in:,} in, {tokens_out:,} out")
    billed = "" if counted is None else ", as if it were billed"
    console.print(f"cost                 {_cost(rows, len(answered))}{billed}")


def faults(rows: list[DemoRow]) -> list[str]:
    """Return what is not as promised: leads without an answer, or found by something else than their webhook."""
    unanswered = [
        f"NOT ANSWERED: {row.label} is {row.state or 'unknown to leadhook'}{f' ({row.reason})' if row.reason else ''}"
        for row in rows
        if not row.answered
    ]
    unannounced = [
        f"NOT BY WEBHOOK: {row.label} was found by {row.source or '-'}"
        for row in rows
        if row.answered and row.source != "webhook"
    ]
    return [*unanswered, *unannounced] if rows else ["NO LEADS: the sample is not in the database"]


def _cost(rows: list[DemoRow], answered: int) -> str:
    known = [row.cost_usd for row in rows if row.cost_usd is not None]
    if not known:
        return "unknown: the model has no price (GEMINI_PRICE_FILE)"
    a_lead = f"${sum(known) / answered:.5f} a lead, " if answered else ""
    return f"{a_lead}${sum(known):.5f} in all"


def _spread(values: list[int | float | None] | list[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    if not known:
        return "unknown"
    p95 = statistics.quantiles(known, n=20, method="inclusive")[-1] if len(known) > 1 else known[0]
    return f"median {_ms(statistics.median(known))}, p95 {_ms(p95)}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
