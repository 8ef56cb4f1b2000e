"""`leadhook explain`: the diagnosis of one lead. The sentence comes first, the facts follow."""

from collections.abc import Iterable
from typing import Annotated, Final

from cyclopts import Parameter
from rich.console import Console

from leadhook.cli.asking import ask
from leadhook.cli.options import AsJson
from leadhook.cli.output import INDENT, line, open_console, paragraph, print_json
from leadhook.command_error import MisuseError
from leadhook.domain.diagnosis import ExplainedAttempt, Explanation
from leadhook.domain.diagnosis import explain as put_into_words
from leadhook.domain.lead_snapshot import Eligibility, PastResult, WebhookDelivery
from leadhook.domain.phrases import distance
from leadhook.domain.results import Claim
from leadhook.domain.spend import dollars

_PARTS: Final = (
    ("known", "public.all_leads has a row", "public.all_leads has no row"),
    ("has_details", "public.lead_details has a row", "public.lead_details has no row"),
    ("scrapped", "all_leads.scrapped is true", "all_leads.scrapped is not true"),
    ("has_prompts", "prompts has a row for its user and tag", "prompts has no row for its user and tag"),
)


def explain(lead_id: Annotated[str, Parameter(help="The lead_id in all_leads.")], *, as_json: AsJson = False) -> int:
    """Show the state of one lead and the reason for it.

    Shows what is missing, or what happens next and when; the answer with its message; attempts, webhooks and replays.
    The exit code is 1 if there is no such lead.

    For example: `leadhook explain lead-17`
    """
    if not lead_id:
        raise MisuseError("LEAD_ID is empty")
    found = put_into_words(ask(lambda store: store.explain(lead_id)))
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _show(found, open_console())
    return 1 if found.state == "unknown" else 0


def _show(found: Explanation, console: Console) -> None:
    """Print all of it; empty sections are left out."""
    line(console, f"{found.lead_id}: {found.state}", "bold")
    line(console, found.sentence)
    if found.next_step:
        line(console, f"→ {found.next_step}")
    for remark in found.remarks:
        line(console, f"! {remark}", "yellow")
    if found.eligibility is not None:
        _show_parts(found.eligibility, console)
    _show_answer(found, console)
    _section(console, "earlier answers", (_result(found, result) for result in found.results[1:]))
    _section(console, "attempts", (_attempt(found, attempt) for attempt in found.attempts))
    _section(console, "webhooks near its change", (_webhook(found, webhook) for webhook in found.webhooks))
    _section(
        console,
        "replays",
        (
            f"no. {replay.id}, {distance(replay.created_at, found.now)}, by {replay.actor}"
            + (f": {replay.reason}" if replay.reason else "")
            for replay in found.replays
        ),
    )


def _show_parts(eligibility: Eligibility, console: Console) -> None:
    console.print()
    # The other conditions are columns of the row in all_leads.
    for name, words, otherwise in _PARTS if eligibility.known else _PARTS[:2]:
        there = getattr(eligibility, name)
        line(console, f"✓ {words}" if there else f"✗ {otherwise}", "" if there else "red", indent=INDENT)
    # Not an error: every answered lead has been sent.
    words = "not sent yet" if eligibility.unsent else "sent already"
    if eligibility.has_details:
        value = "not true" if eligibility.unsent else "true"
        line(console, f"· {words}: lead_details.sent_to_llm is {value}", indent=INDENT)


def _show_answer(found: Explanation, console: Console) -> None:
    if found.results:
        newest = found.results[0]
        _title(console, "answer")
        paragraph(console, _result(found, newest))
        _text(console, "why", newest.response)
        _list(console, "met", newest.matched)
        _list(console, "not met or unknown", newest.missed)
        for words in newest.flag_words:
            paragraph(console, f"! the lead's text {words}", "yellow")
        if newest.message is None:
            line(console, "no message: only the score could be bought", "yellow", indent=INDENT)
        elif newest.should_contact:
            line(console, f"subject: {newest.subject}", indent=INDENT)
            _text(console, "message", newest.message)
            _list(console, "facts and their sources", map(_claim, newest.claims))
    elif found.answer is not None:
        _title(console, "answer in llm_response, which leadhook did not write")
        paragraph(console, f"score {found.answer.score}")
        _text(console, "why", found.answer.response)
        _text(console, "subject", found.answer.subject)
        _text(console, "message", found.answer.message)


def _result(found: Explanation, result: PastResult) -> str:
    contact = "contact" if result.should_contact else "no contact"
    written = "" if result.written else ", not written to llm_response"
    prompts = f", prompts {result.prompt_version}" if result.prompt_version else ""
    when = distance(result.created_at, found.now)
    return f"score {result.score}, {contact}{written}; run {result.run}, {when}{prompts}"


def _claim(claim: Claim) -> str:
    return f"{claim.words} ({claim.source}: {claim.quote})"


def _webhook(found: Explanation, webhook: WebhookDelivery) -> str:
    answer = webhook.error or (
        f"HTTP {webhook.status_code}" if webhook.status_code else "not sent yet" if webhook.queued else "no answer"
    )
    return f"{distance(webhook.sent_at, found.now)}, {webhook.reason}: {answer}"


def _attempt(found: Explanation, attempt: ExplainedAttempt) -> str:
    tokens = f"{attempt.input_tokens or 0:,} tokens in, {attempt.output_tokens or 0:,} out"
    calls = attempt.calls or 0
    cost = "" if attempt.cost_usd is None else f", {dollars(attempt.cost_usd)}{' (wasted)' if attempt.wasted else ''}"
    by = f", found by {attempt.source}" if attempt.source else ""
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
