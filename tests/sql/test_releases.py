"""leadhook is the same on every release of Postgres that hosted projects have."""

from tests.conftest import POSTGRES
from tests.sql.conftest import Sql


def test_the_release_under_test_is_the_one_that_was_asked_for(db: Sql) -> None:
    """LEADHOOK_POSTGRES names it."""
    assert db.value("select current_setting('server_version_num')::int / 10000") == int(POSTGRES)
