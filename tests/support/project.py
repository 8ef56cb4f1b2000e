"""A whole local project in its own processes, and its application: `leadhook local up` under test."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
from tests.canaries import assert_no_canaries, records, secrets_of
from tests.support.application import Application
from tests.support.clusters import open_directory
from tests.support.model import Model
from tests.support.processes import LocalStack, ask

from leadhook.local.keys import Keys, keys_of
from leadhook.local.state import service_environment

SHORT_LEASES = {"lease_s": 3, "renew_s": 1, "start_limit_s": 1.5}
"""For tests that wait for a lease to end. On a busy machine one may end that should not."""
KEYS = [f"visibly-fake-key-{n}" for n in range(3)]
OURS = "outbox, jobs, attempts, results, webhooks, replays, replay_leads, api_keys, pauses, budgets, costs"


class Project(Application):
    """A local stack, which may be ended and started again on the same data, and the model of its leads."""

    def __init__(self, directory: Path, model: Model | None, *arguments: str, **settings: str) -> None:
        self.directory = directory
        self._model = model
        self._arguments = arguments
        self._settings = settings | ({} if model is None else {"GEMINI_BASE_URL": model.url})
        self._keys: set[str] = set()
        self.start()

    def start(self) -> None:
        self._stack = LocalStack(self.directory, *self._arguments, **self._settings)
        try:
            self.facts: dict[str, Any] = self._stack.facts()
        except BaseException:
            self._stack.stop()
            raise
        super().__init__(self.facts["database_url"])

    def stop(self) -> None:
        """End all of it; the data is kept."""
        self.close()
        self._stack.stop()

    @property
    def model(self) -> Model:
        assert self._model is not None, "the shipped stand-in answers"
        return self._model

    @property
    def service_log(self) -> Path:
        return self.directory / "service.log"

    def tail(self) -> str:
        return "\n".join(self.service_log.read_text().splitlines()[-20:]) if self.service_log.exists() else ""

    def environment(self, **settings: str) -> dict[str, str]:
        """Return what a service needs; PORT is the one that the webhooks go to unless it is named."""
        return service_environment(self.facts) | {"SWEEP_INTERVAL_SEC": "3600", "LOG_LEVEL": "debug"} | settings

    def reset(self, *, lease_s: float = 30, renew_s: float = 10, start_limit_s: float = 15) -> None:
        """Forget every lead, and set the lease times; by default to those of an installation."""
        self.run("truncate public.all_leads, public.lead_details, public.prompts, public.llm_response")
        self.run(f"truncate {', '.join(f'leadhook.{table}' for table in OURS.split(', '))}")
        self.set_keys(*KEYS)
        self.run(
            "update leadhook.controls set lease_s = %s, renew_s = %s, start_limit_s = %s,"
            " max_attempts = 5, backlog = 'run', sweep_phase = 'leads', sweep_after_lead = '',"
            " first_round_finished_at = clock_timestamp()",
            lease_s, renew_s, start_limit_s,
        )  # fmt: skip
        self.model.behave()
        self.model.forget()

    def set_keys(self, *keys: str) -> None:
        super().set_keys(*keys)
        self._keys.update(keys)

    def ask(self, path: str, *, method: str = "GET", body: object = None) -> Any:
        """Send the stack's service a request as an admin; a refusal is returned as its JSON, too."""
        return ask(f"{self.facts['service_url']}/{path}", method=method, body=body, token=self.facts["admin_token"])

    def signed_in(self, user: UUID) -> str:
        """Return the token of a signed-in user."""
        claims = {"sub": str(user), "role": "authenticated", "exp": int(time.time()) + 3600}
        return jwt.encode(claims, self.keys.jwt_secret, "HS256")

    @property
    def keys(self) -> Keys:
        return keys_of(self.directory / "secrets.json")

    def secrets(self) -> set[str]:
        return self._keys | secrets_of(self.facts)


@contextmanager
def local_project(*arguments: str, model: Model | None = None, **settings: str) -> Iterator[Project]:
    """Run a project in a temporary directory during the block; then no log and no record contains a secret.

    Args:
        arguments: of `leadhook local up`.
        model: answers the leads; the shipped stand-in does if None.
        settings: of its environment.
    """
    with open_directory("project-") as directory:
        project = Project(directory, model, *arguments, **settings)
        try:
            yield project
            bare = project.value("select to_regnamespace('leadhook')") is None
            kept = "" if bare else records(project.run)
        finally:
            project.stop()
        assert_no_canaries(project.secrets(), [log for log in [project.service_log] if log.exists()], kept)
