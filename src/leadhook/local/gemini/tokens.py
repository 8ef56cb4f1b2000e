"""How many tokens a call is said to have used, and which of them came from the prefix cache."""

import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from leadhook.local.gemini.reading import Reading

CACHED_FROM: Final = 4_096
"""Google caches a prefix from this many tokens on (models 3.x)."""

CONTEXT_LIMIT: Final = 1_048_576
_REMEMBERED: Final = 1_000
_SPREAD: Final = 20
_THOUGHTS: Final = {"minimal": 0, "low": 40, "medium": 120, "high": 300}


@dataclass(frozen=True, slots=True)
class Tokens:
    """Usage of one call; `prompt` includes `cached`, `output` does not include `thinking`."""

    prompt: int = 0
    cached: int = 0
    output: int = 0
    thinking: int = 0

    @property
    def total(self) -> int:
        """Everything that would be billed."""
        return self.prompt + self.output + self.thinking


def count(text: str) -> int:
    """About four characters are a token."""
    return -(-len(text) // 4)


def thinking(reading: Reading) -> int:
    """A small number that depends on the level or budget asked for and, a little, on the lead."""
    wanted = _THOUGHTS.get(reading.thinking, 40) if isinstance(reading.thinking, str) else reading.thinking
    most = 40 if wanted is None or wanted < 0 else min(wanted, 300)
    least = max(most - _SPREAD, 0)
    name = reading.lead.get("name", "")
    return min(least + zlib.crc32(name.encode(errors="replace")) % _SPREAD, most)


class PrefixCache:
    """The long system instructions that each key sent lately."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    def cached(self, fingerprint: str, reading: Reading) -> int:
        """Return how many tokens of this prompt were seen before with this key, and remember them."""
        length = count(reading.system)
        if length < CACHED_FROM:
            return 0
        known = (fingerprint, reading.system_hash) in self._seen
        self._seen[fingerprint, reading.system_hash] = None
        self._seen.move_to_end((fingerprint, reading.system_hash))
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return length if known else 0
