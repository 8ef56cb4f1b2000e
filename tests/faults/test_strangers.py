"""Strangers at the port for a minute: leads start at once all the same, and the memory stays small."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from standardwebhooks import Webhook
from tests.conftest import LONG
from tests.faults.conftest import Arena
from tests.support.processes import Service, ask

MOST_GROWTH_MB = 50
MOST_WAIT_MS = 2000 if LONG else 30_000
MOST_HEALTH_S = 1 if LONG else 10
"""Strict on a machine that does nothing else (`make attacks`); among other tests, far from the sweep's 300 s."""
SENDERS = 10


class Stranger:
    """Threads that send until they are stopped."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.address = (str(parts.hostname), parts.port or 80)
        self.stopped = threading.Event()
        self.sent = 0
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], None], threads: int = 1) -> None:
        self._threads += [threading.Thread(target=work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.stopped.set()
        for thread in self._threads:
            thread.join()

    def keep_open(self, count: int, first: bytes, drip: bytes) -> None:
        """Keep that many connections with half a request; those that the server closes are opened again."""
        opened: list[socket.socket] = []
        while not self.stopped.is_set():
            kept = [_drip(one, drip) for one in opened]
            for one, is_open in zip(opened, kept, strict=True):
                if not is_open:
                    one.close()
            opened = [one for one, is_open in zip(opened, kept, strict=True) if is_open]
            while len(opened) < count and not self.stopped.is_set():
                with suppress(OSError):
                    one = socket.create_connection(self.address, 5)
                    one.sendall(first)
                    one.settimeout(0)
                    opened.append(one)
                    self.sent += 1
            self.stopped.wait(1)
        for one in opened:
            one.close()

    def repeat(self, request: bytes, per_second: float) -> None:
        """Send the same request over one connection, and read what is answered."""
        while not self.stopped.is_set():
            with suppress(OSError), socket.create_connection(self.address, 5) as one:
                one.settimeout(0.001)
                began_at, sent = time.monotonic(), 0
                while not self.stopped.is_set():
                    if sent < (time.monotonic() - began_at) * per_second:
                        one.sendall(request)
                        sent += 1
                        self.sent += 1
                    with suppress(TimeoutError):
                        if not one.recv(65536):
                            break


def _drip(one: socket.socket, drip: bytes) -> bool:
    """Send a little more; whether the server keeps the connection."""
    try:
        one.send(drip)
        return one.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def post(path: str, body: bytes, headers: dict[str, str], length: int | None = None) -> bytes:
    lines = {"host": "x", "content-type": "application/json", "content-length": str(length or len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def signed(secret: str) -> bytes:
    """A webhook of the database, which someone recorded."""
    body = json.dumps({"type": "INSERT", "table": "all_leads", "schema": "public", "records": []})
    now = datetime.now(UTC)
    signature = Webhook(secret).sign("msg_recorded", now, body)
    headers = {
        "webhook-id": "msg_recorded",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    return post("/webhooks/leads", body.encode(), headers)


def attack(kind: str, stranger: Stranger, secret: str, *, long: bool) -> None:
    """Begin one kind."""
    many = 5000 if long else 1500
    match kind:
        case "half-open connections":
            stranger.start(lambda: stranger.keep_open(many, b"POST /webhooks/le", b""))
        case "dripping bodies":
            first = post("/webhooks/leads", b"{", {}, length=60_000)
            stranger.start(lambda: stranger.keep_open(500, first, b" "))
        case "replayed webhooks":
            stranger.start(lambda: stranger.repeat(signed(secret), 300 / SENDERS), SENDERS)
        case "bad tokens":
            request = post("/replay", b"{}", {"authorization": "Bearer visibly-fake-wrong-token"})
            stranger.start(lambda: stranger.repeat(request, 1000 / SENDERS), SENDERS)


def memory_mb(service: Service) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{service.pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


@pytest.mark.parametrize(
    "kinds",
    [["half-open connections", "dripping bodies"], ["replayed webhooks", "bad tokens"]],
    ids=["that send little", "that send much"],
)
def test_strangers_delay_no_lead(arena: Arena, kinds: list[str]) -> None:
    project = arena.project
    project.model.behave(latency_ms=50)
    secret = project.facts["webhook_secret"]
    service = arena.serve(webhooks=True, SWEEP_INTERVAL_SEC="300").wait_until_up()
    arena.wait_for_answers(project.bring(3))
    before_mb = memory_mb(service)
    for kind in kinds:
        stranger = Stranger(service.url)
        attack(kind, stranger, secret, long=arena.long)
        leads: list[str] = []
        slowest_s = 0.0
        ends_at = time.monotonic() + (60 if arena.long else 2.5)
        try:
            while time.monotonic() < ends_at:
                leads += project.bring(1)
                began_at = time.monotonic()
                answer: dict[str, Any] = ask(f"{service.url}/health")
                slowest_s = max(slowest_s, time.monotonic() - began_at)
                assert answer == {"ok": True}
                stranger.stopped.wait(1)
            arena.wait_for_answers(leads)
        finally:
            stranger.stop()
        rows = project.run(
            "select source, first_call_ms from leadhook.attempts where lead_id = any (%s) and outcome = 'saved'", leads
        )
        slowest_ms = max(wait for _, wait in rows)
        grown_mb = memory_mb(service) - before_mb
        print(  # noqa: T201 - a figure for people
            f"{kind}: {stranger.sent} sent, {len(leads)} leads, slowest start {slowest_ms} ms, "
            f"slowest /health {slowest_s * 1000:.0f} ms, {grown_mb:+.0f} MB"
        )
        retried = [event for event in service.events("lead.finished") if event["outcome"] in ("retry", "returned")]
        assert [(event["outcome"], event["error_code"], event["reason"]) for event in retried] == []
        assert len(rows) == len(leads)
        assert "sweep" not in {source for source, _ in rows}
        assert slowest_ms <= MOST_WAIT_MS
        assert slowest_s <= MOST_HEALTH_S
        assert grown_mb <= MOST_GROWTH_MB
