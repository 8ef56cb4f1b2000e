"""The Gemini stand-in of the stack: what it is told, and its own list of calls."""

import json
from typing import Any
from urllib.request import Request, urlopen


class Model:
    """One stand-in by its address."""

    def __init__(self, url: str) -> None:
        self._url = url

    def answer_after(self, low_ms: float, high_ms: float) -> None:
        """Take so long for each answer, at random."""
        self._ask("/orders", "PUT", [{"do": {"latency_ms": [low_ms, high_ms]}}])

    def answer_at_once(self) -> None:
        """Take no time but its own."""
        self._ask("/orders", "DELETE")

    def forget(self) -> None:
        """Empty the list of calls."""
        self._ask("/calls", "DELETE")

    def calls(self) -> list[dict[str, Any]]:
        """Every call since the list was emptied, oldest first; `time` is Unix time in ms when it had arrived."""
        calls: list[dict[str, Any]] = self._ask("/calls")
        return calls

    def first_calls(self) -> dict[str, float]:
        """When the first call for each lead arrived, in Unix ms, by the lead's name."""
        first: dict[str, float] = {}
        for call in self.calls():
            first.setdefault(call["name"], call["time"])
        return first

    def full_rate(self, slots: int, longest_ms: float) -> float:
        """Leads of two calls a second, while all slots have work; 0 if there were too few leads for that.

        That is from when each has ended its first lead until the last lead begins: until then, a free slot finds one.

        Args:
            slots: leads at a time, of all workers together.
            longest_ms: that a call takes.
        """
        starts = sorted(self.first_calls().values())
        from_ms, to_ms = starts[slots - 1] + 2 * longest_ms, starts[-1]
        if to_ms <= from_ms:
            return 0.0
        begun = sum(1 for call in self.calls() if from_ms <= call["time"] < to_ms)
        return begun / 2 / ((to_ms - from_ms) / 1000)

    def _ask(self, path: str, method: str = "GET", body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data=data, method=method)  # noqa: S310 - ours
        with urlopen(request, timeout=30) as reply:  # noqa: S310 - ours
            return json.load(reply)
