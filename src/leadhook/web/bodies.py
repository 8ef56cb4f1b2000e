"""Reads bodies that have a limit; Starlette's own limit answers in plain text where the length is declared."""

from starlette.requests import Request

from leadhook.web.problems import Problem
from leadhook.web.state import AppState


class TooLarge(Problem):
    """413, with the bytes that were announced or have come."""

    def __init__(self, size: int) -> None:
        super().__init__(413)
        self.size = size


async def read_body(request: Request[AppState], limit: int) -> bytes:
    """The whole body.

    Raises:
        TooLarge: as soon as it is known to be longer than `limit` bytes.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise TooLarge(int(declared[:20]))
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(len(body))
    return bytes(body)


def require_json(request: Request[AppState]) -> None:
    """Refuse a body that says it is something else than JSON; one that says nothing is tried.

    Raises:
        Problem: 415.
    """
    given = request.headers.get("content-type")
    if given is not None and given.partition(";")[0].strip().lower() != "application/json":
        raise Problem(415)
