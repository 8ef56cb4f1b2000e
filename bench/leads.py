"""Leads as an application brings them, all of them worth a message: each costs two model calls."""

import time
import uuid
from dataclasses import dataclass
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]

COMPANY = "Northwind Pumps builds quiet industrial pumps for food, water and chemical plants. " * 14
CRITERIA = "Directors and founders of pump makers, responsible for purchasing industrial machinery. " * 8
MESSAGE = "Be brief and friendly, mention one fact of the lead's experience, and ask for a short call. " * 5
BIO = "Twenty years of industrial machinery, from the workshop to the board, with a passion for quiet pumps. " * 10
EXPERIENCE = "Chief purchasing director at Acme Industrial Machinery, responsible for pumps and makers. " * 7
TABLES = "public.all_leads, public.lead_details, public.prompts, public.llm_response"
OURS = "leadhook.outbox, leadhook.jobs, leadhook.attempts, leadhook.results, leadhook.webhooks"


@dataclass(frozen=True)
class Application:
    """Its database connection, and the user and tag that its leads belong to."""

    connection: Connection
    user_id: uuid.UUID
    tag: str = "bench"

    def bring(self, count: int) -> tuple[list[str], float]:
        """So many leads that become eligible with one transaction.

        Returns:
            Their ids, which are their names too, and when the commit was acknowledged, in Unix ms.
        """
        ids = [f"lead-{uuid.uuid4().hex[:16]}" for _ in range(count)]
        with self.connection.transaction():
            self.connection.execute(
                "insert into public.all_leads (lead_id, user_id, tag, scrapped)"
                " select i, %s, %s, true from unnest(%s::text[]) as i",
                (self.user_id, self.tag, ids),
            )
            self.connection.execute(
                "insert into public.lead_details"
                " (lead_id, name, title, location, company_name, experience, skills, bio)"
                " select i, i, 'Chief purchasing director', 'Hamburg', 'Acme Industrial Machinery', %s,"
                " 'purchasing, machinery, pumps', %s from unnest(%s::text[]) as i",
                (EXPERIENCE, BIO, ids),
            )
        return ids, time.time() * 1000

    def unanswered(self, ids: list[str]) -> int:
        """How many of them have no answer yet."""
        row = self.connection.execute(
            "select count(*) from public.lead_details as d join public.llm_response as r using (lead_id)"
            " where d.sent_to_llm and d.lead_id = any (%s)",
            (ids,),
        ).fetchone()
        assert row is not None  # noqa: S101 - for the type checker
        answered: int = row[0]
        return len(ids) - answered

    def withdraw(self, lead_id: str) -> None:
        """Take a lead away from everybody, without a webhook."""
        with self.connection.transaction():
            self.connection.execute("update public.lead_details set sent_to_llm = true where lead_id = %s", (lead_id,))
            self.connection.execute("delete from leadhook.jobs where lead_id = %s", (lead_id,))


def empty_application(connection: Connection) -> Application:
    """The application on an emptied database, with one prompts row."""
    connection.execute(f"truncate {TABLES}, {OURS}".encode())
    application = Application(connection, uuid.uuid4())
    connection.execute(
        "insert into public.prompts (user_id, tag, wildnet_data, scoring_criteria_and_icp, message_prompt)"
        " values (%s, %s, %s, %s, %s)",
        (application.user_id, application.tag, COMPANY, CRITERIA, MESSAGE),
    )
    return application
