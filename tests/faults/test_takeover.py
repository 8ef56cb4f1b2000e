"""A project in use gets leadhook, works with it, and can be rid of it: all of it through the running service."""

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli_project import CliProject, needs_cli
from tests.conftest import LONG, new_webhook_secret, poll
from tests.dump import dump, postgres_program
from tests.faults.living import EXISTING, USER, Living, living, secret_in
from tests.support.model import Model

from leadhook.install.files import WEBHOOKS_NAME
from leadhook.install.webhooks import SECRET_NAME, URL_NAME
from leadhook.local.database import Database

BACKLOG = 50_000 if LONG else 2_000
INSTALL_S = 30 if LONG else 120
FIRST_CALL_S = 2 if LONG else 30
"""Strict on a machine that does nothing else; among other tests, far from the sweep's minutes."""
RELEASED = 100


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    model = Model(tmp_path_factory.mktemp("model"))
    yield model
    model.stop()


@pytest.fixture
def project(bare_database: Database, model: Model, tmp_path: Path) -> Iterator[Living]:
    with living(bare_database, model, tmp_path) as project:
        yield project


def by_install(project: Living) -> str:
    return secret_in(project.leadhook("install", "--yes", "--url", project.webhook_url))


def by_parts(project: Living) -> str:
    """Two commands; the service's sweep finds the backlog."""
    project.leadhook("migrate")
    return secret_in(project.leadhook("webhooks", "install", "--url", project.webhook_url))


def by_cli(project: Living) -> str:
    """The Supabase CLI pushes the copies, psql runs webhooks.sql, and someone fills Vault by hand."""
    theirs = CliProject(project.directory / "theirs")
    project.leadhook("migrate", "--copy-to", str(theirs.migrations))
    theirs.supabase(project.database, "db", "push")
    psql = [str(postgres_program("psql")), "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", project.database.conninfo]
    subprocess.run([*psql, f"--file={theirs.migrations / WEBHOOKS_NAME}"], check=True, capture_output=True)
    secret = new_webhook_secret()
    for name, value in ((URL_NAME, project.webhook_url), (SECRET_NAME, secret)):
        project.run("select vault.create_secret(%s, %s)", value, name)
    return secret


@dataclass(frozen=True)
class Road:
    """A way in, and the tables that it meets."""

    go: Callable[[Living], str]
    schema: str = "other_rpc"


ROADS = [
    pytest.param(Road(by_install), id="install"),
    pytest.param(Road(by_install, "no_keys"), id="install-without-keys", marks=pytest.mark.long),
    pytest.param(Road(by_parts), id="migrate-and-webhooks", marks=pytest.mark.long),
    pytest.param(Road(by_cli), id="supabase-cli", marks=[pytest.mark.long, needs_cli]),
]
SCHEMAS = [schema if schema == "no_keys" else pytest.param(schema, marks=pytest.mark.long) for schema in EXISTING]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_an_existing_project_is_served_and_left_as_it_was(project: Living, schema: str) -> None:
    project.run(EXISTING[schema].read_text())
    before = dump(project.database, "public")
    numbers = project.run("select sequencename::text, last_value from pg_sequences where schemaname = 'public'")
    leads = [f"fresh-{number}" for number in range(8)]

    with project.serve(by_install(project)):
        project.run("insert into public.gemini_api (api_key) values ('visibly-fake-key')")
        project.new_group(USER, "pumps")
        project.bring(leads, (USER, "pumps"), rows_each=2 if schema == "no_keys" else 1)
        wait_for_answers(project, "fresh-%", len(leads))
    assert_one_pair_of_calls(project, leads)

    project.run("delete from public.llm_response where lead_id like 'fresh-%'")
    project.run("delete from public.lead_details where lead_id like 'fresh-%'")
    project.run("delete from public.all_leads where lead_id like 'fresh-%'")
    project.run("delete from public.prompts where tag = 'pumps'")
    project.run("delete from public.gemini_api where api_key = 'visibly-fake-key'")
    for name, last in numbers:
        project.run("select setval(%s, %s, %s)", name, last or 1, last is not None)
    project.leadhook("uninstall", "--purge", "--yes")
    assert dump(project.database, "public") == before


