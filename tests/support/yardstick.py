"""How fast this machine is at this moment, so that a limit of CPU time holds on a slow or busy one too."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

TRIES = 3
IMPORTS = "asyncio ctypes decimal doctest email.message http.server json multiprocessing sqlite3 ssl statistics"
SENTENCE = "Your twelve pumps in Linz ran 8 to 12 percent longer than those of 2024, says Ada Kessel. "
WORD = re.compile(r"\w+")


def process_cpu_s(command: list[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> float:
    """User and system time of a command from its start to its end."""
    child = subprocess.Popen(command, env=env, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(child.pid, 0)
    child.returncode = 0
    return used.ru_utime + used.ru_stime


def start_s() -> float:
    """The CPU time that a Python needs to import a fixed part of the standard library and to end."""
    return process_cpu_s([sys.executable, "-c", f"import {', '.join(IMPORTS.split())}"])


def text_s() -> float:
    """The CPU time to take 18,000 characters into words: the mean of ten times."""
    began_at = time.process_time()
    for _ in range(10):
        {word.casefold() for word in WORD.findall(SENTENCE * 200)}
    return (time.process_time() - began_at) / 10


def takes_at_most(times: float, run: Callable[[], float], yardstick: Callable[[], float]) -> bool:
    """Whether one of a few runs takes at most that many times the yardstick's CPU time beside it."""
    return any(run() <= times * yardstick() for _ in range(TRIES))
