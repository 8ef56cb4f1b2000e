"""One request to a page of the console: who asks, what they may do, what they sent, and the page they get."""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import parse_qsl

import structlog
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from leadhook.domain.failure import StoreError
from leadhook.observability.events import Event
from leadhook.web.console.rendering import render, url
from leadhook.web.console.sessions import COOKIE, Session, find_session
from leadhook.web.requests import Problem, in_words, read_body
from leadhook.web.state import AppState

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send our own forms with `Origin: null`
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""No 'unsafe-inline', no other origin. Without a header, `CanonicalLine` adds `Cache-Control: no-store`."""
LARGEST_FORM: Final = 64 * 1024
SIGN_IN: Final = "/console/sign-in"

_TITLES: Final = {
    400: "This request can't be read",
    401: "You are not signed in",
    403: "Not allowed",
    404: "There is nothing here",
    405: "This action is not allowed",
    422: "Something is missing",
    429: "Too many wrong tokens",
    503: "The database is not available",
}
_FORM: Final = "application/x-www-form-urlencoded"
_SIGNED_OUT: Final = "The session has ended, or the form is from another one. Nothing was changed: sign in again."
_FOREIGN: Final = "The form was sent by a page of another site. Nothing was changed."
_READ_ONLY: Final = "You are signed in with one of ADMIN_READONLY_TOKENS: you can look, and change nothing."

Id = Annotated[int, Field(ge=0, le=2**63 - 1)]
Right = Literal["open", "look", "admin"]
Given = TypeVar("Given", bound=BaseModel)

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Place(BaseModel):
    """Where the page of a list begins."""

    after: str = ""
    before: Id | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    request: Request[AppState]
    session: Session | None
    form: dict[str, str]

    @property
    def state(self) -> AppState:
        return self.request.state

    @property
    def actor(self) -> str:
        return self.session.admin.actor if self.session else ""

    @property
    def address(self) -> str:
        return self.request.client.host if self.request.client else ""

    def query(self, model: type[Given]) -> Given:
        """Validate the query; empty parameters, as a form sends them for empty fields, count as missing.

        Raises:
            Problem: 422.
        """
        return _validated(model, {name: value for name, value in self.request.query_params.items() if value})

    def fields(self, model: type[Given]) -> Given:
        """Validate the form.

        Raises:
            Problem: 422.
        """
        return _validated(model, {name: value for name, value in self.form.items() if value})

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        common = {"visit": self, "session": self.session, "path": self.request.url.path}
        return Response(render(template, **common, **values), status, media_type="text/html")

    def live_page(self, part: str, live: str, status: int = 200, *, moving: Any = True, **values: Any) -> Response:
        """Return a page that renews itself from the address `live` while something is `moving`; there, its part."""
        is_part = self.request.url.path.endswith("/live")
        return self.page(part if is_part else "live.html", status, part=part, live=live, moving=moving, **values)

    def go(self, path: str, **query: Any) -> Response:
        return RedirectResponse(url(path, **query), HTTPStatus.SEE_OTHER)


Show = Callable[[Visit], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Page:
    """One method of one path. The right is checked before `show` is called.

    `open` pages need no session, `look` pages need one, `admin` pages one of ADMIN_TOKENS.
    """

    method: Literal["GET", "POST"]
    path: str
    show: Show
    right: Right

    async def handler(self, request: Request[AppState]) -> Response:
        """Answer a request, always with the headers that protect private pages."""
        visit = Visit(request, find_session(request.state["admins"], request.cookies.get(COOKIE, "")), {})
        try:
            response = await self._answer(visit)
        except HTTPException as problem:
            response = _explain(visit, problem)
        except StoreError as error:
            if error.kind == "caller_bug":
                raise
            response = _explain(visit, Problem(503, f"The database cannot answer: {error.reason}."))
        response.headers.update(HEADERS)
        return response

    async def _answer(self, visit: Visit) -> Response:
        if not visit.state["admins"].open:
            raise Problem(404)
        if self.method == "POST":
            visit = await _with_form(visit, signed_in=self.right != "open")
        elif self.right != "open" and visit.session is None:
            return _ask_to_sign_in(visit)
        if self.right == "admin" and not (visit.session and visit.session.admin.may_act):
            raise Problem(403, _READ_ONLY)
        response = await self.show(visit)
        if self.method == "POST" and self.right == "admin":
            log.info(Event.ACTION_TAKEN, actor=visit.actor, route=self.path)
        return response


def _validated(model: type[Given], given: dict[str, str]) -> Given:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise Problem(422, f"{in_words(error)}. Nothing was changed.") from None


async def _with_form(visit: Visit, *, signed_in: bool) -> Visit:
    """Read a form that our own page sent.

    Raises:
        Problem: 403 if another site sent it, 401 if the session is missing or another one.
    """
    request = visit.request
    _refuse_other_sites(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise Problem(415, "Send a form.")
    raw = (await read_body(request, LARGEST_FORM)).decode("utf-8", "replace")
    try:
        form = dict(parse_qsl(raw, keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise Problem(400) from None
    given = form.pop("form_token", "")
    if signed_in:
        wanted = visit.session.form_token if visit.session else ""
        if not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
            raise Problem(401, _SIGNED_OUT)
    return Visit(request, visit.session, form)


def _refuse_other_sites(request: Request[AppState]) -> None:
    """Browsers say where a form comes from; other clients have to know the form's token.

    Raises:
        Problem: 403.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        raise Problem(403, _FOREIGN)
    # The scheme is not compared: a proxy may take HTTPS off.
    if site is None and origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise Problem(403, _FOREIGN)


def _ask_to_sign_in(visit: Visit) -> Response:
    """Return to the page afterwards; a live part of a page can't be signed in to, so the whole page is left."""
    if "hx-request" in visit.request.headers:
        return Response(status_code=401, headers={"HX-Redirect": SIGN_IN})
    here = visit.request.url.path + (f"?{query}" if (query := visit.request.url.query) else "")
    return visit.go(SIGN_IN, next=here)


def _explain(visit: Visit, problem: HTTPException) -> Response:
    title = _TITLES.get(problem.status_code, HTTPStatus(problem.status_code).phrase)
    detail = "" if problem.detail == HTTPStatus(problem.status_code).phrase else problem.detail
    closed = not visit.state["admins"].open
    if closed or "hx-request" in visit.request.headers:
        return Response(title, problem.status_code, media_type="text/plain")
    response = visit.page("problem.html", problem.status_code, title=title, detail=detail)
    response.headers.update(problem.headers or {})
    return response
