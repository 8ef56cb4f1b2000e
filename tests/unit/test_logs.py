"""Every line is one JSON object of the same shape, ours and the libraries', and holds no secret."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from leadhook import __version__
from leadhook.observability import logs
from leadhook.observability.events import Event
from leadhook.settings import load_settings

TOKEN = "visibly-fake-admin-token"
TOUCHED = ("", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", *logs.QUIET)


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Logging belongs to the process: give it back as it was."""
    loggers = [logging.getLogger(name) for name in TOUCHED]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Log:
    """The service's log, written to a stdout of this test's own that is as strict about encoding as the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._written = io.BytesIO()
        self.stdout = io.TextIOWrapper(self._written, "utf-8", write_through=True)
        self._monkeypatch = monkeypatch

    def configure(self, **env: str) -> None:
        """Set up the log as the service does."""
        self._monkeypatch.setattr(sys, "stdout", self.stdout)
        required = {"SUPABASE_URL": "http://x", "SUPABASE_SECRET_KEY": "visibly-fake-key", "ADMIN_TOKENS": TOKEN}
        logs.configure(load_settings({**required, **env}))

    def close(self) -> None:
        """Let every later write fail."""
        self.stdout.close()

    def text(self) -> str:
        """What was written so far."""
        return self._written.getvalue().decode()

    def lines(self) -> list[dict[str, Any]]:
        """The same, from JSON."""
        return [json.loads(line) for line in self.text().split("\n") if line]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """A log that is set up."""
    log = Log(monkeypatch)
    log.configure()
    return log


def judge(lead: str, *, quote: bool = False) -> None:
    """Fail with a lead at hand."""
    raise ValueError(lead if quote else len(lead))


def test_a_line_says_when_what_and_who(log: Log) -> None:
    """Timestamp in UTC, level, event, service and version, and the fields."""
    structlog.get_logger().info(Event.LEAD_FINISHED, lead_id="a", input_tokens=7)
    (line,) = log.lines()

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "lead.finished",
        "level": "info",
        "service": "leadhook",
        "version": __version__,
        "lead_id": "a",
        "input_tokens": 7,
    }


def test_the_timestamp_is_rfc_3339(log: Log) -> None:
    """Every log service reads it."""
    structlog.get_logger().info("x")
    (line,) = log.lines()

    assert datetime.fromisoformat(line["timestamp"]).utcoffset().total_seconds() == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["uvicorn.error", "some.library"])
def test_a_library_logs_lines_of_the_same_shape(log: Log, name: str) -> None:
    """Through the standard library's logging."""
    logging.getLogger(name).warning("port %d", 80, extra={"color_message": "\x1b[1mport"})
    (line,) = log.lines()

    assert (line["event"], line["level"], line["logger"]) == ("port 80", "warning", name)
    assert "color_message" not in line


def test_uvicorns_own_handlers_are_taken_off(log: Log) -> None:
    """`uvicorn leadhook.app:app` sets them up before it asks for the app."""
    for name in ("uvicorn", "uvicorn.access"):
        logging.getLogger(name).handlers = [logging.StreamHandler(log.stdout)]
        logging.getLogger(name).propagate = False
    log.configure()
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.access").info("GET /?token=x")

    assert [line["event"] for line in log.lines()] == ["started"]


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "aiohttp.client", "google_genai.models"])
def test_libraries_that_tell_of_requests_are_quiet(log: Log, name: str) -> None:
    """Their lines hold addresses."""
    logging.getLogger(name).info("HTTP Request: POST https://x/")
    logging.getLogger(name).warning("trouble")

    assert [line["event"] for line in log.lines()] == ["trouble"]


def test_an_exception_shows_no_local_variables(log: Log) -> None:
    """They hold leads and keys."""
    try:
        judge("private " + "bio")
    except ValueError:
        structlog.get_logger().exception("x")
        logging.getLogger("library").exception("y")
    ours, theirs = log.lines()

    for line in (ours, theirs):
        assert line["exception"][0]["exc_type"] == "ValueError"
        assert line["exception"][0]["frames"]
        assert "private bio" not in json.dumps(line)


def test_a_known_secret_is_hidden_everywhere(log: Log) -> None:
    """In our fields, in a library's message and in the text of an exception."""
    try:
        judge(TOKEN, quote=True)
    except ValueError:
        logging.getLogger("library").exception("sent %s", TOKEN)
        structlog.get_logger().exception("x")
    structlog.get_logger().error("x", header=f"Bearer {TOKEN}", given=[TOKEN])

    assert TOKEN not in json.dumps(log.lines())


def test_hostile_text_stays_in_its_line(log: Log) -> None:
    """Line breaks, control characters and lone surrogates are escaped."""
    hostile = 'a\r\nb\x00\x1b[2J\u2028\ud800"}\n{"event": "forged"'
    structlog.get_logger().info("x", text=hostile)
    (line,) = log.lines()

    assert line["text"] == hostile
    assert line["event"] == "x"


def test_bound_context_is_part_of_every_line(log: Log) -> None:
    """A request's id reaches the libraries' lines too."""
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger().info("x")
        logging.getLogger("library").warning("y")

    assert [line["request_id"] for line in log.lines()] == ["r1", "r1"]


def test_the_level_is_a_setting(log: Log) -> None:
    """LOG_LEVEL."""
    log.configure(LOG_LEVEL="WARNING")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")

    assert [line["event"] for line in log.lines()] == ["loud"]


def test_the_console_form_is_for_people_and_as_safe(log: Log) -> None:
    """LOG_FORMAT=console: no JSON, no secret, no control character that a terminal would obey."""
    log.configure(LOG_FORMAT="console")
    structlog.get_logger().info(Event.LEAD_FINISHED, text="\r\nforged", erase="\x1b[2J", given=TOKEN)
    logging.getLogger("library").warning("\x1b[2J\nforged")
    structlog.get_logger().error("x", exc_info=ValueError(TOKEN))
    shown = log.text()

    assert "lead.finished" in shown
    assert "ValueError" in shown
    assert TOKEN not in shown
    assert not set(shown) & {"\x1b", "\r"}
    assert "\nforged" not in shown


def test_a_line_that_cannot_be_written_is_not_printed_elsewhere(log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    """The standard library would print it to stderr as it was before redaction."""
    log.close()
    structlog.get_logger().error("x", given=TOKEN)

    assert capfd.readouterr().err == "leadhook: a log line is lost: ValueError\n"


def test_every_event_has_a_name_of_noun_and_participle_and_a_meaning() -> None:
    """`lead.finished`; low in number, the same for ever."""
    assert all(re.fullmatch(r"[a-z]+\.[a-z]+", event) for event in Event)
    assert all(event.meaning for event in Event)


def test_the_list_of_events_is_closed() -> None:
    """Whatever the source logs is on it."""
    source = Path(logs.__file__).parent.parent
    service = [file for file in source.rglob("*.py") if not {"local", "install"} & set(file.relative_to(source).parts)]
    named = {
        name
        for file in service
        for name in re.findall(r'log\.(?:debug|info|warning|error|critical)\(\s*"([^"]+)"', file.read_text())
    }

    assert len(service) > 20
    assert named <= set(Event)
