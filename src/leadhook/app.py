"""Wires the service together, here and nowhere else: settings, store, judge, engine, web.

`leadhook serve` runs it; so does any ASGI server by the name `leadhook.app:app`.
"""

import gc
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, NoReturn

import structlog
import uvicorn
from starlette.applications import Starlette

from leadhook import advice
from leadhook.lifecycle import running
from leadhook.observability import logs
from leadhook.observability.events import Event
from leadhook.settings import GRACEFUL_HTTP_SEC, Settings, SettingsError, load_settings
from leadhook.web.auth import Admins, RingAuth
from leadhook.web.rate import TokenBucket
from leadhook.web.readiness import Readiness
from leadhook.web.site import build_site
from leadhook.web.state import State

if TYPE_CHECKING:
    from leadhook.engine import Engine
    from leadhook.store import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def create_app(settings: Settings) -> Starlette:
    """The ASGI application; nothing is connected or started before its lifespan begins."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[State]:
        # Imported only now, as they take seconds: wrong settings are to be told at once.
        from leadhook.engine import Engine
        from leadhook.gemini import open_judge
        from leadhook.store import open_store

        async with (
            open_store(settings.supabase_url, settings.supabase_key.get_secret_value()) as store,
            open_judge(model=settings.gemini_model, base_url=settings.gemini_base_url) as judge,
        ):
            engine = Engine(
                store=store,
                judge=judge,
                max_concurrency=settings.max_concurrency,
                sweep_interval_s=settings.sweep_interval_sec,
                worker_name=_worker_name(),
            )
            async with running(engine, drain_s=settings.drain_sec):
                _introduce(settings)
                # What was imported stays; the garbage collector would look through all of it again and again.
                gc.collect()
                gc.freeze()
                yield _state(settings, engine, store)

    return build_site(lifespan)


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then end within DRAIN_SEC and 8 s; a second signal ends at once."""
    logs.configure(settings)
    # Before anything is claimed: an occupied port must cost no lead a lease.
    with closing(_listen(settings.host, settings.port)) as listener:
        log.info(Event.SERVICE_LISTENING, host=settings.host, port=listener.getsockname()[1])
        uvicorn.Server(server_config(create_app(settings))).run([listener])


def server_config(app: Starlette) -> uvicorn.Config:
    """How uvicorn is to serve the application; the log is ours alone."""
    return uvicorn.Config(
        app,
        loop="auto",  # uvloop where it is installed
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACEFUL_HTTP_SEC,
    )


def __getattr__(name: str) -> Starlette:
    """`app`, made when an ASGI server asks for it."""
    if name != "app":
        raise AttributeError(name)
    try:
        settings = load_settings()
    except SettingsError as error:
        _give_up(error, 2)
    logs.configure(settings)
    app = globals()[name] = create_app(settings)
    return app


def _state(settings: Settings, engine: "Engine", store: "Store") -> State:
    return State(
        bell=engine,
        replayer=store,
        ring_auth=RingAuth(settings.webhook_keys, settings.webhook_static_header),
        late_rings=TokenBucket(per_second=1, burst=10),
        admins=Admins(settings.admin_tokens),
        readiness=Readiness(
            status=store.status,
            engine=engine.health,
            key_problem=advice.key_problem(settings),
            warnings=advice.warnings(settings),
        ),
    )


def _introduce(settings: Settings) -> None:
    log.info(
        Event.SERVICE_STARTED,
        supabase_url=settings.supabase_url,
        supabase_key_from=settings.supabase_key_name,
        gemini_model=settings.gemini_model,
        gemini_base_url=settings.gemini_base_url,
        max_concurrency=settings.max_concurrency,
        sweep_interval_s=settings.sweep_interval_sec,
        drain_s=settings.drain_sec,
    )
    for warning in advice.warnings(settings):
        log.warning(Event.SERVICE_WARNED, warning=warning)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        _give_up(f"can't listen on {host}, port {port}: {error.strerror}", 1)


def _worker_name() -> str:
    return f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(2)}"


def _give_up(why: object, exit_code: int) -> NoReturn:
    print(f"leadhook: {why}", file=sys.stderr)  # noqa: T201 - the log may not be set up yet
    raise SystemExit(exit_code)
