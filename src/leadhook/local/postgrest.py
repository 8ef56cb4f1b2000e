"""PostgREST with the settings of a hosted project."""

import json
from dataclasses import dataclass
from pathlib import Path

from leadhook.local.binaries import Binaries
from leadhook.local.child import Child
from leadhook.local.keys import write_private

POOL = 10


@dataclass(frozen=True)
class PostgrestPorts:
    """Where it serves, and where it says whether it is ready."""

    server: int
    admin: int

    @property
    def url(self) -> str:
        """Its address, without Supabase's /rest/v1."""
        return f"http://127.0.0.1:{self.server}"


def start_postgrest(
    binaries: Binaries, directory: Path, *, authenticator_conninfo: str, jwt_secret: str, ports: PostgrestPorts
) -> Child:
    """Start it; it is ready when `GET /ready` on the admin port answers 200.

    Args:
        binaries: where the programs are.
        directory: for its configuration, which holds secrets, and its log.
        authenticator_conninfo: of the database, as `authenticator`.
        jwt_secret: that signed the project's keys.
        ports: two free TCP ports.
    """
    settings = {
        "db-uri": authenticator_conninfo,
        "db-schemas": "public",
        "db-extra-search-path": "public, extensions",
        "db-anon-role": "anon",
        "db-pool": POOL,
        "db-pool-acquisition-timeout": 10,
        "db-channel-enabled": True,
        "db-max-rows": 1000,
        "jwt-secret": jwt_secret,
        "server-host": "127.0.0.1",
        "server-port": ports.server,
        "admin-server-port": ports.admin,
        "log-level": "warn",
    }
    file = directory / "postgrest.conf"
    write_private(file, "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    return Child("postgrest", [binaries.postgrest, file], log=directory / "postgrest.log")
