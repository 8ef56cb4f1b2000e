"""Signing in and out, with a token or a one-time link; and the files that the pages load."""

import re
from pathlib import Path
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from leadhook.observability.events import Event
from leadhook.web.auth import Admin, require_admin
from leadhook.web.console.sessions import COOKIE, LINK_S, SESSION_S, create_link, find_link, start_session
from leadhook.web.console.visit import SIGN_IN, Visit
from leadhook.web.requests import Answer
from leadhook.web.state import AppState

HOME: Final = "/console"
FILES: Final = Path(__file__).with_name("static")
_OWN_PAGE: Final = re.compile(r"/console([/?][!-~]*)?")
_WRONG_TOKEN: Final = "This is not one of ADMIN_TOKENS or ADMIN_READONLY_TOKENS."  # noqa: S105 - a sentence
_USED_LINK: Final = "This link was used already, or is older than an hour."

_static: Final = StaticFiles(directory=FILES)
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class SignInLinkAnswer(Answer):
    """A link to the console with which someone can sign in once, with the rights of the token that asked for it."""

    path: str
    """The path to open on this service, in a browser."""
    valid_for_s: int


async def create_sign_in_link(request: Request[AppState]) -> Response:
    """Create a link with which someone can sign in to the console once.

    For `leadhook local up`, and for people who should not learn the token. The database remembers that it was used.
    """
    actor = await require_admin(request)
    code = create_link(request.state["admins"], actor)
    answer = SignInLinkAnswer(path=f"{SIGN_IN}?code={code}", valid_for_s=LINK_S)
    return Response(answer.model_dump_json(), media_type="application/json")


async def show_sign_in(visit: Visit) -> Response:
    """Show the form. A link shows a button, because programs that only look at links must not use it up."""
    given = visit.request.query_params
    return visit.page("sign_in.html", code=given.get("code", ""), next=_own_page(given.get("next", "")), wrong="")


async def sign_in(visit: Visit) -> Response:
    by = "link" if visit.form.get("code") else "token"
    admin = await _identify(visit, by)
    if admin is None:
        log.warning(Event.SESSION_REFUSED, by=by)
        await visit.state["admins"].slow_down(visit.address)
        wrong = _USED_LINK if by == "link" else _WRONG_TOKEN
        return visit.page("sign_in.html", 401, code="", next=_own_page(visit.form.get("next", "")), wrong=wrong)
    log.info(Event.SESSION_STARTED, actor=admin.actor, by=by)
    response = visit.go(_own_page(visit.form.get("next", "")))
    response.set_cookie(
        COOKIE,
        start_session(admin),
        max_age=SESSION_S,
        path=HOME,
        secure=_is_https(visit.request),
        httponly=True,
        samesite="strict",
    )
    return response


async def sign_out(visit: Visit) -> Response:
    """Forget the session in this browser."""
    response = visit.go(SIGN_IN)
    response.delete_cookie(COOKIE, path=HOME, secure=_is_https(visit.request), httponly=True, samesite="strict")
    return response


async def show_file(visit: Visit) -> Response:
    """Return the style sheet or a script; browsers keep them and ask again with their ETag."""
    response = await _static.get_response(visit.request.path_params["file"], visit.request.scope)
    response.headers["Cache-Control"] = "no-cache"
    return response


async def _identify(visit: Visit, by: str) -> Admin | None:
    if by == "token":
        return visit.state["admins"].find(visit.form.get("token", "").encode())
    link = find_link(visit.state["admins"], visit.form["code"])
    if link is None or not await visit.state["store"].redeem_link(link.fingerprint, link.admin.actor):
        return None
    return link.admin


def _own_page(path: str) -> str:
    """Return where to continue: a page of the console, whatever the link said."""
    return path if _OWN_PAGE.fullmatch(path) and "\\" not in path else HOME


def _is_https(request: Request[AppState]) -> bool:
    """Behind a proxy that takes HTTPS off, the browser and the proxy still say it."""
    given = (request.url.scheme, request.headers.get("origin", ""), request.headers.get("x-forwarded-proto", ""))
    return any(value.startswith("https") for value in given)
