"""`leadhook replay` at the terminal: what it shows, what it asks, and its exit codes."""

import io
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from leadhook import cli

USAGE = {"calls": 2, "input_tokens": 1000, "output_tokens": 50, "cost_usd": 0.00108}
PROGRESS = {"total": 1, "waiting": 0, "leased": 0, "done": 1, "failed": 0}
STATUS = {"replay_id": 7, "state": "finished", "progress": PROGRESS, "usage": USAGE}
DRY = {
    "count": 1, "counts": {"queued": 1}, "complete": True, "sample": ["a"], "forecast": USAGE | {"duration_s": 3},
}  # fmt: skip


@dataclass
class Answers:
    """What the service answers, and what it was asked."""

    begun: dict[str, Any] = field(
        default_factory=lambda: {
            "replay_id": 7,
            "counts": {"queued": 1},
            "leads": [{"lead_id": "a", "outcome": "queued"}],
        }
    )
    status: dict[str, Any] = field(default_factory=lambda: dict(STATUS))
    code: int = 200
    refusal: dict[str, str] = field(default_factory=lambda: {"detail": "refused"})
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """A service at SERVICE_URL."""
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer("GET", answers.status)

        def do_DELETE(self) -> None:
            self.answer("DELETE", answers.status)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            dry = bool(body.get("dry_run"))
            self.answer("POST dry" if dry else "POST", DRY if dry else answers.begun)

        def answer(self, what: str, body: dict[str, Any]) -> None:
            answers.asked.append(what)
            text = json.dumps(body if answers.code == 200 else answers.refusal).encode()
            self.send_response(answers.code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("SERVICE_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("ADMIN_TOKEN", "visibly-fake-admin-token")
        yield answers
        server.shutdown()
        thread.join()


@pytest.fixture
def leadhook(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command, with what is typed at its terminal (None: there is none)."""

    def run(*arguments: str, typed: str | None = None) -> tuple[object, str, str]:
        terminal = io.StringIO(typed or "")
        if typed is not None:
            monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(sys, "argv", ["leadhook", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code or 0, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("typed", "arguments", "code", "begins"),
    [
        ("y\n", (), 0, True),
        ("n\n", (), 1, False),
        (None, (), 2, False),
        (None, ("--yes",), 0, True),
        (None, ("--dry-run",), 0, False),
    ],
)
def test_a_replay_of_all_shows_its_cost_and_asks(
    leadhook: Any, answers: Answers, typed: str | None, arguments: tuple[str, ...], code: int, *, begins: bool
) -> None:
    """--yes stands for the answer; without a terminal it is needed."""
    left, out, err = leadhook("replay", "--all", *arguments, typed=typed)
    assert (left, "POST" in answers.asked) == (code, begins)
    if arguments != ("--yes",):
        assert "forecast: 2 calls, 1,000 tokens in, 50 out, $0.0011" in out
    if code:
        assert "nothing was changed" in err


def test_named_leads_are_not_asked_about(leadhook: Any, answers: Answers) -> None:
    """They are few, and somebody typed them; a cost under a cent is not nought."""
    code, out, _ = leadhook("replay", "--lead-id", "a")
    assert (code, answers.asked) == (0, ["POST", "GET"])
    assert "replay 7 finished: 1 lead (1 done), 2 calls, 1,000 tokens in, 50 out, $0.0011" in out


def test_a_lead_that_nobody_has_is_a_failure(leadhook: Any, answers: Answers) -> None:
    """Exit 1: it was asked for and could not be done."""
    answers.begun = {"replay_id": 7, "counts": {"unknown": 1}, "leads": [{"lead_id": "nope", "outcome": "unknown"}]}
    answers.status["progress"] = {"total": 0, "waiting": 0, "leased": 0, "failed": 0}
    code, out, _ = leadhook("replay", "--lead-id", "nope")
    assert (code, "nope: unknown" in out) == (1, True)


def test_stop_of_a_finished_replay_says_that_nothing_was_changed(leadhook: Any, answers: Answers) -> None:
    """It is no failure."""
    code, out, _ = leadhook("replay", "stop", "7")
    assert (code, answers.asked) == (0, ["DELETE"])
    assert "has finished already" in out
    assert "nothing was changed" in out


@pytest.mark.parametrize(("status", "code"), [(401, 2), (422, 2), (404, 1), (503, 1)])
def test_what_the_service_refuses_has_its_exit_code(leadhook: Any, answers: Answers, status: int, code: int) -> None:
    """2: the token or the arguments are wrong; 1: the rest."""
    answers.code = status
    assert leadhook("replay", "follow", "7")[0] == code


@pytest.mark.parametrize("url", ["foo", "localhost:8000", "http://", "ftp://127.0.0.1", "…"])
def test_an_address_that_is_none_is_a_wrong_setting(leadhook: Any, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Exit 2: no service can answer there."""
    monkeypatch.setenv("SERVICE_URL", url)
    monkeypatch.setenv("ADMIN_TOKEN", "visibly-fake-admin-token")
    code, _, err = leadhook("replay", "follow", "7")
    assert (code, err.startswith("leadhook: SERVICE_URL is not an address")) == (2, True)


@pytest.mark.parametrize("code", [401, 404, 422, 503])
def test_a_refusal_of_another_program_is_not_taken_for_leadhooks(leadhook: Any, answers: Answers, code: int) -> None:
    """As where SERVICE_URL holds SUPABASE_URL, which answers JSON as well."""
    answers.code, answers.refusal = code, {"message": "no such route"}
    left, _, err = leadhook("replay", "follow", "7")
    assert (left, "is not leadhook" in err, "SERVICE_URL" in err) == (1, True, True)
