"""`GET /openapi.json`, and `GET /docs`: the same for people, as one page that loads nothing from anywhere."""

import html
import json
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib import resources
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leadhook.web.document import describe
from leadhook.web.openapi import Operation

STYLE: Final = (resources.files(__package__) / "docs.css").read_text(encoding="utf-8")
_DIGEST: Final = b64encode(sha256(STYLE.encode()).digest()).decode()
SECURITY: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def documentation(operations: Sequence[Operation]) -> list[Route]:
    """Both routes; what they answer is made once."""
    document = describe(operations)
    return [
        _constant("/openapi.json", json.dumps(document, ensure_ascii=False), "application/json"),
        _constant("/docs", page(document), "text/html"),
    ]


def page(document: dict[str, Any]) -> str:
    """The document as HTML."""
    paths = document["paths"].items()
    operations = "".join(_operation(method, path, item) for path, items in paths for method, item in items.items())
    schemas = "".join(_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items()))
    schemes = "".join(_scheme(name, scheme) for name, scheme in document["components"]["securitySchemes"].items())
    info = document["info"]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>{_text(info['title'])} {_text(info['version'])}</h1><p>{_text(info['description'])}</p>"
        '<p>For programs: <a href="openapi.json">openapi.json</a>, OpenAPI 3.1.</p>'
        f"{operations}<h2>Who may</h2><dl>{schemes}</dl><h2>Shapes</h2>{schemas}</html>"
    )


def _constant(path: str, content: str, media_type: str) -> Route:
    async def answer(_request: Request) -> Response:
        return Response(content, headers=SECURITY, media_type=media_type)

    return Route(path, answer)


def _operation(method: str, path: str, item: dict[str, Any]) -> str:
    who = "".join(f'<a class="who" href="#{_text(name)}">{_text(name)}</a>' for one in item["security"] for name in one)
    body = item.get("requestBody")
    taken = f"<p>Takes {_content(body)}. {_text(body['description'])}</p>" if body else ""
    answers = "".join(
        f"<tr><td>{status}<td>{_content(answer)}<td>{_text(answer['description'])}"
        for status, answer in item["responses"].items()
    )
    return (
        f'<section><h3><b class="{method}">{method.upper()}</b> <code>{_text(path)}</code> {who}</h3>'
        f"<p>{_text(item['summary'])}.</p><p>{_text(item.get('description', ''))}</p>{taken}"
        f"<table>{answers}</table></section>"
    )


def _content(part: dict[str, Any]) -> str:
    names = [content["schema"]["$ref"].rpartition("/")[2] for content in part["content"].values()]
    return ", ".join(f'<a href="#{_text(name)}">{_text(name)}</a>' for name in names)


def _scheme(name: str, scheme: dict[str, Any]) -> str:
    return f'<dt id="{_text(name)}">{_text(name)}<dd>{_text(scheme["description"])}'


def _schema(name: str, schema: dict[str, Any]) -> str:
    shown = _text(json.dumps(schema, indent=2, ensure_ascii=False))
    return f'<details id="{_text(name)}"><summary>{_text(name)}</summary><pre>{shown}</pre></details>'


def _text(text: str) -> str:
    return html.escape(text)
