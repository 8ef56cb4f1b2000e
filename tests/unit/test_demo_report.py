"""The demo's table and sums, and what it holds against a run."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from leadhook.local.demo.report import faults, show_summary, show_table
from leadhook.local.demo.results import Row
from leadhook.local.demo.standin import Counted

ADA = Row(
    lead_id="ada",
    name="Ada [bold]🚚 :smile:",
    score=90,
    contact=True,
    subject="An idea for Nordlast, Ada",
    state="done",
    reason=None,
    found_by="ring",
    first_call_ms=40,
    saved_ms=1234.4,
    commit_to_call_ms=50.0,
    calls=2,
    input_tokens=1000,
    output_tokens=100,
    cost_usd=0.001,
)
BO = replace(ADA, lead_id="bo/7", name=None, score=10, contact=False, subject="ineligible", saved_ms=2000.0)
LOST = replace(
    ADA,
    name="Cy",
    score=None,
    contact=None,
    subject=None,
    state="dead",
    reason="no luck",
    saved_ms=None,
    first_call_ms=None,
)


def shown(*rows: Row, counted: Counted | None = None, width: int = 150) -> str:
    """The table and the sums as plain text."""
    console = Console(file=io.StringIO(), width=width, markup=False, emoji=False, highlight=False)
    show_table(list(rows), console)
    show_summary(list(rows), counted, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_has_a_line_a_lead() -> None:
    """Name as it is (no markup), else the id; score, contact, subject, times, what found it."""
    lines = shown(ADA, BO).splitlines()
    [ada] = [line for line in lines if "Ada [bold]🚚 :smile:" in line]
    assert all(part in ada for part in ("90", "yes", "An idea for Nordlast, Ada", "40 ms", "1,234 ms", "ring"))
    [bo] = [line for line in lines if "bo/7" in line]
    assert all(part in bo for part in ("10", "no", "ineligible", "2,000 ms"))


@pytest.mark.parametrize("width", [80, 100, 150])
def test_a_lead_is_one_line_on_any_terminal(width: int) -> None:
    """Names and subjects are cut where there is no room; figures never are."""
    long = replace(ADA, name="A very long name of some lead " * 3, subject="An idea for somebody " * 5)
    rows = shown(*[replace(long, first_call_ms=12_345, saved_ms=99_999.0)] * 5, width=width).splitlines()
    assert len([row for row in rows if re.search(r" 90 .* yes .* 12,345 ms +99,999 ms +ring *$", row)]) == 5


def test_the_sums_say_who_counted() -> None:
    """The stand-in's count where there is one, else the service's own."""
    text = shown(ADA, BO, counted=Counted(5, 0.002))
    assert "2 of 2, 1 to contact" in text
    assert "5 counted by the stand-in, 2.50 a lead" in text
    assert "median 1,617 ms" in text
    assert "2,000 in, 200 out" in text
    assert "$0.00100 a lead, $0.00200 in all, as if it were billed; the stand-in's own count comes to the same" in text
    assert "BY THE STAND-IN'S OWN COUNT $0.00300" in shown(ADA, BO, counted=Counted(5, 0.003))
    assert "unknown: the model has no price" in shown(replace(ADA, cost_usd=None))
    assert "4 as the service counted, 2.00 a lead" in shown(ADA, BO)


def test_an_unanswered_lead_is_shown_with_its_reason() -> None:
    """In the table and as a fault; nothing fails for want of figures."""
    assert "no luck" in shown(LOST)
    assert "no lead answered" in shown(LOST)
    assert faults([ADA, LOST]) == ["NOT ANSWERED: Cy is dead (no luck)"]
    assert faults([]) != []


def test_a_lead_that_no_ring_found_is_a_fault() -> None:
    """The sweep, a start or a timer is not what the demo shows."""
    assert faults([ADA, BO]) == []
    [fault] = faults([ADA, replace(BO, found_by="sweep")])
    assert "bo/7 was found by sweep" in fault
