"""Every line is one JSON object of the same shape, ours and the libraries', and holds no secret."""

import json
import logging
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.support.doc_tables import EVENTS_PAGE, with_events
from tests.support.settings import settings

from leadhook import __version__
from leadhook.observability import logs
from leadhook.observability.events import Event

TOKEN = "visibly-fake-admin-token"
CHANGED = ("", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", *logs.QUIET)


@pytest.fixture(autouse=True)
def restored_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging belongs to the process: give it back as it was."""
    for owner, hook in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(owner, hook, getattr(owner, hook))
    loggers = [logging.getLogger(name) for name in CHANGED]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    yield
    logs.close()
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Log:
    """The service's log, written to a stdout of this test's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
        self._file = file
        self.stdout = file.open("w")
        self._monkeypatch = monkeypatch

    def configure(self, **env: str) -> None:
        self._monkeypatch.setattr(sys, "stdout", self.stdout)
        logs.configure(settings(ADMIN_TOKENS=TOKEN, **env))

    def text(self) -> str:
        assert all(sink.flush(10) for sink in logs.sinks())
        return self._file.read_text()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().split("\n") if line]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Log]:
    log = Log(monkeypatch, tmp_path / "out")
    log.configure()
    yield log
    log.stdout.close()


def check(lead: str, *, quote: bool = False) -> None:
    raise ValueError(lead if quote else len(lead))


def test_a_line_says_when_what_and_who(log: Log) -> None:
    structlog.get_logger().info(Event.LEAD_FINISHED, lead_id="a", input_tokens=7)
    (line,) = log.lines()

    assert datetime.fromisoformat(line["timestamp"]).tzinfo == UTC
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "lead.finished",
        "level": "info",
        "service": "leadhook",
        "version": __version__,
        "lead_id": "a",
        "input_tokens": 7,
    }


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
def test_libraries_that_log_requests_are_quiet(log: Log, name: str) -> None:
    """Their lines hold addresses."""
    logging.getLogger(name).info("HTTP Request: POST https://x/")
    logging.getLogger(name).warning("trouble")

    assert [line["event"] for line in log.lines()] == ["trouble"]


def test_an_exception_shows_no_local_variables(log: Log) -> None:
    """They hold leads and keys."""
    try:
        check("private " + "bio")
    except ValueError:
        structlog.get_logger().exception("x")
        logging.getLogger("library").exception("y")
    ours, theirs = log.lines()

    for line in (ours, theirs):
        assert line["exception"][0]["exc_type"] == "ValueError"
        assert line["exception"][0]["frames"]
        assert "private bio" not in json.dumps(line)


def test_a_known_secret_is_hidden_everywhere(log: Log) -> None:
    try:
        check(TOKEN, quote=True)
    except ValueError:
        logging.getLogger("library").exception("sent %s", TOKEN)
        structlog.get_logger().exception("x")
    structlog.get_logger().error("x", header=f"Bearer {TOKEN}", given=[TOKEN])

    assert TOKEN not in json.dumps(log.lines())


def test_hostile_text_stays_in_its_line(log: Log) -> None:
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
    log.configure(LOG_LEVEL="WARNING")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")

    assert [line["event"] for line in log.lines()] == ["loud"]


def test_the_console_form_is_for_people_and_as_safe(log: Log) -> None:
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


class Unprintable:
    """Raises when it is shown."""

    def __str__(self) -> str:
        raise ValueError(TOKEN)


