"""Asks a process of the stack whether it is ready."""

import http.client
from collections.abc import Callable
from http import HTTPStatus


def answers(port: int, path: str, status: HTTPStatus = HTTPStatus.OK) -> Callable[[], bool]:
    """A question that is true once `GET path` on this port of 127.0.0.1 answers with this status."""

    def ask() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask
