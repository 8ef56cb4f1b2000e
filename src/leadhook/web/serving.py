"""Makes routes of declared operations: admits the caller, reads the body, and lets nothing undeclared out."""

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leadhook.web.auth import UNPROVEN, Proof
from leadhook.web.bodies import TooLarge, read_body, require_json
from leadhook.web.canonical_line import SUMMED
from leadhook.web.openapi import Answered, Call, Operation
from leadhook.web.problems import Problem, too_large_for_now, unreadable
from leadhook.web.signature import Refused
from leadhook.web.state import AppState


def routes(operations: Iterable[Operation]) -> list[Route]:
    """One route a path, so that a wrong method is told all the right ones."""
    by_path: dict[str, dict[str, Operation]] = defaultdict(dict)
    for operation in operations:
        by_path[operation.path][operation.method] = operation
    return [Route(path, _endpoint(methods), methods=list(methods)) for path, methods in by_path.items()]


def _endpoint(methods: dict[str, Operation]) -> Callable[[Request[AppState]], Awaitable[Response]]:
    async def answer(request: Request[AppState]) -> Response:
        operation = methods["GET" if request.method == "HEAD" else request.method]
        return _respond(operation, await operation.handler(await _admit(operation, request)))

    return answer


async def _admit(operation: Operation, request: Request[AppState]) -> Call[Any]:
    if operation.who == "webhook":
        # The signature is over the bytes, so they come first.
        began_at = time.perf_counter()
        raw = await _read_webhook(operation, request)
        proof = _prove(request, raw)
        require_json(request)
        return Call(request, _parse(operation, raw), proof=proof, began_at=began_at)
    actor = await _sign_in(request) if operation.who == "admin" else ""
    query = _read_query(operation, request)
    if operation.body is None:
        return Call(request, None, query=query, actor=actor)
    require_json(request)
    body = _parse(operation, await read_body(request, operation.largest_body))
    return Call(request, body, query=query, actor=actor)


async def _read_webhook(operation: Operation, request: Request[AppState]) -> bytes:
    """The body; only a static header that is right lets a large one in."""
    proven = request.state["webhook_auth"].proven_by_header(request.scope["headers"])
    try:
        return await read_body(request, operation.largest_body if proven else operation.largest_signed_body)
    except TooLarge as error:
        request.state["webhook_sum"].refused("body_too_large", skew_s=None, body_bytes=error.size)
        request.scope[SUMMED] = True
        if proven:
            raise Problem(413, too_large_for_now(request.state["sweep_interval_s"])) from None
        raise


def _read_query(operation: Operation, request: Request[AppState]) -> BaseModel | None:
    if operation.query is None:
        return None
    try:
        return operation.query.model_validate(dict(request.query_params))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise Problem(422, f"The query is not of the expected shape: {faults[:500]}.") from None


async def _sign_in(request: Request[AppState]) -> str:
    """An admin's mark; a wrong token is answered slowly once there were too many."""
    admins, sign_ins = request.state["admins"], request.state["sign_ins"]
    try:
        return admins.authenticate(request.scope["headers"])
    except Problem as refusal:
        if refusal.status_code == HTTPStatus.UNAUTHORIZED:
            await sign_ins.failed(request.client.host if request.client else "")
        raise


def _parse(operation: Operation, raw: bytes) -> BaseModel | None:
    if operation.body is None:
        return None
    try:
        return operation.body.model_validate_json(raw)
    except ValidationError as error:
        raise unreadable(error) from None


def _prove(request: Request[AppState], body: bytes) -> Proof:
    try:
        return request.state["webhook_auth"].prove(request.scope["headers"], body, now_s=int(time.time()))
    except Refused as refused:
        request.state["webhook_sum"].refused(refused.reason, skew_s=refused.skew_s, body_bytes=len(body))
        request.scope[SUMMED] = True
        raise Problem(401, UNPROVEN, headers={"WWW-Authenticate": "Webhook"}) from None


def _respond(operation: Operation, answered: Answered) -> Response:
    status, answer = answered if isinstance(answered, tuple) else (next(iter(operation.answers)), answered)
    if not isinstance(answer, operation.answers[status]):
        raise TypeError(f"{operation.name} answers {status} with {type(answer).__name__}, which it does not declare")
    return Response(answer.model_dump_json(by_alias=True), status, media_type="application/json")
