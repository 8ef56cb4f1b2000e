"""A project's application, as every suite with real services plays it: it brings leads and reads their answers."""

import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import psycopg
from tests.canaries import BIO
from tests.conftest import PATIENCE_S, poll
from tests.support.names import new_ids

TITLES = ("Chief pumps director", "Student", "Head of pumps", "Pump engineer")

Group = tuple[uuid.UUID, str]
"""A user and a tag."""


class Application:
    """Works on the application's tables as their owner, and looks at ours."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection = psycopg.connect(database_url, autocommit=True)

    @property
    def connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        """The connection; a new one after a crash of the server."""
        if self._connection.closed:
            self._connection = psycopg.connect(self._database_url, autocommit=True)
        return self._connection

    def close(self) -> None:
        self._connection.close()

    def run(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement, committed."""
        cursor = self.connection.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *parameters: object) -> Any:
        return self.run(query, *parameters)[0][0]

    def transaction(self) -> AbstractContextManager[object]:
        return self.connection.transaction()

    def set_keys(self, *keys: str) -> None:
        """Have exactly these Gemini keys."""
        self.run("delete from public.gemini_api")
        self.run("insert into public.gemini_api (api_key) select unnest(%s::text[])", list(keys))

    def new_group(self, user: uuid.UUID | None = None, tag: str | None = None) -> Group:
        """Insert a prompts row, as when a user presses "run"."""
        group = user or uuid.uuid4(), tag or f"tag-{uuid.uuid4().hex[:8]}"
        self.run(
            "insert into public.prompts (user_id, tag, wildnet_data, scoring_criteria_and_icp, message_prompt)"
            " values (%s, %s, 'We make pumps.', 'Directors of pump makers', 'Be brief.')",
            *group,
        )
        return group

    def bring(
        self, leads: int | Sequence[str], group: Group | None = None, *, rows_each: int = 1, **details: object
    ) -> list[str]:
        """Insert leads that become eligible with one transaction, and return their ids.

        Args:
            leads: their ids, or how many.
            group: of them all; a new one if None.
            rows_each: more than one where the tables have no keys.
            details: columns of lead_details that are the same for all. By default the name is the id, and titles on
                both sides of 50 alternate.
        """
        ids = new_ids(leads) if isinstance(leads, int) else list(leads)
        group = group or self.new_group()
        each = {column: form for column, form in {"name": "i", "title": "t"}.items() if column not in details}
        same = {"company_name": "Pump makers", "bio": BIO, "sent_to_llm": False} | details
        forms = [*each.values(), *["%s"] * len(same)]
        titles = [TITLES[place % len(TITLES)] for place in range(len(ids))]
        with self.transaction():
            for _ in range(rows_each):
                self.run(
                    "insert into public.all_leads (lead_id, user_id, tag, scrapped)"
                    " select i, %s, %s, true from unnest(%s::text[]) as i",
                    *group,
                    ids,
                )
                self.run(
                    f"insert into public.lead_details (lead_id, {', '.join([*each, *same])})"  # noqa: S608 - columns
                    f" select i, {', '.join(forms)} from unnest(%s::text[], %s::text[]) as l (i, t)",
                    *same.values(),
                    ids,
                    titles,
                )
        return ids

    def answered(self, leads: Sequence[str]) -> set[str]:
        rows = self.run(
            "select r.lead_id from public.llm_response as r join public.lead_details as d using (lead_id)"
            " where d.sent_to_llm and r.lead_id = any (%s)",
            list(leads),
        )
        return {row[0] for row in rows}

    def wait_for_answers(
        self, leads: Sequence[str], timeout_s: float = PATIENCE_S, logs: Callable[[], str] = lambda: ""
    ) -> None:
        poll(
            lambda: len(self.answered(leads)) == len(leads),
            lambda: f"{len(leads) - len(self.answered(leads))} leads wait; jobs: {self.states()}\n{logs()}",
            timeout_s,
        )

    def jobs(self, leads: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        rows = self.run(
            "select lead_id, state, error_code, reason from leadhook.jobs where lead_id = any (%s)", list(leads)
        )
        return {row[0]: row[1:] for row in rows}

    def states(self) -> dict[str, int]:
        return dict(self.run("select state, count(*) from leadhook.jobs group by state"))

    def held_by(self, worker_like: str) -> set[str]:
        """Return the leads that a worker has leased now."""
        rows = self.run("select lead_id from leadhook.jobs where state = 'leased' and worker like %s", worker_like)
        return {row[0] for row in rows}
