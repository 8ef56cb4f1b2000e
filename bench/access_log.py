"""PostgREST's own access log: every request that reached it."""

import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

WRITTEN_WITHIN_S = 0.5
"""A line is written a moment after its answer was sent."""
POLLERS_SEARCH = "rpc/rpc_get_eligible_llm_jobs"
LINE = re.compile(r'"(?P<method>[A-Z]+) (?P<path>/\S*) HTTP/[\d.]+" (?P<status>\d{3})')


@dataclass
class AccessLog:
    """The part of it since the last look."""

    file: Path
    _read: int = 0

    def skip(self) -> None:
        """Leave out what is there."""
        time.sleep(WRITTEN_WITHIN_S)
        self._read = self.file.stat().st_size

    def requests(self) -> Counter[str]:
        """How often each path was asked for since `skip`, without its query; functions as `rpc/name`."""
        time.sleep(WRITTEN_WITHIN_S)
        with self.file.open("rb") as log:
            log.seek(self._read)
            text = log.read().decode(errors="replace")
        return Counter(found["path"].partition("?")[0].lstrip("/") for found in LINE.finditer(text))


def of_the_service(requests: Counter[str]) -> Counter[str]:
    """All but the search for leads of a poller beside it; functions of leadhook's by their short names."""
    return Counter({path.removeprefix("rpc/leadhook_"): n for path, n in requests.items() if path != POLLERS_SEARCH})


def of_the_poller(requests: Counter[str]) -> Counter[str]:
    """Those of anybody else."""
    return Counter({path: n for path, n in requests.items() if not path.startswith("rpc/leadhook_")})
