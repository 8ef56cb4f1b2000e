"""The OpenAPI 3.1 document of the table of routes, and Swagger UI over it.

Schemas come from the models that validate; summary and description are the handler's docstring. `examples.json` has the
examples by handler: requests, answers by status, and values of path parameters.
"""

import ast
import inspect
import json
import re
import shlex
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core.core_schema import ModelSchema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from leadhook import __version__
from leadhook.web import auth, requests, webhook
from leadhook.web.requests import MEDIA_TYPE, FieldError, ProblemAnswer
from leadhook.web.state import AppState

Schemas = Mapping[Any, dict[str, Any]]
"""Schemas by type and mode."""
Handler = Callable[[Request[AppState]], Awaitable[Response]]

EXAMPLES: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))
SWAGGER_UI: Final = Path(__file__).with_name("swagger_ui")

_DESCRIPTION: Final = """
Scores the leads of a Supabase project with Gemini and writes a message to the good ones.

To try an operation here, press **Authorize** and enter one of the service's `ADMIN_TOKENS` under `admin`. The page
forgets the token when you close it, and shows it in the curl line of what you execute. What you execute is real: it
changes the project of this service.

The curl lines expect the service's address in `SERVICE_URL` and one of its `ADMIN_TOKENS` in `ADMIN_TOKEN`:
`export SERVICE_URL='https://YOUR-SERVICE' ADMIN_TOKEN='…'`.

Errors are `application/problem+json` (RFC 9457); `detail` says what to do. Every response has an `x-request-id`, which
is in the service's log too.
""".strip()
_TAGS: Final = {
    "Leads": "Explain the state of a lead, or score leads immediately.",
    "Replay": (
        "Score leads again, by id or by filter. Keep the `replay_id` that `POST /replay` returns; "
        "`leadhook replay list` lists replays."
    ),
    "Service": "Is the service alive, and can it work? And links to sign in to the console.",
    "Webhook": "Called by the database. No person needs to call it.",
}
"""In the order in which people need them."""
_CREDENTIALS: Final = {
    "all": "curl",
    "admin": "printf 'Authorization: Bearer %s' \"$ADMIN_TOKEN\" | curl -H @-",
    "webhook": "printf '%s' \"$WEBHOOK_STATIC_HEADER\" | curl -H @-",
}
"""The shell writes the secret itself: everyone on the machine can read a command's arguments."""
ADMISSION: Final[dict[str, dict[int, str]]] = {
    "all": {},
    "admin": {
        401: auth.UNAUTHENTICATED,
        403: auth.CLOSED,
        429: auth.TOO_MANY,
    },
    "webhook": {401: webhook.UNPROVEN},
}
_READING: Final = {
    400: requests.NO_JSON,
    413: requests.DETAILS[413],
    415: requests.DETAILS[415],
    422: requests.OTHER_SHAPE,
}
_SCHEMES: Final = {
    "admin": {"type": "http", "scheme": "bearer", "description": "One of ADMIN_TOKENS."},
    "webhook": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": (
            "Standard Webhooks v1, with `webhook-id` and `webhook-timestamp`, made with one of WEBHOOK_SECRETS; or "
            "instead the header of WEBHOOK_STATIC_HEADER."
        ),
    },
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path: its handler, and its description in the document.

    Tests check that the handler does what is declared here.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    """The path in Starlette's notation."""
    handler: Handler
    tag: Literal["Leads", "Replay", "Service", "Webhook"]
    answers: Mapping[int, type[BaseModel]]
    who: Literal["all", "admin", "webhook"] = "admin"
    """`admin`: a bearer token of ADMIN_TOKENS. `webhook`: a signature, or the static header of a dashboard webhook."""
    body: type[BaseModel] | None = None
    largest_body: int = 0
    """Maximum size of the body in bytes."""
    query: type[BaseModel] | None = None
    """The query parameters; each has a default."""
    problems: Mapping[int, str] = field(default_factory=dict)
    """Problems in addition to those that follow from `who`, `body` and `query`."""

    @property
    def name(self) -> str:
        """The operation's id, stable for clients that are generated from the document."""
        return self.handler.__name__

    @property
    def template(self) -> str:
        """The path in OpenAPI's notation."""
        return re.sub(r":\w+}", "}", self.path)

    @property
    def refusals(self) -> dict[int, str]:
        reading = _READING if self.body else {422: f"{requests.OTHER_QUERY}."} if self.query else {}
        return {**ADMISSION[self.who], **reading, **self.problems}


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    schemas, definitions = models_json_schema(
        list(_models(endpoints)),
        ref_template="#/components/schemas/{model}",
        schema_generator=Documented,
    )
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.template, {})[endpoint.method.lower()] = _describe(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "leadhook", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": "/", "description": "The service that serves this document."}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "components": {"schemas": definitions["$defs"], "securitySchemes": _SCHEMES},
    }


class Documented(GenerateJsonSchema):
    """Describes each field by the docstring below it.

    `use_attribute_docstrings` would read the sources of all models at every start, for a sixth of its CPU.
    """

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        texts = {name: text for each in reversed(model.__mro__) for name, text in field_docstrings(each).items()}
        for name, field_info in model.model_fields.items():
            shown = found["properties"].get(field_info.alias or name)
            if name in texts and shown is not None:
                shown.setdefault("description", texts[name])
        return found


@cache
def field_docstrings(model: type) -> dict[str, str]:
    """Return the text below each field, by the field's name."""
    if not issubclass(model, BaseModel) or model is BaseModel:
        return {}
    (definition,) = ast.parse(inspect.getsource(model)).body
    found = {}
    for pair in pairwise(definition.body if isinstance(definition, ast.ClassDef) else ()):
        match pair:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found


