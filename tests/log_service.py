"""A log service that takes OTLP over HTTP, decodes it with the official types, and gives prepared answers."""

import gzip
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord


@dataclass
class LogService:
    """Takes requests over HTTP; gives the prepared answers, then 200."""

    url: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Statuses and headers, used up one a request; status 0 never answers."""
    largest: int = 10**9
    reply: bytes = b""
    delay_s: float = 0.0
    """Until it answers."""
    arrived_at: list[float] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    """Of the request lines; a proxy is asked for a whole URL."""
    headers: list[dict[str, str]] = field(default_factory=list)
    taken: list[LogRecord] = field(default_factory=list)
    resource: dict[str, str] = field(default_factory=dict)
    awake: threading.Event = field(default_factory=threading.Event)

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        """Decode a request with the official types."""
        self.arrived_at.append(time.monotonic())
        self.headers.append(headers)
        status, extra = self.answers.pop(0) if self.answers else (200, {})
        raw = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        if len(raw) > self.largest:
            return 413, {}
        if status == 200:
            for group in ExportLogsServiceRequest.FromString(raw).resource_logs:
                self.resource = {each.key: each.value.string_value for each in group.resource.attributes}
                self.taken += [record for scope in group.scope_logs for record in scope.log_records]
        return status, extra

    def bodies(self) -> list[str]:
        return [record.body.string_value for record in self.taken]


@contextmanager
def listening(service: LogService, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[LogService]:
    """Serve it until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            service.targets.append(self.path)
            status, extra = service.take({name.lower(): value for name, value in self.headers.items()}, body)
            service.awake.wait(service.delay_s)
            if not status:
                service.awake.wait(30)
                return
            self.send_response(status)
            for name, value in {**extra, "content-length": str(len(service.reply))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(service.reply)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Keep quiet about a client that hangs up."""

    server = Server(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    service.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}/v1/logs"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield service
    finally:
        service.awake.set()
        server.shutdown()
        server.server_close()
        thread.join()
