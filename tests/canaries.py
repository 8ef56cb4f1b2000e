"""Canaries that every suite with real services plants in its leads, and the search for them in the services' output.

`faults/test_canaries.py` plants more of it, in more places; this makes every other test of a real service one of that
kind.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BIO = "canary-of-a-person texts canary-of-a-person@example.com that\r\n'canary-of-a-person' is \"on the move\""
PERSONAL = "canary-of-a-person"
SECRETS = ("secret_key", "service_role_key", "admin_token", "webhook_secret")
SHORTEST = 12
"""What is shorter may stand anywhere by chance."""
TOLD = {
    "leadhook.attempts": "to_jsonb(t)",
    "leadhook.jobs": "to_jsonb(t) - 'checkpoint' - case when t.error_code = 'refused' then 'reason' else '' end",
    "leadhook.api_keys": "to_jsonb(t)",
    "leadhook.webhooks": "to_jsonb(t)",
    "leadhook.replays": "to_jsonb(t)",
    "leadhook.figures": "to_jsonb(t)",
    "leadhook.audit": "to_jsonb(t)",
    "leadhook.workers": "to_jsonb(t)",
}
"""What the database keeps besides answers, which are personal data, and what the application's own triggers say."""


def secrets_of(facts: Mapping[str, Any]) -> set[str]:
    return {str(facts[name]) for name in SECRETS if name in facts} | {str(urlsplit(facts["database_url"]).password)}


def records(run: Callable[[str], list[tuple[Any, ...]]]) -> str:
    """What the database keeps, as one text."""
    queries = [f"select ({form})::text from {table} as t" for table, form in TOLD.items()]  # noqa: S608 - names of ours
    return "".join(str(row[0]) for query in queries for row in run(query))


def assert_no_canaries(secrets: Iterable[str], logs: Iterable[Path], kept: str) -> None:
    """Neither the person nor a secret stands in a log or record.

    Args:
        secrets: those that the services knew.
        logs: files with all that they wrote.
        kept: `records`.
    """
    planted = {PERSONAL, *(secret for secret in secrets if len(secret) >= SHORTEST)}
    texts = {log.name: log.read_text(errors="replace") for log in logs} | {"records": kept}
    found = {where: [word for word in planted if word in text] for where, text in texts.items()}
    assert {where: words for where, words in found.items() if words} == {}
