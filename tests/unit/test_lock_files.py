"""The lock files hold what pyproject.toml asks for, by hash, and from no particular place."""

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = PROJECT["project"]["dependencies"]
GROUPS = PROJECT["dependency-groups"]
LOCKED = re.compile(
    r"^([A-Za-z0-9._-]+)==(\S+)(?: ; .*)? \\$((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?$)+)", re.MULTILINE
)


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements.lock", RUNTIME),
        ("requirements-dev.lock", [*RUNTIME, *GROUPS["dev"]]),
        ("requirements-node.lock", GROUPS["node"]),
    ],
)
def test_lock_files_hold_what_the_project_asks_for(lock: str, wanted: Iterable[str]) -> None:
    """`make lock` was run after the last change of a dependency."""
    text = (ROOT / lock).read_text()
    locked = {name.lower(): version for name, version, _ in LOCKED.findall(text)}
    assert len(locked) == len(re.findall(r"^[A-Za-z]", text, re.MULTILINE)), "an entry without a version or a hash"
    for requirement in map(Requirement, wanted):
        version = locked.get(requirement.name.lower())
        assert version is not None, f"{requirement.name} is not in {lock}"
        assert requirement.specifier.contains(version), f"{requirement} is not {version}"


def test_lock_files_name_no_registry() -> None:
    """Whoever installs brings an index of their own."""
    texts = [file.read_text() for file in ROOT.glob("requirements*.lock")]
    assert len(texts) == 3
    assert not any("://" in text or "--index" in text for text in texts)


def test_npm_packages_are_locked_by_hash_and_from_no_particular_place() -> None:
    """The local stack's, those of other releases of Postgres, and the Supabase CLI: what package.json asks for."""
    files = [file for place in ("src", "tests") for file in (ROOT / place).rglob("package-lock.json")]
    assert len(files) == 5
    for file in files:
        wanted = json.loads(file.with_name("package.json").read_text())["dependencies"]
        ours, *packages = json.loads(file.read_text())["packages"].items()
        assert ours[1]["dependencies"] == wanted, file
        locked = {name.removeprefix("node_modules/"): package["version"] for name, package in packages}
        assert locked == wanted, file
        assert all(package["integrity"].startswith("sha512-") for _, package in packages), file
        assert not any("resolved" in package for _, package in packages), file
