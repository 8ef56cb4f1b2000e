"""Real processes on a real local Supabase, and the means to hurt them.

LEADHOOK_FAULTS=long runs every test in its full length (`make faults`), without it each is short, and draws the same in
every run. LEADHOOK_SEED repeats what chance did, or draws otherwise.
"""

import os
import random
import secrets
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from _pytest.mark.structures import ParameterSet
from tests.canaries import assert_no_canaries, records
from tests.conftest import LONG, PATIENCE_S, poll
from tests.faults.proxy import Proxy, standing_before
from tests.support.model import Model
from tests.support.processes import Service
from tests.support.project import Project, local_project

from leadhook.local.processes import free_port


@dataclass
class Arena:
    """A project without leads, and the services of one test."""

    project: Project
    chance: random.Random
    exits: ExitStack
    long: bool = LONG
    services: list[Service] = field(default_factory=list)

    def serve(
        self, *, webhooks: bool = False, proxy: Proxy | None = None, executed: bool = False, **settings: str
    ) -> Service:
        """Start a service; it may not be up yet.

        Args:
            webhooks: the webhooks go to it.
            proxy: what stands between it and Supabase.
            executed: not forked, so that its command line and first environment are its own.
            settings: of its environment.
        """
        if not webhooks:
            settings["PORT"] = str(free_port())
        if proxy is not None:
            settings["SUPABASE_URL"] = proxy.url
        log = self.project.directory / f"service-{secrets.token_hex(4)}.log"
        service = Service(self.project.environment(**settings), log, executed=executed)
        self.services.append(service)
        return service

    def proxy(self) -> Proxy:
        """A new one before Supabase."""
        return self.exits.enter_context(standing_before(self.project.facts["supabase_url"]))

    def wait_for_answers(self, leads: Sequence[str], timeout_s: float = PATIENCE_S) -> None:
        """Wait until each of these leads is answered; a failure shows the services' logs."""

        def logs() -> str:
            return "\n".join(service.tail() for service in self.services if service.running)

        self.project.wait_for_answers(leads, timeout_s, logs)

    def wait_until_done(self, leads: Sequence[str], timeout_s: float = PATIENCE_S) -> None:
        """Until these leads are answered and nothing else is under way."""
        self.wait_for_answers(leads, timeout_s)
        self.wait_for_rest()

    def wait_for_rest(self, timeout_s: float = PATIENCE_S) -> None:
        """Until nothing is leased or ready and no outbox row is left."""
        poll(
            lambda: (
                not {"leased", "ready"} & self.project.states().keys()
                and self.project.value("select count(*) from leadhook.outbox") == 0
            ),
            lambda: f"work is left: {self.project.states()}",
            timeout_s,
        )


def mostly_long(rows: Iterable[str], *short: str) -> list[ParameterSet]:
    """Return all rows as parameters, of which only the short ones are run always."""
    return [pytest.param(row, marks=() if row in short else (pytest.mark.long,)) for row in rows]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes a minute or more, or adds little to a shorter one")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long ones out unless they are asked for."""
    left_out = [] if LONG else [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The local project of this worker's fault tests, without a service."""
    model = Model(tmp_path_factory.mktemp("model"))
    try:
        with local_project("--no-service", "--no-sample", model=model) as project:
            yield project
    finally:
        model.stop()


@pytest.fixture
def arena(project: Project, request: pytest.FixtureRequest) -> Iterator[Arena]:
    """No leads, the lease times of an installation, an undisturbed model; every service is dead afterwards."""
    seed = int(os.environ.get("LEADHOOK_SEED") or (secrets.randbelow(10**6) if LONG else 0))
    print(f"{request.node.name}: LEADHOOK_SEED={seed}")  # noqa: T201 - pytest shows it with a failure
    project.reset()
    with ExitStack() as exits:
        arena = Arena(project, random.Random(seed), exits)  # noqa: S311 - a die
        try:
            yield arena
        finally:
            for service in arena.services:
                service.signal(signal.SIGCONT)
                service.kill()
        assert_no_canaries(project.secrets(), [service.log for service in arena.services], records(project.run))
