"""Every refusal and error as `application/problem+json` (RFC 9457), in words that say what to do."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPE: Final = "application/problem+json"
MOST_ERRORS: Final = 20
NO_JSON: Final = "The body is not valid JSON."
OTHER_SHAPE: Final = "The body is JSON, but not of the expected shape; `errors` says where."

DETAILS: Final = {
    400: "The request can't be read.",
    404: "There is nothing at this path.",
    405: "This path does not know this method; the Allow header names those that it knows.",
    413: "The body is larger than this request may carry.",
    415: "The body must be JSON: send `Content-Type: application/json`.",
    500: "The request failed here; the log has the reason under this request's x-request-id.",
}


class FieldError(BaseModel):
    """What is wrong with one field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pointer: str
    """A JSON pointer into the body, as a fragment: `#/lead_ids/0`."""
    detail: str


class ProblemAnswer(BaseModel):
    """RFC 9457; `detail` says what to do."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None
    """The first 20 errors in a body that does not have the expected shape."""


class Problem(HTTPException):
    """Raised anywhere under a request to answer with a problem."""

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


def problem(error: HTTPException) -> Response:
    """The answer for an error."""
    title = HTTPStatus(error.status_code).phrase
    content = ProblemAnswer(
        title=title,
        status=error.status_code,
        detail=DETAILS.get(error.status_code, title) if error.detail == title else error.detail,
        errors=error.errors if isinstance(error, Problem) else None,
    )
    return Response(content.model_dump_json(exclude_none=True), error.status_code, error.headers, MEDIA_TYPE)


def too_large_for_now(sweep_interval_s: float) -> str:
    """What a dashboard webhook is told whose row is larger than is read, though its header is right."""
    return (
        "The webhook's body is larger than 1 MiB, so it was not read. Nothing is lost: the sweep finds its lead within "
        f"{sweep_interval_s:g} seconds. leadhook's own triggers send ids only: `leadhook webhooks install`."
    )


async def answer_with_problem(_request: Request, error: Exception) -> Response:
    """Starlette's handler for its own and our HTTP errors."""
    return problem(error if isinstance(error, HTTPException) else HTTPException(500))


def unreadable(error: ValidationError) -> Problem:
    """A body that is no JSON (400), or JSON of another shape (422, with a pointer to each fault); repeats no value."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    if any(fault["type"] == "json_invalid" for fault in faults):
        return Problem(400, NO_JSON)
    errors = [
        FieldError(pointer=_pointer(fault["loc"]), detail=fault["msg"].removeprefix("Value error, "))
        for fault in faults[:MOST_ERRORS]
    ]
    return Problem(422, OTHER_SHAPE, errors=errors)


def _pointer(location: tuple[int | str, ...]) -> str:
    return "#" + "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location)
