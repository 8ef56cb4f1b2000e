"""JavaScript from npm for tests in a browser, locked and fetched once."""

import fcntl
import shutil
from functools import cache
from pathlib import Path
from typing import Final

from leadhook.local.binaries import _run_npm, stack_directory

PACKAGES: Final = Path(__file__).parents[1] / "browser_packages"


@cache
def package(name: str) -> Path:
    directory = stack_directory().with_name("browser-packages")
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted, have = (PACKAGES / "package-lock.json").read_text(), directory / "package-lock.json"
        found = directory / "node_modules" / name
        if not (have.is_file() and have.read_text() == wanted and found.is_dir()):
            for file in ("package.json", "package-lock.json"):
                shutil.copyfile(PACKAGES / file, directory / file)
            _run_npm(directory)
    return found
