"""The SQL files: beside the package in a checkout, inside it in the wheel."""

import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

_NAME = re.compile(r"\d{14}_\w+\.sql")
_FUNCTIONS = "functions/"
_NO_TRANSACTION = re.compile(r"^-- leadhook: no transaction$", re.MULTILINE)
_STEP = re.compile(r"^-- step: (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Migration:
    """One file of `migrations/`, versioned or repeatable.

    Attributes:
        name: its path below `migrations/`. Versioned files come first, in the order of their timestamps; then
            `functions/`, in alphabetical order.
        sql: its text.
    """

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """What the history remembers of the text."""
        return sha256(self.sql.encode()).hexdigest()

    @property
    def repeatable(self) -> bool:
        """True for a file of functions, which is applied again whenever its text changes."""
        return self.name.startswith(_FUNCTIONS)

    @property
    def in_transaction(self) -> bool:
        """False when its statements must be committed one by one, as `create index concurrently` demands."""
        return not _NO_TRANSACTION.search(self.sql)


@dataclass(frozen=True)
class Step:
    """A part of `webhooks.sql` that is one transaction: what it does, in words, and its SQL."""

    words: str
    sql: str


def read_migrations() -> list[Migration]:
    """All migrations of this version, in order."""
    root = _root() / "migrations"
    texts = {entry.name: entry.read_text("utf-8") for entry in root.iterdir() if _NAME.fullmatch(entry.name)}
    functions = root / "functions"
    if functions.is_dir():
        texts |= {f"{_FUNCTIONS}{entry.name}": entry.read_text("utf-8") for entry in functions.iterdir()}
    return [Migration(name, texts[name]) for name in sorted(texts)]


def read_webhooks() -> str:
    """The text of `webhooks.sql`."""
    return (_root() / "webhooks.sql").read_text("utf-8")


def read_webhook_steps() -> list[Step]:
    """The steps of `webhooks.sql`, in order."""
    _, *parts = _STEP.split(read_webhooks())
    return [Step(words.strip(), sql) for words, sql in zip(parts[::2], parts[1::2], strict=True)]


def _root() -> Traversable:
    package = files("leadhook")
    return package if (package / "migrations").is_dir() else Path(str(package)).parents[1]
