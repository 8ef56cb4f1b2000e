"""The misbehaving Gemini stand-in as a process: its list of calls survives whatever happens to the database."""

from collections import Counter
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, poll
from tests.support.processes import START_S, Process, ask

from leadhook.local.processes import answers, free_port


class Model:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start it, on the same port as before."""
        arguments = ["tests.support.misbehaving_gemini", "--port", str(self._port)]
        self._process = Process(arguments, log=self._directory / "gemini.log", cwd=ROOT)
        poll(answers(self._port, "/health"), self._process.tail, START_S)

    def stop(self) -> None:
        """Refuse connections; the list of calls is lost."""
        self._process.kill()

    def order(self, *rules: dict[str, Any]) -> None:
        answer = ask(f"{self.url}/orders", method="PUT", body=list(rules))
        assert isinstance(answer, list), answer

    def behave(self, latency_ms: float = 0) -> None:
        self.order({"do": {"latency_ms": latency_ms}})

    def forget(self) -> None:
        ask(f"{self.url}/calls", method="DELETE")

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the calls, oldest first."""
        calls: list[dict[str, Any]] = ask(f"{self.url}/calls?since={since}")
        return calls

    def checks(self) -> Counter[str]:
        """Count the requests for the model's description by the fingerprint of their key, since the start."""
        return Counter(ask(f"{self.url}/checks"))

    def newest(self) -> int:
        return max((call["n"] for call in self.calls()), default=0)

    def questions(self, *, answered: bool = False) -> Counter[tuple[str, str]]:
        """Count the calls for each step of each lead, by the lead's name.

        Args:
            answered: count only the calls that got their answer.
        """
        return Counter(
            (call["name"], call["step"])
            for call in self.calls()
            if not answered or (call["status"] == 200 and not call["gone"])
        )

    def repeated(self, *, answered: bool = False) -> int:
        """Count the calls beyond one for each step of each lead."""
        return sum(count - 1 for count in self.questions(answered=answered).values())
