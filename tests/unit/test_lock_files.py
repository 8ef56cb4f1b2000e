"""The lock files hold what pyproject.toml asks for, by hash, and from no particular place."""

import json
import re
import tomllib
from collections.abc import Iterable
from importlib import metadata
from itertools import product
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = PROJECT["project"]["dependencies"]
GROUPS = PROJECT["dependency-groups"]
LOCKED = re.compile(
    r"^([A-Za-z0-9._-]+)(?:\[([a-z0-9,_-]+)\])?==(\S+)(?: ; .*)? \\$((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?$)+)",
    re.MULTILINE,
)


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements.lock", RUNTIME),
        ("requirements-dev.lock", [*RUNTIME, *GROUPS["dev"]]),
        ("requirements-bench.lock", GROUPS["bench"]),
        ("requirements-node.lock", GROUPS["node"]),
        ("requirements-pip.lock", GROUPS["pip"]),
    ],
)
def test_lock_files_hold_what_the_project_asks_for(lock: str, wanted: Iterable[str]) -> None:
    """`make lock` was run after the last change of a dependency."""
    text = (ROOT / lock).read_text()
    locked = {name.lower(): version for name, _, version, _ in LOCKED.findall(text)}
    entries = LOCKED.findall(text)
    assert len(entries) == len(re.findall(r"^[A-Za-z]", text, re.MULTILINE)), "an entry without a version or a hash"
    assert len({name for name, *_ in entries}) == len({(name, *rest) for name, _, *rest in entries}), "two versions"
    for requirement in map(Requirement, wanted):
        version = locked.get(requirement.name.lower())
        assert version is not None, f"{requirement.name} is not in {lock}"
        assert requirement.specifier.contains(version), f"{requirement} is not {version}"


ENVIRONMENTS = [
    {"sys_platform": system, "platform_system": system.title(), "platform_machine": machine, "python_version": python}
    for system, machine, python in product(("linux", "darwin"), ("x86_64", "aarch64", "arm64"), ("3.11", "3.14"))
]
"""Where the locks are installed; a requirement that holds in one of them counts."""


def extras_asked_for(locked: Iterable[NormalizedName], asked: Iterable[Requirement]) -> set[tuple[NormalizedName, str]]:
    """`(package, extra)` that these requirements ask for, and those that the locked packages ask for in turn."""
    names = set(locked)
    found: set[tuple[NormalizedName, str]] = set()
    seen: set[tuple[str, str]] = set()
    todo = [*asked, *(Requirement(name) for name in names)]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name not in names:
            continue
        found |= {(name, extra) for extra in requirement.extras}
        for extra in {"", *requirement.extras} - {known for package, known in seen if package == name}:
            seen.add((name, extra))
            try:
                wanted = map(Requirement, metadata.requires(name) or [])
            except metadata.PackageNotFoundError:
                continue  # of another platform, or npm as a Python package
            todo += [
                each
                for each in wanted
                if each.marker is None
                or any(each.marker.evaluate(environment | {"extra": extra}) for environment in ENVIRONMENTS)
            ]
    return found


def extras_missing(text: str, asked: Iterable[Requirement]) -> set[str]:
    """Requirements with an extra that the lock names only without it, or only with it."""
    locked: dict[NormalizedName, set[str]] = {}
    for name, extras, _, _ in LOCKED.findall(text):
        locked.setdefault(canonicalize_name(name), set()).update(extras.split(","))
    wanted = {(name, either) for name, extra in extras_asked_for(locked, asked) for either in ("", extra)}
    return {f"{name}[{extra}]" for name, extra in wanted if extra not in locked[name]}


@pytest.mark.parametrize(
    ("lock", "asked"),
    [
        ("requirements.lock", RUNTIME),
        ("requirements-dev.lock", [*RUNTIME, *GROUPS["dev"]]),
        ("requirements-bench.lock", GROUPS["bench"]),
        ("requirements-node.lock", GROUPS["node"]),
        ("requirements-pip.lock", GROUPS["pip"]),
    ],
)
def test_a_lock_file_names_each_extra_that_a_package_asks_for(lock: str, asked: list[str]) -> None:
    """And the package alone: pip before 23.3 takes `httpx` and `httpx[http2]` for two, and both must be locked."""
    text = (ROOT / lock).read_text()
    assert extras_missing(text, map(Requirement, asked)) == set()


def test_an_extra_that_is_left_out_of_a_lock_file_is_noticed() -> None:
    """Each of them, in the locks of the service and of development."""
    for lock, groups in (("requirements.lock", []), ("requirements-dev.lock", GROUPS["dev"])):
        asked = [Requirement(each) for each in (*RUNTIME, *groups)]
        text = (ROOT / lock).read_text()
        entry = r"^[a-z0-9-]+{}==.*\n(?: {{4}}--hash=.*\n)+"
        assert "httpx[]" in extras_missing(re.sub(r"^httpx(==)", r"h2x\1", text, flags=re.MULTILINE), asked)
        without = re.sub(entry.format(r"\[[^]]+\]"), "", text, flags=re.MULTILINE)
        assert {"google-auth[requests]", "httpx[http2]", "psycopg[binary]", "pyjwt[crypto]"} <= extras_missing(
            without, asked
        )


def test_what_builds_the_wheel_is_locked_and_never_fetched_by_a_build() -> None:
    """A newer release of it breaks neither `make setup` nor a deployment."""
    text = (ROOT / "requirements-dev.lock").read_text()
    locked = {name.lower(): version for name, _, version, _ in LOCKED.findall(text)}
    [builder] = map(Requirement, PROJECT["build-system"]["requires"])
    assert str(builder.specifier) == f"=={locked[builder.name]}"
    files = [ROOT / "Makefile", ROOT / "Dockerfile", *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    for file in files:
        for line in file.read_text().splitlines():
            if re.search(r"\bpip(?:\)| install).* -e \.|\bpip wheel\b", line) and " `" not in line:
                assert "--no-build-isolation" in line, f"{file.name}: {line}"


def test_lock_files_name_no_registry() -> None:
    """The installing user brings their own index."""
    texts = [file.read_text() for file in ROOT.glob("requirements*.lock")]
    assert len(texts) == 5
    assert not any(re.search(r"://|--index|--find-links| @ |(?:^|\s)/", text) for text in texts)


def test_npm_packages_are_locked_by_hash_and_from_no_particular_place() -> None:
    """The local stack's, other releases of Postgres, the Supabase CLI, those for browsers: as package.json asks."""
    files = [file for place in ("src", "tests") for file in (ROOT / place).rglob("package-lock.json")]
    assert len(files) == 6
    for file in files:
        wanted = json.loads(file.with_name("package.json").read_text())["dependencies"]
        ours, *packages = json.loads(file.read_text())["packages"].items()
        assert ours[1]["dependencies"] == wanted, file
        locked = {name.removeprefix("node_modules/"): package["version"] for name, package in packages}
        assert wanted.items() <= locked.items(), file
        assert all(package["integrity"].startswith("sha512-") for _, package in packages), file
        assert not any("resolved" in package for _, package in packages), file
