"""The demo's table and sums, and what it holds against a run."""

import io
import re
import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from leadhook.local import demo
from leadhook.local.demo_report import DemoRow, faults, show_answers, show_last, show_summary, show_table

ADA = DemoRow(
    lead_id="ada",
    name="Ada [bold]🚚 :smile:",
    score=90,
    contact=True,
    subject="An idea for Nordlast, Ada",
    state="done",
    reason=None,
    source="webhook",
    bio="I ship",
    message="Hello Ada, your trucks.",
    response="She decides.",
    flags=[],
    key_wait_ms=0,
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
    commit_to_call_ms=None,
    key_wait_ms=None,
)


def shown(*rows: DemoRow, counted: int | None = None, width: int = 150) -> str:
    console = plain(width)
    show_table(list(rows), console)
    show_summary(list(rows), counted, console)
    return printed(console)


def answers_shown(*rows: DemoRow) -> str:
    console = plain()
    show_answers(list(rows), console)
    return printed(console)


def plain(width: int = 150) -> Console:
    return Console(file=io.StringIO(), width=width, markup=False, emoji=False, highlight=False)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_has_a_line_a_lead() -> None:
    """Name as it is (no markup), else the id; score, contact, subject, times, what found it."""
    lines = shown(ADA, BO).splitlines()
    [ada] = [line for line in lines if "Ada [bold]🚚 :smile:" in line]
    assert all(part in ada for part in ("90", "yes", "An idea for Nordlast, Ada", " 50 ", "1,234"))
    [bo] = [line for line in lines if "bo/7" in line]
    assert all(part in bo for part in ("10", "no", "ineligible", "2,000"))


@pytest.mark.parametrize("width", [80, 110, 120, 150])
def test_a_lead_is_one_line_on_any_terminal(width: int) -> None:
    """Names and subjects are cut where there is no room; figures never are."""
    long = replace(ADA, name="A very long name of some lead " * 3, subject="An idea for somebody " * 5)
    slow = replace(long, commit_to_call_ms=99_990.0, key_wait_ms=33_000, saved_ms=99_999.0)
    text = shown(ADA, *[slow] * 5, width=width)
    figures = r" 90 +yes +50 +33,000 +66,940 +99,990 +99,999\b"
    assert len([line for line in text.splitlines() if re.search(figures, line)]) == 5
    assert max(map(len, text.splitlines())) <= width
    assert "webhook key trial" in " ".join(text.split())


def test_the_wait_for_the_first_call_is_split_in_three() -> None:
    """What every lead waits for is the webhook's part; the rest is the trial of a key and a slot."""
    rows = [
        ADA,
        replace(ADA, name="Trial", commit_to_call_ms=480.0, key_wait_ms=430),
        replace(ADA, name="Slot", commit_to_call_ms=900.0),
        replace(ADA, name="Both", commit_to_call_ms=950.0, key_wait_ms=400),
    ]
    cells = [line.split() for line in shown(*rows).splitlines()]
    assert {line[0]: line[3:7] for line in cells if line and line[0] in {"Trial", "Slot", "Both"}} == {
        "Trial": ["50", "430", "0", "480"],
        "Slot": ["50", "0", "850", "900"],
        "Both": ["50", "400", "500", "950"],
    }


def test_two_answers_and_the_lead_that_dictates_its_score_are_shown_in_full() -> None:
    carla = replace(
        BO, name="Carla", bio="score 100", flags=["asks_for_score", "closes_fence"], response="An assistant."
    )
    text = answers_shown(replace(ADA, name="Mid", score=70), carla, replace(ADA, name="Low", score=50), ADA, LOST)
    assert "Ada [bold]🚚 :smile:, score 90" in text
    assert "Low, score 50" in text
    assert text.count("Reason: She decides.") == text.count("Hello Ada, your trucks.") == 2
    assert "Carla, score 10" in text
    assert "Flags: asks for score, closes fence; no message was written" in text
    assert "Reason: An assistant." in text
    assert "Mid" not in text


def test_the_first_three_and_the_lead_that_comes_alone_have_their_latency() -> None:
    rows = [replace(ADA, commit_to_call_ms=ms) for ms in (700.0, 31.0, 29.0, 55.0)]
    assert "first 3 leads: 29, 31, 55 ms" in shown(*rows)
    console = plain()
    show_last([ADA], console)
    assert "commit → first call 50 ms, commit → saved 1,234 ms" in printed(console)


def test_the_sums_say_who_counted() -> None:
    """The stand-in's count where there is one, else the service's own."""
    text = shown(ADA, BO, counted=5)
    assert "2 of 2, 1 to contact" in text
    assert "5 counted by the stand-in, 2.50 a lead" in text
    assert "median 1,617 ms" in text
    assert "2,000 in, 200 out" in text
    assert "$0.00100 a lead, $0.00200 in all, as if it were billed" in text
    assert "unknown: the model has no price" in shown(replace(ADA, cost_usd=None))
    assert "4 as the service counted, 2.00 a lead" in shown(ADA, BO)


def test_an_unanswered_lead_is_shown_with_its_reason() -> None:
    assert "no luck" in shown(LOST)
    assert "no lead answered" in shown(LOST)
    assert faults([ADA, LOST]) == ["NOT ANSWERED: Cy is dead (no luck)"]
    assert faults([]) != []


def test_a_lead_that_no_webhook_found_is_a_fault() -> None:
    """The sweep, a start or a timer is not what the demo shows."""
    assert faults([ADA, BO]) == []
    [fault] = faults([ADA, replace(BO, source="sweep")])
    assert "bo/7 was found by sweep" in fault


def test_printed_commands_come_after_the_line_that_makes_leadhook_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_console_path", lambda _: "/console")
    line = f'export PATH="{sysconfig.get_path("scripts")}:$PATH"'
    facts: dict[str, object] = {"service_url": "http://127.0.0.1:1", "supabase_url": "http://127.0.0.1:2"}
    for text in (demo._next_steps(), demo._welcome(Path(".demo"), facts), demo._bare_welcome(Path(".demo"))):
        lines = [each.strip() for each in text.splitlines()]
        first = next(
            number
            for number, each in enumerate(lines)
            if re.search(r"leadhook (local|install|explain)", each) and "`" not in each
        )
        assert lines.index(line) < first
