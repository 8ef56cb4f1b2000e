"""`leadhook replay`: asks for it, follows it on the terminal, tells what came of it."""

import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from leadhook.domain.spend import dollars
from leadhook.domain.standing.words import amount
from leadhook.remote.failure import AskedWrongError
from leadhook.remote.service import Service

LOOK_EACH_S: Final = 1.0
SHOWN: Final = 20
"""Leads in the table of a comparison, and ids in other lists."""


def terminal() -> Console:
    """Where it is told; a reader of a pipe gets plain lines."""
    return Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)


def read_prompts(file: Path) -> dict[str, Any]:
    """The texts of a TOML file; the service says which names it takes.

    Raises:
        AskedWrongError: it can't be read.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AskedWrongError(f"{file} can't be read as TOML: {error}") from None


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
    if status["comparison"]:
        _show_changes(service, replay_id, console)
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
    found = status["comparison"]
    if found:
        change = "no old scores" if found["mean_change"] is None else f"mean change {found['mean_change']:+.1f}"
        console.print(
            f"compared {found['compared']}: {change}; {found['up']} cross 50 upwards, {found['down']} downwards"
        )


def _show_changes(service: Service, replay_id: int, console: Console) -> None:
    page = service.ask("GET", f"/replays/{replay_id}?limit=1000")
    both = [lead for lead in page["leads"] if "old_score" in lead and "new_score" in lead]
    both.sort(key=lambda lead: ("crosses" not in lead, -abs(lead["new_score"] - lead["old_score"])))
    if not both:
        return
    table = Table("lead", "old", "new", "old subject", "new subject")
    for lead in both[:SHOWN]:
        crosses = {"up": " ↑", "down": " ↓"}.get(lead.get("crosses", ""), "")
        scores = (str(lead["old_score"]), f"{lead['new_score']}{crosses}")
        subjects = (lead.get("old_subject", ""), lead.get("new_subject", ""))
        # Subjects may hold what a terminal would obey.
        table.add_row(*(Text("".join(filter(str.isprintable, text))) for text in (lead["lead_id"], *scores, *subjects)))
    console.print(table)
    if len(both) > SHOWN or page["next_after"] is not None:
        console.print(f"the others: GET /replays/{replay_id}")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())


def _usage(usage: Mapping[str, Any]) -> str:
    cost = usage["cost_usd"] if usage["calls"] else 0
    words = "cost unknown, as the model has no known price" if cost is None else dollars(cost)
    return f"{usage['calls']} calls, {usage['input_tokens']:,} tokens in, {usage['output_tokens']:,} out, {words}"


def _duration(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 100 else f"about {seconds / 60:.0f} min"  # noqa: PLR2004 - readable
