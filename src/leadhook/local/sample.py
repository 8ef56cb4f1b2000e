"""Two dozen varied leads of one user and tag, inserted as a scraper and a front end insert them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast

import psycopg
from psycopg.types.json import Jsonb

_DATA: Final = Path(__file__).with_name("sample_data")
_LEADS_FIRST, _DETAILS_FIRST = 9, 7

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """The inserted leads; they became eligible when the prompts row was committed."""

    user_id: str
    tag: str
    lead_ids: tuple[str, ...]
    committed_at: datetime


def insert_sample(conninfo: str, *, pause: Callable[[], None] = lambda: None) -> Sample:
    """Insert the sample, each step its own transaction and the prompts row last, as when a user presses "run".

    The ids are fixed and what is there already is left alone, so a second call changes nothing and an interrupted one
    is completed. `committed_at` is the database's time right after the last commit.

    Args:
        pause: called between the last lead and the prompts row.
    """
    content = _content()
    owner = _owner(content)
    leads: list[Row] = [owner | lead for lead in content["leads"]]
    with psycopg.connect(conninfo, autocommit=True) as connection:
        _bring_leads_first(connection, leads[:_LEADS_FIRST])
        _bring_details_first(connection, leads[_LEADS_FIRST : _LEADS_FIRST + _DETAILS_FIRST])
        for lead in leads[_LEADS_FIRST + _DETAILS_FIRST :]:
            _bring_leads_first(connection, [lead])
        pause()
        _run(connection, "insert_prompts", [owner | content["prompts"]])
        committed_at = _now(connection)
    return Sample(owner["user_id"], owner["tag"], tuple(lead["lead_id"] for lead in leads), committed_at)


def insert_one_more(conninfo: str) -> Sample:
    """Insert one more lead of the sample's user and tag, whose last insert makes it eligible at once."""
    content = _content()
    owner = _owner(content)
    lead: Row = owner | content["one_more"]
    with psycopg.connect(conninfo, autocommit=True) as connection:
        _bring_details_first(connection, [lead])
        committed_at = _now(connection)
    return Sample(owner["user_id"], owner["tag"], (lead["lead_id"],), committed_at)


def sample_owner() -> tuple[str, str]:
    """The user and tag of the sample, for which a prompts row exists once it is inserted."""
    content = _content()
    return content["user_id"], content["tag"]


def _owner(content: dict[str, Any]) -> dict[str, str]:
    return {"user_id": content["user_id"], "tag": content["tag"]}


@lru_cache(maxsize=1)
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((_DATA / "sample.json").read_text(encoding="utf-8"))
    return content


def _bring_leads_first(connection: psycopg.Connection, leads: list[Row]) -> None:
    _run(connection, "insert_leads", [lead | {"scrapped": False} for lead in leads])
    _run(connection, "insert_details", leads)
    _run(connection, "mark_scrapped", leads)


def _bring_details_first(connection: psycopg.Connection, leads: list[Row]) -> None:
    _run(connection, "insert_details", leads)
    _run(connection, "insert_leads", [lead | {"scrapped": True} for lead in leads])


def _run(connection: psycopg.Connection, name: str, rows: list[Row]) -> None:
    connection.execute((_DATA / f"{name}.sql").read_bytes(), {"rows": Jsonb(rows)})


def _now(connection: psycopg.Connection) -> datetime:
    [(now,)] = connection.execute("select clock_timestamp()").fetchall()
    return cast("datetime", now)
