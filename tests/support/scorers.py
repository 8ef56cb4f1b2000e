"""A scorer without a model, for tests of what stands around it."""

from typing import ClassVar

from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Message, Score, Usage


class PlainScorer:
    """Scores each lead 80 and writes a greeting; `_answer` may wait, fail or give another score."""

    model = "fake-model"
    usage: ClassVar = {
        "score": Usage(calls=1, input_tokens=100),
        "check": Usage(calls=1, input_tokens=50),
        "write": Usage(calls=1, output_tokens=10),
    }

    async def check_key(self, key: ApiKey) -> bool:  # noqa: ARG002 - the port's
        return False

    def prompt_version(self, prompts: Prompts) -> str:
        return f"prompts {prompts.message_prompt}"

    def input_version(self, lead: Lead) -> str:
        return f"input {lead.name}"

    async def score(self, lead: Lead, prompts: Prompts, key: ApiKey) -> tuple[Score, Usage]:
        answer = await self._answer("score", lead, prompts, key)
        return answer or Score(score=80, response="good", should_contact=True), self.usage["score"]

    async def check(self, lead: Lead, prompts: Prompts, key: ApiKey, score: Score) -> tuple[Score, Usage]:
        """As the first score, unless `_answer` gives another one."""
        without = await self._answer("check", lead, prompts, key)
        return score.compared_with(without or score), self.usage["check"]

    async def write(self, lead: Lead, prompts: Prompts, key: ApiKey) -> tuple[Message, Usage]:
        await self._answer("write", lead, prompts, key)
        return Message(subject="Hello", message=f"Dear {lead.name}"), self.usage["write"]

    async def _answer(self, step: str, lead: Lead, prompts: Prompts, key: ApiKey) -> Score | None:
        raise NotImplementedError
