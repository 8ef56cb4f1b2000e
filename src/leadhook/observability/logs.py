"""One line of JSON for each event on stdout, ours and the libraries' alike."""

import contextlib
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog
from structlog.processors import ExceptionRenderer, JSONRenderer, TimeStamper
from structlog.stdlib import ProcessorFormatter
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor

from leadhook import __version__
from leadhook.observability.redaction import redactor
from leadhook.settings import Settings

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
"""Libraries that tell of every request, with its address, below WARNING."""

_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


class _Stdout(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's own names
        # The inherited one would print the line as it was before redaction.
        error = sys.exception()
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"leadhook: a log line is lost: {type(error).__name__}\n")


def configure(settings: Settings) -> None:
    """Send the whole process's log to stdout; safe to call again."""
    redactor.remember(settings.secrets())
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
    handler = _Stdout(sys.stdout)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[ProcessorFormatter.remove_processors_meta, *_ending(settings.log_format)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    _tame_libraries()


def _tame_libraries() -> None:
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        # `uvicorn leadhook.app:app` has put its own handlers on them before it asks for the app.
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = name != "uvicorn.access"


def _ending(log_format: str) -> list[Processor]:
    if log_format == "console":
        return [
            structlog.processors.format_exc_info,
            redactor,
            _show_controls,
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    # Without this transformer's setting a traceback would carry the frames' local variables: leads and keys.
    traceback = ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    return [traceback, _add_service, redactor, JSONRenderer()]


def _add_service(_logger: Any, _method: str, event_dict: EventDict) -> EventDict:
    first = {name: event_dict.pop(name) for name in ("timestamp", "level", "event") if name in event_dict}
    return {**first, "service": "leadhook", "version": __version__, **event_dict}


def _show_controls(_logger: Any, _method: str, event_dict: EventDict) -> MutableMapping[str, Any]:
    # A terminal obeys control characters; JSON escapes them by itself.
    return {
        name: value.translate(_CONTROL if name == "exception" else {**_CONTROL, 10: "\\n", 9: "\\t"})
        if isinstance(value, str)
        else value
        for name, value in event_dict.items()
    }
