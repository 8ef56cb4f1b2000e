"""The Gemini client: one model object per process, and the lead's API key on each call.

Building a model object takes 100 ms of CPU and a connection pool, so there is only one, with a placeholder key: if a
call ever lost its key, Google would refuse it instead of billing another user. The key is sent in the header
`x-goog-api-key` of a plain `ainvoke`, because LangChain's structured chains silently drop it. Callbacks and tracing are
off because they would see the header.
"""

import math
import os
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import anyio
from google import genai
from google.genai import types
from langchain_core.messages import AIMessage, BaseMessage
from langchain_google_genai import ChatGoogleGenerativeAI

from leadhook import network
from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.job import ApiKey
from leadhook.domain.results import Usage
from leadhook.gemini.answers import Reply
from leadhook.gemini.failures import check_reply, classify, timed_out
from leadhook.gemini.prompts import Step, call_parameters, model_parameters, step_body

CALL_LIMIT_S: Final = 60.0
CHECK_LIMIT_S: Final = 10.0
LONGEST_KEY: Final = 500
"""In characters; Google's keys have 39 to about 60."""

GOOGLE: Final = "https://generativelanguage.googleapis.com"
_PLACEHOLDER: Final = "placeholder: each call sends the key of its lead"
_READ_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""The same as in the SDK's default session."""
_OTHERS_VARIABLES: Final = ("GOOGLE_", "GEMINI_", "CLOUDSDK_", "LANGCHAIN_", "LANGSMITH_")
"""Prefixes of variables that the libraries below read. Our own settings with these prefixes are read before."""

_MOST_TOKENS: Final = 10_000_000
"""Five times what any model takes: a larger count would use up every budget, and the database could not store it."""
_NO_FUNCTIONS = types.AutomaticFunctionCallingConfig(disable=True)


class GeminiClient:
    """Calls the model with a time limit and turns every error into a `Failure`."""

    def __init__(self, chat: ChatGoogleGenerativeAI, *, call_limit_s: float = CALL_LIMIT_S) -> None:
        self._chat = chat
        self._call_limit_s = call_limit_s

    @property
    def model(self) -> str:
        return self._chat.model

    @property
    def _sdk(self) -> genai.Client:
        if self._chat.client is None:
            raise RuntimeError("open_client sets it")
        return self._chat.client

    async def ask(self, step: Step, messages: list[BaseMessage], key: ApiKey, *, more_room: bool = False) -> Reply:
        """Call the model once.

        Args:
            step: selects the answer schema and the token limit.
            messages: the conversation; the last message is the user's.
            key: the key whose project is billed.
            more_room: the previous answer was cut off.

        Raises:
            Failure: the API, the SDK or the network failed, or the time limit passed.
        """
        headers = {"x-goog-api-key": _header(key)}
        try:
            with anyio.move_on_after(self._call_limit_s):
                answer = await self._chat.ainvoke(
                    messages,
                    http_options=types.HttpOptions(headers=headers, extra_body=step_body(step)),
                    automatic_function_calling=_NO_FUNCTIONS,
                    **call_parameters(more_room=more_room),
                )
                return _reply(answer)
        except Exception as error:  # noqa: BLE001 - the SDK raises five families of errors, all handled by classify
            # `from None`: the cause would put the request and its key into a traceback.
            raise classify(error, model=self.model) from None
        raise timed_out(self._call_limit_s)

    async def check_key(self, key: ApiKey) -> bool:
        """Ask Google for the model's description, which costs nothing. False: it was refused, or not answered."""
        try:
            once = types.HttpRetryOptions(attempts=1)
            options = types.HttpOptions(headers={"x-goog-api-key": _header(key)}, retry_options=once)
            with anyio.fail_after(CHECK_LIMIT_S):
                config = types.GetModelConfig(http_options=options)
                await self._sdk.aio.models.get(model=self.model, config=config)
        except Exception:  # noqa: BLE001 - whatever went wrong, it proves nothing
            return False
        return True


@asynccontextmanager
async def open_client(*, model: str, base_url: str | None) -> AsyncIterator[GeminiClient]:
    """Open the process's client; its connections are closed on exit."""
    _forget_other_programs()
    # validation.py handles finish reasons that this SDK does not know yet; the SDK need not warn about them.
    warnings.filterwarnings("ignore", message=".*is not a valid (FinishReason|BlockedReason)", category=UserWarning)
    address = base_url or GOOGLE
    trust = network.trust()
    unasked = {"verify": trust, "trust_env": False}  # for the SDK's other clients, which are created but never used
    # A redirect would take the key to whomever something on the way names.
    way = {"proxy": network.proxy_for(address), "ssl": trust, "allow_redirects": False}
    chat = ChatGoogleGenerativeAI(
        model=model,
        api_key=_PLACEHOLDER,
        vertexai=False,
        base_url=address,
        client_args=unasked | {"ssl": trust},  # the SDK would load the certificates twice more
        max_retries=1,
        **model_parameters(model),
    )
    # LangChain passes neither backend nor session to the SDK, whose default session reads proxy settings and ~/.netrc.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=_READ_BUFFER_BYTES,
        raise_for_status=check_reply,
    ) as session:
        chat.client = genai.Client(
            vertexai=False,
            api_key=_PLACEHOLDER,
            http_options=types.HttpOptions(
                base_url=address,
                aiohttp_client=session,
                client_args=unasked,
                async_client_args=unasked | way,
            ),
        )
        try:
            yield GeminiClient(chat)
        finally:
            await chat.client.aio.aclose()
            await chat.aclose()


def _forget_other_programs() -> None:
    """Keep variables meant for other programs from changing our calls' backend, key or tracing."""
    for name in [name for name in os.environ if name.startswith(_OTHERS_VARIABLES)]:
        del os.environ[name]
    os.environ["LANGSMITH_TRACING"] = "false"
    os.environ["LANGCHAIN_TRACING_V2"] = "false"


def _header(key: ApiKey) -> str:
    """Refuse keys that no HTTP header can carry; the transport's error would be counted against the lead."""
    value = key.api_key.get_secret_value()
    if len(value) <= LONGEST_KEY and value.isascii() and value.isprintable():
        return value
    reason = "Not a valid API key: it is too long or contains an invalid character."
    raise Failure(FailureClass.KEY, "key_malformed", reason, park_s=math.inf)


def _reply(answer: AIMessage) -> Reply:
    metadata = answer.response_metadata
    feedback = metadata.get("prompt_feedback") or {}
    reason = feedback.get("block_reason") if isinstance(feedback, dict) else None
    return Reply(
        text=answer.text,
        finish_reason=metadata.get("finish_reason"),
        block_reason=str(getattr(reason, "value", reason)) if reason else None,
        usage=_usage(answer),
    )


def _usage(answer: AIMessage) -> Usage:
    """Return the reported usage; counts that can't be true are not believed."""
    reported: Any = answer.usage_metadata or {}
    usage = Usage(
        calls=1,
        input_tokens=reported.get("input_tokens", 0),
        cached_tokens=(reported.get("input_token_details") or {}).get("cache_read", 0),
        output_tokens=reported.get("output_tokens", 0),
        thinking_tokens=(reported.get("output_token_details") or {}).get("reasoning", 0),
    )
    counts = (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.thinking_tokens)
    is_whole = usage.input_tokens > 0 and (usage.output_tokens > 0 or not answer.text)
    adds_up = usage.cached_tokens <= usage.input_tokens and usage.thinking_tokens <= usage.output_tokens
    if min(counts) < 0 or max(counts) > _MOST_TOKENS or not is_whole or not adds_up:
        return Usage(calls=1, unmetered=1)
    return usage
