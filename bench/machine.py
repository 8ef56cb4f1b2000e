"""How busy the machine was with other things: without that no figure can be scored."""

import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.process import busy_ticks

QUIET_BELOW = 0.1
LOOK_FOR_S = 1.0


@dataclass(frozen=True)
class Machine:
    """The share of all CPU time that others used right before and right after."""

    busy_before: float
    busy_after: float

    @property
    def quiet(self) -> bool:
        """Whether the absolute figures can be believed."""
        return max(self.busy_before, self.busy_after) < QUIET_BELOW

    def words(self) -> str:
        """For a person."""
        shares = f"{self.busy_before:.0%} of its CPU in use before and {self.busy_after:.0%} after"
        result = "a quiet machine" if self.quiet else "A BUSY MACHINE: believe the ratios, not the absolute figures"
        return f"{os.cpu_count()} CPUs, {shares}: {result}"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "busy_before": round(self.busy_before, 3),
            "busy_after": round(self.busy_after, 3),
            "quiet": self.quiet,
        }


def commit() -> str:
    """The commit that is measured, with a + if what is measured was changed since; empty outside a git work tree."""
    changed = _git("status", "--porcelain", "src", "migrations", "bench")
    return _git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def _git(*words: str) -> str:
    root = Path(__file__).parent.parent
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603, S607 - git by its name
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def busy_share() -> float:
    """Of all CPUs, over a second; to be asked while nothing of ours works."""
    busy_before, all_before = busy_ticks()
    time.sleep(LOOK_FOR_S)
    busy, all_ = busy_ticks()
    return (busy - busy_before) / max(1, all_ - all_before)
