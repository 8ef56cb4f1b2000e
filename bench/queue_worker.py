"""A lead's handler on procrastinate or on pgqueuer: `python -m bench.queue_worker NAME`, run by `bench/queues.py`.

It is what a careful user of these libraries would write: it reads the lead and its prompts from the application's
tables, sends the same two model requests as leadhook over one client per process, and writes the answer and the mark
in one transaction. It does nothing about budgets, keys that fail, or answers that should not be sent. The environment
has DATABASE_URL, GEMINI_BASE_URL and CONCURRENCY.
"""

import os
import sys
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg
import uvloop
from google.genai import types
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_google_genai import ChatGoogleGenerativeAI
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries
from procrastinate import App, PsycopgConnector
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from leadhook.domain.lead import Prompts
from leadhook.gemini.client import open_client
from leadhook.gemini.prompts import SHAPES, Step, call_parameters, fenced, step_body, system_instruction

CONTACT_FROM = 50
CONNECTIONS = 8
"""For the handler. A lead needs one for two short transactions, so that they suffice for 256 leads at a time."""
PREFETCHED = 10
"""The default batch of pgqueuer, which takes at least two batches at a time."""
READ = """
select d.lead_id, a.tag, d.name, d.title, d.location, d.company_name, d.experience, d.skills, d.bio,
  p.wildnet_data, p.scoring_criteria_and_icp, p.message_prompt
from public.lead_details as d
join public.all_leads as a using (lead_id)
join public.prompts as p on p.user_id = a.user_id and p.tag = a.tag
where d.lead_id = %s and not d.sent_to_llm
order by p.created_at desc
limit 1
"""
WRITE = """
insert into public.llm_response (lead_id, tag, name, location, score, response, should_contact, subject, message)
values (%(lead_id)s, %(tag)s, %(name)s, %(location)s, %(score)s, %(response)s, %(should_contact)s, %(subject)s,
  %(message)s)
on conflict (lead_id) do update set score = excluded.score, response = excluded.response,
  should_contact = excluded.should_contact, subject = excluded.subject, message = excluded.message
"""
MARK = "update public.lead_details set sent_to_llm = true where lead_id = %s"
PROMPTS = tuple(Prompts.model_fields)


class JobOfPgqueuer(Protocol):
    """What its handler needs of a job."""

    payload: bytes | None


@dataclass(frozen=True)
class Handler:
    """Answers one lead after the other."""

    pool: AsyncConnectionPool[Any]
    chat: ChatGoogleGenerativeAI
    key: str

    async def answer(self, lead_id: str) -> None:
        """Read, ask once or twice, write."""
        async with self.pool.connection() as connection:
            lead = await (await connection.cursor(row_factory=dict_row).execute(READ, (lead_id,))).fetchone()
        if lead is None:
            return
        prompts = Prompts.model_validate({name: lead.pop(name) for name in PROMPTS})
        text = fenced("\n".join(f"{name}: {value}" for name, value in lead.items() if value))
        score = await self._ask("score", prompts, text)
        message = await self._ask("message", prompts, text) if score["SCORE"] >= CONTACT_FROM else {}
        fields = ("SCORE", "RESPONSE", "SHOULD_CONTACT", "SUBJECT", "MESSAGE")
        answer = {name.lower(): (score | message).get(name) for name in fields}
        async with self.pool.connection() as connection:
            await connection.execute(WRITE, lead | answer)
            await connection.execute(MARK, (lead_id,))

    async def answer_job(self, job: JobOfPgqueuer) -> None:
        """The same for a job whose payload is the lead's id."""
        await self.answer((job.payload or b"").decode())

    async def lacks(self, table: str) -> bool:
        """Whether a library's tables are still to be created."""
        async with self.pool.connection() as connection:
            row = await (await connection.execute("select to_regclass(%s) is null", (table,))).fetchone()
        return bool(row[0])

    async def _ask(self, step: Step, prompts: Prompts, text: str) -> dict[str, Any]:
        reply = await self.chat.ainvoke(
            [SystemMessage(system_instruction(step, prompts)), HumanMessage(text)],
            http_options=types.HttpOptions(headers={"x-goog-api-key": self.key}, extra_body=step_body(step)),
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            **call_parameters(),
        )
        return SHAPES[step].model_validate_json(reply.text).model_dump(by_alias=True, mode="json")


async def run_procrastinate(url: str, handler: Handler, concurrency: int) -> None:
    """With its defaults: LISTEN, and a look every five seconds."""
    app = App(connector=PsycopgConnector(conninfo=url))
    app.task(name="answer")(handler.answer)
    async with app.open_async():
        if await handler.lacks("public.procrastinate_jobs"):
            await app.schema_manager.apply_schema_async()
        print("ready", flush=True)
        await app.run_worker_async(concurrency=concurrency, install_signal_handlers=False)


async def run_pgqueuer(url: str, handler: Handler, concurrency: int) -> None:
    """With its defaults on asyncpg: LISTEN, and a look every thirty seconds."""
    driver = AsyncpgDriver(await asyncpg.connect(url))
    if await handler.lacks("public.pgqueuer"):
        await Queries(driver).install()
    queue = PgQueuer(driver)
    queue.entrypoint("answer")(handler.answer_job)
    print("ready", flush=True)
    await queue.run(batch_size=min(PREFETCHED, concurrency // 2), max_concurrent_tasks=concurrency)


async def run(library: str) -> None:
    """Work until killed."""
    url, concurrency = os.environ["DATABASE_URL"], int(os.environ["CONCURRENCY"])
    async with (
        AsyncConnectionPool(url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool,
        open_client(model="gemini-3.5-flash-lite", base_url=os.environ["GEMINI_BASE_URL"]) as client,
    ):
        async with pool.connection() as connection:
            row = await (await connection.execute("select api_key from public.gemini_api limit 1")).fetchone()
        handler = Handler(pool, client._chat, row[0])  # noqa: SLF001 - the same model object, tuned as leadhook's
        worker = {"procrastinate": run_procrastinate, "pgqueuer": run_pgqueuer}[library]
        await worker(url, handler, concurrency)


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1]))
