"""The base of what is known: about leads, jobs and answers."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict


class Facts(BaseModel):
    """Values that never change. Unknown fields are ignored: a reply of the database may be newer than this program."""

    model_config = ConfigDict(frozen=True, defer_build=True)


def in_utc(time: datetime) -> datetime:
    """Convert to UTC, since Postgres accepts no offset of 16 hours or more. A time without an offset is in UTC.

    The first and the last day may have no UTC; the nearest time that has is returned.
    """
    if time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if time.year == 1 else datetime.max.replace(tzinfo=UTC)
