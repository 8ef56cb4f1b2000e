"""One model object for the whole process; the lead's key goes with each call.

Building a model object costs 100 ms of CPU and a connection pool, so there is one, with a placeholder for a key:
should a call ever lose its own key, Google refuses it loudly instead of billing somebody else. The key travels as the
header `x-goog-api-key` of a plain `ainvoke`: LangChain's structured chains drop it silently. No callbacks and no
tracing: they would see the header.
"""

import os
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
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
from leadhook.gemini.failures import classify, timed_out
from leadhook.gemini.parameters import Step, model_parameters, step_parameters

CALL_LIMIT_S: Final = 60.0
LONGEST_KEY: Final = 500
"""Characters; Google's have 39 to some 60."""

GOOGLE: Final = "https://generativelanguage.googleapis.com"
_PLACEHOLDER: Final = "placeholder: every call brings its own key"
_READ_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""As the SDK's own session has it."""
_OTHERS_VARIABLES: Final = ("GOOGLE_", "GEMINI_", "CLOUDSDK_", "LANGCHAIN_", "LANGSMITH_")
"""Variables of other programs for the libraries below; ours of these prefixes are read before."""

_NO_FUNCTIONS = types.AutomaticFunctionCallingConfig(disable=True)


@dataclass(frozen=True, slots=True)
class Reply:
    """One model answer: its text, why it ended (`STOP` alone means that it is complete), and what it cost."""

    text: str
    finish_reason: str | None
    block_reason: str | None
    """Why the prompt itself was refused."""
    usage: Usage


class GeminiClient:
    """Asks the model, within a limit of time, and names what goes wrong."""

    def __init__(self, chat: ChatGoogleGenerativeAI, *, call_limit_s: float = CALL_LIMIT_S) -> None:
        self._chat = chat
        self._call_limit_s = call_limit_s

    @property
    def model(self) -> str:
        """The model's name."""
        return self._chat.model

    async def ask(self, step: Step, messages: list[BaseMessage], key: ApiKey, *, more_room: bool = False) -> Reply:
        """One model call.

        Args:
            step: decides the shape of the answer and its room.
            messages: the conversation; its last turn is the user's.
            key: whose project pays.
            more_room: the answer before this one was cut off.

        Raises:
            Failure: whatever the API, the SDK or the network raised, or the limit of time passed.
        """
        headers = {"x-goog-api-key": _header(key)}
        try:
            with anyio.fail_after(self._call_limit_s) as scope:
                answer = await self._chat.ainvoke(
                    messages,
                    http_options=types.HttpOptions(headers=headers),
                    automatic_function_calling=_NO_FUNCTIONS,
                    **step_parameters(step, more_room=more_room),
                )
        except Exception as error:  # noqa: BLE001 - the SDK raises five families of errors; classify knows them
            late = scope.cancelled_caught
            failure = timed_out(self._call_limit_s) if late else classify(error, model=self.model)
            failure.usage = Usage(calls=1)
            # `from None`: the chain of causes would carry the request with its key into a traceback.
            raise failure from None
        return _reply(answer)


@asynccontextmanager
async def open_client(*, model: str, base_url: str | None) -> AsyncIterator[GeminiClient]:
    """The process's client; its connections are closed at the end."""
    _forget_other_programs()
    # An answer that ends for a reason which the SDK does not know yet is no news to anybody but the scorer.
    warnings.filterwarnings("ignore", message=".*is not a valid (FinishReason|BlockedReason)", category=UserWarning)
    address = base_url or GOOGLE
    trust = network.trust()
    unasked = {"verify": trust, "trust_env": False}  # of the SDK's other clients, which are made and not used
    way = {"proxy": network.proxy_for(address), "ssl": trust}
    chat = ChatGoogleGenerativeAI(
        model=model,
        api_key=_PLACEHOLDER,
        vertexai=False,
        base_url=address,
        client_args=unasked,
        max_retries=1,
        **model_parameters(model),
    )
    # LangChain passes on neither the backend nor a session, and the SDK's own session reads proxies and ~/.netrc.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=_READ_BUFFER_BYTES
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
    """A variable set for another program must not turn our calls to its backend, key, replay or trace."""
    for name in [name for name in os.environ if name.startswith(_OTHERS_VARIABLES)]:
        del os.environ[name]
    os.environ["LANGSMITH_TRACING"] = "false"
    os.environ["LANGCHAIN_TRACING_V2"] = "false"


def _header(key: ApiKey) -> str:
    """The key, unless no HTTP header could carry it: what the transport says of that would be blamed on the lead."""
    value = key.api_key.get_secret_value()
    if len(value) <= LONGEST_KEY and value.isascii() and value.isprintable():
        return value
    raise Failure(FailureClass.KEY, "key_malformed", "This is no API key: it is too long or holds a strange character.")


def _reply(answer: AIMessage) -> Reply:
    metadata = answer.response_metadata
    feedback = metadata.get("prompt_feedback") or {}
    reason = feedback.get("block_reason") if isinstance(feedback, dict) else None
    usage: Any = answer.usage_metadata or {}
    return Reply(
        text=answer.text,
        finish_reason=metadata.get("finish_reason"),
        block_reason=str(reason) if reason else None,
        usage=Usage(
            calls=1,
            input_tokens=usage.get("input_tokens", 0),
            cached_tokens=(usage.get("input_token_details") or {}).get("cache_read", 0),
            output_tokens=usage.get("output_tokens", 0),
            thinking_tokens=(usage.get("output_token_details") or {}).get("reasoning", 0),
        ),
    )
