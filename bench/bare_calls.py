"""The least that a lead can cost a process: the two model calls and nothing else, so many leads at a time.

`python -m bench.bare_calls LEADS CONCURRENCY`, run by `bench/queues.py` with GEMINI_BASE_URL, prints leads a second and
ms of CPU a lead, as JSON.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvloop
from bench.leads import BIO, COMPANY, CRITERIA, EXPERIENCE, MESSAGE
from google.genai import types
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_google_genai import ChatGoogleGenerativeAI

from leadhook.domain.lead import Prompts
from leadhook.gemini.client import open_client
from leadhook.gemini.prompts import SHAPES, Step, call_parameters, fenced, step_body, system_instruction

KEY = "visibly-fake-key"
STEPS: tuple[Step, ...] = ("score", "message")
BODIES = {step: json.loads(json.dumps(step_body(step))) for step in STEPS}
"""As plain dictionaries, which is how one would write them."""


async def ask_twice(chat: ChatGoogleGenerativeAI, prompts: Prompts, text: str) -> None:
    """Call the model for the score and for the message, and read the answers."""
    for step in STEPS:
        answer = await chat.ainvoke(
            [SystemMessage(system_instruction(step, prompts)), HumanMessage(fenced(text))],
            http_options=types.HttpOptions(headers={"x-goog-api-key": KEY}, extra_body=BODIES[step]),
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            **call_parameters(),
        )
        SHAPES[step].model_validate_json(answer.text)


async def for_each(count: int, at_once: int, do: Callable[[int], Awaitable[None]]) -> None:
    """Call it with 0 to count - 1, so many at a time."""
    places = iter(range(count))

    async def work() -> None:
        for place in places:
            await do(place)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())


@dataclass
class Spent:
    """Wall and CPU time of a block, in seconds."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


@contextmanager
def spent() -> Iterator[Spent]:
    """The times of this process; they are there when the block has ended."""
    found = Spent(time.monotonic(), time.process_time())
    yield found
    found.wall_s, found.cpu_s = time.monotonic() - found.wall_s, time.process_time() - found.cpu_s


async def measure(leads: int, concurrency: int) -> dict[str, float]:
    """After half a wave to warm up, which fills caches and opens connections."""
    prompts = Prompts(wildnet_data=COMPANY, scoring_criteria_and_icp=CRITERIA, message_prompt=MESSAGE)
    text = f"name: lead\ntitle: Chief purchasing director\nexperience: {EXPERIENCE}\nbio: {BIO}"
    async with open_client(model="gemini-3.5-flash-lite", base_url=os.environ["GEMINI_BASE_URL"]) as client:

        async def answer(_place: int) -> None:
            await ask_twice(client._chat, prompts, text)  # noqa: SLF001 - the same model object, tuned as leadhook's

        await for_each(concurrency // 2, concurrency, answer)
        with spent() as times:
            await for_each(leads, concurrency, answer)
    return {"rate": leads / times.wall_s, "cpu_ms": times.cpu_s * 1000 / leads}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(int(sys.argv[1]), int(sys.argv[2])))))
