"""New clusters as copies of one: initdb takes half a second of CPU."""

import fcntl
import os
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from leadhook.local.binaries import Binaries
from leadhook.local.postgres import create_cluster
from leadhook.local.processes import server_account

PASSWORD: Final = "visibly-fake-password"
RUN_DIRECTORY: Final = "LEADHOOK_TEST_RUN_DIRECTORY"


@contextmanager
def open_directory(prefix: str) -> Iterator[Path]:
    """Make a temporary directory that Postgres's account can enter: root's data would be kept elsewhere, and stay."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=os.environ[RUN_DIRECTORY]) as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory


def copy_cluster(binaries: Binaries, data: Path) -> None:
    """Copy the cluster of this release, whose superuser has `PASSWORD`; the first of a run initialises it."""
    run = Path(os.environ[RUN_DIRECTORY])
    first = run / f"initialised-{zlib.crc32(os.fsencode(binaries.postgres)):x}"
    with (run / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not first.exists():
            create_cluster(binaries, first, PASSWORD)
    subprocess.run(["/bin/cp", "-a", first, data], check=True)
    server_account().own(data)


def make_careless(data: Path) -> None:
    """Make a cluster faster; it would lose committed data if the machine crashed."""
    with (data / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = off\n" for name in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"))
