"""Wires the service: settings, store, scorer, engine, web. This is the only place that does.

`leadhook serve` runs it, and so does any ASGI server with `leadhook.app:app`.
"""

import errno
import gc
import os
import resource
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from importlib import import_module
from typing import Final, NoReturn

import anyio.to_thread
import structlog
import uvicorn
from starlette.applications import Starlette

from leadhook import advice, network
from leadhook.domain.spend import Price, Tariff
from leadhook.domain.status import Status
from leadhook.engine import Engine, EngineContext, Health
from leadhook.lifecycle import (
    START_FAILED,
    end_failed_start,
    logging_to_the_end,
    report_failed_start,
    reporting_a_failed_start,
    running,
)
from leadhook.observability import logs, metrics
from leadhook.observability.events import Event
from leadhook.observability.observer import Observer
from leadhook.observability.operator_log import operator_log
from leadhook.prices import read_prices
from leadhook.settings import GRACEFUL_HTTP_SEC, Settings, SettingsError, load_settings
from leadhook.store import open_store
from leadhook.web.auth import Admins, TokenBucket
from leadhook.web.connections import MOST_CONNECTIONS, bounded, open_socket, raise_file_limit, serving_metrics
from leadhook.web.health import Readiness
from leadhook.web.request_log import WebhookSum
from leadhook.web.site import build_site
from leadhook.web.state import AppState, Backend, Parts
from leadhook.web.webhook_auth import WebhookAuth

log: structlog.stdlib.BoundLogger = structlog.get_logger()


UNBOUNDED: Final = (
    "Unlike `leadhook serve`, this ASGI server does not limit slow clients: enough of them stop it. "
    "Use `leadhook serve`, or a proxy in front that limits them."
)


def create_app(settings: Settings, *warnings: str) -> Starlette:
    """Create the ASGI application. Nothing is connected or started before its lifespan begins.

    Args:
        warnings: about what runs it, logged and shown by /ready besides those about the settings.

    Raises:
        SettingsError: the price file can't be used.
    """
    prices = read_prices(settings.gemini_price_file).prices_of(settings.gemini_model)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[AppState]:
        webhook_sum = WebhookSum()
        async with logging_to_the_end(webhook_sum):
            with reporting_a_failed_start() as started:
                async with _working(settings, prices, webhook_sum, warnings) as state:
                    started()
                    yield state

    return build_site(lifespan, cors_origins=settings.cors_origins)


@asynccontextmanager
async def _working(
    settings: Settings, prices: tuple[Price, ...], webhook_sum: WebhookSum, warnings: Sequence[str]
) -> AsyncIterator[AppState]:
    warnings = [*advice.warnings(settings), *warnings]
    work = _Work(settings, prices, warnings)
    async with (
        serving_metrics(settings.host, settings.metrics_port) as no_metrics,
        running(work, drain_s=settings.drain_sec),
    ):
        yield _state(settings, work, webhook_sum, [*warnings, *([no_metrics] if no_metrics else [])])


class _Work:
    """Imports and opens the clients of the database and of Gemini, which takes seconds, and then runs the engine."""

    def __init__(self, settings: Settings, prices: tuple[Price, ...], warnings: Sequence[str]) -> None:
        self._settings: Final = settings
        self._prices: Final = prices
        self._warnings: Final = warnings
        self._engine: Engine | None = None
        self.backend: Final = Backend()

    async def run(self) -> None:
        """Run until stopped. Nothing is claimed before everything is imported: a failed import must not hold a lead."""
        async with AsyncExitStack() as opened:
            try:
                engine = await self._open(opened)
            except Exception as error:  # noqa: BLE001 - whatever keeps it from starting is reported
                end_failed_start(error)
            await engine.run()

    async def stop(self, drain_s: float) -> None:
        if self._engine is not None:
            await self._engine.stop(drain_s)

    def health(self) -> Health | None:
        """Return the engine's state, or None while it starts."""
        return None if self._engine is None else self._engine.health()

    async def status(self) -> Status:
        return await (await self.backend.wait())["store"].status()

    async def _open(self, opened: AsyncExitStack) -> Engine:
        await anyio.to_thread.run_sync(_import_clients, abandon_on_cancel=True)
        from leadhook.gemini import open_scorer
        from leadhook.gemini.limits import call_limits

        settings = self._settings
        store = await opened.enter_async_context(
            open_store(settings.supabase_url, settings.supabase_key.get_secret_value())
        )
        scorer = await opened.enter_async_context(
            open_scorer(model=settings.gemini_model, base_url=settings.gemini_base_url)
        )
        engine = self._engine = Engine(
            EngineContext(
                store=store,
                scorer=scorer,
                worker_name=f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(2)}",
                tariff=Tariff(self._prices, call_limits()) if self._prices else None,
                injection_check=settings.injection_check == "on",
                observer=Observer(operator_log),
            ),
            max_concurrency=settings.max_concurrency,
            sweep_interval_s=settings.sweep_interval_sec,
        )
        metrics.watch(claiming=lambda: engine.health().claiming, in_flight=lambda: engine.health().in_flight)
        self.backend.start(Parts(engine=engine, store=store, scorer=scorer))
        _introduce(settings, self._warnings)
        return engine


