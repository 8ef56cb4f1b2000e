"""Which leads this process holds, and how many more it may take."""

from collections.abc import Iterator

from leadhook.engine.held import HeldLead, LeaseName
from leadhook.engine.wakeup import Wakeup


class Book:
    """Leads by the name of their lease: the same lead under an older fence is another entry.

    Attributes:
        slots: how many leads may be judged at once.
        taken: set when a lead comes in.
        freed: set when a slot becomes free or a lead has left.
        spare: the same for whoever borrows slots.
        lent: how many slots comparisons have.
        promised: how many slots a claim that is under way was asked to fill.
    """

    def __init__(self, slots: int, freed: Wakeup) -> None:
        self.slots = slots
        self.freed = freed
        self.taken = Wakeup()
        self.spare = Wakeup()
        self.lent = 0
        self.promised = 0
        self._held: dict[LeaseName, HeldLead] = {}
        self._working = 0
        self._working_slow = 0

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

        Leads that only wait to be written count once they would fill all slots again: memory stays bounded.
        """
        return max(0, min(self.slots - self._working - self.lent, 2 * self.slots - len(self._held)))

    @property
    def slow_room(self) -> int:
        """How many of them may come from replays and backlog: at most three quarters of all slots, and at least one.

        What is lent counts as those do.
        """
        return max(0, max(1, self.slots * 3 // 4) - self._working_slow - self.lent)

    @property
    def compare_room(self) -> int:
        """How many of them comparisons may borrow: at most a quarter of all slots, and at least one."""
        return max(0, min(max(1, self.slots // 4) - self.lent, self.slow_room, self.free - self.promised))

    def find(self, name: LeaseName) -> HeldLead | None:
        """The lead under this lease."""
        return self._held.get(name)

    def take(self, held: HeldLead) -> bool:
        """Enter a lead with a slot; False when this very lease is held already."""
        if held.name in self._held:
            return False
        self._held[held.name] = held
        self._working += 1
        self._working_slow += held.claimed.slow
        self.taken.set()
        return True

    def free_slot(self, held: HeldLead) -> None:
        """Its judgement is over; it may still wait to be written."""
        if held.working:
            held.working = False
            self._working -= 1
            self._working_slow -= held.claimed.slow
            self.freed.set()
            self.spare.set()

    def remove(self, held: HeldLead) -> None:
        """The database has had its last word about this lease."""
        self._held.pop(held.name, None)
        self.freed.set()
        self.spare.set()

    def lend(self, slots: int) -> None:
        """Comparisons take so many slots."""
        self.lent += slots

    def give_back(self, slots: int) -> None:
        """They need so many less; a negative number: more."""
        self.lent -= slots
        self.freed.set()
        self.spare.set()
