"""What the platforms read: they pass over a key that they do not know in silence."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from leadhook.settings import Settings

ROOT = Path(__file__).parents[2]
BIN = str(Path(sys.executable).parent)
FLY: dict[str, Any] = tomllib.loads((ROOT / "fly.toml").read_text())
KNOWN = {
    "": "app primary_region kill_signal kill_timeout swap_size_mb console_command build deploy env http_service vm"
    " metrics",
    "build": "builder buildpacks image dockerfile ignorefile build-target args",
    "deploy": "strategy max_unavailable release_command release_command_timeout release_command_vm wait_timeout",
    "http_service": "processes internal_port force_https auto_stop_machines auto_start_machines min_machines_running"
    " concurrency http_options tls_options checks machine_checks",
    "http_service.concurrency": "type soft_limit hard_limit",
    "http_service.checks": "grace_period interval timeout method path protocol tls_server_name tls_skip_verify headers",
    "vm": "size memory cpus cpu_kind gpu_kind gpus host_dedication_id processes",
    "metrics": "port path https processes",
}
"""The keys of fly.io/docs/reference/configuration, as read in November 2026."""


def sections(table: dict[str, Any], name: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every table of the file with its dotted name; those of an array share one."""
    found = [(name, table)]
    for key, value in table.items():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                found += sections(inner, f"{name}.{key}".strip("."))
    return found


def test_fly_toml_holds_only_keys_that_fly_knows() -> None:
    """Names of the platform's reference; `env` takes any."""
    for name, table in sections(FLY):
        if name != "env":
            assert set(table) <= set(KNOWN[name].split()), name


def test_fly_toml_sets_only_variables_that_leadhook_reads() -> None:
    """And no secret: those are set by `fly secrets set`."""
    fields = {name.upper(): field for name, field in Settings.model_fields.items()}
    assert set(FLY["env"]) <= set(fields)
    assert not [name for name in FLY["env"] if "SecretStr" in str(fields[name].annotation)]


def test_fly_toml_gives_the_drain_its_time() -> None:
    """The platform's limit is the one that the settings are checked against."""
    assert FLY["kill_timeout"] == f"{Settings.model_fields['kill_timeout_sec'].default:g}s"
    assert FLY["kill_signal"] == "SIGTERM"


def test_fly_toml_keeps_a_machine_on() -> None:
    """Work goes on after a webhook was answered, which the proxy can't see."""
    service = FLY["http_service"]
    assert (service["auto_stop_machines"], service["min_machines_running"]) == ("off", 1)
    assert str(service["internal_port"]) == FLY["env"]["PORT"]
    assert [check["path"] for check in service["checks"]] == ["/health"]


@pytest.mark.parametrize(("url", "migrates"), [("postgresql://visibly-fake", True), ("", False), (None, False)])
def test_fly_release_command_migrates_only_where_it_can(tmp_path: Path, url: str | None, *, migrates: bool) -> None:
    """Without DATABASE_URL it is a success that does nothing; a failed migration stops the deploy."""
    program = tmp_path / "leadhook"
    program.write_text("#!/bin/sh\necho called with $*; exit 3\n")
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"} | ({} if url is None else {"DATABASE_URL": url})
    command = shlex.split(FLY["deploy"]["release_command"])
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (("called with migrate\n", 3) if migrates else ("", 0))


def test_dockerfile_does_not_run_as_root() -> None:
    """The last user that is set is a plain one, and the command is no shell's: that would swallow SIGTERM."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001"]
    assert lines[-1] == 'CMD ["leadhook", "serve"]'


def test_dockerfile_follows_the_rules_of_a_linter() -> None:
    """Tagged bases, no ADD, absolute folders, no package manager's leftovers, hashes for every package."""
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert all(re.fullmatch(r"[a-z/]+:[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?", base) for base in bases), bases
    assert not [line for line in lines if line.split()[0] in ("ADD", "MAINTAINER", "SHELL")]
    assert all(line.split()[1].startswith("/") for line in lines if line.startswith("WORKDIR "))
    assert not re.search(r"\bsudo\b|apt-get|curl|wget|--trusted-host|:latest", text)
    installs = [line for line in lines if re.search(r"pip install", line)]
    assert all("--require-hashes" in line or "--no-deps --no-index" in line for line in installs)


@pytest.mark.skipif(shutil.which("hadolint", path=BIN) is None, reason="hadolint has no package for this machine")
def test_dockerfile_passes_hadolint() -> None:
    program = shutil.which("hadolint", path=BIN)
    done = subprocess.run([str(program), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def unit() -> str:
    found = re.search(r"```ini\n(.*?)```", (ROOT / "docs" / "deploy.md").read_text(), re.DOTALL)
    assert found
    return found[1]


def test_the_unit_gives_the_drain_its_time_and_a_place_for_the_log_file() -> None:
    lines = unit().splitlines()
    stop_s = Settings.model_fields["kill_timeout_sec"].default
    assert {f"TimeoutStopSec={stop_s:g}", "LogsDirectory=leadhook", "UMask=0077", "LimitCORE=0"} <= set(lines)
    assert [int(line.partition("=")[2]) >= 4096 for line in lines if line.startswith("LimitNOFILE=")] == [True]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd-analyze")
def test_the_unit_is_as_safe_as_systemd_can_make_it(tmp_path: Path) -> None:
    """Its exposure, of 10, is 2.0 at most."""
    file = tmp_path / "leadhook.service"
    file.write_text(unit().replace("/opt/leadhook/bin/leadhook", "/bin/true"))
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-600:] + done.stderr


def test_no_document_puts_a_password_on_a_command_line() -> None:
    """Every user of a machine can list the arguments of all programs."""
    pages = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    secret = r"\$\{?(DATABASE_URL|SUPABASE_\w*KEY|ADMIN_TOKENS?|WEBHOOK_\w+|GEMINI_API_KEY)|postgres(ql)?://[^\s:]+:[^\s@…]+@"
    for page in pages:
        for line in page.read_text().splitlines():
            assert not re.search(rf"\b(psql|pg_dump|pg_restore|docker run|leadhook)\b[^|`]*({secret})", line), (
                page.name,
                line,
            )
