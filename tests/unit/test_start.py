"""What a start imports, and the CPU time that it takes: of a command, and of the service."""

import re
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from bench.process import cpu_ms, resident_mb
from cyclopts import App
from tests.conftest import poll
from tests.support.yardstick import process_cpu_s, start_s, takes_at_most

from leadhook.cli import COMMANDS, app
from leadhook.local.processes import answers, free_port

STANDARD = {*sys.stdlib_module_names, *sys.builtin_module_names}
OF_EVERY_COMMAND = {"attr", "attrs", "cyclopts", "leadhook", "rich"}
OF_SETTINGS = {
    "annotated_types",
    "certifi",
    "dotenv",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",
}
OF_OPERATORS = OF_SETTINGS | {"anyio", "markdown_it", "mdurl", "pygments", "sniffio"}
OF_SERVICE = {
    *("cython_runtime", "greenlet", "h11", "httptools", "itsdangerous", "jinja2", "markupsafe"),
    *("click", "prometheus_client", "starlette", "structlog", "uvicorn"),
}
UNUSED = {"IPython", "cryptography", "numpy", "pandas", "psycopg", "pygal", "sqlalchemy"}
"""What the packages above bring along, or other commands need."""
MOST_MB = 143
"""5 % more than there is with the packages for tests; docs/performance.md has the share of each package."""
LOADS = """
import sys
before = set(sys.modules)
{code}
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""


def imported(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", LOADS.format(code=code)], capture_output=True, text=True, check=True)
    return {name for name in set(done.stdout.split()) - STANDARD if not name.startswith("_")}


def slowest_imports(code: str) -> str:
    """The packages that take longest, for the message of a failure."""
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    total: Counter[str] = Counter()
    for microseconds, name in re.findall(r"^import time: +(\d+) \| +\d+ \| +([^\s.]+)", done.stderr, re.MULTILINE):
        total[name] += int(microseconds)
    return f"slowest imports in ms: { {name: us // 1000 for name, us in total.most_common(12)} }"


@dataclass
class Start:
    """The CPU time that a service had used when it first answered, and when it first claimed, and its memory then."""

    health_s: float = 0
    claim_s: float = 0
    claim_mb: float = 0


def start_service(cwd: Path) -> Start:
    """Start it on a Supabase that only notes the first claim, and end it."""
    found, claimed = Start(), threading.Event()

    class Supabase(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path.endswith("claim") and not claimed.is_set():
                found.claim_s, found.claim_mb = cpu_so_far(child.pid), resident_mb(child.pid)
                claimed.set()
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            pass

    port = free_port()
    with ThreadingHTTPServer(("127.0.0.1", 0), Supabase) as supabase:
        threading.Thread(target=supabase.serve_forever, daemon=True).start()
        child = subprocess.Popen(
            [sys.executable, "-m", "leadhook", "serve", "--port", f"{port}"],
            env={"SUPABASE_URL": f"http://127.0.0.1:{supabase.server_port}", "SUPABASE_SECRET_KEY": "visibly-fake"},
            cwd=cwd,
            stdout=subprocess.DEVNULL,
        )
        try:
            poll(answers(port, "/health"), lambda: f"{child.poll()}")
            found.health_s = cpu_so_far(child.pid)
            assert claimed.wait(60)
        finally:
            child.terminate()
            child.wait(10)
            supabase.shutdown()
    return found


def cpu_so_far(pid: int) -> float:
    return cpu_ms(pid) / 1000


def test_the_list_of_commands_has_the_first_line_of_each() -> None:
    """It repeats them, because it must not import the commands."""

    def first_line(command: App) -> str:
        default = command.default_command
        return str(command.help or (default and default.__doc__)).partition("\n")[0]

    assert {name: first_line(app[name]) for name in COMMANDS} == {
        name: summary for name, (_, summary) in COMMANDS.items()
    }


@pytest.mark.parametrize(
    ("commands", "allowed"),
    [
        ("local", set[str]()),
        ("serve", OF_SETTINGS),
        ("status explain answers pause resume budget backlog replay evaluate", OF_OPERATORS),
    ],
)
def test_a_command_imports_nothing_that_it_may_not_need(commands: str, allowed: set[str]) -> None:
    code = f"import leadhook.cli; [leadhook.cli.app[name] for name in {commands.split()}]"
    assert imported(code) - OF_EVERY_COMMAND - allowed == set()


@pytest.mark.parametrize(("arguments", "times"), [("--help", 2.5), ("status", 4.5), ("budget --help", 5.5)])
def test_a_command_takes_the_cpu_of_a_few_starts_of_python(arguments: str, times: float, tmp_path: Path) -> None:
    """`status` ends with the settings that are missing."""
    command = [sys.executable, "-m", "leadhook", *arguments.split()]
    quick = takes_at_most(times, lambda: process_cpu_s(command, env={}, cwd=tmp_path), start_s)
    assert quick, slowest_imports("import leadhook.cli; leadhook.cli.app['status']")


def test_the_port_waits_for_no_client_of_the_database_or_of_gemini() -> None:
    assert imported("import leadhook.app") - OF_EVERY_COMMAND - OF_OPERATORS - OF_SERVICE == set()


def test_no_start_imports_what_no_call_needs() -> None:
    """LangChain, for example, can do without NumPy, and only the commands of the owner need psycopg."""
    assert imported("import leadhook.app, leadhook.store.transport, leadhook.gemini") & UNUSED == set()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux shows a process's CPU time in /proc")
def test_a_service_answers_and_claims_after_the_cpu_of_some_starts_of_python(tmp_path: Path) -> None:
    """And it does not take more memory than its packages need."""

    def of_the_limits() -> float:
        start = start_service(tmp_path)
        assert start.claim_mb <= MOST_MB
        return max(start.health_s / 6, start.claim_s / 18)

    assert takes_at_most(1, of_the_limits, start_s), slowest_imports("import leadhook.app, leadhook.gemini")
