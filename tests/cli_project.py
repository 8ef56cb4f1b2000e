"""A project of the Supabase CLI, and the real CLI from npm that works on it."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict

from leadhook.local.binaries import stack_directory
from leadhook.local.database import Database

CLI = stack_directory().with_name("supabase-cli") / "node_modules/@supabase/cli-linux-x64/bin/supabase"
needs_cli = pytest.mark.skipif(not CLI.is_file(), reason="the Supabase CLI is not there: `make test-cli` brings it")
QUIET = {"SUPABASE_TELEMETRY_DISABLED": "1", "SUPABASE_NO_UPDATE_NOTIFIER": "1"}


@dataclass(frozen=True)
class CliProject:
    """A directory as `supabase init` makes it."""

    directory: Path

    def __post_init__(self) -> None:
        self.migrations.mkdir(parents=True)
        (self.directory / "supabase/config.toml").write_text('project_id = "theirs"\n')

    @property
    def migrations(self) -> Path:
        """Where `leadhook migrate --copy-to` writes to."""
        return self.directory / "supabase/migrations"

    def supabase(self, database: Database, *words: str) -> str:
        """Run the CLI against this database; what it said."""
        command = [str(CLI), *words, f"--remote={url(database)}", f"--workdir={self.directory}", "--yes", "--agent=no"]
        home = {"HOME": str(self.directory)}
        done = subprocess.run(command, env=os.environ | QUIET | home, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said


def url(database: Database) -> str:
    """The connection as a URL, the only form that the CLI knows."""
    parts = conninfo_to_dict(database.conninfo)
    user, password = (quote(str(parts[part]), safe="") for part in ("user", "password"))
    return f"postgresql://{user}:{password}@{parts['host']}:{parts['port']}/{parts['dbname']}?sslmode=disable"
