"""An explanation on a terminal: the sentence first, the facts below."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadhook.domain.dossier import Eligibility, WebhookDelivery
from leadhook.domain.explanation import ExplainedAttempt, Explanation
from leadhook.domain.moment import moment

_PARTS: Final = (
    ("known", "public.all_leads has a row"),
    ("has_details", "public.lead_details has a row"),
    ("scrapped", "all_leads.scrapped is true"),
    ("has_prompts", "prompts has a row for its user and tag"),
    ("unsent", "sent_to_llm is not true"),
)


def show(found: Explanation, console: Console) -> None:
    """Print it all; what there is none of is left out."""
    _line(console, f"{printable(found.lead_id)}: {found.state}", "bold")
    _line(console, found.sentence)
    if found.next_step:
        _line(console, f"→ {found.next_step}")
    for remark in found.remarks:
        _line(console, f"! {remark}", "yellow")
    if found.eligibility is not None:
        _show_parts(found.eligibility, console)
    _table(
        console, "rings near its change", ("when", "cause", "answer"), ((*_ring(found, ring),) for ring in found.rings)
    )
    _table(
        console,
        "attempts",
        ("when", "run", "found by", "what became of it", "calls", "tokens in/out", "cost"),
        (_attempt(found, attempt) for attempt in found.attempts),
    )
    _table(
        console,
        "verdicts",
        ("when", "run", "score", "subject", "prompts", "written"),
        (
            (
                moment(verdict.created_at, found.now),
                f"{verdict.run}",
                f"{verdict.score}",
                verdict.subject,
                verdict.prompt_version or "-",
                "yes" if verdict.written else "no",
            )
            for verdict in found.verdicts
        ),
    )
    _table(
        console,
        "replays",
        ("no.", "when", "by", "why"),
        (
            (f"{replay.id}", moment(replay.created_at, found.now), replay.actor, replay.reason or "-")
            for replay in found.replays
        ),
    )


def printable(text: str) -> str:
    """Without what would move the cursor or turn the writing round: ids, tags and subjects are strangers' text."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(printable(text), style=style), soft_wrap=True)


def _show_parts(eligibility: Eligibility, console: Console) -> None:
    console.print()
    for name, words in _PARTS:
        there = getattr(eligibility, name)
        _line(console, f"  {'yes' if there else 'NO ':3}  {words}", "" if there else "red")


def _ring(found: Explanation, ring: WebhookDelivery) -> Sequence[str]:
    answer = ring.error or (
        f"HTTP {ring.status_code}" if ring.status_code else "not sent yet" if ring.queued else "none"
    )
    return moment(ring.rung_at, found.now), ring.cause, answer


def _attempt(found: Explanation, attempt: ExplainedAttempt) -> Sequence[str]:
    tokens = f"{attempt.input_tokens or 0:,} / {attempt.output_tokens or 0:,}"
    return (
        moment(attempt.finished_at, found.now),
        f"{attempt.run}",
        attempt.found_by or "-",
        attempt.words,
        f"{attempt.calls or 0}",
        tokens,
        "-" if attempt.cost_usd is None else f"${attempt.cost_usd:.5f}{' (wasted)' if attempt.wasted else ''}",
    )


def _table(console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    cells = [[Text(printable(cell)) for cell in row] for row in rows]
    if not cells:
        return
    table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for row in cells:
        table.add_row(*row)
    console.print()
    console.print(table)
