"""What the options of `leadhook replay` ask for, as the body of `POST /replay`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from cyclopts import Parameter

from leadhook.remote.failure import AskedWrongError


@Parameter(name="*")
@dataclass(frozen=True)
class Selection:
    """Which leads."""

    lead_id: Annotated[tuple[str, ...], Parameter(negative="", help="This lead; may be given several times.")] = ()
    all: Annotated[bool, Parameter(negative="", help="Every lead that leadhook knows.")] = False
    user: Annotated[UUID | None, Parameter(help="Only leads of this user_id.")] = None
    tag: Annotated[str | None, Parameter(help="Only leads of this tag.")] = None
    state: Annotated[str | None, Parameter(help="Only where the job is: done, dead, waiting, …")] = None
    outcome: Annotated[str | None, Parameter(help="Only where the last attempt was: saved, refused, dead, …")] = None
    error_code: Annotated[str | None, Parameter(help="Only where the job has this error code.")] = None
    score_min: Annotated[int | None, Parameter(help="Only where the last score is not lower.")] = None
    score_max: Annotated[int | None, Parameter(help="Only where the last score is not higher.")] = None
    prompt_version: Annotated[str | None, Parameter(help="Only where the last verdict came of this prompt.")] = None
    since: Annotated[datetime | None, Parameter(help="Only what ended then or later; UTC unless it says else.")] = None
    until: Annotated[datetime | None, Parameter(help="Only what ended before; UTC unless it says else.")] = None
    limit: Annotated[int | None, Parameter(help="So many at most, by lead_id.")] = None

    def fields(self) -> dict[str, Any]:
        """`lead_ids`, or `filter`, and `limit`; the service checks them.

        Raises:
            AskedWrongError: no lead is asked for, or in two ways.
        """
        fields = {
            "all": self.all or None,
            "user_id": None if self.user is None else str(self.user),
            "tag": self.tag,
            "state": self.state,
            "outcome": self.outcome,
            "error_code": self.error_code,
            "score_min": self.score_min,
            "score_max": self.score_max,
            "prompt_version": self.prompt_version,
            "since": _in_utc(self.since),
            "until": _in_utc(self.until),
        }
        given = _given(fields)
        if bool(self.lead_id) == bool(given):
            raise AskedWrongError("say which leads: by --lead-id, or by --user, --tag, --state … or --all")
        return _given({"lead_ids": list(self.lead_id) or None, "filter": given or None, "limit": self.limit})


@Parameter(name="*")
@dataclass(frozen=True)
class Manner:
    """What is to be done with them."""

    reason: Annotated[str | None, Parameter(help="Why; it is kept.")] = None
    dry_run: Annotated[bool, Parameter(negative="", help="Only count and forecast.")] = False
    yes: Annotated[bool, Parameter(negative="", help="Do not ask before --all.")] = False


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _in_utc(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
