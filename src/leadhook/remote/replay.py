"""`leadhook replay`: asks for it, follows it on the terminal, tells what came of it."""

import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from leadhook.domain.spend import dollars
from leadhook.domain.standing.words import amount
from leadhook.remote.service import Service

LOOK_EACH_S: Final = 1.0
SHOWN: Final = 20
"""The most ids in a list."""


def terminal() -> Console:
    """Where it is told; a reader of a pipe gets plain lines."""
    return Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)


def dry_run(service: Service, order: Mapping[str, Any], console: Console) -> None:
    """Tell what it would come to."""
    answer = service.ask("POST", "/replay", {**order, "dry_run": True})
    console.print(
        f"would judge {amount(answer['count'], 'lead')} ({_counts(answer['counts']) or 'none'}); nothing was changed"
    )
    if not answer["complete"]:
        console.print("looking through all leads took too long: these are the figures of a part")
    forecast = answer["forecast"]
    if forecast is None:
        console.print("no forecast: no lead was judged yet")
    elif answer["count"]:
        console.print(f"forecast: {_usage(forecast)}, {_duration(forecast['duration_s'])}")
    for lead_id in answer["sample"]:
        console.print(f"  {lead_id}")


def begin(service: Service, order: Mapping[str, Any], console: Console) -> int:
    """Ask for it and follow it; the exit code."""
    answer = service.ask("POST", "/replay", order)
    replay_id = answer["replay_id"]
    console.print(f"replay {replay_id}: {_counts(answer['counts']) or 'nothing to be done'}")
    odd = [lead for lead in answer["leads"] if lead["outcome"] in ("unknown", "not_eligible")]
    for lead in odd[:SHOWN]:
        lacks = f", lacks {', '.join(lead['missing'])}" if lead.get("missing") else ""
        console.print(f"  {lead['lead_id']}: {lead['outcome']}{lacks}")
    if len(odd) > SHOWN:
        console.print(f"  and {len(odd) - SHOWN} more like these")
    return max(follow(service, replay_id, console), 1 if odd else 0)


def follow(service: Service, replay_id: int, console: Console) -> int:
    """Show its progress until it is over; 1 where a lead failed."""
    try:
        status = _watch(service, replay_id, console)
    except KeyboardInterrupt:
        console.print(
            f"replay {replay_id} goes on. To follow it: leadhook replay follow {replay_id}."
            f" To stop it: leadhook replay stop {replay_id}"
        )
        raise
    _tell(status, console)
    return 1 if status["progress"]["failed"] else 0


def stop(service: Service, replay_id: int, console: Console) -> int:
    """Stop it; what is being judged at the moment ends."""
    status = service.ask("DELETE", f"/replays/{replay_id}")
    if status["state"] == "finished":
        console.print(f"replay {replay_id} has finished already: there is nothing to stop, and nothing was changed")
        return 0
    while status["state"] == "stopping":
        time.sleep(LOOK_EACH_S)
        status = service.ask("GET", f"/replays/{replay_id}?limit=1")
    _tell(status, console)
    return 0


def _watch(service: Service, replay_id: int, console: Console) -> dict[str, Any]:
    columns = (TextColumn("judged"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=None)
        while True:
            status = service.ask("GET", f"/replays/{replay_id}?limit=1")
            progress = status["progress"]
            left = progress["waiting"] + progress["leased"]
            bar.update(task, total=progress["total"] or 1, completed=progress["total"] - left)
            if status["state"] in ("finished", "stopped") and not left:
                return status
            time.sleep(LOOK_EACH_S)


def _tell(status: Mapping[str, Any], console: Console) -> None:
    progress = status["progress"]
    parts = {name: count for name, count in progress.items() if name != "total" and count}
    name = f"replay {status['replay_id']} {status['state']}"
    console.print(
        f"{name}: {amount(progress['total'], 'lead')} ({_counts(parts) or 'none'}), {_usage(status['usage'])}"
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())


def _usage(usage: Mapping[str, Any]) -> str:
    cost = usage["cost_usd"] if usage["calls"] else 0
    words = "cost unknown, as the model has no known price" if cost is None else dollars(cost)
    return f"{usage['calls']} calls, {usage['input_tokens']:,} tokens in, {usage['output_tokens']:,} out, {words}"


def _duration(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 100 else f"about {seconds / 60:.0f} min"  # noqa: PLR2004 - readable