def test_a_record_that_cannot_be_put_into_words_says_whose_it_is(log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    """The standard library would print it to stderr as it was before redaction."""
    handler = logging.getLogger().handlers[0]  # those of pytest raise
    for form, value in (("%d", "no number"), ("%s", Unprintable())):
        handler.handle(logging.LogRecord("library", logging.ERROR, "", 0, form, (value,), None))

    assert [(line["event"], line["logger"]) for line in log.lines()] == [
        ("log.spoiled: TypeError", "library"),
        ("log.spoiled: ValueError", "library"),
    ]
    assert capfd.readouterr().err == ""


def test_a_message_of_an_exception_that_may_quote_a_lead_is_hidden(log: Log) -> None:
    """ValueError, KeyError and libraries' own; what the system says of files and networks is kept."""
    for error in (ValueError("Jane Doe"), KeyError("Jane Doe"), ConnectionRefusedError(111, "Connection refused")):
        logging.getLogger("library").error("x", exc_info=error)
    shown = [line["exception"][0]["exc_value"] for line in log.lines()]

    assert shown == ["[hidden]", "[hidden]", "[Errno 111] Connection refused"]


def test_causes_and_members_of_groups_are_logged_once_and_hidden_as_well(log: Log) -> None:
    """A task group's exception holds those of its tasks; a loop of causes ends."""
    first, second = ValueError("Jane Doe"), OSError("no room")
    first.__cause__, second.__cause__ = second, first
    group = ExceptionGroup("two", [first, TypeError("int")])
    structlog.get_logger().error("x", exc_info=group)
    (line,) = log.lines()

    assert [one["exc_type"] for one in line["exception"]] == ["ExceptionGroup", "ValueError", "TypeError", "OSError"]
    assert "Jane" not in json.dumps(line)


def test_of_a_librarys_message_the_first_line_counts(log: Log) -> None:
    """A loop shows a task's exception behind it, pydantic its input, a warning its source."""
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <ValueError('Jane Doe')>")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("serialized\n  input_value='Jane Doe'", UserWarning, stacklevel=1)
    lines = log.lines()

    assert [line["logger"] for line in lines] == ["asyncio", "py.warnings"]
    assert "UserWarning: serialized" in lines[1]["event"]
    assert "Jane" not in json.dumps(lines)


def test_uncaught_exceptions_are_logged_in_the_same_form(
    log: Log, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python would print messages and causes to stderr."""
    ours = threading.excepthook
    monkeypatch.setattr(threading, "excepthook", ours)
    thread = threading.Thread(target=check, args=("Jane Doe",), kwargs={"quote": True})
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError("Jane Doe"), None)

    assert [line["event"] for line in log.lines()] == ["exception.uncaught"] * 2
    assert "Jane" not in log.text() + capfd.readouterr().err


def test_no_one_waits_while_stdout_is_not_read(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)  # as a parent may have left it
    with os.fdopen(writer, "w") as stdout, os.fdopen(reader, "rb") as pipe:
        log.stdout.close()
        log.stdout = stdout
        log.configure()
        began = time.monotonic()
        for number in range(13_000):
            structlog.get_logger().info("x", number=number)
        assert time.monotonic() - began < 30
        (sink,) = logs.sinks()
        lost = sink.dropped
        assert 0 < lost < 3_000

        read = b""
        while b"log.dropped" not in read:
            read += pipe.read1(1 << 20)
            structlog.get_logger().info("later")
        kept = [json.loads(line) for line in read.splitlines() if line.endswith(b"}")]
        dropped = next(line for line in kept if line["event"] == "log.dropped")
        numbers = [line["number"] for line in kept if "number" in line]
        monkeypatch.setattr(sys, "stdout", sys.__stdout__)
        logs.close()

    assert numbers == list(range(13_000 - lost)), "the oldest are kept, in order"
    assert dropped["sink"] == "stdout"
    assert dropped["lines"] >= lost


def test_a_closed_stdout_is_no_reason_to_end(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """`>&-` in a shell."""
    log.configure()
    monkeypatch.setattr(sys, "stdout", None)
    logs.configure(settings())
    structlog.get_logger().info("x")

    assert logs.sinks() == []


def test_at_the_end_each_line_is_written_when_its_call_returns(log: Log) -> None:
    """The process may die of its signal right after the last one."""
    logs.finish()
    for number in range(20):
        structlog.get_logger().info("x", number=number)
        assert f'"number": {number}' in (Path(log.stdout.name)).read_text()


def test_the_page_of_events_is_generated() -> None:
    """`python -m tests.support.doc_tables` renews it."""
    page = EVENTS_PAGE.read_text()

    assert with_events(page) == page


def test_every_event_has_a_name_of_noun_and_participle_and_a_meaning() -> None:
    """`lead.finished`; low in number, the same for ever."""
    assert all(re.fullmatch(r"[a-z_]+\.[a-z]+", event) for event in Event)
    assert all(event.meaning for event in Event)


def test_the_list_of_events_is_closed() -> None:
    source = Path(logs.__file__).parent.parent
    service = [file for file in source.rglob("*.py") if not {"local", "install"} & set(file.relative_to(source).parts)]
    named = {
        name
        for file in service
        for name in re.findall(r'log\.(?:debug|info|warning|error|critical)\(\s*"([^"]+)"', file.read_text())
    }

    assert len(service) > 20
    assert named <= set(Event)
