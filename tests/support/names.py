"""Ids of leads: new in this process, the same in each run, and no word that a check could take for something else."""

from itertools import count
from typing import Final

LETTERS: Final = "jqxz"
_numbers: Final = count()


def new_ids(how_many: int, suffix: str = "") -> list[str]:
    """Return ids that this process has not used, in their order."""
    return [f"lead-{letters(next(_numbers))}{suffix}" for _ in range(how_many)]


def letters(number: int) -> str:
    """Write a number in eight letters: a digit could be taken for a telephone number, chance letters for a word."""
    return "".join(LETTERS[number >> 2 * place & 3] for place in reversed(range(8)))
