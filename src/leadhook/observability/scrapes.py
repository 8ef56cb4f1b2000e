"""The port that Prometheus scrapes: another one than the service's, so that it need not be public."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import start_http_server

from leadhook.observability.events import Event
from leadhook.observability.metrics import REGISTRY

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@contextmanager
def serving_metrics(host: str, port: int | None) -> Iterator[str | None]:
    """Answer `GET /metrics` in threads of its own until the block ends; a port that can't be had is told, no more.

    Yields:
        Why there are no metrics, in words, where there should be some.
    """
    if port is None:
        yield None
        return
    try:
        server, thread = start_http_server(port, host, REGISTRY)
    except OSError as error:
        reason = f"Metrics can't be had: METRICS_PORT {port} on {host}: {error.strerror or type(error).__name__}."
        log.error(Event.METRICS_FAILED, host=host, port=port, reason=error.strerror)  # noqa: TRY400 - no defect
        yield reason
        return
    log.info(Event.METRICS_LISTENING, host=host, port=server.server_port)
    try:
        yield None
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