def _models(endpoints: Iterable[Endpoint]) -> Iterable[tuple[type[BaseModel], JsonSchemaMode]]:
    named: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ProblemAnswer, "serialization"): None}
    for endpoint in endpoints:
        if endpoint.body is not None:
            named[endpoint.body, "validation"] = None
        named |= dict.fromkeys((answer, "serialization") for answer in endpoint.answers.values())
    return named


def _describe(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    summary, _, description = inspect.cleandoc(endpoint.handler.__doc__ or "").partition("\n\n")
    examples = EXAMPLES.get(endpoint.name, {})
    described: dict[str, Any] = {
        "operationId": endpoint.name,
        "tags": [endpoint.tag],
        "summary": summary.rstrip("."),
        "description": f"{description}\n\n```sh\n{_curl(endpoint, examples)}\n```".strip(),
        "security": _security(endpoint),
        "responses": _responses(endpoint, examples.get("answers", {}), schemas),
    }
    if parameters := _parameters(endpoint, examples.get("parameters", {})):
        described["parameters"] = parameters
    if endpoint.body is not None:
        described["requestBody"] = {
            "description": _size(endpoint),
            "required": True,
            "content": {
                "application/json": {
                    "schema": schemas[endpoint.body, "validation"],
                    "examples": {name: {"value": value} for name, value in examples.get("requests", {}).items()},
                }
            },
        }
    return described


def _security(endpoint: Endpoint) -> list[dict[str, list[str]]]:
    if endpoint.who != "all":
        return [{endpoint.who: []}]
    return [{}, {"admin": []}] if HTTPStatus.UNAUTHORIZED in endpoint.problems else []


def _size(endpoint: Endpoint) -> str:
    if endpoint.who != "webhook":
        return f"At most {endpoint.largest_body:,} bytes."
    return f"At most {endpoint.largest_body:,} bytes with the static header, {webhook.LARGEST_SIGNED:,} signed."


def _responses(endpoint: Endpoint, examples: Mapping[str, Any], schemas: Schemas) -> dict[str, Any]:
    answers = {
        f"{status}": _response(
            inspect.cleandoc(answer.__doc__ or "").partition("\n")[0],
            "application/json",
            schemas[answer, "serialization"],
            examples.get(f"{status}"),
        )
        for status, answer in endpoint.answers.items()
    }
    problem = schemas[ProblemAnswer, "serialization"]
    return answers | {
        f"{status}": _response(why, MEDIA_TYPE, problem, _problem(status, why, endpoint))
        for status, why in sorted(endpoint.refusals.items())
    }


def _response(description: str, media_type: str, schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema, "example": example}}}


def _problem(status: int, why: str, endpoint: Endpoint) -> dict[str, Any]:
    of_body = status == HTTPStatus.UNPROCESSABLE_ENTITY and endpoint.body is not None
    errors = [FieldError(pointer="#", detail="Input should be an object")] if of_body else None
    answer = ProblemAnswer(title=HTTPStatus(status).phrase, status=status, detail=why, errors=errors)
    return answer.model_dump(exclude_none=True)


def _curl(endpoint: Endpoint, examples: Mapping[str, Any]) -> str:
    path = endpoint.template
    for name, value in examples.get("parameters", {}).items():
        path = path.replace(f"{{{name}}}", quote(f"{value}"))
    said = endpoint.method == "GET" or endpoint.body is not None
    method = "" if said else f"-X {endpoint.method} "
    parts = [f'{_CREDENTIALS[endpoint.who]} {method}"$SERVICE_URL{path}"']
    if bodies := examples.get("requests"):
        body = json.dumps(next(iter(bodies.values())), ensure_ascii=False, indent=2)
        parts += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(body)}"]
    return " \\\n  ".join(parts)


def _parameters(endpoint: Endpoint, examples: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of the path, numbers if their example is one, and those of the query."""
    query = endpoint.query.model_json_schema(schema_generator=Documented)["properties"] if endpoint.query else {}
    return [
        *(
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": _schema(examples.get(name)),
                "example": examples.get(name),
            }
            for name in re.findall(r"{(\w+)", endpoint.path)
        ),
        *({"name": name, "in": "query", "schema": schema} for name, schema in query.items()),
    ]


def _schema(example: object) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0} if isinstance(example, int) else {"type": "string", "minLength": 1}


_PAGE_HEADERS: Final = {
    # No 'unsafe-inline', no 'unsafe-eval'. The style sheet's icons are data: URLs; `connect-src` is for "Try it out".
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Browsers cache the files and revalidate them with their ETag, so an upgrade is visible immediately.
    "Cache-Control": "no-cache",
}


class SwaggerUi(StaticFiles):
    """Serves the files in swagger_ui/ from our own origin, so that they work offline; the directory is index.html."""

    def __init__(self) -> None:
        super().__init__(directory=SWAGGER_UI, html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file, or 304 if the browser has it."""
        response = await super().get_response(path, scope)
        response.headers.update(_PAGE_HEADERS)
        return response


def documentation(endpoints: Sequence[Endpoint]) -> list[BaseRoute]:
    """Return the routes of `/openapi.json`, which is generated at the first request, and of `/docs`, for people."""
    files = SwaggerUi()

    @cache
    def document() -> str:
        return json.dumps(describe(endpoints), ensure_ascii=False)

    async def openapi(_request: Request) -> Response:
        return Response(document(), media_type="application/json", headers={"X-Content-Type-Options": "nosniff"})

    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    return [Route("/openapi.json", openapi), Route("/docs", page), Mount("/docs", files)]
