"""What our scorer costs beside the bare client: CPU a model call of both, by turns, in one process, on one stand-in.

The bare loop calls the very same model object with the same settings, prompts and schemas, sends leads that were
rendered before, and reads the answers with the same shapes. What it lacks is our own work: rendering, fencing and
flagging the lead, cleaning the answer, the look at the message, and naming what goes wrong.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import uvloop
from bench.bare_calls import KEY, STEPS, ask_twice, for_each, spent
from bench.measurement import Figure, Measurement

from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.gemini import open_scorer
from leadhook.gemini.facts import check_facts
from leadhook.gemini.guardrails import check_message
from leadhook.gemini.rendering import render
from leadhook.local import sample

PAIRS = 12
AT_ONCE = 16
MOST = 1.1
BIO = "Twenty years in plants, warehouses and dispatch; I lead a team of nineteen and like machines that last. "


def measure(*, short: bool) -> Measurement:
    """Medians over alternating pairs, and their ratio."""
    count = 2 if short else PAIRS
    with _stand_in() as url:
        pairs, parts = uvloop.run(_measure(url, count))
    bare, ours = (median(times) for times in zip(*pairs, strict=True))
    ratio = median(mine / plain for plain, mine in pairs)
    spread = (min(mine for _, mine in pairs), max(mine for _, mine in pairs))
    figures = {
        "cpu_ms": Figure(
            "CPU of a model call in our scorer",
            ours,
            "ms",
            spread,
            {"bare model.ainvoke": bare},
            f"≤ {MOST} times",
            ratio <= MOST,
        )
    }
    figures |= {name: Figure(f"of it: {name}", value, "ms") for name, value in parts.items()}
    return Measurement(
        f"A model call, {AT_ONCE} at once: {count} pairs; the median of their ratios is {ratio:.2f}",
        figures,
        {"pairs_ms": pairs},
    )


async def _measure(url: str, count: int) -> tuple[list[tuple[float, float]], dict[str, float]]:
    """The pairs, and what the parts of our own work cost a call: a lead's, halved."""
    prompts, leads = _sample()
    key = ApiKey.model_validate({"fingerprint": "bench", "api_key": KEY})
    rendered = [render(lead) for lead in leads]
    messages = {}
    async with open_scorer(model="gemini-3.5-flash-lite", base_url=url) as scorer:

        async def ours(place: int) -> None:
            await scorer.score(leads[place], prompts, key)
            messages[place], _ = await scorer.write(leads[place], prompts, key)

        async def bare(place: int) -> None:
            await ask_twice(scorer._client._chat, prompts, rendered[place].text)  # noqa: SLF001 - the same model object is the point

        await _cpu_ms(bare, len(leads)), await _cpu_ms(ours, len(leads))  # a first round of each has caches to fill
        pairs = [(await _cpu_ms(bare, len(leads)), await _cpu_ms(ours, len(leads))) for _ in range(count)]

    works: dict[str, Callable[[int], object]] = {
        "rendering the lead, for each call": lambda place: (render(leads[place]), render(leads[place])),
        "looking for manipulation in it": lambda place: rendered[place].flags,
        "looking for the sources of the message's facts": lambda place: check_facts(
            messages[place], prompts, rendered[place].text
        ),
        "the other checks of the message": lambda place: check_message(messages[place], prompts, leads[place]),
    }

    async def do(work: Callable[[int], object], place: int) -> None:
        work(place)

    return pairs, {
        name: median([await _cpu_ms(partial(do, work), len(leads)) for _ in range(count)])
        for name, work in works.items()
    }


async def _cpu_ms(score_one: Callable[[int], Awaitable[None]], count: int) -> float:
    """CPU of this process, a call."""
    with spent() as times:
        await for_each(count, AT_ONCE, score_one)
    return times.cpu_s * 1000 / (count * len(STEPS))


def _sample() -> tuple[Prompts, list[Lead]]:
    """The sample's leads, twice, with what a real profile brings: a longer bio and a career in JSON."""
    content = json.loads((Path(sample.__file__).parent / "sample_data" / "sample.json").read_text(encoding="utf-8"))
    career = [{"title": "Director", "company": "Pump works", "years": "2015-2026", "description": BIO * 2}] * 4
    leads = [
        Lead.model_validate({**lead, "lead_id": f"{n}", "bio": BIO * 10, "experience": career})
        for n, lead in enumerate(content["leads"] * 2)
    ]
    return Prompts.model_validate(content["prompts"]), leads


@contextmanager
def _stand_in() -> Iterator[str]:
    command = [sys.executable, "-m", "leadhook.local.gemini_standin"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:  # noqa: S603 - our own program
        try:
            found = re.search(r"http://\S+", process.stdout.readline() if process.stdout else "")
            if found is None:
                sys.exit("the Gemini stand-in did not start")
            yield found[0]
        finally:
            process.terminate()
