"""`schema.sql` is what the migrations and webhooks.sql make, in pg_dump's words: a change of them shows as one diff."""

import os
import re
from difflib import unified_diff
from itertools import islice
from pathlib import Path

import pytest
from tests.conftest import POSTGRES, STACKS_OWN
from tests.dump import dump

from leadhook.local.database import Database

SCHEMA = Path(__file__).with_name("schema.sql")
HEAD = (
    f"-- Made by `make schema` from the migrations and webhooks.sql, on Postgres {STACKS_OWN}. "
    "To read, not to run: bodies of functions are in migrations/functions.\n"
)
HEADING = re.compile(r"^--\n-- Name: (.*); Type: .*; Schema: .*\n--\n", re.MULTILINE)
END = "--\n-- PostgreSQL database dump complete"
NOT_OURS = {"public", "SCHEMA public"}
"""The schema itself, which every project has."""
LEFT_OUT = re.compile(r"^(ALTER .* OWNER TO postgres|SET default_\w+ = .*);\n", re.MULTILINE)
"""That its owner is the one who migrated, and pg_dump's settings."""
BODY = re.compile(r"\bAS (\$\w*\$)\n.*?\1;", re.DOTALL)
"""A function's body, which is to the letter that of its file."""
SHOWN_LINES = 40


def statements(database: Database) -> str:
    """Everything of ours in a dump, without what pg_dump says of itself."""
    text = "\n".join(dump(database, "public", "leadhook", rows=False)).partition(END)[0]
    _, *pieces = HEADING.split(text)
    made = [made for name, made in zip(pieces[::2], pieces[1::2], strict=True) if name not in NOT_OURS]
    return HEAD + "".join(f"\n{BODY.sub('AS ...;', LEFT_OUT.sub('', each)).strip()}\n" for each in made)


@pytest.mark.skipif(POSTGRES != STACKS_OWN, reason=f"tests/sql/schema.sql is a dump of Postgres {STACKS_OWN}")
def test_the_schema_is_the_one_in_schema_sql(wired_database: Database) -> None:
    """Tables, functions, triggers, grants and comments, of every migration and of webhooks.sql."""
    made = statements(wired_database)
    if os.environ.get("LEADHOOK_RENEW"):
        SCHEMA.write_text(made)
    kept = SCHEMA.read_text()
    if made != kept:
        lines = unified_diff(kept.splitlines(), made.splitlines(), "schema.sql", "migrations", n=2, lineterm="")
        shown = "\n".join(islice(lines, SHOWN_LINES))
        pytest.fail(f"tests/sql/schema.sql is out of date: run `make schema` and read its diff\n{shown}", pytrace=False)
