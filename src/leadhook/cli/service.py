"""`leadhook serve`."""

import gc
import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from leadhook.settings import load_settings


def serve(
    *,
    host: Annotated[str | None, Parameter(help="The address to listen on. Default: HOST, or 127.0.0.1.")] = None,
    port: Annotated[
        int | None, Parameter(validator=Number(gte=0, lte=65535), help="The port to listen on. Default: PORT, or 8000.")
    ] = None,
) -> None:
    """Run the service.

    It receives webhooks, claims leads, has Gemini score them, and saves the answers. It exits with code 2 if a setting
    is missing or invalid, and reports all of these at once.

    For example: `leadhook serve --port 8080`
    """
    _drop_database_url()
    given = {"HOST": host, "PORT": None if port is None else str(port)}
    settings = load_settings({**os.environ, **{name: text for name, text in given.items() if text is not None}})

    gc.disable()  # imports leave no garbage to look for; leadhook.app enables it when the last one is done
    # This import takes seconds; wrong settings are reported without it.
    from leadhook.app import serve as serve_until_stopped

    serve_until_stopped(settings)


def _drop_database_url() -> None:
    """Keep the owner's rights out of the process that answers strangers.

    The environment that a process was started with stays readable in /proc, so it begins again without the variable.
    """
    os.environ.pop("DATABASE_URL", None)
    started_with = Path("/proc/self/environ")
    if started_with.exists() and b"\0DATABASE_URL=" in b"\0" + started_with.read_bytes():
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very program
