"""The lock files are installed by old and new pips, from the package index: `make test-install`.

On the day after a release a lock file is a release behind. Pip before 23.3 takes `httpx` and `httpx[http2]` for two
things, looks for what the lock doesn't name, and refuses a newer one. So newer releases of such packages are made here.
"""

import os
import re
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = os.environ.get("LEADHOOK_PIP", "")

pytestmark = pytest.mark.skipif(not PIP, reason="needs the package index and minutes: `make test-install`")


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Python of an empty environment with the pip under test."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    pip(python, "install", "--upgrade", "pip" if PIP == "newest" else f"pip=={PIP}")
    assert PIP in {"newest", pip(python, "--version").split()[1]}
    return python


def pip(python: Path, *arguments: str) -> str:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_lock_of_the_service_installs_into_an_empty_environment(python: Path) -> None:
    """The line of docs/deploy.md."""
    pip(python, "install", "--require-hashes", "-r", str(ROOT / "requirements.lock"))
    pip(python, "check")


def newer_releases(directory: Path, lock: str) -> list[str]:
    """Make a wheel of the next release of each package that the lock names with an extra; returns the names."""
    names = []
    for name, extras, version in re.findall(r"^([a-z0-9-]+)\[([a-z0-9,-]+)\]==(\S+)", lock, flags=re.MULTILINE):
        newer = ".".join([*version.split(".")[:2], "999"])
        info = f"{name.replace('-', '_')}-{newer}.dist-info"
        metadata = [f"Name: {name}", f"Version: {newer}", *(f"Provides-Extra: {extra}" for extra in extras.split(","))]
        with zipfile.ZipFile(directory / f"{name.replace('-', '_')}-{newer}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{info}/METADATA", "\n".join(["Metadata-Version: 2.1", *metadata, ""]))
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        names.append(name)
    return names


def test_a_newer_release_of_what_is_locked_changes_nothing(python: Path, tmp_path: Path) -> None:
    """Of each package with an extra there is a newer release than the lock's: the locked one is taken."""
    lock = ROOT / "requirements.lock"
    names = newer_releases(tmp_path, lock.read_text())
    assert {"google-auth", "httpx", "pyjwt"} <= set(names)
    said = pip(python, "install", "--dry-run", "--require-hashes", "--find-links", str(tmp_path), "-r", str(lock))
    [chosen] = [line for line in said.splitlines() if line.startswith("Would install")]
    assert ".999" not in chosen
    assert all(re.search(rf" {name}-\d", chosen, re.IGNORECASE) for name in names), chosen


def test_pip_itself_is_brought_by_hash_and_takes_the_lock_of_development(python: Path) -> None:
    """The first two steps of `make setup`."""
    pip(python, "install", "--require-hashes", "-r", str(ROOT / "requirements-pip.lock"))
    pip(python, "install", "--dry-run", "--require-hashes", "-r", str(ROOT / "requirements-dev.lock"))
