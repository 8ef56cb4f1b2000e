"""The OpenAPI 3.1 document of the declared operations."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.convertors import Convertor, IntegerConvertor
from starlette.routing import compile_path

from leadhook import __version__
from leadhook.web.openapi import Operation
from leadhook.web.problems import MEDIA_TYPE, ProblemAnswer

Schemas = Mapping[Any, dict[str, Any]]
"""By type and mode."""

_ADMISSION: Final[dict[str, dict[int, str]]] = {
    "all": {},
    "admin": {
        401: "No admin token, or a wrong one.",
        403: "ADMIN_TOKENS is not set, so admin requests are closed.",
        429: "Too many wrong admin tokens came from this address.",
    },
    "webhook": {401: "The webhook did not prove where it comes from."},
}
_READING: Final[dict[int, str]] = {
    400: "The body is not valid JSON.",
    413: "The body is too large.",
    415: "The body says that it is something else than JSON.",
    422: "The body is JSON of another shape; `errors` points to each fault.",
}
_SCHEMES: Final = {
    "admin": {"type": "http", "scheme": "bearer", "description": "One of ADMIN_TOKENS."},
    "webhook": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": (
            "Standard Webhooks v1, with `webhook-id` and `webhook-timestamp`, by one of WEBHOOK_SECRETS; "
            "or the header of WEBHOOK_STATIC_HEADER."
        ),
    },
}


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document."""
    schemas, definitions = models_json_schema(list(_models(operations)), ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        _, template, _ = compile_path(operation.path)
        paths.setdefault(template, {})[operation.method.lower()] = _describe(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "leadhook",
            "version": __version__,
            "description": "Scores the leads of a Supabase project with Gemini and writes to the good ones.",
        },
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


def _describe(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    summary, description = operation.words
    reading = _READING if operation.body else {422: "The query is of another shape."} if operation.query else {}
    problems = {**_ADMISSION[operation.who], **reading, **operation.problems}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": summary,
        "security": [] if operation.who == "all" else [{operation.who: []}],
        "responses": {
            **{
                f"{status}": _content(_first_line(answer), "application/json", schemas[answer, "serialization"])
                for status, answer in operation.answers.items()
            },
            **{
                f"{status}": _content(why, MEDIA_TYPE, schemas[ProblemAnswer, "serialization"])
                for status, why in sorted(problems.items())
            },
        },
    }
    if description:
        described["description"] = description
    if parameters := _parameters(operation):
        described["parameters"] = parameters
    if operation.body is not None:
        limit = f"At most {operation.largest_body:,} bytes."
        body = _content(limit, "application/json", schemas[operation.body, "validation"])
        described["requestBody"] = {**body, "required": True}
    return described


def _first_line(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "").partition("\n")[0]


def _content(description: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    _, _, convertors = compile_path(operation.path)
    query = operation.query.model_json_schema()["properties"] if operation.query else {}
    return [
        *(
            {"name": name, "in": "path", "required": True, "schema": _schema(convertor)}
            for name, convertor in convertors.items()
        ),
        *({"name": name, "in": "query", "schema": schema} for name, schema in query.items()),
    ]


def _schema(convertor: Convertor[Any]) -> dict[str, Any]:
    if isinstance(convertor, IntegerConvertor):
        return {"type": "integer", "minimum": 0}
    return {"type": "string", "minLength": 1}
