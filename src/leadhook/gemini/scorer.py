"""Scores a lead and writes its message: one call each, a second one if that can help; only complete answers count."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Message, Score, Usage
from leadhook.gemini import facts, guardrails
from leadhook.gemini import prompts as texts
from leadhook.gemini.answers import MessageAnswer, Remedy, Reply, ScoreAnswer, Unusable, read_reply
from leadhook.gemini.client import GeminiClient, open_client
from leadhook.gemini.prompts import Step
from leadhook.gemini.rendering import Rendering, render, without_free_text

Answer = TypeVar("Answer", bound=BaseModel)

REPEATED_CHARACTERS: Final = 9_000
"""Maximum of an unusable answer that the second call repeats."""
QUOTED_CHARACTERS: Final = 200
"""Maximum of the wrong words that it quotes."""


class GeminiScorer:
    """Buys a lead's score and message, one step at a time."""

    def __init__(self, client: GeminiClient) -> None:
        self._client = client

    @property
    def model(self) -> str:
        return self._client.model

    def prompt_version(self, prompts: Prompts) -> str:
        return texts.prompt_version(prompts, self.model)

    def input_version(self, lead: Lead) -> str:
        return texts.input_version(lead)

    def show_question(self, lead: Lead, prompts: Prompts) -> dict[str, tuple[str, str]]:
        """Return what the model is sent in each step, for people to read: the instruction and the lead.

        Raises:
            Failure: the `prompts` row is too long.
        """
        rendered = texts.fenced(render(lead).text)
        return {step: (texts.system_instruction(step, prompts), rendered) for step in texts.TEMPLATES}

    async def check_key(self, key: ApiKey) -> bool:
        """Ask whether the key may use the model; the call costs nothing."""
        return await self._client.check_key(key)

    async def score(self, lead: Lead, prompts: Prompts, key: ApiKey) -> tuple[Score, Usage]:
        """Return the score of a lead, and what it cost.

        Raises:
            Failure: with what the failed calls cost.
        """
        rendering = render(lead)

        def accept(reply: Reply) -> Score:
            return read_reply(reply, ScoreAnswer).to_domain().model_copy(update={"flags": rendering.flags})

        return await self._ask("score", rendering, prompts, key, accept)

    async def check(self, lead: Lead, prompts: Prompts, key: ApiKey, score: Score) -> tuple[Score, Usage]:
        """Score the lead again without its free text, and compare.

        If there is no usable answer to that, the score stays below contact.

        Raises:
            Failure: with what the failed calls cost; another attempt may succeed.
        """
        try:
            without, usage = await self.score(without_free_text(lead), prompts, key)
        except Failure as failure:
            if failure.kind != FailureClass.CONTENT:
                raise
            return score.held_back("it could not be checked without the lead's free text"), failure.usage
        return score.compared_with(without), usage

    async def write(self, lead: Lead, prompts: Prompts, key: ApiKey) -> tuple[Message, Usage]:
        """Return subject and message for a lead, and what they cost.

        Raises:
            Failure: with what the failed calls cost.
        """
        rendering = render(lead)

        def accept(reply: Reply) -> Message:
            return _checked(read_reply(reply, MessageAnswer).to_domain(), prompts, lead, rendering)

        return await self._ask("message", rendering, prompts, key, accept)

    async def _ask(
        self, step: Step, rendering: Rendering, prompts: Prompts, key: ApiKey, accept: Callable[[Reply], Answer]
    ) -> tuple[Answer, Usage]:
        usage = Usage()
        try:
            question: list[BaseMessage] = [
                SystemMessage(texts.system_instruction(step, prompts)),
                HumanMessage(texts.fenced(rendering.text)),
            ]
            reply = await self._client.ask(step, question, key)
            usage += reply.usage
            try:
                return accept(reply), usage
            except Unusable as first:
                if first.kind == FailureClass.TRANSIENT:
                    raise
                more_room = first.remedy == Remedy.MORE_ROOM
                reply = await self._client.ask(step, [*question, *_repair(reply, first)], key, more_room=more_room)
                usage += reply.usage
                return accept(reply), usage
        except Unusable as second:
            raise second.as_failure(usage) from None
        except Failure as failure:
            failure.usage = usage + failure.usage
            raise


def prepare() -> None:
    """Load the word lists and what a message in English needs. The first message would hold up all others for 50 ms."""
    text = (
        "Hello Ada, I saw that you and your team at Acme.com run the plants of Vienna as one. This is what we do for "
        "our clients: my colleagues have two tools that plan shifts. Would a call next week be of use to you?"
    )
    with suppress(Unusable):
        lead = Lead(lead_id="", name="Ada", company_name="Acme.com", location="Vienna")
        _checked(Message(subject="Shifts", message=text), Prompts(wildnet_data="Two tools."), lead, render(lead))


def _checked(message: Message, prompts: Prompts, lead: Lead, rendering: Rendering) -> Message:
    """Return the message with its right claims.

    Raises:
        Unusable: it says what no source says, or what it must not.
    """
    code = guardrails.check_message(message, prompts, lead)
    if code is not None:
        raise Unusable(code, guardrails.REASONS[code], Remedy.REPAIR)
    unproven, claims = facts.check_facts(message, prompts, rendering.text)
    if unproven is not None:
        raise Unusable(unproven.code, facts.REASONS[unproven.code], Remedy.REPAIR, quoted=unproven.words)
    return message.model_copy(update={"claims": claims})


@asynccontextmanager
async def open_scorer(*, model: str, base_url: str | None = None) -> AsyncIterator[GeminiScorer]:
    """Open the scorer of the process.

    Args:
        model: Gemini's name of the model.
        base_url: another address of the API; None is Google's.
    """
    async with open_client(model=model, base_url=base_url) as client:
        yield GeminiScorer(client)


def _repair(reply: Reply, unusable: Unusable) -> list[BaseMessage]:
    """Return what follows the question in the second call. Gemini wants the last turn to be the user's."""
    if unusable.remedy != Remedy.REPAIR:
        return []
    quoted = f" ({json.dumps(unusable.quoted[:QUOTED_CHARACTERS], ensure_ascii=False)})" if unusable.quoted else ""
    words = (
        f"That answer can't be used: {unusable.words}{quoted}. Answer again, completely, with the JSON object alone."
    )
    return [AIMessage(reply.text[:REPEATED_CHARACTERS]), HumanMessage(words)]
