"""Logs one JSON line per event, including those of libraries, to stdout and to a log service if one is set.

Logging never blocks: a line is rendered and redacted immediately, and separate threads write and send it.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import MutableMapping
from logging.handlers import QueueHandler
from types import TracebackType
from typing import Any, Final

import structlog
from structlog.processors import JSONRenderer, TimeStamper
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from leadhook import __version__, network
from leadhook.observability.events import Event
from leadhook.observability.operator_log import operator_log
from leadhook.observability.redaction import describe_exception, exception_text, redactor
from leadhook.observability.sinks import Descriptor, Sink, StreamSink
from leadhook.settings import Settings
from leadhook.terminal import printable

QUIET: Final = (
    "httpx",
    "httpcore",
    "aiohttp",
    "google",
    "google_genai",
    "langchain",
    "langsmith",
    "urllib3",
    "hpack",
    "asyncio",
)
"""Libraries that log every request with its address below WARNING."""
SHIP_FLUSH_S: Final = 1.5
WRITE_FLUSH_S: Final = 0.5
"""Maximum time of the log in a shutdown; both fit into the time that the settings reserve for releasing leads."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class _Handler(QueueHandler):
    """Renders and redacts a record in the caller's thread, and puts the line into a sink."""

    def __init__(self, sink: Sink, formatter: logging.Formatter) -> None:
        super().__init__(sink.lines)
        self.sink = sink
        self.setFormatter(formatter)
        self.addFilter(_not_of_the_shipping_thread)
        self._patient_until = 0.0

    def prepare(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:  # noqa: BLE001 - logging must never fail; the inherited way prints what it was given
            return self.format(_spoiled(record, error))

    def enqueue(self, record: Any) -> None:
        self.sink.put(record)
        if (patience_s := self._patient_until - time.monotonic()) > 0:
            self.sink.flush(patience_s)

    def flush(self) -> None:
        """Called when the interpreter exits."""
        self.sink.flush(WRITE_FLUSH_S)

    def wait_for_each(self, seconds: float) -> None:
        """From now on and for this long, a logging call returns after its line is written."""
        self._patient_until = time.monotonic() + seconds


def _not_of_the_shipping_thread(record: logging.LogRecord) -> bool:
    # Lines that its libraries log about a request would be sent by the next request, and so on without end.
    return record.threadName != "leadhook-otlp" or record.name.startswith("leadhook.")


_handlers: list[_Handler] = []


def configure(settings: Settings) -> None:
    """Send the whole process's log to stdout and where LOG_SHIP says; safe to call again."""
    redactor.remember([*settings.secrets(), *network.passwords()])
    close()
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    foreign: list[Processor] = [*shared, structlog.stdlib.add_logger_name, _first_line]

    def formatter(log_format: str) -> ProcessorFormatter:
        return ProcessorFormatter(
            foreign_pre_chain=foreign,
            processors=[ProcessorFormatter.remove_processors_meta, *_ending(log_format)],
        )

    stdout = _copy_of_stdout()
    if stdout is not None:
        _handlers.append(_Handler(StreamSink("stdout", stdout), formatter(settings.log_format)))
    if settings.log_ship == "otlp":
        from leadhook.observability.shipping import Exporter, OtlpSink  # takes memory that few need

        _handlers.append(_Handler(OtlpSink(Exporter(settings)), formatter("json")))
    if settings.log_file is not None:
        operator_log.open(settings.log_file, settings.log_timezone)
    root = logging.getLogger()
    root.handlers = [*_handlers]
    root.setLevel(level)
    _tame_libraries()
    _catch_the_uncaught()


def troubles() -> list[str]:
    """Describe each failing sink in a sentence."""
    found = [(sink.name, sink.trouble) for sink in sinks()]
    return [f"The log's sink {name} accepts no lines: {trouble}." for name, trouble in found if trouble]


def sinks() -> list[Sink]:
    own: list[Sink] = [handler.sink for handler in _handlers]
    return [*own, operator_log.sink] if operator_log.sink else own


def finish() -> None:
    """Deliver waiting lines in bounded time when the service ends. Later calls return after their line is written.

    uvicorn logs its last lines after the application has ended, and then ends by the signal that it received.
    """
    for handler in _handlers:
        if handler.sink.name != "stdout":
            handler.sink.close(SHIP_FLUSH_S)
    operator_log.close(WRITE_FLUSH_S)
    for handler in _handlers:
        if handler.sink.name == "stdout":
            handler.sink.flush(WRITE_FLUSH_S)
            handler.wait_for_each(WRITE_FLUSH_S)


def close() -> None:
    operator_log.close(WRITE_FLUSH_S)
    while _handlers:
        # stdout last: it reports what the others lost.
        handler = _handlers[-1]
        handler.sink.close(WRITE_FLUSH_S)
        logging.getLogger().removeHandler(handler)
        _handlers.pop()


def _copy_of_stdout() -> Descriptor | None:
    try:
        return Descriptor(os.dup(sys.stdout.fileno()))
    except (OSError, ValueError, AttributeError):
        return None  # closed: no one reads it


def _tame_libraries() -> None:
    logging.captureWarnings(capture=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        # `uvicorn leadhook.app:app` adds its own handlers to them before it imports the app.
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = name != "uvicorn.access"
    # A failed start or end: our own event says more than a traceback of which only the first line may be shown.
    logging.getLogger("uvicorn.error").addFilter(_not_a_traceback)


def _not_a_traceback(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Traceback ")


def _catch_the_uncaught() -> None:
    def in_main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            log.critical(Event.EXCEPTION_UNCAUGHT, exc_info=error)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            log.critical(Event.EXCEPTION_UNCAUGHT, thread=args.thread and args.thread.name, exc_info=args.exc_value)

    def in_finalizer(args: "sys.UnraisableHookArgs") -> None:
        log.error(Event.EXCEPTION_UNCAUGHT, exc_info=args.exc_value)

    sys.excepthook, threading.excepthook, sys.unraisablehook = in_main, in_thread, in_finalizer


def _ending(log_format: str) -> list[Processor]:
    if log_format == "console":
        return [
            _describe_exception,
            redactor,
            _show_controls,
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout is not None and sys.stdout.isatty(),
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    return [_describe_exception, _add_service, redactor, JSONRenderer()]


def _first_line(_logger: Any, _method: str, event_dict: EventDict) -> EventDict:
    # The rest is a quote: a warning quotes its source line, asyncio the exception of a task, pydantic its input.
    event_dict["event"] = str(event_dict["event"]).split("\n", 1)[0]
    return event_dict


def _describe_exception(_logger: Any, _method: str, event_dict: EventDict) -> EventDict:
    given = event_dict.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else given[1] if isinstance(given, tuple) else None
    if given is True:
        error = sys.exception()
    if error is not None:
        event_dict["exception"] = describe_exception(error)
    return event_dict


def _add_service(_logger: Any, _method: str, event_dict: EventDict) -> EventDict:
    first = {name: event_dict.pop(name) for name in ("timestamp", "level", "event") if name in event_dict}
    return {**first, "service": "leadhook", "version": __version__, **event_dict}


def _show_controls(_logger: Any, _method: str, event_dict: EventDict) -> MutableMapping[str, Any]:
    # A terminal interprets control characters; JSON escapes them anyway.
    shown = dict(event_dict)
    exceptions = shown.pop("exception", None)
    shown = {name: printable(value) if isinstance(value, str) else value for name, value in shown.items()}
    if exceptions:
        for one in exceptions:
            one["exc_value"] = printable(str(one["exc_value"]))
        shown["exception"] = "\n".join(map(printable, exception_text(exceptions).split("\n")))
    return shown


def _spoiled(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    line = f"{Event.LOG_SPOILED}: {type(error).__name__}"
    return logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, line, (), None)