def _import_clients() -> None:
    # What is made here stays: the garbage collector would examine it again and again, now and later.
    gc.disable()
    try:
        for name in ("leadhook.store.transport", "leadhook.gemini", "httpcore"):  # the last is for httpx's clients
            import_module(name)
        import_module("leadhook.gemini").prepare()
        network.trust()
        gc.freeze()
        # What a lead leaves is nearly all freed without the collector, which took 5 % of the CPU by looking each 700
        # objects; each 10,000, 1 MB more waits for it. It looks at everything as often as before, or memory would grow.
        gc.set_threshold(10_000, 2, 4)
    finally:
        gc.enable()


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then end within DRAIN_SEC and 8 s; a second signal ends at once."""
    app = create_app(settings)
    logs.configure(settings)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump of the memory would hold leads and keys
    # Before the first claim: if the port is in use, no lead should have been leased.
    with closing(listen(settings.host, settings.port)) as listener:
        log.info(Event.SERVICE_LISTENING, host=settings.host, port=listener.getsockname()[1])
        uvicorn.Server(server_config(app, raise_file_limit(settings.max_concurrency))).run([listener])


def server_config(app: Starlette, most_connections: int = MOST_CONNECTIONS) -> uvicorn.Config:
    return bounded(
        app,
        most_connections,
        loop="auto",  # uvloop where it is installed
        lifespan="on",
        timeout_graceful_shutdown=GRACEFUL_HTTP_SEC,
    )


def __getattr__(name: str) -> Starlette:
    """Create `app` when an ASGI server imports it."""
    if name != "app":
        raise AttributeError(name)
    network.forget_key_log()
    try:
        settings = load_settings()
        app = globals()[name] = create_app(settings, UNBOUNDED)
    except SettingsError as error:
        _give_up(error, 2)
    logs.configure(settings)
    return app


def _state(settings: Settings, work: _Work, webhook_sum: WebhookSum, warnings: Sequence[str]) -> AppState:
    admins = Admins(settings.admin_tokens, settings.admin_readonly_tokens)
    return AppState(
        backend=work.backend,
        slots=settings.max_concurrency,
        sweep_interval_s=settings.sweep_interval_sec,
        webhook_auth=WebhookAuth(settings.webhook_keys, settings.webhook_static_header),
        late_webhooks=TokenBucket(per_second=1, burst=10),
        webhook_sum=webhook_sum,
        admins=admins,
        readiness=Readiness(
            status=work.status,
            engine=work.health,
            problems=advice.problems(settings),
            warnings=lambda: [*warnings, *logs.troubles()],
        ),
    )


def _introduce(settings: Settings, warnings: Sequence[str]) -> None:
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
    for warning in warnings:
        log.warning(Event.SERVICE_WARNED, warning=warning)


def listen(host: str, port: int) -> socket.socket:
    try:
        return open_socket(host, port)
    except (OSError, ValueError) as error:  # the host may be an invalid name
        report_failed_start(error)
        logs.finish()
        number = getattr(error, "errno", None)
        why = network.why_unreachable(error) if number else str(error)
        if number == errno.EADDRINUSE:
            why += ": stop the other process, or choose another port with --port or PORT"
        _give_up(f"can't listen on {host}, port {port}: {why}", START_FAILED)


def _give_up(why: object, exit_code: int) -> NoReturn:
    sys.stderr.write(f"leadhook: {why}\n")  # the log may not be configured yet
    raise SystemExit(exit_code)
