"""The OpenAPI 3.1 document of the declared operations.

What it says of shapes comes from the types that validate. The examples are in `examples.json`, by operation: requests,
answers by status, and values of the path's parameters.
"""

import inspect
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.convertors import Convertor, IntegerConvertor
from starlette.routing import compile_path

from leadhook import __version__
from leadhook.web import auth, problems, sign_ins
from leadhook.web.openapi import Operation
from leadhook.web.problems import MEDIA_TYPE, FieldError, ProblemAnswer

Schemas = Mapping[Any, dict[str, Any]]
"""By type and mode."""

EXAMPLES: Final[dict[str, Any]] = json.loads(
    (resources.files(__package__) / "examples.json").read_text(encoding="utf-8")
)

_DESCRIPTION: Final = """
Scores the leads of a Supabase project with Gemini and writes a message to the good ones.

To try an operation here, press **Authorize** and enter one of the service's `ADMIN_TOKENS` under `admin`. The page
forgets the token when you close it, and shows it in the curl line of what you execute. What you execute is real: it
changes the project behind this service.

The curl lines expect the service's address in `SERVICE_URL` and one of its `ADMIN_TOKENS` in `ADMIN_TOKEN`.

Errors are `application/problem+json` (RFC 9457); `detail` says what to do. Every response has an `x-request-id`, which
is in the service's log too.
""".strip()
_TAGS: Final = {
    "Leads": "Ask where a lead stands, or score leads now.",
    "Replay": (
        "Score leads again, by id or by filter. There is no list of replays: keep the `replay_id` that `POST /replay` "
        "returns."
    ),
    "Service": "Is the service alive, and can it work? No token needed.",
    "Webhook": "Called by the database. No person needs to call it.",
}
"""In the order in which a person needs them."""
_CREDENTIALS: Final = {
    "all": [],
    "admin": ['-H "Authorization: Bearer $ADMIN_TOKEN"'],
    "webhook": ['-H "$WEBHOOK_STATIC_HEADER"'],
}
_ADMISSION: Final[dict[str, dict[int, str]]] = {
    "all": {},
    "admin": {
        401: auth.UNAUTHENTICATED,
        403: auth.CLOSED,
        429: sign_ins.TOO_MANY,
    },
    "webhook": {401: auth.UNPROVEN},
}
_READING: Final = {
    400: problems.NO_JSON,
    413: problems.DETAILS[413],
    415: problems.DETAILS[415],
    422: problems.OTHER_SHAPE,
}
_QUERY: Final = "The query is not of the expected shape."
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


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document."""
    schemas, definitions = models_json_schema(list(_models(operations)), ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        _, template, _ = compile_path(operation.path)
        paths.setdefault(template, {})[operation.method.lower()] = _describe(operation, template, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "leadhook", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": "/", "description": "The service that serves this document."}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "components": {"schemas": definitions["$defs"], "securitySchemes": _SCHEMES},
    }


def _models(operations: Iterable[Operation]) -> Iterable[tuple[type[BaseModel], JsonSchemaMode]]:
    named: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ProblemAnswer, "serialization"): None}
    for operation in operations:
        if operation.body is not None:
            named[operation.body, "validation"] = None
        named |= dict.fromkeys((answer, "serialization") for answer in operation.answers.values())
    return named


def _describe(operation: Operation, template: str, schemas: Schemas) -> dict[str, Any]:
    summary, description = operation.words
    examples = EXAMPLES.get(operation.name, {})
    parameters = _parameters(operation, examples.get("parameters", {}))
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": summary,
        "description": f"{description}\n\n```sh\n{_curl(operation, template, examples)}\n```".strip(),
        "security": [] if operation.who == "all" else [{operation.who: []}],
        "responses": _responses(operation, examples.get("answers", {}), schemas),
    }
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "description": _size(operation),
            "required": True,
            "content": {
                "application/json": {
                    "schema": schemas[operation.body, "validation"],
                    "examples": {name: {"value": value} for name, value in examples.get("requests", {}).items()},
                }
            },
        }
    return described


def _size(operation: Operation) -> str:
    if operation.who != "webhook":
        return f"At most {operation.largest_body:,} bytes."
    return f"At most {operation.largest_body:,} bytes with the static header, {operation.largest_signed_body:,} signed."


def _responses(operation: Operation, examples: Mapping[str, Any], schemas: Schemas) -> dict[str, Any]:
    reading = _READING if operation.body else {422: _QUERY} if operation.query else {}
    refusals = {**_ADMISSION[operation.who], **reading, **operation.problems}
    answers = {
        f"{status}": _response(
            _first_line(answer), "application/json", schemas[answer, "serialization"], examples.get(f"{status}")
        )
        for status, answer in operation.answers.items()
    }
    return answers | {
        f"{status}": _response(
            why, MEDIA_TYPE, schemas[ProblemAnswer, "serialization"], _problem(status, why, operation)
        )
        for status, why in sorted(refusals.items())
    }


def _response(description: str, media_type: str, schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema, "example": example}}}


def _problem(status: int, why: str, operation: Operation) -> dict[str, Any]:
    of_body = status == HTTPStatus.UNPROCESSABLE_ENTITY and operation.body is not None
    errors = [FieldError(pointer="#", detail="Input should be an object")] if of_body else None
    answer = ProblemAnswer(title=HTTPStatus(status).phrase, status=status, detail=why, errors=errors)
    return answer.model_dump(exclude_none=True)


def _curl(operation: Operation, template: str, examples: Mapping[str, Any]) -> str:
    """A command for a shell, with the first of the example requests."""
    path = template
    for name, value in examples.get("parameters", {}).items():
        path = path.replace(f"{{{name}}}", quote(f"{value}"))
    method = {"GET": "", "POST": ""}.get(operation.method, f"-X {operation.method} ")
    parts = [f'curl {method}"$SERVICE_URL{path}"', *_CREDENTIALS[operation.who]]
    if requests := examples.get("requests"):
        body = json.dumps(next(iter(requests.values())), ensure_ascii=False, indent=2)
        parts += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(body)}"]
    return " \\\n  ".join(parts)


def _first_line(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "").partition("\n")[0]


def _parameters(operation: Operation, examples: Mapping[str, Any]) -> list[dict[str, Any]]:
    _, _, convertors = compile_path(operation.path)
    query = operation.query.model_json_schema()["properties"] if operation.query else {}
    return [
        *(
            {"name": name, "in": "path", "required": True, "schema": _schema(convertor), **_example(name, examples)}
            for name, convertor in convertors.items()
        ),
        *({"name": name, "in": "query", "schema": schema} for name, schema in query.items()),
    ]


def _example(name: str, examples: Mapping[str, Any]) -> dict[str, Any]:
    return {"example": examples[name]} if name in examples else {}


def _schema(convertor: Convertor[Any]) -> dict[str, Any]:
    if isinstance(convertor, IntegerConvertor):
        return {"type": "integer", "minimum": 0}
    return {"type": "string", "minLength": 1}
