"""What the doctor says of one thing."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """The service works, but less well or less safely than it could."""
    FAULT = "fault"
    """Leads wait, or will."""


class Finding(BaseModel):
    """One sentence about one thing, and what mends it."""

    model_config = ConfigDict(frozen=True)

    about: str
    """`settings`, `supabase`, `database`, `triggers`, `grants`, `ring`, `pg_net`, `keys`, `model`, `leads`, `service`,
    `round trip`, `clock` or `logs`."""
    level: Level
    sentence: str
    mend: str | None = None
    """A command, SQL, or what to do."""
    cause: str | None = None
    """What is behind it: two findings of one cause are shown once."""


def ok(about: str, sentence: str) -> Finding:
    """All is well."""
    return Finding(about=about, level=Level.OK, sentence=sentence)


def warning(about: str, sentence: str, mend: str, cause: str | None = None) -> Finding:
    """It could be better."""
    return Finding(about=about, level=Level.WARNING, sentence=sentence, mend=mend, cause=cause)


def fault(about: str, sentence: str, mend: str, cause: str | None = None) -> Finding:
    """It must be mended."""
    return Finding(about=about, level=Level.FAULT, sentence=sentence, mend=mend, cause=cause)
