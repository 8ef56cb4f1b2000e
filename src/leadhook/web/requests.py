"""Reads, answers and refuses requests; used by all handlers.

Every refusal and error is `application/problem+json` (RFC 9457), with a sentence that explains what to do.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from leadhook.domain.failure import StoreError

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER: Final = {"Retry-After": "10"}

DETAILS: Final = {
    400: "The request can't be read.",
    404: "This path does not exist.",
    405: "This path does not support this method; the Allow header lists those that it supports.",
    413: "The body is too large for this request.",
    415: "The body must be JSON: send `Content-Type: application/json`.",
    500: "The request failed because of an internal error; the log has the reason, under this x-request-id.",
}
NO_JSON: Final = "The body is not valid JSON."
OTHER_SHAPE: Final = "The body is valid JSON but not of the expected shape; `errors` lists the fields."
OTHER_QUERY: Final = "The query is not of the expected shape"
MOST_ERRORS: Final = 20

Given = TypeVar("Given", bound=BaseModel)


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL, which Postgres can't store")
    return text


Identifier = Annotated[str, AfterValidator(_without_nul), Field(json_schema_extra={"pattern": r"^[^\x00]*$"})]
"""Names something in the database: taken as it is or refused, where texts are cleaned."""


class Body(BaseModel):
    """Base class of request bodies. Values are not converted, unknown fields are refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Answer(BaseModel):
    """Base class of answers. Docstrings of fields become descriptions in the document."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldError(Answer):
    """What is wrong with one field."""

    pointer: str
    """A JSON pointer into the body, as a fragment: `#/lead_ids/0`."""
    detail: str


class ProblemAnswer(Answer):
    """RFC 9457; `detail` says what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None
    """The first 20 errors in a body that does not have the expected shape."""


class Problem(HTTPException):
    """Raise this anywhere in a request to answer with a problem."""

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        errors: list[FieldError] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.errors = errors


class TooLarge(Problem):
    """413, with the number of bytes that were announced or received."""

    def __init__(self, size: int) -> None:
        super().__init__(413)
        self.size = size


async def read_json(request: Request[Any], model: type[Given], limit: int) -> Given:
    """Read a body of at most `limit` bytes.

    Raises:
        Problem: 415 for another content type, 413 beyond the limit, 400 or 422 for another shape.
    """
    require_json(request)
    return parse_json(model, await read_body(request, limit))


def require_json(request: Request[Any]) -> None:
    """Refuse a body whose content type is not JSON; without a content type, it is parsed.

    Raises:
        Problem: 415.
    """
    given = _header(request, b"content-type")
    if given is not None and given.partition(b";")[0].strip().lower() != b"application/json":
        raise Problem(415)


async def read_body(request: Request[Any], limit: int) -> bytes:
    """Read the whole body. Starlette's own limit is not used because it may answer in plain text.

    Raises:
        TooLarge: as soon as the body is known to exceed `limit` bytes.
        ClientDisconnect: the client left.
    """
    declared = _header(request, b"content-length")
    if declared is not None and declared.isdigit() and int(declared[:20]) > limit:
        raise TooLarge(int(declared[:20]))
    body, more = bytearray(), True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise TooLarge(len(body))
    return bytes(body)


def _header(request: Request[Any], name: bytes) -> bytes | None:
    for given, value in request.scope["headers"]:
        if given == name:
            return cast("bytes", value)
    return None


def parse_json(model: type[Given], raw: bytes) -> Given:
    """Validate a body; no error repeats a value.

    Raises:
        Problem: 400 if it is not JSON, 422 if it has another shape, with a pointer to each error.
    """
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
    if any(fault["type"] == "json_invalid" for fault in faults):
        raise Problem(400, NO_JSON)
    errors = [FieldError(pointer=_pointer(fault["loc"]), detail=_words(fault)) for fault in faults[:MOST_ERRORS]]
    raise Problem(422, OTHER_SHAPE, errors=errors)


def _pointer(location: tuple[int | str, ...]) -> str:
    return "#" + "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location)


def read_query(request: Request[Any], model: type[Given]) -> Given:
    """Validate the query parameters.

    Raises:
        Problem: 422.
    """
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise Problem(422, f"{OTHER_QUERY}: {in_words(error)}.") from None


def in_words(error: ValidationError) -> str:
    """Say what is wrong with which field, without its value."""
    faults = (f"{'.'.join(map(str, fault['loc'])) or 'form'}: {_words(fault)}" for fault in error.errors())
    return "; ".join(faults)[:500]


def _words(fault: ErrorDetails) -> str:
    return fault["msg"].removeprefix("Value error, ")


def json_answer(answer: BaseModel, status: int = HTTPStatus.OK) -> Response:
    return Response(answer.model_dump_json(by_alias=True), status, media_type="application/json")


def problem(error: HTTPException) -> Response:
    title = HTTPStatus(error.status_code).phrase
    content = ProblemAnswer(
        title=title,
        status=error.status_code,
        detail=DETAILS.get(error.status_code, title) if error.detail == title else error.detail,
        errors=error.errors if isinstance(error, Problem) else None,
    )
    return Response(content.model_dump_json(exclude_none=True), error.status_code, error.headers, MEDIA_TYPE)


async def answer_with_problem(_request: Request, error: Exception) -> Response:
    """Answer HTTP errors and an unavailable database; other exceptions are left to `CanonicalLine`."""
    if isinstance(error, HTTPException):
        return problem(error)
    if isinstance(error, StoreError) and error.kind != "caller_bug":
        return problem(Problem(503, f"The database cannot answer: {error.reason}.", headers=RETRY_AFTER))
    raise error
