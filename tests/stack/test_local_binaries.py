import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leadhook.command_error import CommandError
from leadhook.local import binaries
from leadhook.local.postgres import create_cluster
from leadhook.local.processes import Account

PACKAGE = binaries.POSTGRES_PACKAGE


@pytest.fixture
def npm_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """An empty stack directory, and an npm that brings two files in no time; lists the directories it ran in."""
    runs: list[Path] = []

    def run(command: list[str], **arguments: Any) -> subprocess.CompletedProcess[str]:
        runs.append(arguments["cwd"])
        package = arguments["cwd"] / PACKAGE
        (package / binaries.EXTENSIONS).mkdir(parents=True)
        (package / "native/lib").mkdir()
        (package / "native/lib/liba.so.1.2").write_text("a library")
        links = '[{"source": "native/lib/liba.so.1.2", "target": "native/lib/liba.so"}]'
        (package / "native/pg-symlinks.json").write_text(links)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("LEADHOOK_STACK_DIR", str(tmp_path / "stack"))
    return runs


def test_install_makes_the_links_and_brings_our_extensions(npm_runs: list[Path], tmp_path: Path) -> None:
    """What npm's own install script would have done, and what `create extension` looks for."""
    directory = binaries.install(lambda _: None)

    assert directory == tmp_path / "stack"
    library = directory / PACKAGE / "native/lib/liba.so"
    assert library.is_symlink()
    assert library.read_text() == "a library"
    assert (directory / PACKAGE / binaries.EXTENSIONS / "pg_net.control").is_file()
    assert len(npm_runs) == 1


def test_install_does_nothing_the_second_time(npm_runs: list[Path]) -> None:
    binaries.install(lambda _: None)
    binaries.install(pytest.fail)

    assert len(npm_runs) == 1


def test_install_replaces_what_is_outdated(npm_runs: list[Path]) -> None:
    """A changed lock file or extension shows in the stamp."""
    directory = binaries.install(lambda _: None)
    (directory / "stamp").write_text("of an older version")
    (directory / "left over").touch()
    binaries.install(lambda _: None)

    assert len(npm_runs) == 2
    assert not (directory / "left over").exists()
    assert sorted(path.name for path in directory.parent.iterdir()) == ["stack", "stack.lock"]


def test_a_failed_install_leaves_nothing_behind(npm_runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert not npm_runs
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", "E404 no such package")
    )
    with pytest.raises(CommandError, match="E404 no such package"):
        binaries.install(lambda _: None)

    assert not binaries.stack_directory().exists()


def test_without_npm_the_error_says_what_to_install(npm_runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert not npm_runs
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(CommandError, match=r"Node\.js, or run `pip install 'leadhook\[local\]'"):
        binaries.install(lambda _: None)


def test_the_error_on_an_unknown_platform_says_what_works(
    npm_runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(CommandError, match="SUPABASE_URL"):
        binaries.install(lambda _: None)
    assert not npm_runs


def test_a_postgrest_on_path_wins(npm_runs: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For platforms whose npm package is missing, and for newer versions."""
    assert not npm_runs
    program = tmp_path / "postgrest"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    assert binaries.locate(lambda _: None).postgrest == program


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to lend Postgres an account")
def test_binaries_out_of_reach_of_postgres_are_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leadhook.local.postgres.server_account", lambda: Account(65534, 65534))
    found = binaries.Binaries(tmp_path / "initdb", tmp_path / "postgres", tmp_path / "postgrest")
    with pytest.raises(CommandError, match="LEADHOOK_STACK_DIR"):
        create_cluster(found, tmp_path / "data", "visibly-fake")
