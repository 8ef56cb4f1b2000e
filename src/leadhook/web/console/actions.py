"""What every action has in common: the page that shows its consequences before the button."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, Final, TypeVar
from uuid import UUID, uuid4

from pydantic import BaseModel, StringConstraints
from starlette.responses import Response

from leadhook.domain.status import Scope
from leadhook.store import when_free
from leadhook.web.console.visit import Visit
from leadhook.web.requests import Identifier, Problem

Reply = TypeVar("Reply")
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


PATIENCE_S: Final = 10.0
"""How long an action waits for a lock."""


class Why(BaseModel):
    """The form below each preview."""

    reason: Reason
    request_id: UUID | None = None
    """Of the preview: a form that is sent twice, as by a second click, acts once."""


class ScopeQuery(BaseModel):
    user_id: UUID | None = None
    tag: Identifier | None = None

    def scope(self) -> Scope:
        """Return the leads.

        Raises:
            Problem: 422.
        """
        if self.tag is not None and self.user_id is None:
            raise Problem(422, "A tag belongs to a user: fill in the user id.")
        return Scope(user_id=self.user_id, tag=self.tag)


def of(scope: Scope) -> str:
    """Say whose leads they are, unless they are everyone's."""
    return "" if scope.user_id is None else f" of {scope}"


def preview(
    visit: Visit,
    title: str,
    sentences: Sequence[str],
    button: str | None,
    *,
    back: str,
    sample: Sequence[str] = (),
    stops: bool = False,
) -> Response:
    """Show the consequences of an action, with its button, or None if there is nothing to do.

    `sample` are ids of leads that are concerned; `stops` means that leads are not processed any more. The form is sent
    to the address of the preview.
    """
    query = visit.request.url.query
    action = visit.request.url.path + (f"?{query}" if query else "")
    return visit.page(
        "confirm.html",
        title=title,
        sentences=sentences,
        button=button,
        back=back,
        sample=sample,
        stops=stops,
        action=action,
        request_id=uuid4(),
    )


async def perform(call: Callable[..., Awaitable[Reply]], *arguments: object, **more: object) -> Reply:
    """Change something, once no other transaction holds the lock for it."""
    return await when_free(partial(call, *arguments, **more), PATIENCE_S)
