"""The SQL files, beside the package in a checkout and inside it in the wheel; and copies for the Supabase CLI.

The Supabase CLI runs each file in one transaction and keeps its own history.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from leadhook.command_error import CommandError, MisuseError
from leadhook.install.connection import Report, bullets
from leadhook.install.sql import query

WEBHOOKS_NAME: Final = "leadhook_webhooks.sql"
"""webhooks.sql in a project of the Supabase CLI."""
_NAME = re.compile(r"\d{14}_\w+\.sql")
_FUNCTIONS = "functions/"
_TIMESTAMP = "%Y%m%d%H%M%S"
_CONCURRENTLY = re.compile(r"^(create(?: unique)? index) concurrently ", re.MULTILINE)
_NO_TRANSACTION = re.compile(r"^-- leadhook: no transaction$", re.MULTILINE)
_STEP = re.compile(r"^-- step: (.+)$", re.MULTILINE)
_FUNCTION = re.compile(r"^create or replace function (\w+\.\w+)\(", re.MULTILINE)
_DEFAULT = re.compile(r"\s+default\s")
_TOKEN = re.compile(
    r"""
    (?P<comment> --[^\n]* | /\*.*?\*/ )
  | (?P<quoted> [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag) )
  | (?P<end> ; )
  | (?P<space> \s+ )
  | (?P<other> \w+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Migration:
    """One file of `migrations/`, versioned or repeatable."""

    name: str
    """Its path below `migrations/`. In alphabetical order, versioned files come before `functions/`."""
    sql: str

    @property
    def sha256(self) -> str:
        return sha256(self.sql.encode()).hexdigest()

    @property
    def functions(self) -> list[str]:
        """The functions that it creates, each with the types of its parameters, as `regprocedure` reads them."""
        return [f"{found[1]}({', '.join(_types(self.sql, found.end()))})" for found in _FUNCTION.finditer(self.sql)]

    @property
    def repeatable(self) -> bool:
        """True for a file of functions, which is applied again whenever its text changes."""
        return self.name.startswith(_FUNCTIONS)

    @property
    def in_transaction(self) -> bool:
        """False when its statements must be committed one by one, as `create index concurrently` demands."""
        return not _NO_TRANSACTION.search(self.sql)


@dataclass(frozen=True)
class Step:
    """A part of `webhooks.sql` that is one transaction: what it does, in words, and its SQL."""

    words: str
    sql: str


def read_migrations() -> list[Migration]:
    root = _root() / "migrations"
    texts = {entry.name: entry.read_text("utf-8") for entry in root.iterdir() if _NAME.fullmatch(entry.name)}
    functions = root / "functions"
    if functions.is_dir():
        texts |= {f"{_FUNCTIONS}{entry.name}": entry.read_text("utf-8") for entry in functions.iterdir()}
    return [Migration(name, texts[name]) for name in sorted(texts)]


def read_webhooks() -> str:
    return (_root() / "webhooks.sql").read_text("utf-8")


def read_webhook_steps() -> list[Step]:
    _, *parts = _STEP.split(read_webhooks())
    return [Step(words.strip(), sql) for words, sql in zip(parts[::2], parts[1::2], strict=True)]


def _root() -> Traversable:
    package = files("leadhook")
    return package if (package / "migrations").is_dir() else Path(str(package)).parents[1]


def split_statements(sql: str) -> Iterator[str]:
    """The statements of a text, without semicolons and without comments between them."""
    start: int | None = None
    for token in _TOKEN.finditer(sql):
        if token["end"]:
            if start is not None:
                yield sql[start : token.start()].rstrip()
            start = None
        elif start is None and not token["comment"] and not token["space"]:
            start = token.start()
    if start is not None:
        yield sql[start:].rstrip()


def _types(sql: str, start: int) -> Iterator[str]:
    """The types of the parameters whose list begins at this place, without those that only return something."""
    depth, parameters = 1, [""]
    for token in _TOKEN.finditer(sql, start):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0:
            break
        if depth == 1 and token[0] == ",":
            parameters.append("")
        elif not token["comment"]:
            parameters[-1] += token[0]
    for parameter in parameters:
        declaration = _DEFAULT.split(parameter.strip())[0]
        if declaration and not declaration.startswith("out "):
            yield declaration.removeprefix("inout ").split(maxsplit=1)[1]


def copy_migrations(migrations: Sequence[Migration], directory: Path, report: Report) -> None:
    """Write the migrations into `supabase/migrations`, and webhooks.sql beside them.

    The CLI runs a file once, so functions that have changed are written again, under a later timestamp.

    Raises:
        MisuseError: there is no such directory.
        CommandError: a file of that name with another text exists; nothing was written.
    """
    if not directory.is_dir():
        state = "is not a directory" if directory.exists() else "does not exist"
        raise MisuseError(f"{directory} {state}: run this in a project of the Supabase CLI (`supabase init` makes one)")
    versioned = [migration for migration in migrations if not migration.repeatable]
    files = {migration.name: for_cli(versioned[: place + 1]) for place, migration in enumerate(versioned)}
    files |= _copy_functions([migration for migration in migrations if migration.repeatable], versioned, directory)
    files[WEBHOOKS_NAME] = read_webhooks()
    _refuse_different(files, directory)
    for name, text in files.items():
        (directory / name).write_text(text, "utf-8")
        report(f"{directory / name}")
    report(
        "now: supabase db push (with --include-all where newer migrations were pushed before), then run "
        f"{WEBHOOKS_NAME} through psql or the SQL editor in each environment; the CLI skips it because it has no "
        "timestamp. Its last lines name the two Vault entries that you have to store."
    )


def for_cli(migrations: Sequence[Migration]) -> str:
    """The last of these migrations, as a file that runs in one transaction and records all of them in our history.

    An index is built without `concurrently`; a comment in the file explains it.
    """
    migration = migrations[-1]
    text = migration.sql
    if not migration.in_transaction:
        text = query("copy_without_concurrently").decode() + _CONCURRENTLY.sub(r"\1 ", text)
    entries = ",\n    ".join(f"('{each.name}', '{each.sha256}')" for each in migrations)
    return text + query("copy_history").decode().replace(":entries", entries)


def _copy_functions(functions: Sequence[Migration], versioned: Sequence[Migration], directory: Path) -> dict[str, str]:
    """Names and texts of the copies. An unchanged file keeps the name of its newest copy; others get a later one."""
    written = [path.name for path in directory.glob("*_leadhook_*.sql") if re.match(r"\d{14}_", path.name)]
    names = [*written, *(migration.name for migration in versioned)]
    last = max(datetime.now(UTC).strftime(_TIMESTAMP), *(name[:14] for name in names))
    files = {}
    for migration in functions:
        topic = Path(migration.name).name
        text = for_cli([migration])
        copies = sorted(
            path for path in directory.glob(f"*_leadhook_{topic}") if re.match(r"\d{14}_leadhook_", path.name)
        )
        if copies and copies[-1].read_text("utf-8", "replace") == text:
            files[copies[-1].name] = text
        else:
            last = (datetime.strptime(last, _TIMESTAMP).replace(tzinfo=UTC) + timedelta(seconds=1)).strftime(_TIMESTAMP)
            files[f"{last}_leadhook_{topic}"] = text
    return files


def _refuse_different(files: dict[str, str], directory: Path) -> None:
    different = [
        name
        for name, text in files.items()
        if (path := directory / name).exists() and path.read_text("utf-8", "replace") != text
    ]
    if different:
        raise CommandError(
            "these files exist with another text, and nothing was written; a file that was pushed must not be edited, "
            "so compare them:" + bullets(str(directory / name) for name in different)
        )
