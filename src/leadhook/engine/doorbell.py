"""What a webhook does to the engine: it rings. The work is in the database; a ring only says when to look."""

from collections.abc import Iterable
from typing import Final

from leadhook.engine.timing import Wakeup

MOST_HINTS: Final = 500
LONGEST_HINT: Final = 200


class Doorbell:
    """Holds one ring, however often it is rung, and a bounded number of hints.

    Attributes:
        dropped: hints that found no room or were too long; the sweep finds what they named.
    """

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self._rung = False
        self._hints: dict[str, None] = {}
        self.dropped = 0

    @property
    def rung(self) -> bool:
        """Whether a ring waits."""
        return self._rung

    def ring(self, hints: Iterable[str] = ()) -> None:
        """Ask for a claim; costs no database work.

        Args:
            hints: lead ids from plain dashboard webhooks.
        """
        for hint in hints:
            if hint in self._hints:
                continue
            if len(self._hints) < MOST_HINTS and 0 < len(hint) <= LONGEST_HINT:
                self._hints[hint] = None
            else:
                self.dropped += 1
        self._rung = True
        self._wakeup.set()

    def take(self) -> tuple[str, ...]:
        """Silence the bell and take its hints; to be called before the claim is sent, never after its reply."""
        hints = tuple(self._hints)
        self._hints.clear()
        self._rung = False
        return hints
