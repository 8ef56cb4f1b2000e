"""The command line: exit codes, words instead of tracebacks, and nothing imported that a command does not need."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from leadhook import __version__, cli
from leadhook.install import commands
from leadhook.install.backlog import Wish
from leadhook.install.failure import InstallError
from leadhook.install.gates import Scope
from leadhook.install.install import Order
from leadhook.local.failure import LocalStackError
from leadhook.settings import Settings, SettingsError

URL = "https://example.com/webhooks/leads"
Run = Callable[..., tuple[object, str, str]]


@pytest.fixture
def leadhook(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command without any setting in the environment; answers exit code, stdout and stderr."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def run(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["leadhook", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code or 0, *capsys.readouterr()

    return run


def test_help_names_every_command(leadhook: Run) -> None:
    """Without arguments as well."""
    for arguments in ((), ("--help",)):
        code, shown, _ = leadhook(*arguments)
        assert code == 0
        assert all(
            f"{command}  " in shown for command in ("serve", "install", "migrate", "backlog", "explain", "uninstall")
        )


def test_the_module_is_the_program() -> None:
    """`python -m leadhook`, with the version of the package."""
    command = [sys.executable, "-m", "leadhook", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == __version__


def test_serve_names_every_setting_that_is_missing_and_exits_2(leadhook: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, in words."""
    monkeypatch.setenv("MAX_CONCURRENCY", "many")
    code, out, err = leadhook("serve")
    assert (code, out) == (2, "")
    assert all(name in err for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY", "MAX_CONCURRENCY"))


def test_explain_asks_for_its_settings(leadhook: Run) -> None:
    """It goes by the API, and needs no DATABASE_URL."""
    code, out, err = leadhook("explain", "a")
    assert (code, out) == (2, "")
    assert all(name in err for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY"))


def test_serve_takes_the_port_from_its_argument_first(leadhook: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong one is blamed by the option's name."""
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
        ("backlog", "status"),
        ("backlog", "release", "--limit", "100", "--dry-run"),
        ("uninstall", "--purge"),
    ],
)
def test_installers_say_that_database_url_is_missing_and_exit_2(leadhook: Run, command: tuple[str, ...]) -> None:
    """They read nothing else from the environment."""
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
    monkeypatch.setattr(commands, "make_plan", plan)
    monkeypatch.setattr(commands, "install_everything", install)
    return orders


def answer(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    """A person at a terminal."""
    terminal = io.StringIO(typed)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)


def test_install_asks_on_a_terminal(leadhook: Run, asked_for: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    """After the plan; only the service's line goes to stdout."""
    answer(monkeypatch, "y\n")
    code, out, err = leadhook("install", "--url", URL)
    assert (code, out) == (0, "WEBHOOK_SECRETS=whsec_visibly_fake\n")
    assert err == "the plan\nInstall? [y/N] "
    assert len(asked_for) == 1


@pytest.mark.parametrize("typed", ["n\n", "\n", "", "yeah\n"])
def test_install_takes_no_for_no(
    leadhook: Run, asked_for: list[object], monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """And whatever is not yes."""
    answer(monkeypatch, typed)
    code, out, err = leadhook("install", "--url", URL)
    assert (code, out) == (1, "")
    assert err.endswith("leadhook: nothing was changed\n")
    assert asked_for == []


def test_install_without_a_terminal_wants_a_yes(
    leadhook: Run, asked_for: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a script nobody could answer: it says so and exits 2."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    code, _, err = leadhook("install", "--url", URL)
    assert code == 2
    assert "nothing was changed: there is no terminal to ask at. --yes" in err
    assert asked_for == []
    assert leadhook("install", "--url", URL, "--yes", "--lock-down", "--backlog", "run")[0] == 0
    assert asked_for == [Order(URL, backlog="run", lock_down=True)]


def test_install_wants_a_url_unless_it_only_plans(leadhook: Run, asked_for: list[object]) -> None:
    """Before it looks at the database."""
    code, _, err = leadhook("install", "--yes")
    assert code == 2
    assert "--url says where the database rings" in err
    assert leadhook("install", "--plan") == (0, "the plan\n", "")
    assert asked_for == []


@pytest.mark.parametrize(
    ("arguments", "told"),
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
    ],
)
def test_gates_refuse_what_they_can_not_read(leadhook: Run, arguments: tuple[str, ...], told: str) -> None:
    """Exit 2, before they look at the database."""
    code, _, err = leadhook(*arguments)
    assert (code, told in err) == (2, True), err


def test_gates_hand_on_what_was_asked_for(leadhook: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a user they mean everything."""
    handed: list[object] = []
    monkeypatch.setattr(commands, "pause", lambda *given: handed.append(("pause", *given)))
    monkeypatch.setattr(commands, "resume", lambda *given: handed.append(("resume", *given)))
    monkeypatch.setattr(commands, "set_budget", lambda *given: handed.append(("budget", *given)))
    user = "00000000-0000-4000-8000-000000000001"
    assert leadhook("pause", "--user", user, "--tag", "a", "--reason", "why")[0] == 0
    assert leadhook("resume")[0] == 0
    assert leadhook("budget", "set", "2.50", "--user", user)[0] == 0
    assert leadhook("budget", "clear")[0] == 0
    assert handed == [
        ("pause", Scope(UUID(user), "a"), "why"),
        ("resume", Scope()),
        ("budget", UUID(user), 2.5),
        ("budget", None, None),
    ]


@pytest.mark.parametrize("arguments", [("--limit", "0"), ("--user", "somebody"), ("--since", "yesterday")])
def test_release_refuses_what_it_can_not_read(leadhook: Run, arguments: tuple[str, ...]) -> None:
    """Exit 2, before it looks at the database."""
    assert leadhook("backlog", "release", *arguments)[0] == 2


def test_release_hands_on_what_was_asked_for(leadhook: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time without a zone is UTC."""
    handed: list[object] = []
    monkeypatch.setattr(commands, "release_the_backlog", lambda wish, *, dry_run: handed.append((wish, dry_run)))
    user = "00000000-0000-4000-8000-000000000001"
    arguments = ("--user", user, "--tag", "a", "--limit", "5", "--since", "2026-11-01", "--redo")
    assert leadhook("backlog", "release", *arguments)[0] == 0
    assert handed == [(Wish(UUID(user), "a", datetime(2026, 11, 1, tzinfo=UTC), 5, redo=True), False)]


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
    ],
)
def test_webhooks_install_refuses_what_the_database_could_not_ring(leadhook: Run, url: str) -> None:
    """Before it looks at the database."""
    code, out, err = leadhook("webhooks", "install", "--url", url)
    assert (code, out) == (2, "")
    assert "for --url" in err


def test_an_unknown_command_exits_2(leadhook: Run) -> None:
    """With the ones that there are."""
    code, _, err = leadhook("serves")
    assert code == 2
    assert "migrate" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--json", "status"), ("leadhook status --json",)),
        (("serves",), ('Did you mean "serve"?', "Try `leadhook --help`.")),
        (("serve", "--port", "99999"), ("--port", "<= 65535", "Try `leadhook serve --help`.")),
        (("budget", "set"), ("Try `leadhook budget set --help`.",)),
        (("replay", "--what"), ("--what", "Try `leadhook replay --help`.")),
    ],
)
def test_a_command_that_can_not_be_read_says_where_to_read_on(
    leadhook: Run, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """In plain lines, exit 2."""
    code, out, err = leadhook(*arguments)
    assert (code, out) == (2, "")
    assert [word in err for word in words] == [True] * len(words), err


@pytest.mark.parametrize(("typed", "asked", "purged"), [("y\n", True, True), ("n\n", True, False), ("", False, False)])
@pytest.mark.parametrize("yes", [False, True])
def test_a_purge_is_asked_about(
    leadhook: Run, monkeypatch: pytest.MonkeyPatch, typed: str, *, asked: bool, purged: bool, yes: bool
) -> None:
    """After what would be lost is shown; without a terminal --yes is needed, and exit 2 says so."""
    done: list[object] = []

    async def describe(_: str) -> list[str]:
        return ["would drop everything"]

    async def uninstall(_: str, **given: object) -> None:
        done.append(given["purge"])

    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere")
    monkeypatch.setattr(commands, "describe_purge", describe)
    monkeypatch.setattr(commands, "uninstall_from_database", uninstall)
    answer(monkeypatch, typed)
    if not asked:
        monkeypatch.setattr(sys, "stdin", io.StringIO())
    code, _, err = leadhook("uninstall", "--purge", *(["--yes"] if yes else []))
    assert (done == [True]) == (purged or yes)
    assert code == (0 if purged or yes else 1 if asked else 2)
    assert ("would drop everything" in err) == (not yes)
    assert leadhook("uninstall")[0] == 0
    assert done[-1] is False


def test_a_dotenv_file_is_read_and_the_environment_wins(
    leadhook: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What it holds is never printed."""
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


def test_a_dotenv_file_that_can_not_be_read_is_a_wrong_setting(
    leadhook: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit 2; a folder of that name is none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"A=\xff")
    assert leadhook("migrate") == (2, "", "leadhook: .env beside you can't be read: it is not text in UTF-8\n")
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()
    assert leadhook("migrate")[2].startswith("leadhook: DATABASE_URL is not set")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InstallError("words"), 1),
        (LocalStackError("words"), 1),
        (SettingsError("words"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(
    leadhook: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    """The words stand alone, without a traceback; Ctrl-C needs none."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(commands, "migrate", fail)
    assert leadhook("migrate") == (code, "", "" if code == 130 else "leadhook: words\n")


def test_the_program_starts_without_what_its_commands_need() -> None:
    """`leadhook serve` runs where no database driver, and nothing of the local stack, is wanted."""
    script = "import sys, leadhook.cli; print(*sorted(set(sys.modules) & set(sys.argv[1:])))"
    heavy = ("psycopg", "starlette", "supabase", "langchain_core", "leadhook.local.commands", "leadhook.app")
    done = subprocess.run(
        [sys.executable, "-c", script, *heavy], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == ""
