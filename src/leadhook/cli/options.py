"""Options that several commands share."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from cyclopts import Parameter, Token

from leadhook.command_error import MisuseError
from leadhook.domain.facts import in_utc
from leadhook.domain.status import Scope

ForUser = Annotated[UUID | None, Parameter(help="Only leads of this user_id.")]
ForTag = Annotated[str | None, Parameter(help="Only leads of this tag.")]


def _read_time(_: type, tokens: Sequence[Token]) -> datetime:
    try:
        return datetime.fromisoformat(tokens[0].value)
    except ValueError:
        raise ValueError(f"not a date or time like {TIME_EXAMPLE}") from None


TIME_EXAMPLE: Final = "2026-11-28 or 2026-11-28T09:00"
Time = Annotated[datetime | None, Parameter(converter=_read_time)]
"""In UTC if it names no zone."""
AsJson = Annotated[bool, Parameter("--json", negative="", help="Print one JSON object, for programs.")]
Yes = Annotated[bool, Parameter(negative="", help="Do not ask for confirmation.")]
Reason = Annotated[str | None, Parameter(help="The reason, for the audit.")]
DryRun = Annotated[bool, Parameter(negative="", help="Only count and estimate the cost; change nothing.")]


def as_filter(**fields: Any) -> dict[str, Any]:
    """Return those fields that are given, as the database takes them: ids and times as text."""
    texts = {
        name: in_utc(value).isoformat() if isinstance(value, datetime) else value for name, value in fields.items()
    }
    return {
        name: str(value) if isinstance(value, UUID) else value for name, value in texts.items() if value is not None
    }


def scope(user: UUID | None, tag: str | None) -> Scope:
    """Return the scope of a command.

    Raises:
        MisuseError: a tag without a user.
    """
    if tag is not None and user is None:
        raise MisuseError("--tag needs --user: two users may have the same tag")
    return Scope(user_id=user, tag=tag)
