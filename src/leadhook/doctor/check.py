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
    SKIPPED = "skipped"
    """It could not be checked here, which is no failure."""


class Check(BaseModel):
    """One sentence about one thing, and how to fix it."""

    model_config = ConfigDict(frozen=True)

    about: str
    """`settings`, `supabase`, `database`, `triggers`, `grants`, `webhook`, `pg_net`, `keys`, `model`, `leads`,
    `service`,     `round trip`, `clock` or `logs`."""
    level: Level
    sentence: str
    fix: str | None = None
    """A command, SQL, or what to do."""
    cause: str | None = None
    """What is behind it: two findings of one cause are shown once."""


def ok(about: str, sentence: str) -> Check:
    """All is well."""
    return Check(about=about, level=Level.OK, sentence=sentence)


def warning(about: str, sentence: str, fix: str, cause: str | None = None) -> Check:
    """It could be better."""
    return Check(about=about, level=Level.WARNING, sentence=sentence, fix=fix, cause=cause)


def fault(about: str, sentence: str, fix: str, cause: str | None = None) -> Check:
    """It must be fixed."""
    return Check(about=about, level=Level.FAULT, sentence=sentence, fix=fix, cause=cause)


def skipped(about: str, sentence: str, fix: str) -> Check:
    """It was not checked."""
    return Check(about=about, level=Level.SKIPPED, sentence=sentence, fix=fix)
