"""What every SQL test needs: a connection of the owner that makes rows, and RPCs that run as `service_role`.

Test modules get all of it through fixtures; for annotations: `if TYPE_CHECKING: from tests.sql.conftest import Sql`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, LiteralString, Self
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from tests.commands import Run, SqlStore, runner, use_store
from tests.sql.job_states import watch, watched, written_down

from leadhook.install.files import read_migrations

if TYPE_CHECKING:
    from tests.support.databases import Databases

    from leadhook.local.database import Database

USER = UUID("00000000-0000-4000-8000-000000000001")
TAG = "founders"
KEY = "visibly-fake-gemini-key"

Row = dict[str, Any]


class Sql:
    """One connection. Each statement commits by itself, except within `transaction()`.

    Rows are made as the owner (`postgres`); functions run as the role `service_role`, so each call proves its grants.
    """

    USER = USER
    TAG = TAG
    KEY = KEY

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self.connection = connection

    def rows(self, query: LiteralString | sql.Composed, **values: object) -> list[Row]:
        """All rows of a query with `%(name)s` values."""
        return self.connection.execute(query, values).fetchall()

    def value(self, query: LiteralString | sql.Composed, **values: object) -> Any:
        """The first column of the first row, or None."""
        row = self.connection.execute(query, values).fetchone()
        return None if row is None else next(iter(row.values()))

    def run(self, query: LiteralString | sql.Composed, **values: object) -> int:
        """Execute a statement; the number of rows it touched."""
        return self.connection.execute(query, values).rowcount

    def transaction(self) -> AbstractContextManager[object]:
        """Commits at its end, rolls back when it is left by an exception."""
        return self.connection.transaction()

    def rpc(self, name: str, **arguments: object) -> Any:
        """Call `public.<name>` as service_role. Dicts and lists are jsonb, `*ids` and `*hints` are text[]."""
        return self.call(f"public.{name}", **arguments)

    def call(self, name: str, **arguments: object) -> Any:
        """Call any function, given with its schema, as service_role in its own transaction."""
        with self.transaction():
            self.connection.execute("set local role service_role")
            result = self.select(name, arguments)
            self.connection.execute("reset role")
        return result

    def select(self, name: str, arguments: Row) -> Any:
        """Call any function, given with its schema, as who one is."""
        schema, _, function = name.partition(".")
        query = sql.SQL("select {}({}) as result").format(
            sql.Identifier(schema, function),
            sql.SQL(", ").join(
                sql.SQL("{} => {}").format(sql.Identifier(key), sql.Placeholder(key)) for key in arguments
            ),
        )
        return self.value(query, **{key: _as_argument(key, value) for key, value in arguments.items()})

    def claim(
        self,
        limit: int = 50,
        *,
        low_priority_limit: int | None = None,
        token: UUID | None = None,
        worker: str = "worker-1",
        after_user: str | None = None,
        hints: Sequence[str] = (),
        source: str = "webhook",
        model: str | None = None,
        probe: bool = False,
    ) -> Row:
        """Call `leadhook_claim` with a new token unless one is given; by default all may have low priority."""
        result: Row = self.rpc(
            "leadhook_claim",
            p_token=token or uuid4(),
            p_worker=worker,
            p_limit=limit,
            p_low_priority_limit=limit if low_priority_limit is None else low_priority_limit,
            p_after_user=after_user,
            p_hints=list(hints),
            p_source=source,
            p_model=model,
            p_probe=probe,
        )
        return result

    def apply_outbox(self, source: str = "webhook", budget: str = "100 ms") -> int:
        """Apply the outbox; the number of leads looked at."""
        looked_at, _ = self.call("leadhook.apply_outbox", p_source=source, p_budget=budget)
        return int(looked_at)

    def lead(
        self,
        lead_id: str,
        *,
        user: UUID | None = USER,
        tag: str | None = TAG,
        scrapped: bool | None = True,
        **columns: object,
    ) -> str:
        """Insert a row into all_leads."""
        self._insert("all_leads", {"lead_id": lead_id, "user_id": user, "tag": tag, "scrapped": scrapped, **columns})
        return lead_id

    def details(self, lead_id: str, *, sent: bool | None = False, **columns: object) -> str:
        """Insert a row into lead_details."""
        self._insert("lead_details", {"lead_id": lead_id, "sent_to_llm": sent, "name": f"Name of {lead_id}", **columns})
        return lead_id

    def prompts(self, *, user: UUID | None = USER, tag: str | None = TAG, **columns: object) -> None:
        """Insert a row into prompts."""
        texts = {"wildnet_data": "We sell.", "scoring_criteria_and_icp": "Buyers.", "message_prompt": "Be kind."}
        self._insert("prompts", {"user_id": user, "tag": tag, **texts, **columns})

    def key(self, api_key: str = KEY) -> None:
        """Insert a row into gemini_api."""
        self._insert("gemini_api", {"api_key": api_key})

    def record_migrations(self) -> None:
        """Make the history complete: the template's migrations were applied without the installer."""
        for migration in read_migrations():
            self.run("insert into leadhook.migrations values (%(n)s, %(h)s)", n=migration.name, h=migration.sha256)

    def eligible_lead(self, lead_id: str, *, user: UUID = USER, tag: str = TAG) -> str:
        """A lead with both its rows, and prompts for its group where there are none. Writes no outbox row."""
        self.lead(lead_id, user=user, tag=tag)
        self.details(lead_id)
        if not self.value("select 1 from public.prompts where user_id = %(u)s and tag = %(t)s", u=user, t=tag):
            self.prompts(user=user, tag=tag)
        return lead_id

    def eligible_leads(self, n: int, *, prefix: str = "lead-", user: UUID = USER, tag: str = TAG) -> list[str]:
        """Many of them, named `<prefix>00001` on, by three statements."""
        ids = [f"{prefix}{i:05}" for i in range(1, n + 1)]
        self.run(
            "insert into public.all_leads (lead_id, user_id, tag, scrapped)"
            " select i, %(u)s, %(t)s, true from unnest(%(ids)s::text[]) as i",
            ids=ids, u=user, t=tag,
        )  # fmt: skip
        self.run(
            "insert into public.lead_details (lead_id, name, sent_to_llm)"
            " select i, 'Name of ' || i, false from unnest(%(ids)s::text[]) as i",
            ids=ids,
        )
        self.prompts(user=user, tag=tag)
        return ids

    def poison(self) -> None:
        """Put a view in the place of all_leads that raises for leads whose id begins with `bad`."""
        self.run("alter table public.all_leads rename to real_leads")
        self.run(
            "create view public.all_leads as select lead_id, user_id, tag, linkedin_url,"
            " case when lead_id like 'bad%%' then 1 / (length(lead_id) - length(lead_id)) = 1 else scrapped end"
            " as scrapped from public.real_leads"
        )
        self.run("grant select on public.all_leads to service_role")

    def note_change(self, *lead_ids: str) -> None:
        """Append what the triggers append for a changed lead."""
        self._insert("outbox", {"kind": "leads", "n": len(lead_ids), "lead_ids": list(lead_ids)}, schema="leadhook")

    def note_prompts_changes(self, *, user: UUID | None = USER, tag: str | None = TAG, inserted: bool = True) -> None:
        """Append what the triggers append for a prompts row."""
        values = {"kind": "prompts", "n": 0, "user_id": user, "tag": tag, "prompts_inserted": inserted}
        self._insert("outbox", values, schema="leadhook")

    def note_everything(self) -> None:
        """Append what the triggers append for a truncate."""
        self._insert("outbox", {"kind": "everything", "n": 0}, schema="leadhook")

    def ready_job(self, lead_id: str, *, user: UUID = USER, tag: str = TAG, **columns: Any) -> str:
        """An eligible lead whose job is ready; `columns` overwrite the job's."""
        self.eligible_lead(lead_id, user=user, tag=tag)
        return self.make_job(lead_id, user=user, tag=tag, **columns)

    def make_job(
        self, lead_id: str, *, state: str = "ready", user: UUID | None = USER, tag: str | None = TAG, **columns: object
    ) -> str:
        """Insert a job with these columns, and fill those that its state requires; the lead's rows don't matter."""
        demanded: Row = {}
        if state == "leased":
            demanded = {"claim_token": uuid4(), "worker": "worker-1", "fence": 1}
            until = self.value("select clock_timestamp() + interval '30 s'")
            demanded |= {"lease_until": until, "leased_at": self.value("select clock_timestamp()")}
        elif state == "dead":
            demanded = {"error_code": "attempts_exhausted", "reason": "made by a test"}
        job = {"lead_id": lead_id, "user_id": user, "tag": tag, "state": state, **demanded, **columns}
        job.setdefault("eligible_at", self.value("select clock_timestamp()"))
        self._insert("jobs", job, schema="leadhook")
        return lead_id

    def leased_lead(self, lead_id: str, *, user: UUID = USER, tag: str = TAG, **columns: Any) -> Row:
        """An eligible lead that worker-1 holds; its lease."""
        self.ready_job(lead_id, user=user, tag=tag, **({"state": "leased"} | columns))
        return self.lease_of(self.job(lead_id))

    def replayed(self, lead_id: str) -> None:
        """What a replay leaves of a lead."""
        self._insert("replay_leads", {"replay_id": 1, "lead_id": lead_id, "run": 1, "outcome": "queued"}, "leadhook")

    def save(self, *results: Row, worker: str = "worker-1") -> Row:
        """Call `leadhook_save`."""
        reply: Row = self.rpc("leadhook_save", p_worker=worker, p_results=list(results))
        return reply

    def release(self, *releases: Row, worker: str = "worker-1") -> Row:
        """Call `leadhook_release`."""
        reply: Row = self.rpc("leadhook_release", p_worker=worker, p_releases=list(releases))
        return reply

    def park_keys(self, *keys: Row) -> Row:
        """Call `leadhook_park_keys`."""
        reply: Row = self.rpc("leadhook_park_keys", p_keys=list(keys))
        return reply

    def answer(self, lead_id: str) -> Row:
        """The lead's only row in llm_response."""
        (row,) = self.rows("select * from public.llm_response where lead_id = %(id)s", id=lead_id)
        return row

    def job(self, lead_id: str) -> Row:
        """The lead's job; fails where there is none."""
        found = self.rows("select * from leadhook.jobs where lead_id = %(id)s", id=lead_id)
        assert found, f"{lead_id} has no job"
        return found[0]

    def states(self) -> dict[str, str]:
        """The state of every job by lead id."""
        return {row["lead_id"]: row["state"] for row in self.rows("select lead_id, state from leadhook.jobs")}

    def age_job(self, lead_id: str, seconds: float) -> None:
        """Move all the job's times into the past; an expired lease is a lease aged by more than 30 s."""
        self.run(
            "update leadhook.jobs set lease_until = lease_until - make_interval(secs => %(s)s),"
            " leased_at = leased_at - make_interval(secs => %(s)s),"
            " eligible_at = eligible_at - make_interval(secs => %(s)s),"
            " available_at = available_at - make_interval(secs => %(s)s),"
            " finished_at = finished_at - make_interval(secs => %(s)s) where lead_id = %(id)s",
            s=seconds, id=lead_id,
        )  # fmt: skip
        self.control(leases_from="epoch")

    def count(self, table: str, where: LiteralString = "true", **values: object) -> int:
        """The number of rows of a table, given with its schema."""
        query = sql.SQL("select count(*) as n from {} where ").format(sql.Identifier(*table.split("."))) + sql.SQL(
            where
        )
        n: int = self.value(query, **values)
        return n

    def control(self, **columns: object) -> None:
        """Set columns of leadhook.controls."""
        for name, value in columns.items():
            self.run(sql.SQL("update leadhook.controls set {} = %(v)s").format(sql.Identifier(name)), v=value)

    def loosen(self) -> None:
        """Take away the keys and NOT NULLs that our own tables have and the application's may lack."""
        self.run("alter table public.all_leads drop constraint all_leads_pkey")
        self.run("alter table public.lead_details drop constraint lead_details_pkey")
        for table, column in (
            ("all_leads", "lead_id"), ("all_leads", "user_id"), ("all_leads", "tag"), ("all_leads", "scrapped"),
            ("lead_details", "lead_id"), ("lead_details", "sent_to_llm"),
            ("prompts", "user_id"), ("prompts", "tag"), ("prompts", "created_at"), ("gemini_api", "api_key"),
        ):  # fmt: skip
            statement = sql.SQL("alter table public.{} alter column {} drop not null")
            self.run(statement.format(sql.Identifier(table), sql.Identifier(column)))

    def _insert(self, table: str, values: Row, schema: str = "public") -> None:
        self.run(
            sql.SQL("insert into {} ({}) values ({})").format(
                sql.Identifier(schema, table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(map(sql.Placeholder, values)),
            ),
            **{name: Jsonb(value) if isinstance(value, dict) else value for name, value in values.items()},
        )

    @staticmethod
    def ids_of(batch: Row) -> list[str]:
        """The lead ids of a claim's reply, in its order."""
        return [lead["lead_id"] for lead in batch["leads"]]

    @staticmethod
    def lease_of(lead: Row, **extra: object) -> Row:
        """`(lead_id, fence)` of a claimed lead, with what else a write carries."""
        return {"lead_id": lead["lead_id"], "fence": lead["fence"], **extra}

    @classmethod
    def paid(cls, score: int = 80, **changes: object) -> Row:
        """A bought score."""
        message = {"subject": "A subject", "message": "A message"} if score >= 50 else {"subject": "x", "message": "x"}
        scored = {"score": score, "response": "A reason", "should_contact": score >= 50}
        return {
            "prompt_version": "p1", "input_version": "i1", "model": "m1", "score": scored, "message": message, **changes
        }  # fmt: skip

    @classmethod
    def result_of(cls, lease: Row, score: int = 80, **changes: object) -> Row:
        """What a worker sends to save for a lease."""
        usage = {"calls": 2, "input_tokens": 100, "cached_tokens": 10, "output_tokens": 20, "thinking_tokens": 5}
        measured = {"usage": usage, "timing": {"first_call_ms": 40, "model_ms": 900}, "key_fingerprint": "0" * 16}
        return cls.lease_of(lease, checkpoint=cls.paid(score), **measured) | changes

    @classmethod
    def release_of(cls, lease: Row, outcome: str = "retry", **changes: object) -> Row:
        """What a worker sends to release for a lease."""
        usage = {"calls": 1, "input_tokens": 100, "cached_tokens": 0, "output_tokens": 0, "thinking_tokens": 0}
        why = {"outcome": outcome, "error_code": "gemini_unavailable", "reason": "Gemini said 503.", "delay_ms": 0}
        return cls.lease_of(lease, **why, usage=usage, timing={"first_call_ms": None, "model_ms": 10}) | changes

    @staticmethod
    def outcomes(reply: Row) -> dict[str, str]:
        """Outcome by lead id of a reply about leases."""
        return {lease["lead_id"]: lease["outcome"] for lease in reply["leases"]}

    def __enter__(self) -> Self:
        """Close the connection at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.connection.close()


def _as_argument(name: str, value: object) -> object:
    """Lists of ids and hints are text[]; every other list and each dict is jsonb."""
    if isinstance(value, dict) or (isinstance(value, list) and not name.endswith(("ids", "hints"))):
        return Jsonb(value)
    return value


Connect = Callable[[], Sql]


def watch_database(database: "Database") -> None:
    """Have a template's copies note the moves of their jobs."""
    with connect_to(database) as db:
        watch(db)


def connect_to(database: "Database") -> Sql:
    """A connection of the owner in autocommit mode."""
    return Sql(psycopg.connect(database.conninfo, autocommit=True, row_factory=dict_row))


def _opener(databases: "Databases", database: "Database") -> Iterator[Connect]:
    kept = databases.lent.get(database.name)
    opened: list[Sql] = []

    def connect() -> Sql:
        opened.append(Sql(kept.session()) if kept else connect_to(database))
        return opened[-1]

    yield connect
    for one in opened:
        if kept:
            kept.give_back(one.connection)
        else:
            one.connection.close()


@pytest.fixture
def connect(databases: "Databases", database: "Database") -> Iterator[Connect]:
    """Opens one more connection to the test's database: for races."""
    yield from _opener(databases, database)


@pytest.fixture
def wired_connect(databases: "Databases", wired_database: "Database") -> Iterator[Connect]:
    """Opens one more connection to the test's wired database: for races."""
    yield from _opener(databases, wired_database)


@pytest.fixture
def db(connect: Connect) -> Sql:
    """A connection to a migrated database without triggers: outbox rows are made by hand."""
    return connect()


@pytest.fixture
def wired(wired_connect: Connect) -> Sql:
    """A connection to a database with the triggers: the application's writes leave outbox rows."""
    return wired_connect()


@pytest.fixture
def known_moves(request: pytest.FixtureRequest, databases: "Databases") -> Iterator[None]:
    """For modules whose calls move jobs: they make no move that the table beside leadhook.jobs lacks."""
    name = "wired_database" if "wired_database" in request.fixturenames else "database"
    database: Database = request.getfixturevalue(name)
    yield
    assert watched(databases.lent[database.name].admin) - written_down() == set()


@pytest.fixture(scope="session")
def watched_template(databases: "Databases", migrated_template: "Database") -> "Database":
    """The migrated database, which notes the moves of its jobs."""
    return databases.template("watched", watch_database, migrated_template)


@pytest.fixture(scope="session")
def watched_wired_template(databases: "Databases", wired_template: "Database") -> "Database":
    """The wired database, which notes the moves of its jobs."""
    return databases.template("watched_wired", watch_database, wired_template)


@pytest.fixture
def database(request: pytest.FixtureRequest, databases: "Databases") -> "Iterator[Database]":
    """With our migrations, without the triggers; it notes the moves of its jobs where a module wants to know them."""
    name = "watched_template" if "known_moves" in request.fixturenames else "migrated_template"
    yield from databases.kept(request.getfixturevalue(name))


@pytest.fixture
def wired_database(request: pytest.FixtureRequest, databases: "Databases") -> "Iterator[Database]":
    """The same with our triggers, and a webhook URL where no one listens."""
    name = "watched_wired_template" if "known_moves" in request.fixturenames else "wired_template"
    yield from databases.kept(request.getfixturevalue(name))


@pytest.fixture
def bare(bare_database: "Database") -> Iterator[Sql]:
    """A connection to an empty project, for those that install."""
    with connect_to(bare_database) as bare:
        yield bare


@pytest.fixture
def keyed(db: Sql) -> Sql:
    """`db` with one Gemini key."""
    db.key()
    return db


@pytest.fixture
def leadhook(db: Sql, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs an operator's command on the test's database."""
    run = runner(monkeypatch, capsys)
    use_store(monkeypatch, SqlStore(db))
    return run
