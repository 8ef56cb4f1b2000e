"""The Dockerfile's steps without Docker: carried out in order, they give a tree that migrates and serves.

Each stage is an empty folder with a fresh environment of the Python that runs the tests in the base image's place; the
absolute paths that a stage names lie inside it. What needs a container (users, ports, the health check's schedule) is
left out; tests/unit/test_deploy_files.py reads those lines.
"""

import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from leadhook.local.database import Database
from leadhook.local.processes import free_port

ROOT = Path(__file__).parents[2]
PLACES = re.compile(r"(?<![\w./])/(?=build\b|dist\b|opt\b|cache\b)")
LIMIT_S = 300


@dataclass
class Stage:
    """One FROM: its folder, its variables and where it works."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "."

    def placed(self, text: str) -> str:
        """The absolute places of the container, inside the folder."""
        return PLACES.sub(f"{self.folder}/", text)


def instructions() -> list[list[str]]:
    """The Dockerfile's lines as `[WORD, rest]`, continued ones joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    return [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]


def context(directory: Path) -> Path:
    """What a build would send to the daemon: what git knows and .dockerignore lets through."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")]
    git = shutil.which("git")
    assert git is not None
    listed = subprocess.run([git, "ls-files", "-z", "--", *allowed], cwd=ROOT, check=True, capture_output=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, directory / name)
    return directory


def build(directory: Path) -> Stage:
    """Carry the steps out; the last stage."""
    sources = context(directory / "context")
    stages: dict[str, Stage] = {}
    stage = Stage(directory)
    for word, rest in instructions():
        match word:
            case "FROM":
                name = rest.split(" AS ")[1] if " AS " in rest else "final"
                stage = stages[name] = Stage(directory / name)
                venv.create(stage.folder / "python", with_pip=True)
                base = f"{stage.folder}/python/bin:{os.environ['PATH']}"
                stage.env = {"PATH": base, "HOME": str(stage.folder)}
            case "ENV":
                given = dict(pair.split("=", 1) for pair in shlex.split(rest))
                stage.env |= {k: stage.placed(v.replace("$PATH", stage.env["PATH"])) for k, v in given.items()}
            case "WORKDIR":
                stage.workdir = stage.placed(rest)
                Path(stage.workdir).mkdir(parents=True, exist_ok=True)
            case "COPY":
                copy(stage, stages, sources, rest.split())
            case "RUN" if not rest.startswith("useradd"):
                command = stage.placed(re.sub(r"^(--mount=\S+\s+)+", "", rest))
                where = stage.folder / stage.workdir
                subprocess.run(["/bin/sh", "-ec", command], cwd=where, env=stage.env, check=True, timeout=LIMIT_S)
    return stage


def copy(stage: Stage, stages: dict[str, Stage], sources: Path, words: list[str]) -> None:
    """COPY: from the context or an earlier stage."""
    origin = sources
    if words[0].startswith("--from="):
        from_stage = stages[words.pop(0).removeprefix("--from=")]
        words[:-1] = [from_stage.placed(word) for word in words[:-1]]
        origin = from_stage.folder
    target = stage.folder / stage.workdir / stage.placed(words[-1])
    for word in words[:-1]:
        found = origin / word
        if found.is_dir():
            shutil.copytree(found, target, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(found, target / found.name if words[-1].endswith("/") else target)


@pytest.mark.long
def test_dockerfile_steps_give_a_tree_that_migrates_and_serves(bare_database: Database, tmp_path: Path) -> None:
    stage = build(tmp_path)
    installed = tmp_path / "install" / "opt" / "leadhook"
    # A virtual environment knows its own place: one and the same in the image's two stages, two folders here.
    for script in (stage.folder / "opt/leadhook/bin").iterdir():
        if script.is_file() and not script.is_symlink() and str(installed) in (text := script.read_text("latin-1")):
            script.write_text(text.replace(str(installed), str(stage.folder / "opt/leadhook")), "latin-1")
    shutil.rmtree(tmp_path / "install")
    shutil.rmtree(tmp_path / "build")

    program = shutil.which("leadhook", path=stage.env["PATH"].split(":")[0])
    assert program is not None
    migrated = subprocess.run(
        [program, "migrate"],
        env=stage.env | {"DATABASE_URL": bare_database.conninfo},
        check=False,
        capture_output=True,
    )
    assert migrated.returncode == 0, migrated.stderr.decode()

    port = free_port()
    settings = {
        "SUPABASE_URL": f"http://127.0.0.1:{free_port()}",
        "SUPABASE_SECRET_KEY": f"visibly-fake-{secrets.token_hex(4)}",
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }
    service = subprocess.Popen([program, "serve"], env=stage.env | settings, cwd=stage.folder)
    try:
        assert json.loads(answered(f"http://127.0.0.1:{port}/health", service)) == {"ok": True}
    finally:
        service.send_signal(signal.SIGTERM)
        assert service.wait(LIMIT_S) == -signal.SIGTERM


def answered(url: str, service: subprocess.Popen[bytes]) -> bytes:
    until = time.monotonic() + LIMIT_S
    while service.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=2) as reply:  # noqa: S310 - our own server
                return bytes(reply.read())
        except urllib.error.URLError:
            time.sleep(0.1)
    pytest.fail(f"{sys.executable} serves nothing at {url}")
