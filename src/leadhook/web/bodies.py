"""Reads bodies that have a limit; Starlette's own limit answers in plain text where the length is declared."""

from starlette.requests import Request

from leadhook.web.problems import Problem
from leadhook.web.state import State


async def read_body(request: Request[State], limit: int) -> bytes:
    """The whole body.

    Raises:
        Problem: 413 as soon as it is known to be longer than `limit` bytes.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise Problem(413)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Problem(413)
    return bytes(body)


def require_json(request: Request[State]) -> None:
    """Refuse a body that says it is something else than JSON; one that says nothing is tried.

    Raises:
        Problem: 415.
    """
    given = request.headers.get("content-type")
    if given is not None and given.partition(";")[0].strip().lower() != "application/json":
        raise Problem(415)
