import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import psycopg
import psycopg.sql
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.conftest import PATIENCE_S
from tests.support.databases import connect_async

from leadhook.local import pgnet
from leadhook.local.database import Database
from leadhook.local.processes import free_port

DEADLINE_S = PATIENCE_S


@dataclass
class Receiver:
    """What arrived at a small server; `/slow` takes half a minute, `/moved` redirects, `/status/N` answers N."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def take(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.requests.append(
            {
                "method": request.method,
                "path": request.path_qs,
                "headers": {name.lower(): value for name, value in request.headers.items()},
                "body": await request.read(),
                "at": time.monotonic(),
            }
        )
        try:
            if request.path == "/slow":
                await asyncio.sleep(30)
            if request.path == "/moved":
                raise web.HTTPTemporaryRedirect("/here")
            await asyncio.sleep(0.05)
            status = int(request.path.removeprefix("/status/")) if request.path.startswith("/status/") else 200
            return web.json_response({"taken": True}, status=status)
        finally:
            self.at_once -= 1

    async def until(self, n: int) -> list[dict[str, Any]]:
        await until(lambda: len(self.requests) >= n, lambda: f"{len(self.requests)} of {n} requests came")
        return self.requests


async def until(condition: Callable[[], bool], why_not: Callable[[], str]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(why_not())
        await asyncio.sleep(0.005)


@dataclass
class Net:
    """A project with the stand-in for pg_net, and a server that receives what it sends."""

    database: Database
    connection: psycopg.AsyncConnection[Any]
    receiver: Receiver

    def working(self, pause_s: float = 0.02) -> AbstractAsyncContextManager[Any]:
        return pgnet.working(self.database.admin_conninfo, pause_s=pause_s)

    async def post(self, url: str, n: int = 1, **arguments: object) -> None:
        names = "".join(f", {name} => %({name})s" for name in arguments)
        query = f"select net.http_post(%(url)s{names}) from generate_series(1, %(n)s)"  # noqa: S608 - names of ours
        await self.connection.execute(query.encode(), {"url": url, "n": n, **arguments})

    async def responses(self, n: int) -> list[tuple[Any, ...]]:
        """Status code, timed_out, error_msg of the responses, once there are that many."""
        rows: list[tuple[Any, ...]] = []
        deadline = time.monotonic() + DEADLINE_S
        query = "select status_code, timed_out, error_msg from net._http_response order by id"
        while len(rows) < n and time.monotonic() < deadline:
            rows = await (await self.connection.execute(query)).fetchall()
            await asyncio.sleep(0.005)
        assert len(rows) == n
        return rows


@pytest.fixture
async def net(bare_database: Database) -> AsyncIterator[Net]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.take)
    async with TestServer(app, shutdown_timeout=0) as server, await connect_async(bare_database) as connection:
        receiver.url = str(server.make_url("")).rstrip("/")
        yield Net(bare_database, connection, receiver)


async def test_the_wire_carries_the_jsonb_text_and_the_given_headers(net: Net) -> None:
    """A signature over body::text holds for the bytes that arrive."""
    body = json.dumps({"bb": "é 🙂", "a": [1, None]})
    async with net.working():
        await net.post(f"{net.receiver.url}/x", body=body, headers='{"webhook-id": "m1"}', params='{"q": "a b"}')
        (request,) = await net.receiver.until(1)

    assert request["body"] == '{"a": [1, null], "bb": "é 🙂"}'.encode()
    assert request["path"] == "/x?q=a%20b"
    kept = {name: request["headers"][name] for name in ("webhook-id", "content-type", "user-agent", "accept")}
    assert kept == {
        "webhook-id": "m1",
        "content-type": "application/json",
        "user-agent": "pg_net/0.20.4",
        "accept": "*/*",
    }


async def test_nothing_is_sent_after_a_rollback(net: Net) -> None:
    """The request belongs to the transaction; the one after it is the first to arrive."""
    async with net.working():
        async with net.connection.transaction(force_rollback=True):
            await net.post(f"{net.receiver.url}/rolled-back")
        await net.post(f"{net.receiver.url}/committed")
        requests = await net.receiver.until(1)
        await net.responses(1)

    assert [request["path"] for request in requests] == ["/committed"]


@pytest.mark.parametrize("status", [429, 500])
async def test_a_refusal_is_recorded_and_never_sent_again(net: Net, status: int) -> None:
    async with net.working():
        await net.post(f"{net.receiver.url}/status/{status}")
        rows = await net.responses(1)
        await net.post(f"{net.receiver.url}/after")
        await net.responses(2)

    assert rows == [(status, False, None)]
    assert [request["path"] for request in net.receiver.requests] == [f"/status/{status}", "/after"]


async def test_failures_are_recorded_in_pg_nets_words(net: Net) -> None:
    async with net.working():
        await net.post(f"http://127.0.0.1:{free_port()}/")
        await net.post("http://no-such-host.invalid/")
        await net.post(f"{net.receiver.url}/slow", timeout_milliseconds=100)
        refused, unknown, late = await net.responses(3)

    assert refused == (None, False, "Couldn't connect to server")
    assert unknown == (None, False, "Couldn't resolve host name")
    assert late[:2] == (None, True)
    assert late[2].startswith("Timeout of 100 ms reached. Total time: ")


async def test_a_redirect_is_followed_with_the_body(net: Net) -> None:
    """307 sends the same request again elsewhere."""
    async with net.working():
        await net.post(f"{net.receiver.url}/moved", body='{"a": 1}')
        requests = await net.receiver.until(2)
        rows = await net.responses(1)

    assert [(request["method"], request["path"], request["body"]) for request in requests] == [
        ("POST", "/moved", b'{"a": 1}'),
        ("POST", "/here", b'{"a": 1}'),
    ]
    assert rows == [(200, False, None)]


async def test_a_batch_is_200_at_once_and_then_there_is_a_pause(net: Net) -> None:
    """450 requests are three batches; nothing is lost or doubled."""
    pause_s = 0.5
    # Before the worker starts: else the word of this commit could come late and cut the first pause short.
    await net.post(f"{net.receiver.url}/x", n=450)
    async with net.working(pause_s):
        requests = await net.receiver.until(450)
        await net.responses(450)

    assert net.receiver.most_at_once <= 200
    starts = sorted(request["at"] for request in requests)
    assert starts[200] - starts[199] >= pause_s
    assert starts[400] - starts[399] >= pause_s


async def test_only_the_first_commit_wakes_the_worker_out_of_its_pause(net: Net) -> None:
    """The second commit in a pause waits for its end, so a stream is one burst a pause."""
    pause_s = 4.0
    async with net.working(pause_s):
        for n in (1, 2, 3):
            await net.post(f"{net.receiver.url}/{n}")
            if n < 3:
                await net.responses(n)
        first, second, third = await net.receiver.until(3)

    assert second["at"] - first["at"] < 0.9 * pause_s
    assert third["at"] - second["at"] > 0.9 * pause_s


async def test_what_was_queued_while_no_worker_ran_is_sent_when_one_starts(net: Net) -> None:
    await net.post(f"{net.receiver.url}/x")
    async with net.working():
        await net.receiver.until(1)


async def test_a_worker_that_lost_its_connection_comes_back(net: Net) -> None:
    """Crash recovery ends every backend; the real worker is started again after a second too."""
    async with net.working():
        await net.post(f"{net.receiver.url}/before")
        await net.responses(1)
        with psycopg.connect(net.database.admin_conninfo, autocommit=True) as admin:
            query = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
            admin.execute(f"{query} and application_name like 'pg_net%'".encode())
        await net.post(f"{net.receiver.url}/after")
        await net.receiver.until(2)


OBSTACLES = {
    "read only": ("default_transaction_read_only = on", "select 1"),
    "lock timeout": ("lock_timeout = '20ms'", "lock table net.http_request_queue in access exclusive mode"),
    "statement timeout": ("statement_timeout = '100ms'", "lock table net.http_request_queue in access exclusive mode"),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
async def test_a_worker_waits_while_the_database_refuses_its_work(
    net: Net,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    obstacle: str,
) -> None:
    """It reports the failure once, tries again until it succeeds, and would report the next one."""
    tries = 0
    send_batch = pgnet.send_batch

    async def counted(*arguments: Any) -> bool:
        nonlocal tries
        tries += 1
        return await send_batch(*arguments)

    monkeypatch.setattr(pgnet, "send_batch", counted)
    monkeypatch.setattr(pgnet, "RESTART_S", 0.01)
    setting, statement = OBSTACLES[obstacle]
    async with (
        pgnet.working(net.database.admin_conninfo, pause_s=0.02) as worker,
        await psycopg.AsyncConnection.connect(net.database.admin_conninfo, autocommit=True) as admin,
    ):
        database = psycopg.sql.Identifier(admin.info.dbname)
        for time_of_trouble in (1, 2):
            await admin.execute(psycopg.sql.SQL(f"alter database {{}} set {setting}").format(database))
            async with admin.transaction():
                await admin.execute(statement.encode())
                await admin.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and application_name like 'pg_net%'"
                )
                before = tries
                await until(lambda: tries > before + 3 or worker.done(), lambda: f"tried {tries - before} times")  # noqa: B023 - called at once
                assert not worker.done()
            await admin.execute(psycopg.sql.SQL(f"alter database {{}} reset {setting.split()[0]}").format(database))
            await net.post(f"{net.receiver.url}/{time_of_trouble}")
            await net.responses(time_of_trouble)

    lines = [line.getMessage() for line in caplog.records if line.name == "pg_net stand-in"]
    refused = {"read only": "read-only", "lock timeout": "lock timeout", "statement timeout": "statement timeout"}
    assert sum(refused[obstacle] in line for line in lines) == 2, lines


async def test_a_worker_ends_when_it_is_to_though_its_last_batch_fails(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, fails = asyncio.Event(), asyncio.Event()

    async def refused(*_arguments: Any) -> bool:
        begun.set()
        await fails.wait()
        raise psycopg.errors.ReadOnlySqlTransaction

    monkeypatch.setattr(pgnet, "send_batch", refused)
    async with asyncio.timeout(DEADLINE_S):
        worker = asyncio.create_task(pgnet.work(net.database.admin_conninfo))
        await begun.wait()
        worker.cancel()
        asyncio.get_running_loop().call_later(0.05, fails.set)
        await asyncio.wait({worker})

    assert worker.cancelled()


async def test_old_responses_are_deleted_after_six_hours(net: Net) -> None:
    ages = "select h, now() - make_interval(hours => h) from unnest(array[5, 7]) h"
    await net.connection.execute(f"insert into net._http_response (id, created) {ages}".encode())
    async with aiohttp.ClientSession() as session:
        assert await pgnet.send_batch(net.connection, session)

    left = await net.connection.execute("select id from net._http_response")
    assert await left.fetchall() == [(5,)]


async def test_without_the_extension_there_is_nothing_to_do(net: Net) -> None:
    """It may be created later."""
    with psycopg.connect(net.database.admin_conninfo, autocommit=True) as admin:
        admin.execute("drop extension pg_net")
    async with aiohttp.ClientSession() as session:
        assert not await pgnet.send_batch(net.connection, session)


async def test_a_dashboard_webhook_sends_the_row_with_its_static_header(net: Net) -> None:
    """`supabase_functions.http_request` works as the trigger that the dashboard makes."""
    await net.connection.execute("create table public.leads (id int, note text)")
    arguments = f"'{net.receiver.url}/hook', 'POST', '{{\"x-hook\": \"static\"}}', '{{}}', '1000'"
    await net.connection.execute(
        f"create trigger hook after insert or update or delete on public.leads for each row "
        f"execute function supabase_functions.http_request({arguments})".encode()
    )
    async with net.working():
        await net.connection.execute("insert into public.leads values (1, 'new')")
        await net.receiver.until(1)
        await net.connection.execute("update public.leads set note = 'old'")
        await net.receiver.until(2)
        await net.connection.execute("delete from public.leads")
        requests = await net.receiver.until(3)

    bodies = [json.loads(request["body"]) for request in requests]
    assert [(body["type"], body["record"], body["old_record"]) for body in bodies] == [
        ("INSERT", {"id": 1, "note": "new"}, None),
        ("UPDATE", {"id": 1, "note": "old"}, {"id": 1, "note": "new"}),
        ("DELETE", None, {"id": 1, "note": "old"}),
    ]
    assert {(body["schema"], body["table"]) for body in bodies} == {("public", "leads")}
    assert {request["headers"]["x-hook"] for request in requests} == {"static"}
    hooks = await net.connection.execute("select hook_name, request_id from supabase_functions.hooks order by id")
    assert await hooks.fetchall() == [("hook", 1), ("hook", 2), ("hook", 3)]
