"""What a measurement hands back."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measurement:
    """One benchmark's outcome.

    Attributes:
        sentences: for people.
        figures: for programs, as JSON; units are in the names.
    """

    sentences: list[str]
    figures: dict[str, Any]
