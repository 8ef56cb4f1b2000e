"""What docs/upgrade.md says of the predecessor's requests is what the service answers."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from .conftest import AS_ADMIN, Service

PAGE: Final = (Path(__file__).parents[2] / "docs/upgrade.md").read_text()
TERMS: Final = {
    "api_key": "visibly-fake-key",
    "wildnet_data": "We make pumps.",
    "scoring_criteria_and_icp": "Directors of pump makers",
    "message_prompt": "Be brief.",
}
LEAD: Final = {"lead_id": "abc123", "name": "Jane Doe", "skills": ["pumps"]}


def body(*leads: dict[str, Any], **terms: object) -> dict[str, Any]:
    """A request of the predecessor's, changed."""
    return {**TERMS, **terms, "leads": list(leads) or [LEAD]}


SENT: Final[dict[str, list[tuple[dict[str, Any], dict[str, str]]]]] = {
    "has no `Authorization` header, or a wrong token": [
        (body(), {}),
        (body(), {"authorization": "Bearer wrong-wrong-wrong-wrong"}),
    ],
    "has more than 100 leads": [(body(*[LEAD] * 101), AS_ADMIN)],
    "is larger than 8 MiB (`/process-lead`: 1 MiB)": [(body(wildnet_data="x" * 8 * 1024 * 1024), AS_ADMIN)],
    "has a `lead_id` that is a number": [(body({"lead_id": 123}), AS_ADMIN)],
    "has a `lead_id` of more than 500 characters": [(body({"lead_id": "x" * 501}), AS_ADMIN)],
    "has `null` for `wildnet_data`, `scoring_criteria_and_icp` or `message_prompt`": [
        (body(**{name: None}), AS_ADMIN) for name in ("wildnet_data", "scoring_criteria_and_icp", "message_prompt")
    ],
    "has an empty `api_key`": [(body(api_key=""), AS_ADMIN)],
    "has a number or a list for `name`, `title`, `bio` or another text of the lead": [
        (body({name: value}), AS_ADMIN) for name in ("name", "title", "bio", "location", "tag") for value in (1, ["a"])
    ],
    "has a `Content-Type` other than `application/json`": [(body(), AS_ADMIN | {"content-type": "text/plain"})],
}
ELSEWHERE: Final = {"comes while ADMIN_TOKENS is not set"}
"""In tests/http/test_replay.py, whose service has no tokens."""
ROWS: Final = dict(re.findall(r"^\| (.+?) \| (\d{3}) \|", PAGE, re.MULTILINE))


def test_every_row_of_the_page_is_sent() -> None:
    """A row that is added to the page needs its request here."""
    assert set(ROWS) == set(SENT) | ELSEWHERE


@pytest.mark.parametrize("row", SENT)
async def test_the_answer_is_the_one_on_the_page(service: Service, row: str) -> None:
    """By `/process-leads`; what is right in the request is the predecessor's."""
    found = [
        (await service.client.post("/process-leads", json=sent, headers=headers)).status_code
        for sent, headers in SENT[row]
    ]
    assert set(found) == {int(ROWS[row])}


async def test_the_predecessors_request_with_a_token_is_answered(service: Service) -> None:
    """What the page says of everything else; also texts that are empty, and fields that it does not know."""
    for sent in (body(), body({}), body(LEAD | {"extra": 1}, wildnet_data="", message_prompt="")):
        assert (await service.client.post("/process-leads", json=sent, headers=AS_ADMIN)).status_code == 200
