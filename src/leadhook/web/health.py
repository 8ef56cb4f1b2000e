"""`GET /`, `/health` and `/ready`: who this is, that it lives, and whether it can do its work."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from leadhook import __version__
from leadhook.web.state import State


async def service(_request: Request[State]) -> Response:
    """Who this is."""
    return JSONResponse({"service": "leadhook", "status": "online", "version": __version__})


async def health(_request: Request[State]) -> Response:
    """The process lives. Platforms restart it by this answer, so nothing but the process may count."""
    return JSONResponse({"ok": True})


async def ready(request: Request[State]) -> Response:
    """Whether leads can be worked on, else why not."""
    found = await request.state["readiness"].check()
    content = {"ready": not found.reasons, "reasons": found.reasons, "warnings": found.warnings}
    return JSONResponse(content, 503 if found.reasons else 200)
