"""The wheel alone is enough: installed into an empty environment outside the checkout, it migrates and serves.

The dependencies are those of the environment that runs the tests, through a path file: installing them again takes most
of a minute. The README has the commands for the whole way.
"""

import secrets
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

from leadhook import __version__
from leadhook.local.database import Database
from leadhook.local.processes import free_port

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", str(directory), str(ROOT)], check=True, capture_output=True, cwd=directory)
    return next(directory.glob("*.whl"))


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`leadhook` in an environment that holds the wheel and sees the dependencies."""
    directory = tmp_path_factory.mktemp("elsewhere") / "venv"
    venv.create(directory, with_pip=False)
    python = directory / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    packages = directory / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return directory / "bin" / "leadhook"


def run(program: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the installed program, in its own directory and with no environment but `env`."""
    command = [str(program), *arguments]
    return subprocess.run(
        command, cwd=program.parent, env=env, capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )


def get(url: str) -> bytes:
    """The body of an answer, waited for until someone listens."""
    until = time.monotonic() + DEADLINE_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:  # noqa: S310 - our own server
                return bytes(answer.read())
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def test_wheel_holds_the_files_that_are_not_python(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in (ROOT / "migrations").rglob("*.sql"):
        assert f"leadhook/{file.relative_to(ROOT)}" in names
    kept = [file for file in (ROOT / "src/leadhook").rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert {f"leadhook/{file.relative_to(ROOT / 'src/leadhook').as_posix()}" for file in kept} <= names
    assert {"leadhook/webhooks.sql", "leadhook/py.typed", "leadhook/local/npm/package-lock.json"} <= names


def test_installed_program_is_the_wheels(program: Path) -> None:
    """Not the checkout's: the tests below would prove nothing."""
    where = "import leadhook; print(leadhook.__file__)"
    python = program.with_name("python")
    shown = subprocess.run([str(python), "-c", where], cwd=program.parent, capture_output=True, text=True, check=True)
    assert Path(shown.stdout.strip()).is_relative_to(program.parents[1])
    assert run(program, "--version").stdout.strip() == __version__


def test_installed_program_migrates_and_installs_webhooks(program: Path, bare_database: Database) -> None:
    migrated = run(program, "migrate", DATABASE_URL=bare_database.conninfo)
    assert migrated.returncode == 0, migrated.stderr
    url = "https://leads.example.com/webhooks/leads"
    installed = run(program, "webhooks", "install", "--url", url, DATABASE_URL=bare_database.conninfo)
    assert installed.returncode == 0, installed.stderr
    assert installed.stdout.startswith("WEBHOOK_SECRETS=whsec_")
    assert installed.stdout.count("\n") == 1


def test_installed_program_serves_and_ends_on_sigterm(program: Path, tmp_path: Path) -> None:
    """It lives where there is no database yet, and says so in /ready rather than by dying."""
    port = free_port()
    env = {
        "SUPABASE_URL": f"http://127.0.0.1:{free_port()}",
        "SUPABASE_SECRET_KEY": f"sb_secret_{secrets.token_hex(16)}",
        "PORT": str(port),
    }
    with (tmp_path / "log").open("wb") as log:
        service = subprocess.Popen([str(program), "serve"], cwd=program.parent, env=env, stdout=log, stderr=log)
        try:
            assert get(f"http://127.0.0.1:{port}/health") == b'{"ok":true}'
            assert b"swagger-ui-bundle.js" in get(f"http://127.0.0.1:{port}/docs")
        finally:
            service.send_signal(signal.SIGTERM)
            code = service.wait(DEADLINE_S)
    assert code in {0, -signal.SIGTERM, 128 + signal.SIGTERM}, (tmp_path / "log").read_text()
