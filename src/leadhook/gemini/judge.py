"""Scores a lead and writes to it: one question, one repair, and only complete answers count."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel, ValidationError

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.verdict import Message, Score, Usage
from leadhook.gemini import prompts as texts
from leadhook.gemini.answers import MessageAnswer, ScoreAnswer, parse
from leadhook.gemini.client import GeminiClient, Reply, open_client

Answer = TypeVar("Answer", bound=BaseModel)

BLOCKED: Final = frozenset({"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"})
"""Finish reasons that mean: Google will not answer this, however often it is asked."""

_SCHEMAS: Final[dict[type[BaseModel], dict[str, Any]]] = {
    shape: shape.model_json_schema() for shape in (ScoreAnswer, MessageAnswer)
}


class GeminiJudge:
    """The judgement of one lead, in the two steps that it is paid for."""

    def __init__(self, client: GeminiClient) -> None:
        self._client = client

    @property
    def model(self) -> str:
        """The model's name."""
        return self._client.model

    def prompt_version(self, prompts: Prompts) -> str:
        """16 hex digits that change with the templates, the `prompts` row or the model."""
        return texts.prompt_version(prompts, self.model)

    def input_version(self, lead: Lead) -> str:
        """16 hex digits that change with any field of the lead that a model may see."""
        return texts.input_version(lead)

    async def score(self, lead: Lead, prompts: Prompts, key: ApiKey) -> tuple[Score, Usage]:
        """The score of a lead, and what it cost.

        Raises:
            Failure: with what the failed calls cost.
        """
        answer, usage = await self._ask("score", lead, prompts, key, ScoreAnswer)
        return answer.to_domain(), usage

    async def write(self, lead: Lead, prompts: Prompts, key: ApiKey) -> tuple[Message, Usage]:
        """Subject and message for a lead, and what they cost.

        Raises:
            Failure: with what the failed calls cost.
        """
        answer, usage = await self._ask("message", lead, prompts, key, MessageAnswer)
        return answer.to_domain(), usage

    async def _ask(
        self, step: texts.Step, lead: Lead, prompts: Prompts, key: ApiKey, shape: type[Answer]
    ) -> tuple[Answer, Usage]:
        messages: list[BaseMessage] = [
            SystemMessage(texts.system_instruction(step, prompts)),
            HumanMessage(texts.fenced_lead(lead)),
        ]
        usage = Usage()
        for last in (False, True):
            try:
                reply = await self._client.ask(messages, _SCHEMAS[shape], key)
            except Failure as failure:
                failure.usage = usage + failure.usage
                raise
            usage += reply.usage
            fault = _fault(reply)
            if fault is None:
                try:
                    return parse(reply.text, shape), usage
                except ValueError as error:
                    fault = _words(error)
            if last:
                break
            # Gemini refuses a conversation that ends on the model's turn, and an empty turn.
            messages = [*messages, AIMessage(reply.text or "{}"), HumanMessage(_repair(fault))]
        raise Failure(
            FailureClass.CONTENT, "answer_unusable", f"The model's answer was no good, twice: {fault}", usage=usage
        )


@asynccontextmanager
async def open_judge(*, model: str, base_url: str | None = None) -> AsyncIterator[GeminiJudge]:
    """The process's judge.

    Args:
        model: Gemini's name of the model.
        base_url: another address of the API; None is Google's.
    """
    async with open_client(model=model, base_url=base_url) as client:
        yield GeminiJudge(client)


def _fault(reply: Reply) -> str | None:
    if reply.block_reason is not None:
        reason = f"Google blocked the prompt ({reply.block_reason})."
        raise Failure(FailureClass.CONTENT, "prompt_blocked", reason, usage=reply.usage)
    if reply.finish_reason in BLOCKED:
        reason = f"Google blocked the answer ({reply.finish_reason})."
        raise Failure(FailureClass.CONTENT, "answer_blocked", reason, usage=reply.usage)
    if reply.finish_reason != "STOP":
        return f"it did not end properly (finish reason {reply.finish_reason or 'missing'})"
    return None


def _words(error: ValueError) -> str:
    """What is wrong with an answer, without a word of the answer: it may quote the lead."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['type']}"
            for item in error.errors(include_url=False, include_input=False)
        )
    if isinstance(error, json.JSONDecodeError):
        return f"it is not complete JSON ({error.msg} at character {error.pos})"
    return type(error).__name__


def _repair(fault: str) -> str:
    return f"That answer can't be used: {fault}. Answer again, completely, with JSON alone."