@pytest.mark.parametrize("road", ROADS)
def test_a_backlog_is_held_until_it_is_released(project: Living, road: Road) -> None:
    bring_backlog(project, road.schema)
    began = time.monotonic()
    secret = road.go(project)
    took = time.monotonic() - began
    assert took < INSTALL_S
    assert project.model.calls() == []

    with project.serve(secret, MAX_CONCURRENCY="4") as service:
        during = time_of_first_call(project, "during-the-first-round")
        poll(lambda: project.states().get("held") == BACKLOG, lambda: f"{project.states()}\n{service.tail()}")
        after = time_of_first_call(project, "after-the-first-round")
        poll(lambda: {"ready", "leased"}.isdisjoint(project.states()), service.tail)
        assert set(names(project)) == {"during-the-first-round", "after-the-first-round"}

        project.model.forget()
        project.model.behave(latency_ms=200)
        project.leadhook("backlog", "release", "--limit", str(RELEASED), "--yes")
        amid = time_of_first_call(project, "amid-the-release")
        called = set(names(project))
        assert len(called) < RELEASED, "the release was over before a fresh lead came"
        wait_for_answers(project, "old-%", RELEASED)
        wait_for_answers(project, "amid-%", 1)
        poll(lambda: {"ready", "leased"}.isdisjoint(project.states()), service.tail)
    print(  # noqa: T201 - the figures are for people
        f"{BACKLOG} old leads: installed in {took:.1f} s; from a fresh lead's commit to its first call {during:.2f} s"
        f" at the start, {after:.2f} s once all are held, {amid:.2f} s amid a release"
    )
    assert project.states()["held"] == BACKLOG - RELEASED
    assert project.count_answered("%") == project.value("select count(*) from public.llm_response") == RELEASED + 3
    released = [row[0] for row in project.run("select lead_id from public.llm_response where lead_id like 'old-%'")]
    assert_one_pair_of_calls(project, [*released, "amid-the-release"])


@pytest.mark.parametrize("waits", ["held", "without prompts"])
@pytest.mark.long
def test_one_prompts_row_sets_off_what_was_there_before(project: Living, waits: str) -> None:
    bring_backlog(project, "other_rpc", prompted=waits == "held")
    with project.serve(by_install(project)) as service:
        state = {"held": BACKLOG} if waits == "held" else {"waiting": BACKLOG}
        assert project.states() == state
        assert project.model.calls() == []
        project.new_group(USER, "old")
        committed_at = time.time()
        poll(lambda: bool(project.model.calls()), service.tail)
        waited = project.model.calls()[0]["time"] / 1000 - committed_at
    print(f"{BACKLOG} leads {waits}: first call {waited:.2f} s after the prompts row")  # noqa: T201 - a figure for people
    assert waited <= FIRST_CALL_S


def bring_backlog(project: Living, schema: str, *, prompted: bool = True) -> None:
    """Tables, a key, and leads that are eligible, or would be but for a prompts row."""
    project.run(EXISTING[schema].read_text())
    project.run("delete from public.llm_response")
    project.run("delete from public.all_leads where lead_id = 'twice'")
    project.run("insert into public.gemini_api (api_key) values ('visibly-fake-key')")
    project.load(BACKLOG, "old")
    if prompted:
        project.new_group(USER, "old")


def time_of_first_call(project: Living, lead: str) -> float:
    """From the commit of a fresh lead, of the backlog's user and tag, to its first call, in seconds; few at most."""
    project.bring([lead], (USER, "old"))
    committed_at = time.time()
    poll(lambda: lead in names(project), lambda: f"no call for {lead}: {project.states()}")
    waited: float = min(call["time"] for call in project.model.calls() if call["name"] == lead) / 1000 - committed_at
    assert waited <= FIRST_CALL_S
    return waited


def names(project: Living) -> list[str]:
    """Whom the model was asked about; a lead's name is its id."""
    return [call["name"] for call in project.model.calls()]


def wait_for_answers(project: Living, like: str, count: int) -> None:
    poll(
        lambda: project.count_answered(like) >= count,
        lambda: f"{project.count_answered(like)} of {count}: {project.states()}",
        120,
    )


def assert_one_pair_of_calls(project: Living, leads: list[str]) -> None:
    """A score each, a message from 50 up, nothing twice and nothing for anyone else."""
    scores = dict(project.run("select lead_id, score from public.llm_response where lead_id = any (%s)", leads))
    assert sorted(scores) == sorted(leads)
    assert {score >= 50 for score in scores.values()} == {True, False} or len(leads) < 2
    wanted = {(lead, "score"): 1 for lead in leads}
    wanted |= {(lead, "message"): 1 for lead, score in scores.items() if score >= 50}
    assert dict(project.model.questions()) == wanted
