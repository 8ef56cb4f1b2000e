"""The operator log (LOG_FILE): lines for people, with the names of leads. Unset by default.

It has the predecessor's format, for scripts that parse it. Names of leads appear in no other log.
"""

import re
import time
from collections.abc import Hashable
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from leadhook.observability.events import Event
from leadhook.observability.redaction import redactor
from leadhook.observability.sinks import RotatingFile, StreamSink

IST: Final = timezone(timedelta(hours=5, minutes=30), "IST")
LONGEST_FIELD: Final = 200
SHORTEST_KEY: Final = 12
"""The seven characters that are shown would reveal too much of a shorter key."""


class OperatorLog:
    """Does nothing until it is opened.

    A cycle starts with the first lead taken while there is none, and ends when the last lead has left.
    """

    def __init__(self) -> None:
        self.sink: StreamSink | None = None
        self._zone: tzinfo = IST
        self._at_work: set[Hashable] = set()
        self._forget_cycle()

    def open(self, path: Path, zone: str) -> None:
        """Write to this file from now on; an unknown zone means IST."""
        self.close(0)
        self._zone = find_zone(zone) or IST
        self.sink = StreamSink("operator_file", RotatingFile(path))

    def close(self, timeout_s: float) -> None:
        """Write the remaining lines within this time, and close the file."""
        if self.sink is not None:
            self.sink.close(timeout_s)
            self.sink = None

    def taken(self, work: Hashable) -> None:
        """A lead was claimed; the other methods ignore leads that were not taken."""
        if not self._at_work:
            self._forget_cycle()
        self._at_work.add(work)

    def started(self, work: Hashable, lead_id: str, name: str | None, key: str) -> None:
        if work in self._at_work:
            self._write("START", lead_id=lead_id, name=name, api_key=key)

    def finished(
        self, work: Hashable, lead_id: str, name: str | None, outcome: str, *, key: str | None, reason: str | None
    ) -> None:
        """The lead has left this process; `work` is as in `taken`, `outcome` as in the log's `lead.finished`."""
        if work not in self._at_work:
            return
        self._at_work.remove(work)
        self._total += 1
        if outcome in ("saved", "saved_without_message", "answered"):
            self._processed += 1
            self._write("DONE", lead_id=lead_id, name=name, api_key=key)
        elif outcome in ("dead", "retry", "refused"):
            self._errors += 1
            self._write("ERROR", lead_id=lead_id, name=name, api_key=key)
        else:
            self._skipped += 1
            self._write("SKIP", lead_id=lead_id, name=name, reason=_word(reason or outcome))
        if not self._at_work:
            seconds = time.monotonic() - self._began_at
            self._write_line(
                "CYCLE",
                f"total={self._total}, processed={self._processed}, skipped={self._skipped}, errors={self._errors}, "
                f"duration={seconds:.2f}s",
            )

    def start_failed(self, error: str, reason: str) -> None:
        self._write("ERROR", event=Event.START_FAILED, error=error, reason=reason)

    def _forget_cycle(self) -> None:
        self._total = self._processed = self._skipped = self._errors = 0
        self._began_at = time.monotonic()

    def _write(self, kind: str, **fields: str | None) -> None:
        if self.sink is not None:
            self._write_line(kind, " | ".join(f"{name}={_plain(value or '')}" for name, value in fields.items()))

    def _write_line(self, kind: str, rest: str) -> None:
        if self.sink is not None:
            self.sink.put(f"{datetime.now(self._zone):%Y-%m-%d %H:%M:%S %Z} | {kind:<5} | {rest}")


def find_zone(name: str) -> tzinfo | None:
    """Return the time zone with this name; None if this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        # The default zone must not depend on the machine's files.
        return IST if name == "Asia/Kolkata" else None


def shortened(key: str) -> str:
    """Shorten a Gemini key so that people can recognise it: `AIza...XYZ`."""
    return f"{key[:4]}...{key[-3:]}" if len(key) >= SHORTEST_KEY else "..."


def _plain(text: str) -> str:
    """Keep the text on one line and in one field, whatever it contains."""
    text = "".join(character if character.isprintable() else " " for character in text[:1000])
    text = " ".join(redactor.text(text).replace("|", "/").split())
    return text[:LONGEST_FIELD]


def _word(reason: str) -> str:
    return "already_processed" if reason == "already sent" else re.sub(r"\W+", "_", reason).strip("_").lower()


operator_log: Final = OperatorLog()
"""The process has one file."""
