"""The operator's file has the lines that the program before this one wrote, and none can be forged."""

import re
import secrets
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.settings import settings

from leadhook import advice
from leadhook.observability.operator_log import OperatorLog, find_zone, shortened

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


def written(path: Path, zone: str = "Asia/Kolkata", name: str = "Jane Doe") -> list[str]:
    operator_log = OperatorLog()
    operator_log.open(path, zone)
    key = shortened("AIza" + secrets.token_urlsafe(26) + "XYZ")
    for place in range(4):
        operator_log.taken(place)
    operator_log.started(0, "abc123", name, key)
    operator_log.finished(0, "abc123", name, "saved", key=key, reason=None)
    operator_log.finished(1, "abc124", name, "dead", key=key, reason="blocked")
    operator_log.finished(2, "abc125", name, "unwanted", key=None, reason="already sent")
    operator_log.finished(3, "abc126", None, "returned", key=key, reason="shutting_down")
    operator_log.close(10)
    return path.read_text().splitlines()


def test_the_lines_are_the_predecessors(tmp_path: Path) -> None:
    lines = written(tmp_path / "log")

    assert [re.sub(f"^{TIME}", "TIME", line) for line in lines[:-1]] == [
        "TIME IST | START | lead_id=abc123 | name=Jane Doe | api_key=AIza...XYZ",
        "TIME IST | DONE  | lead_id=abc123 | name=Jane Doe | api_key=AIza...XYZ",
        "TIME IST | ERROR | lead_id=abc124 | name=Jane Doe | api_key=AIza...XYZ",
        "TIME IST | SKIP  | lead_id=abc125 | name=Jane Doe | reason=already_processed",
        "TIME IST | SKIP  | lead_id=abc126 | name= | reason=shutting_down",
    ]
    cycle = rf"{TIME} IST \| CYCLE \| total=4, processed=1, skipped=2, errors=1, duration=\d+\.\d\ds"
    assert re.fullmatch(cycle, lines[-1])


@given(name=st.text(max_size=300) | st.text("\r\n\x1b|\u2028\u202e a=", max_size=40))
def test_no_name_can_forge_a_line_or_a_field(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    lines = written(tmp_path_factory.mktemp("operator_log") / "log", name=name)

    assert len(lines) == 6
    assert all(line.count(" | ") == (2 if " CYCLE " in line else 4) for line in lines)
    assert all(character.isprintable() for line in lines for character in line)


def test_a_mail_address_or_secret_in_a_name_is_hidden(tmp_path: Path) -> None:
    assert "jane@example.com" not in "".join(written(tmp_path / "log", name="Jane jane@example.com"))


def test_the_zone_is_a_setting_and_a_wrong_one_is_said_at_the_start(tmp_path: Path) -> None:
    assert re.match(f"{TIME} UTC ", written(tmp_path / "utc", "UTC")[0])
    assert re.match(f"{TIME} IST ", written(tmp_path / "wrong", "Mars/Olympus")[0])
    assert [find_zone(name) for name in ("Mars/Olympus", "../../etc/passwd", "", "/", "Asia")] == [None] * 5
    said = [advice.warnings(settings(LOG_FILE="x", LOG_TIMEZONE=zone)) for zone in ("UTC", "Mars/Olympus")]
    assert [any("LOG_TIMEZONE" in each for each in warnings) for warnings in said] == [False, True]


def test_a_short_key_is_not_shown_at_all() -> None:
    """Seven of its characters would be most of it."""
    assert [shortened("AIza5678901"), shortened("AIza56789012")] == ["...", "AIza...012"]


def test_without_a_file_nothing_happens() -> None:
    operator_log = OperatorLog()
    operator_log.taken(0)
    operator_log.started(0, "a", "b", "c")
    operator_log.finished(0, "a", "b", "saved", key=None, reason=None)

    assert operator_log.sink is None


def test_leads_that_were_not_taken_are_not_written(tmp_path: Path) -> None:
    """A cycle ends with the leads that were taken in it."""
    operator_log = OperatorLog()
    operator_log.open(tmp_path / "log", "UTC")
    operator_log.taken("work")
    operator_log.started("other", "b", "Jane Doe", "AIza...XYZ")
    operator_log.finished("other", "b", "Jane Doe", "saved", key=None, reason=None)
    operator_log.finished("work", "", None, "answered", key=None, reason=None)
    operator_log.close(10)
    kinds = [line.split(" | ")[1].strip() for line in (tmp_path / "log").read_text().splitlines()]

    assert kinds == ["DONE", "CYCLE"]
