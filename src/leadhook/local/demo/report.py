"""What the demo shows in the end: the table, the sums, and what was not as promised."""

import statistics
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadhook.local.demo.results import Row
from leadhook.local.demo.standin import Counted

_RING: Final = "ring"
_ROUNDING_USD: Final = 1e-6
_WIDE: Final = 110
_FIGURES: Final = 48
"""Columns of the terminal that everything but lead and subject takes."""


def show_table(rows: list[Row], console: Console) -> None:
    """One line a lead."""
    lead_width = 28 if console.width >= _WIDE else 20
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False, show_edge=False)
    table.add_column("lead", max_width=lead_width, no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("contact?", no_wrap=True)
    table.add_column("subject", max_width=max(8, min(48, console.width - lead_width - _FIGURES)), no_wrap=True)
    table.add_column("eligible →\nfirst call", justify="right", no_wrap=True)
    table.add_column("\n→ saved", justify="right", no_wrap=True)
    table.add_column("by", no_wrap=True)
    for row in rows:
        contact = "" if row.contact is None else "yes" if row.contact else "no"
        cells = (
            row.label,
            "-" if row.score is None else str(row.score),
            contact,
            row.subject or (row.reason or row.state or "unknown"),
            _ms(row.first_call_ms),
            _ms(row.saved_ms),
            row.found_by or "-",
        )
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    console.print()


def show_summary(rows: list[Row], counted: Counted | None, console: Console) -> None:
    """The sums.

    Args:
        rows: the leads.
        counted: what the stand-in counted; None where the real Gemini answered.
        console: where to print.
    """
    answered = [row for row in rows if row.answered]
    calls = sum(row.calls for row in rows) if counted is None else counted.calls
    by = "as the service counted" if counted is None else "counted by the stand-in"
    a_lead = f"{calls / len(answered):.2f} a lead" if answered else "no lead answered"
    tokens_in, tokens_out = sum(row.input_tokens for row in rows), sum(row.output_tokens for row in rows)
    console.print(
        f"answered             {len(answered)} of {len(rows)}, {sum(bool(row.contact) for row in rows)} to contact"
    )
    console.print(f"commit → first call  {_spread([row.commit_to_call_ms for row in answered])}")
    console.print(f"eligible → saved     {_spread([row.saved_ms for row in answered])}")
    console.print(f"model calls          {calls} {by}, {a_lead}")
    console.print(f"tokens               {tokens_in:,} in, {tokens_out:,} out")
    console.print(f"cost                 {_cost(rows, len(answered), counted)}")


def faults(rows: list[Row]) -> list[str]:
    """What is not as promised: a lead without an answer, or found by something else than its ring."""
    unanswered = [
        f"NOT ANSWERED: {row.label} is {row.state or 'unknown to leadhook'}{f' ({row.reason})' if row.reason else ''}"
        for row in rows
        if not row.answered
    ]
    unrung = [
        f"NOT BY RING: {row.label} was found by {row.found_by}"
        for row in rows
        if row.answered and row.found_by != _RING
    ]
    return [*unanswered, *unrung] if rows else ["NO LEADS: the sample is not in the database"]


def _cost(rows: list[Row], answered: int, counted: Counted | None) -> str:
    known = [row.cost_usd for row in rows if row.cost_usd is not None]
    if not known:
        return "unknown: the model has no price (GEMINI_PRICE_FILE)"
    total = sum(known)
    a_lead = f"${total / answered:.5f} a lead, " if answered else ""
    told = f"{a_lead}${total:.5f} in all, as if it were billed"
    if counted is None or counted.usd is None:
        return f"{a_lead}${total:.5f} in all"
    if abs(counted.usd - total) < _ROUNDING_USD:
        return f"{told}; the stand-in's own count comes to the same"
    return f"{told}; BY THE STAND-IN'S OWN COUNT ${counted.usd:.5f}"


def _spread(values: list[int | float | None] | list[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    if not known:
        return "unknown"
    p95 = statistics.quantiles(known, n=20, method="inclusive")[-1] if len(known) > 1 else known[0]
    return f"median {_ms(statistics.median(known))}, p95 {_ms(p95)}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"
