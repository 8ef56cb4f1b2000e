"""An explanation on a terminal: the sentence first, the facts below, at any width."""

from collections.abc import Iterable
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from leadhook.domain.dossier import Eligibility, PastResult, WebhookDelivery
from leadhook.domain.explanation import ExplainedAttempt, Explanation
from leadhook.domain.moment import distance
from leadhook.domain.spend import dollars

_PARTS: Final = (
    ("known", "public.all_leads has a row", "public.all_leads has no row"),
    ("has_details", "public.lead_details has a row", "public.lead_details has no row"),
    ("scrapped", "all_leads.scrapped is true", "all_leads.scrapped is not true"),
    ("has_prompts", "prompts has a row for its user and tag", "prompts has no row for its user and tag"),
)
INDENT: Final = 2
_NAME_WIDTH: Final = 8


def open_console() -> Console:
    """Standard output; what strangers wrote is never taken for markup."""
    return Console(highlight=False, markup=False, emoji=False)


def show(found: Explanation, console: Console) -> None:
    """Print it all; what there is none of is left out."""
    line(console, f"{found.lead_id}: {found.state}", "bold")
    line(console, found.sentence)
    if found.next_step:
        line(console, f"→ {found.next_step}")
    for remark in found.remarks:
        line(console, f"! {remark}", "yellow")
    if found.eligibility is not None:
        _show_parts(found.eligibility, console)
    _show_answer(found, console)
    _section(console, "earlier answers", (_verdict(found, verdict) for verdict in found.verdicts[1:]))
    _section(console, "attempts", (_attempt(found, attempt) for attempt in found.attempts))
    _section(console, "rings near its change", (_ring(found, ring) for ring in found.rings))
    _section(
        console,
        "replays",
        (
            f"no. {replay.id}, {distance(replay.created_at, found.now)}, by {replay.actor}"
            + (f": {replay.reason}" if replay.reason else "")
            for replay in found.replays
        ),
    )


def printable(text: str) -> str:
    """Without what would move the cursor or turn the writing round: ids, tags and subjects are strangers' text."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def line(console: Console, text: str, style: str = "", indent: int = 0) -> None:
    """One line, broken between words on a terminal, and not at all for a program that reads it."""
    if console.is_terminal:
        console.print(Padding(Text(printable(text), style=style), (0, 0, 0, indent), expand=False))
    else:
        console.print(Text(" " * indent + printable(text), style=style), soft_wrap=True)


def entry(console: Console, name: str, words: str, *, width: int = _NAME_WIDTH, style: str = "bold") -> None:
    """A name and what there is to say of it, in two columns."""
    if console.is_terminal:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=width)
        grid.add_row(Text(name, style=style), Text(printable(words)))
        console.print(grid)
    else:
        console.print(Text(f"{name:{width}} {printable(words)}"), soft_wrap=True)


def paragraph(console: Console, text: str, style: str = "") -> None:
    """Indented; line breaks in it stay."""
    for part in text.splitlines() or [""]:
        line(console, part, style, indent=INDENT)


def _show_parts(eligibility: Eligibility, console: Console) -> None:
    console.print()
    for name, words, otherwise in _PARTS:
        there = getattr(eligibility, name)
        line(console, f"✓ {words}" if there else f"✗ {otherwise}", "" if there else "red", indent=INDENT)
    # Neither is a fault: every lead that was answered is sent.
    words = "not sent yet" if eligibility.unsent else "sent already"
    if eligibility.has_details:
        value = "not true" if eligibility.unsent else "true"
        line(console, f"· {words}: lead_details.sent_to_llm is {value}", indent=INDENT)


def _show_answer(found: Explanation, console: Console) -> None:
    if found.verdicts:
        newest = found.verdicts[0]
        _title(console, "answer")
        paragraph(console, _verdict(found, newest))
        _text(console, "why", newest.response)
        _list(console, "met", newest.matched)
        _list(console, "not met or unknown", newest.missed)
        for words in newest.flag_words:
            paragraph(console, f"! the lead's text {words}", "yellow")
        if newest.should_contact:
            line(console, f"subject: {newest.subject}", indent=INDENT)
            _text(console, "message", newest.message)
    elif found.answer is not None:
        _title(console, "answer in llm_response, which leadhook did not write")
        paragraph(console, f"score {found.answer.score}")
        _text(console, "why", found.answer.response)
        _text(console, "subject", found.answer.subject)
        _text(console, "message", found.answer.message)


def _verdict(found: Explanation, verdict: PastResult) -> str:
    contact = "contact" if verdict.should_contact else "no contact"
    written = "" if verdict.written else ", not written to llm_response"
    prompts = f", prompts {verdict.prompt_version}" if verdict.prompt_version else ""
    when = distance(verdict.created_at, found.now)
    return f"score {verdict.score}, {contact}{written}; run {verdict.run}, {when}{prompts}"


def _ring(found: Explanation, ring: WebhookDelivery) -> str:
    answer = ring.error or (
        f"HTTP {ring.status_code}" if ring.status_code else "not sent yet" if ring.queued else "no answer"
    )
    return f"{distance(ring.rung_at, found.now)}, {ring.cause}: {answer}"


def _attempt(found: Explanation, attempt: ExplainedAttempt) -> str:
    tokens = f"{attempt.input_tokens or 0:,} tokens in, {attempt.output_tokens or 0:,} out"
    calls = attempt.calls or 0
    cost = "" if attempt.cost_usd is None else f", {dollars(attempt.cost_usd)}{' (wasted)' if attempt.wasted else ''}"
    by = f", found by {attempt.found_by}" if attempt.found_by else ""
    return (
        f"{distance(attempt.finished_at, found.now)}, run {attempt.run}{by}: {attempt.words} "
        f"{calls} {'call' if calls == 1 else 'calls'}, {tokens}{cost}"
    )


def _title(console: Console, title: str) -> None:
    console.print()
    line(console, title, "bold")


def _section(console: Console, title: str, lines: Iterable[str]) -> None:
    every = list(lines)
    if every:
        _title(console, title)
        for text in every:
            paragraph(console, text)


def _text(console: Console, title: str, text: str | None) -> None:
    if text:
        paragraph(console, f"{title}: {text}")


def _list(console: Console, title: str, items: Iterable[str]) -> None:
    every = list(items)
    if every:
        paragraph(console, f"{title}: {'; '.join(every)}")
