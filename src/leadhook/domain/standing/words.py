"""What is said of a lead, and the spelling that all sentences share."""

from dataclasses import dataclass
from enum import StrEnum
from shlex import quote

COUNTED_UP_TO = 1000
"""The database stops counting there."""


class Why(StrEnum):
    """The kind of the sentence, for programs."""

    UNKNOWN = "unknown"
    NO_DETAILS = "no_details"
    NOT_SCRAPPED = "not_scrapped"
    NO_PROMPTS = "no_prompts"
    ALREADY_SENT = "already_sent"
    EVALUATION_FAILED = "evaluation_failed"
    TOUCHED = "touched"
    RING_LOST = "ring_lost"
    TRIGGER_MISSING = "trigger_missing"
    UNNOTICED = "unnoticed"
    HELD = "held"
    DEAD = "dead"
    PAUSED = "paused"
    BUDGET_SPENT = "budget_spent"
    NO_KEY = "no_key"
    KEYS_REFUSED = "keys_refused"
    KEYS_COOLING = "keys_cooling"
    RETRY = "retry"
    UNCLAIMED = "unclaimed"
    QUEUED = "queued"
    REPLAY_QUEUED = "replay_queued"
    LEASED = "leased"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Standing:
    """One sentence, and what a person can do where something can be done."""

    why: Why
    sentence: str
    next_step: str | None = None


def lane_words(user_id: object, tag: str | None) -> str:
    """The user and tag that a lead belongs to."""
    return f"user {user_id} and tag {tag!r}"


def resume_command(user_id: object, tag: str | None) -> str:
    """The command that ends the pause of exactly this scope."""
    user = "" if user_id is None else f" --user {user_id}"
    return f"leadhook resume{user}" + ("" if tag is None else f" --tag {quote(tag)}")


def count(number: int) -> str:
    """`3`, `1,000 or more`."""
    return f"{number:,}{' or more' if number >= COUNTED_UP_TO else ''}"


def count_words(number: int, noun: str) -> str:
    """`3 leads`, `1 lead`, `1,000 or more leads`."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def amount(number: int, noun: str) -> str:
    """`1 key`, `2 keys`: an exact number."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def clause(reason: str | None) -> str:
    """A reason that may be a sentence, as the end of another one, without its full stop."""
    return (reason or "no reason is known").strip().rstrip(".")
