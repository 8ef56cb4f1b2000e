"""`GET /openapi.json`, and `GET /docs`: Swagger UI over it, from our own origin, so that it works offline."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from leadhook.web.document import describe
from leadhook.web.openapi import Operation

FILES: Final = Path(__file__).with_name("swagger_ui")
HEADERS: Final = {
    # No 'unsafe-inline', no 'unsafe-eval'. The style sheet's icons are data: URLs; `connect-src` is for "Try it out".
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Browsers keep the files and ask with their ETag, so an upgrade shows at once.
    "Cache-Control": "no-cache",
}


class SwaggerUi(StaticFiles):
    """The files in swagger_ui/; index.html stands for the directory."""

    def __init__(self) -> None:
        super().__init__(directory=FILES, html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """One file, or 304 where the browser has it."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


def documentation(operations: Sequence[Operation]) -> list[BaseRoute]:
    """The document, made once, and the page for people."""
    document = json.dumps(describe(operations), ensure_ascii=False)
    files = SwaggerUi()

    async def openapi(_request: Request) -> Response:
        return Response(document, media_type="application/json", headers={"X-Content-Type-Options": "nosniff"})

    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    return [Route("/openapi.json", openapi), Route("/docs", page), Mount("/docs", files)]
