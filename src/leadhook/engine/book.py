"""Which leads this process holds, and how many more it may take."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from leadhook.engine.held import HeldLead, LeaseName
from leadhook.engine.timing import Wakeup


class Book:
    """Leads by the name of their lease: the same lead under an older fence is another entry.

    Attributes:
        slots: how many leads may be judged at once.
        taken: set when a lead comes in.
        freed: set when a slot becomes free or a lead has left.
    """

    def __init__(self, slots: int, freed: Wakeup) -> None:
        self.slots = slots
        self.freed = freed
        self.taken = Wakeup()
        self._held: dict[LeaseName, HeldLead] = {}
        self._working = 0
        self._working_slow = 0
        self._working_errands = 0
        self._promised = 0
        self._turn = anyio.Lock()
        self._errand_freed = Wakeup()

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[HeldLead]:
        return iter(tuple(self._held.values()))

    @property
    def working(self) -> int:
        """Leads that have a slot."""
        return self._working

    @property
    def free(self) -> int:
        """How many leads may be claimed.

        Leads that only wait to be written count once they would fill all slots again: memory stays bounded. One slot is
        kept for an errand that waits.
        """
        kept = self._turn.locked() and self._working_errands < self._most_errands
        return max(0, min(self.slots - self._working - kept, 2 * self.slots - len(self._held)))

    @property
    def slow_room(self) -> int:
        """How many of them may come from replays and backlog: at most three quarters of all slots, and at least one."""
        return max(0, max(1, self.slots * 3 // 4) - self._working_slow)

    @property
    def _most_errands(self) -> int:
        return max(1, self.slots * 3 // 4)

    @property
    def _errand_room(self) -> int:
        return min(self.slots - self._working - self._promised, self._most_errands - self._working_errands)

    @contextmanager
    def promised(self, slots: int) -> Iterator[None]:
        """While a claim is under way its slots are no errand's."""
        self._promised = slots
        try:
            yield
        finally:
            self._promised = 0
            self._errand_freed.set()

    async def take_errand_slots(self, most: int) -> int:
        """Wait, in turn, for slots for what persons ask for: at most three quarters of all, and at least one.

        Returns:
            How many were taken, 1 to `most`; each is given back with `free_slot` or `free_errand_slot`.
        """
        async with self._turn:
            while self._errand_room <= 0:
                await self._errand_freed.wait()
            taken = min(self._errand_room, most)
            self._working += taken
            self._working_errands += taken
        self.freed.set()
        return taken

    def free_errand_slot(self) -> None:
        """A slot for an errand is not needed, or no longer."""
        self._working -= 1
        self._working_errands -= 1
        self._note_freed()

    def find(self, name: LeaseName) -> HeldLead | None:
        """The lead under this lease."""
        return self._held.get(name)

    def take(self, held: HeldLead) -> bool:
        """Enter a lead with a slot; False when this very lease is held already."""
        if held.name in self._held:
            return False
        self.enter(held)
        self._working += 1
        self._working_slow += held.claimed.slow
        return True

    def enter(self, held: HeldLead) -> None:
        """Have its lease kept; the slot is counted already."""
        self._held[held.name] = held
        self.taken.set()

    def free_slot(self, held: HeldLead) -> None:
        """Its judgement is over; it may still wait to be written."""
        if not held.working:
            return
        held.working = False
        if held.errand:
            self.free_errand_slot()
            return
        self._working -= 1
        self._working_slow -= held.claimed.slow
        self._note_freed()

    def remove(self, held: HeldLead) -> None:
        """The database has had its last word about this lease."""
        self._held.pop(held.name, None)
        self.freed.set()

    def _note_freed(self) -> None:
        self.freed.set()
        self._errand_freed.set()
