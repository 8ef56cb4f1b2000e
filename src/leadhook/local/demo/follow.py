"""New answers, a line each, as they are saved."""

import time
from collections.abc import Callable
from typing import Final

import psycopg

_LOOK_EACH_S: Final = 0.5
_RECENT: Final = b"""
  select attempt.id, to_char(attempt.finished_at, 'HH24:MI:SS'), result.score,
    coalesce(details.name, attempt.lead_id), result.subject, coalesce(attempt.source, 'unknown')
  from leadhook.attempts as attempt
    join leadhook.results as result on result.lead_id = attempt.lead_id and result.run = attempt.run
    left join public.lead_details as details on details.lead_id = attempt.lead_id
  where attempt.outcome = 'saved' and attempt.finished_at > clock_timestamp() - interval '1 minute'
  order by attempt.id"""
"""A minute back, not from the last id on: transactions become visible in another order than they begin in."""


def follow(conninfo: str, say: Callable[[str], None], check: Callable[[], None]) -> None:
    """Show each answer that is saved from now on, until `check` raises."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        seen = {row[0] for row in connection.execute(_RECENT)}
        while True:
            check()
            time.sleep(_LOOK_EACH_S)
            rows = connection.execute(_RECENT).fetchall()
            for number, at, score, name, subject, source in rows:
                if number not in seen:
                    by = "webhook" if source == "webhook" else source
                    say(f"{at}  score {score:3d}  {_line(name)}  by {by}: {_line(subject)}")
            seen = {row[0] for row in rows}


def _line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
