"""The account that Postgres runs under: it refuses root, so root lends it nobody."""

import functools
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Account:
    """Who a child process shall be; ids of None mean whoever we are."""

    uid: int | None = None
    gid: int | None = None

    @property
    def groups(self) -> list[int] | None:
        """Supplementary groups for the child: none at all when it changes its user."""
        return None if self.uid is None else []

    def own(self, path: Path) -> None:
        """Give this path to the account, for its eyes only."""
        path.chmod(0o700 if path.is_dir() else 0o600)
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, directory: Path) -> bool:
        """Whether the account can get into this directory, asked of the system itself (modes, ACLs, mounts)."""
        command = ["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)]
        done = subprocess.run(
            command, cwd="/", user=self.uid, group=self.gid, extra_groups=self.groups, capture_output=True, check=False
        )
        return done.returncode == 0


@functools.cache
def server_account() -> Account:
    """Nobody when we are root, else ourselves."""
    if os.geteuid() != 0:
        return Account()
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)
