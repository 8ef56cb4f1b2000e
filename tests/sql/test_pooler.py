"""A pooler in transaction mode is known by what it does, whatever its port; one in session mode works."""

from typing import Literal

import pytest
from tests.conftest import silent
from tests.sql.pooler import pooling

from leadhook.command_error import CommandError
from leadhook.install.files import read_migrations
from leadhook.install.migrate import migrate
from leadhook.local.database import Database

EVERY = read_migrations()


@pytest.mark.parametrize("servers", [1, 2, 3])
@pytest.mark.parametrize("order", ["last", "oldest"])
async def test_a_pooler_in_transaction_mode_is_refused_and_nothing_is_left_behind(
    bare_database: Database, order: Literal["last", "oldest"], servers: int
) -> None:
    """With the remedy; no lock, no setting, no schema."""
    async with pooling(bare_database.conninfo, "transaction", order, servers) as (url, pids):
        with pytest.raises(CommandError) as caught:
            await migrate(url, EVERY, silent)
        with bare_database.connect() as connection:
            query = "select count(*) from pg_locks where locktype = 'advisory' and pid = any (%s)"
            assert connection.execute(query, (pids,)).fetchone() == (0,)
            assert connection.execute("select to_regnamespace('leadhook')").fetchone() == (None,)
    assert "a pooler in transaction mode" in str(caught.value)
    assert "the session pooler" in str(caught.value)


async def test_a_pooler_in_session_mode_works(bare_database: Database) -> None:
    """It hands a server to one client for as long as that stays."""
    async with pooling(bare_database.conninfo, "session", servers=3) as (url, _):
        await migrate(url, EVERY, silent)
    with bare_database.connect() as connection:
        assert connection.execute("select to_regclass('leadhook.jobs') is not null").fetchone() == (True,)
