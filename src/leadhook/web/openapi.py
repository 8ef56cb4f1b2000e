"""An operation of the HTTP API is declared once; its route, its checks and its documentation all come from there.

A module of operations looks like this, and `site.py` lists its operations:

    class Order(Body):
        lead_ids: list[str]

    class Receipt(Answer):
        order_id: int

    @operation("POST", "/orders", tag="Leads", who="admin", body=Order, answers={202: Receipt}, problems={503: "Shut."})
    async def take_order(call: Call[Order]) -> Receipt:
        '''The first line is the summary.

        What follows is the description.
        '''

Parameters of the path (`/orders/{order_id:int}`) are in `call.request.path_params`. An answer goes out with the first
status that is declared, or as `(status, answer)`; anything else is raised as a `Problem`. Its examples are in
`examples.json`.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request

from leadhook.web.auth import Proof
from leadhook.web.state import AppState

Who = Literal["all", "admin", "webhook"]
"""`admin`: a bearer token of ADMIN_TOKENS. `webhook`: a signature, or the static header of a dashboard webhook."""
Tag = Literal["Leads", "Replay", "Service", "Webhook"]
"""The headings in the documentation."""
Given = TypeVar("Given")

LARGEST_BODY: Final = 64 * 1024


class Body(BaseModel):
    """The base of what comes in: nothing is converted, unknown fields are refused, docstrings become descriptions."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)


class Answer(BaseModel):
    """The base of what goes out; docstrings become descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class Call(Generic[Given]):
    """A request that may be answered: its caller is admitted, its body is read and of the declared shape."""

    request: Request[AppState]
    body: Given
    """None where no body is declared."""
    query: Any = None
    """Of the declared type; None where none is declared."""
    actor: str = ""
    """Of an admin, for the audit."""
    proof: Proof | None = None
    """Of a webhook."""
    began_at: float = 0.0
    """Of a webhook: when it came, by `time.perf_counter`, in seconds."""


Answered = BaseModel | tuple[int, BaseModel]
Handler = Callable[[Call[Any]], Awaitable[Answered]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    """As Starlette writes it."""
    tag: Tag
    who: Who
    answers: Mapping[int, type[BaseModel]]
    handler: Handler
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    """The parameters behind `?`; each has a default."""
    largest_body: int = LARGEST_BODY
    """In bytes."""
    largest_signed_body: int = LARGEST_BODY
    """In bytes, of a webhook that its headers alone don't prove: its body is read before it is known whose it is."""
    problems: Mapping[int, str] = field(default_factory=dict)
    """When this operation answers with a problem, beside those that follow from `who` and `body`."""

    @property
    def name(self) -> str:
        """Stable, for clients that are generated from the document."""
        return self.handler.__name__

    @property
    def words(self) -> tuple[str, str]:
        """Summary and description."""
        summary, _, description = inspect.cleandoc(self.handler.__doc__ or "").partition("\n\n")
        return summary.rstrip("."), description


def operation(
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"], path: str, **declared: Any
) -> Callable[[Handler], Operation]:
    """Declare what the function below answers; the other arguments are the fields of `Operation`."""

    def declare(handler: Handler) -> Operation:
        return Operation(method=method, path=path, handler=handler, **declared)

    return declare
