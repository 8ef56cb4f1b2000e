"""`leadhook local up --bare`: the dump of a project whose users sign in loads, works, and takes leadhook in."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen
from uuid import UUID, uuid4

import pytest
from tests.conftest import PATIENCE_S
from tests.support.processes import run_leadhook
from tests.support.project import Project, local_project

from leadhook.command_error import CommandError
from leadhook.local.state import State

DUMP: Final = (Path(__file__).parents[1] / "sql/existing/dump_with_auth.sql").read_text()
EVA: Final = UUID("00000000-0000-4000-8000-000000000001")
OURS: Final = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('public', 'leadhook')"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Project]:
    with local_project("--bare") as stack:
        yield stack


def test_a_bare_database_takes_the_dump_and_then_leadhook(stack: Project) -> None:
    assert stack.run(OURS) == []
    stack.connection.execute(DUMP.encode())
    other = uuid4()
    stack.run(
        "insert into auth.users (id, email, raw_user_meta_data) values (%s, 'jo@example.com', %s::jsonb)",
        other,
        json.dumps({"full_name": "Jo"}),
    )
    assert stack.run("select full_name from public.profiles order by 1") == [("Eva Brandt",), ("Jo",)]

    plan = leadhook(stack, "install", "--plan")
    assert "public.all_leads" in plan
    assert stack.run("select to_regnamespace('leadhook')") == [(None,)]
    leadhook(stack, "install", "--yes", "--url", stack.facts["webhook_url"])

    stack.run("insert into public.gemini_api (api_key) values ('visibly-fake-gemini-key')")
    for user, lead in ((EVA, "of-eva"), (other, "of-jo")):
        stack.run("insert into public.prompts (user_id, tag) values (%s, 'pumps')", user)
        stack.bring([lead], (user, "pumps"))
    assert read(stack, "all_leads", EVA) == [{"lead_id": "of-eva"}]
    assert read(stack, "all_leads", other) == [{"lead_id": "of-jo"}]
    assert read(stack, "all_leads", None) == []

    claimed = claim(stack)
    assert {lead["lead_id"] for lead in claimed["leads"]} == {"of-eva", "of-jo"}
    stack.run("insert into public.llm_response (lead_id, score) values ('of-eva', 80), ('of-jo', 20)")
    assert read(stack, "my_answers", EVA) == [{"lead_id": "of-eva"}]

    stack.run("delete from auth.users where id = %s", EVA)
    claim(stack)
    for table in ("public.all_leads", "public.lead_details", "public.llm_response", "leadhook.jobs"):
        assert stack.run(f"select lead_id from {table}") == [("of-jo",)], table  # noqa: S608 - a name from above


def test_the_functions_of_auth_read_either_kind_of_claims(stack: Project) -> None:
    asked = "select auth.uid()::text, auth.role(), auth.email(), auth.jwt()"
    claims = {"sub": str(EVA), "role": "authenticated", "email": "eva@example.com"}
    identity = (str(EVA), "authenticated", "eva@example.com")
    assert stack.run(asked) == [(None, None, None, None)]
    with stack.connection.transaction():
        stack.run("select set_config('request.jwt.claims', %s, true)", json.dumps(claims))
        assert stack.run(asked) == [(*identity, claims)]
    with stack.connection.transaction():
        for name, value in claims.items():
            stack.run("select set_config(%s, %s, true)", f"request.jwt.claim.{name}", value)
        assert stack.run(asked) == [(*identity, None)]


def test_local_env_works_and_names_no_webhook_secret(stack: Project) -> None:
    """`leadhook install` makes the secret, so a bare stack has none to print."""
    lines = leadhook(stack, "local", "env", str(stack.directory)).splitlines()
    names = {line.removeprefix("export ").partition("=")[0] for line in lines}
    assert {"DATABASE_URL", "SUPABASE_URL", "SUPABASE_SECRET_KEY", "SERVICE_URL"} <= names
    assert "WEBHOOK_SECRETS" not in names


@pytest.mark.parametrize("given", ["--sample", "--service"])
def test_bare_with_what_contradicts_it_is_refused(tmp_path: Path, given: str) -> None:
    done = run_leadhook("local", "up", f"--state-dir={tmp_path / 'stack'}", "--bare", given)
    assert done.returncode == 2
    assert "--bare starts without sample leads" in done.stderr
    assert not (tmp_path / "stack").exists()


@pytest.mark.parametrize(("first", "remedy"), [(True, "add --bare"), (False, "omit --bare")])
def test_a_state_directory_keeps_its_kind(tmp_path: Path, remedy: str, *, first: bool) -> None:
    """A later start of the other kind would migrate a rehearsal, or leave leads of a used one without triggers."""
    state = State(tmp_path)
    state.keep_kind(bare=first)
    state.keys()
    state.keep_kind(bare=first)
    with pytest.raises(CommandError, match=f"{remedy}, or use another --state-dir"):
        state.keep_kind(bare=not first)
    state.keep_kind(bare=first)


def leadhook(stack: Project, *arguments: str) -> str:
    done = run_leadhook(*arguments, settings={"DATABASE_URL": stack.facts["database_url"]})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def read(stack: Project, table: str, user: UUID | None) -> Any:
    """The lead ids that a signed-in user reads through the gateway; a stranger when None."""
    token = stack.keys.anon_key if user is None else stack.signed_in(user)
    return ask(stack, f"{table}?select=lead_id", stack.keys.publishable_key, token)


def claim(stack: Project) -> Any:
    limits = {"p_limit": 10, "p_low_priority_limit": 10}
    body = {"p_token": str(uuid4()), "p_worker": "test"} | limits
    return ask(stack, "rpc/leadhook_claim", stack.facts["secret_key"], None, body)


def ask(stack: Project, path: str, key: str, token: str | None, body: object = None) -> Any:
    headers = {"apikey": key, "Content-Type": "application/json"} | (
        {"Authorization": f"Bearer {token}"} if token else {}
    )
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{stack.facts['supabase_url']}/rest/v1/{path}", data=data, headers=headers)  # noqa: S310 - ours
    with urlopen(request, timeout=PATIENCE_S) as reply:  # noqa: S310 - ours
        return json.loads(reply.read())
