"""`leadhook serve`."""

import os
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from leadhook.settings import load_settings


def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on; else HOST, else 127.0.0.1.")] = None,
    port: Annotated[
        int | None, Parameter(validator=Number(gte=0, lte=65535), help="Port to listen on; else PORT, else 8000.")
    ] = None,
) -> None:
    """Run the service: it takes webhooks, claims leads, asks Gemini and saves the answers.

    For example: `leadhook serve --port 8080`
    """
    given = {"HOST": host, "PORT": None if port is None else str(port)}
    settings = load_settings({**os.environ, **{name: text for name, text in given.items() if text is not None}})

    # Imports that take seconds wait until the settings are known to be right.
    from leadhook.app import serve as serve_until_stopped

    serve_until_stopped(settings)
