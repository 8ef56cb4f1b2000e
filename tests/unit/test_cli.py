"""The command line: exit codes, words instead of tracebacks."""

import importlib.metadata
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.commands import Run, runner, use_store
from tests.conftest import PATIENCE_S

from leadhook import __version__
from leadhook.cli import database
from leadhook.command_error import CommandError
from leadhook.domain.forecast import TextSize
from leadhook.domain.status import Scope
from leadhook.install.install import InstallOptions
from leadhook.settings import SettingsError
from leadhook.store import Admission, Backlog, BudgetSet, Paused, Resumed, StoreError
from leadhook.store.operators import HeldGroup, Released

URL = "https://example.com/webhooks/leads"


@pytest.fixture
def leadhook(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(monkeypatch, capsys)


def test_help_lists_every_command_with_its_summary(leadhook: Run) -> None:
    for arguments in ((), ("--help",)):
        code, shown, _ = leadhook(*arguments)
        assert code == 0
        assert all(
            f"{command}  " in shown for command in ("serve", "install", "migrate", "backlog", "explain", "uninstall")
        )
        assert all(summary in shown for summary in ("Run the service.", "Limit the cost of leads per day."))


def test_the_module_is_the_program() -> None:
    command = [sys.executable, "-m", "leadhook", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert done.stdout.strip() == __version__


def test_ctrl_c_during_the_imports_ends_without_a_traceback() -> None:
    script = (
        "import sys, runpy\n"
        "class Interrupts:\n"
        "    def find_spec(name, *_):\n"
        "        if name == 'cyclopts': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupts)\n"
        "runpy.run_module('leadhook', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stderr) == (130, "")
    (program,) = importlib.metadata.entry_points(group="console_scripts", name="leadhook")
    assert program.value == "leadhook.__main__:main"


def test_serve_names_every_setting_that_is_missing_and_exits_2(leadhook: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_CONCURRENCY", "many")
    code, out, err = leadhook("serve")
    assert (code, out) == (2, "")
    assert all(name in err for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY", "MAX_CONCURRENCY"))
    assert err.startswith("leadhook: these settings are missing or invalid:\n  ")
    assert ".env" in err.splitlines()[-1]


@pytest.mark.parametrize(
    "command",
    [
        ("explain", "a"),
        ("backlog", "status"),
        ("backlog", "release", "--limit", "100", "--dry-run"),
        ("replay", "--all"),
        ("pause",),
    ],
)
def test_operators_commands_ask_for_their_settings(leadhook: Run, command: tuple[str, ...]) -> None:
    """They go by the API, and need no DATABASE_URL."""
    code, out, err = leadhook(*command)
    assert (code, out) == (2, "")
    assert all(name in err for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY"))


def test_replay_reports_a_missing_filter_before_missing_settings(leadhook: Run) -> None:
    code, _, err = leadhook("replay")
    assert (code, err.startswith("leadhook: name the leads with --lead-id")) == (2, True)


def test_the_settings_of_a_stack_that_is_down_make_the_shell_line_fail(leadhook: Run, tmp_path: Path) -> None:
    """`eval "$(leadhook local env DIR)" && leadhook serve` must not serve with other settings."""
    code, out, err = leadhook("local", "env", str(tmp_path))
    assert (code, out, "no local stack is running" in err) == (1, "false\n", True)


def test_copies_need_the_folder_of_the_supabase_cli(
    leadhook: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = leadhook("migrate", "--copy-to", "supabase/migrations")
    assert (code, "does not exist" in err, "`supabase init`" in err) == (2, True, True)


def test_serve_takes_the_port_from_its_argument_first(leadhook: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8000")
    code, _, err = leadhook("serve", "--port", "70000")
    assert code == 2
    assert "--port" in err


@pytest.mark.parametrize(
    "command",
    [
        ("migrate",),
        ("webhooks", "install", "--url", URL),
        ("install", "--yes", "--url", URL),
        ("install", "--plan"),
        ("uninstall", "--purge"),
    ],
)
def test_installers_say_that_database_url_is_missing_and_exit_2(leadhook: Run, command: tuple[str, ...]) -> None:
    code, out, err = leadhook(*command)
    assert (code, out) == (2, "")
    assert err.startswith("leadhook: DATABASE_URL is not set")


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What `install` would do, without a database: the orders that got through."""
    orders: list[object] = []

    async def plan(*_: object) -> list[str]:
        return ["the plan"]

    async def install(_: str, order: object, *__: object) -> str:
        orders.append(order)
        return "whsec_visibly_fake"

    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere")
    monkeypatch.setattr(database, "make_plan", plan)
    monkeypatch.setattr(database, "install_everything", install)
    return orders


def test_install_asks_on_a_terminal(leadhook: Run, asked_for: list[object]) -> None:
    code, out, err = leadhook("install", "--url", URL, typed="y\n")
    assert (code, out) == (0, "WEBHOOK_SECRETS=whsec_visibly_fake\n")
    assert err == "the plan\nInstall? [y/N] "
    assert len(asked_for) == 1


@pytest.mark.parametrize("typed", ["n\n", "\n", "", "yeah\n"])
def test_install_takes_no_for_no(leadhook: Run, asked_for: list[object], typed: str) -> None:
    code, out, err = leadhook("install", "--url", URL, typed=typed)
    assert (code, out) == (1, "")
    assert err.endswith("leadhook: nothing was changed\n")
    assert asked_for == []


def test_install_without_a_terminal_needs_yes(leadhook: Run, asked_for: list[object]) -> None:
    code, _, err = leadhook("install", "--url", URL)
    assert code == 2
    assert "nothing was changed: there is no terminal to ask at. --yes" in err
    assert asked_for == []
    assert leadhook("install", "--url", URL, "--yes", "--lock-down", "--backlog", "run")[0] == 0
    assert asked_for == [InstallOptions(URL, backlog="run", lock_down=True)]


def test_install_wants_a_url_unless_it_only_plans(leadhook: Run, asked_for: list[object]) -> None:
    code, _, err = leadhook("install", "--yes")
    assert code == 2
    assert "--url is missing, the address that the database sends webhooks to" in err
    assert leadhook("install", "--plan") == (0, "the plan\n", "")
    assert asked_for == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("pause", "--tag", "a"), "--tag needs --user"),
        (("resume", "--tag", "a"), "--tag needs --user"),
        (("pause", "--user", "somebody"), "somebody"),
        (("budget", "set"), "requires an argument"),
        (("budget", "set", "much"), "DAILY-USD"),
        (("budget", "set", "--", "-1"), ">= 0"),
        (("budget", "set", "nan"), "Must be"),
        (("budget", "set", "inf"), "<= 1000000"),
        (("budget", "set", "1", "--user", "x"), "x"),
        (("backlog", "release", "--limit", "0"), "--limit"),
        (("backlog", "release", "--user", "somebody"), "somebody"),
        (("backlog", "release", "--since", "yesterday"), "2026-11-28T09:00"),
        (("replay", "--until", "28.11.2026"), "2026-11-28T09:00"),
    ],
)
def test_what_a_command_cannot_read_exits_2(leadhook: Run, arguments: tuple[str, ...], sentence: str) -> None:
    code, _, err = leadhook(*arguments)
    assert (code, sentence in err) == (2, True), err


class _Recorder:
    """A store that notes what it is asked, and has no backlog and no budget."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    async def pause(self, scope: Scope, actor: str, reason: str | None) -> Paused:
        self.asked.append(("pause", scope, actor, reason))
        return Paused(paused=True, already=False)

    async def resume(self, scope: Scope, actor: str, reason: str | None) -> Resumed:
        self.asked.append(("resume", scope, actor, reason))
        return Resumed(resumed=True)

    async def admission(self) -> Admission:
        return Admission()

    async def set_budget(
        self, user_id: UUID | None, daily_usd: float | None, actor: str, reason: str | None
    ) -> BudgetSet:
        self.asked.append(("budget", user_id, daily_usd, actor, reason))
        return BudgetSet(daily_usd=daily_usd, left_usd=daily_usd)

    async def backlog(self, *given: object, redo: bool) -> Backlog:
        self.asked.append(("backlog", *given, redo))
        nothing = TextSize(leads=0, score_chars=0, message_chars=0)
        return Backlog(backlog="hold", released=0, leased=0, sent_while_leased=0, size=nothing)


@pytest.fixture
def recorder(leadhook: Run, monkeypatch: pytest.MonkeyPatch) -> _Recorder:
    del leadhook
    recorder = _Recorder()
    use_store(monkeypatch, recorder)
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    return recorder


def test_admission_hands_on_what_was_asked_for_and_by_whom(leadhook: Run, recorder: _Recorder) -> None:
    user = "00000000-0000-4000-8000-000000000001"
    assert leadhook("pause", "--user", user, "--tag", "a", "--reason", "why")[0] == 0
    assert leadhook("resume", "--reason", "fixed")[0] == 0
    assert leadhook("budget", "set", "2.50", "--user", user)[0] == 0
    assert leadhook("budget", "clear", "--reason", "tests")[0] == 0
    assert recorder.asked == [
        ("pause", Scope(user_id=UUID(user), tag="a"), "cli:ada", "why"),
        ("resume", Scope(), "cli:ada", "fixed"),
        ("budget", UUID(user), 2.5, "cli:ada", None),
        ("budget", None, None, "cli:ada", "tests"),
    ]


def test_release_hands_on_what_was_asked_for(leadhook: Run, recorder: _Recorder) -> None:
    """A time without a zone is UTC."""
    user = "00000000-0000-4000-8000-000000000001"
    arguments = ("--user", user, "--tag", "a", "--limit", "5", "--since", "2026-11-01", "--redo", "--yes")
    assert leadhook("backlog", "release", *arguments)[0] == 0
    assert recorder.asked == [("backlog", UUID(user), "a", datetime(2026, 11, 1, tzinfo=UTC), True)]


def test_a_release_that_ends_early_shows_how_many_it_released(
    leadhook: Run, recorder: _Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = TextSize(leads=700, score_chars=0, message_chars=0)
    group = HeldGroup(held=700, user_id=UUID(int=1), tag="founders", answered=0, sent=0)
    held = Backlog(backlog="hold", released=0, leased=0, sent_while_leased=0, size=size, groups=(group,))
    replies = iter([Released(last_lead="lead-500", released=500, answered=0, unwanted=0)])

    async def backlog(*_: object, **__: object) -> Backlog:
        return held

    async def release_backlog(*_: object, **__: object) -> Released:
        if reply := next(replies, None):
            return reply
        raise StoreError("unavailable", "connection_failed", "the database cannot be reached")

    monkeypatch.setattr(recorder, "backlog", backlog)
    monkeypatch.setattr(recorder, "release_backlog", release_backlog, raising=False)
    code, out, err = leadhook("backlog", "release", "--yes")
    assert (code, out) == (1, "500 of about 700 released\n")
    assert "the database cannot be reached" in err


def test_release_without_held_leads_asks_nothing(leadhook: Run, recorder: _Recorder) -> None:
    code, out, err = leadhook("backlog", "release")
    assert (code, out, err, len(recorder.asked)) == (0, "no lead is held\n", "", 1)


def test_release_without_a_terminal_needs_yes(
    leadhook: Run, recorder: _Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = HeldGroup(held=7, user_id=UUID(int=1), tag="founders", answered=0, sent=0)
    backlog = recorder.backlog

    async def held(*given: object, **more: Any) -> Backlog:
        return (await backlog(*given, **more)).model_copy(update={"groups": (group,)})

    monkeypatch.setattr(recorder, "backlog", held)
    code, out, err = leadhook("backlog", "release")
    assert (code, "7 leads would be released" in out) == (2, True)
    assert "there is no terminal to ask at. --yes releases them" in err
    code, _, err = leadhook("backlog", "release", typed="n\n")
    assert (code, err.endswith("leadhook: nothing was changed\n")) == (1, True)
    assert len(recorder.asked) == 2


@pytest.mark.parametrize(
    "url",
    [
        "leads.example.com",
        "ftp://example.com/",
        "https://",
        "https://user:password@example.com/",
        "https://example.com/a b",
        "https://example.com/#leads",
        "http://example.com:99999/",
        "http://[::1",
    ],
)
@pytest.mark.parametrize("command", ["webhooks install --url", "doctor --service"])
def test_an_address_that_no_one_could_call_is_refused(leadhook: Run, command: str, url: str) -> None:
    code, out, err = leadhook(*command.split(), url)
    assert (code, out) == (2, "")
    assert f"for {command.rsplit(maxsplit=1)[-1]}" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--json", "status"), ("leadhook status --json",)),
        (("serves",), ('Did you mean "serve"?', "migrate", "Try `leadhook --help`.")),
        (("serve", "--port", "99999"), ("--port", "<= 65535", "Try `leadhook serve --help`.")),
        (("budget", "set"), ("Try `leadhook budget set --help`.",)),
        (("replay", "--what"), ("--what", "Try `leadhook replay --help`.")),
    ],
)
def test_a_command_that_cannot_be_read_says_where_to_read_on(
    leadhook: Run, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    code, out, err = leadhook(*arguments)
    assert (code, out) == (2, "")
    assert [word in err for word in words] == [True] * len(words), err


@pytest.mark.parametrize(("typed", "asked", "purged"), [("y\n", True, True), ("n\n", True, False), ("", False, False)])
@pytest.mark.parametrize("yes", [False, True])
def test_a_purge_is_asked_about(
    leadhook: Run, monkeypatch: pytest.MonkeyPatch, typed: str, *, asked: bool, purged: bool, yes: bool
) -> None:
    done: list[object] = []

    async def describe(_: str) -> list[str]:
        return ["would drop everything"]

    async def uninstall(_: str, **given: object) -> None:
        done.append(given["purge"])

    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere")
    monkeypatch.setattr(database, "describe_purge", describe)
    monkeypatch.setattr(database, "uninstall_from_database", uninstall)
    code, _, err = leadhook("uninstall", "--purge", *(["--yes"] if yes else []), typed=typed if asked else None)
    assert (done == [True]) == (purged or yes)
    assert code == (0 if purged or yes else 1 if asked else 2)
    assert ("would drop everything" in err) == (not yes)
    assert leadhook("uninstall")[0] == 0
    assert done[-1] is False


def test_a_dotenv_file_is_read_and_the_environment_wins(
    leadhook: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("# a comment\nMAX_CONCURRENCY=hunter2\nexport PORT='hunter2'\nDRAIN_SEC=${HOME}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setenv("PORT", "8000")
    code, out, err = leadhook("serve")
    assert (code, out) == (2, "")
    assert "MAX_CONCURRENCY:" in err
    assert "DRAIN_SEC:" in err
    assert "PORT:" not in err
    assert "hunter2" not in err


def test_a_line_of_the_dotenv_file_that_cannot_be_read_is_named(
    leadhook: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("A=1\nB='hunter2\nMAX_CONCURRENCY=many\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    _, _, err = leadhook("serve")
    assert err.startswith("leadhook: .env, line 2: not `NAME=value` (a missing quote?); it is ignored\n")
    assert "MAX_CONCURRENCY:" in err
    assert "hunter2" not in err


def test_a_dotenv_file_that_cannot_be_read_is_a_wrong_setting(
    leadhook: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"A=\xff")
    assert leadhook("migrate") == (2, "", "leadhook: .env can't be read: it is not UTF-8 text\n")
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()
    assert leadhook("migrate")[2].startswith("leadhook: DATABASE_URL is not set")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("words"), 1),
        (SettingsError("words"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(
    leadhook: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(database, "copy_migrations", fail)
    assert leadhook("migrate", "--copy-to", "x") == (code, "", "" if code == 130 else "leadhook: words\n")
