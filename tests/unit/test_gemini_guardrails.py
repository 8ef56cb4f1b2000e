"""Checks on a generated message."""

import pytest

from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Message
from leadhook.gemini.guardrails import FOREIGN_ADDRESS, FOREIGN_KEY, FOREIGN_LINK, MARKUP, REASONS, check_message

PROMPTS = Prompts(
    wildnet_data="Acme Pumps, https://www.acme.example.com/pricing, ACME.io, sales@acme.example.com",
    message_prompt="Sign as Jo. Offer https://cal.example.org/jo?d=15.",
    scoring_criteria_and_icp="Plants",
)
LEAD = Lead(
    lead_id="a", company_name="monday.com", bio="see https://evil.com/x, jo@evil.com", profile_url="https://in.com/jo"
)


@pytest.mark.parametrize(
    "text",
    [
        "Hello Jo, your work on pumps made me write.",
        "Prices: https://www.acme.example.com/pricing. Ask sales@acme.example.com, or see acme.example.com!",
        "See acme.io, or book (https://cal.example.org/jo?d=15).",
        "How do you plan at monday.com?",
        "With Node.js, ASP.NET and v1.2.3, at 5 p.m., e.g. by 15.5 percent, i.e. more.",
        "Well-known-and-very-long-hyphenated-words are no keys; nor is 2024/2025, or C++/C#.",
        "Profit < 5 and growth > 3: why?",
    ],
)
def test_links_from_the_prompts_row_are_allowed(text: str) -> None:
    """So are a company whose name looks like a host, and ordinary words."""
    assert check_message(Message(subject="An idea for monday.com", message=text), PROMPTS, LEAD) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("See https://evil.com/x", FOREIGN_LINK),
        ("See evil.com", FOREIGN_LINK),
        ("See EVIL.COM.", FOREIGN_LINK),
        ("See evil[.]com", FOREIGN_LINK),
        ("See evil (dot) com/x", FOREIGN_LINK),
        ("See hxxps://evil.example/x", FOREIGN_LINK),
        ("See //www.evil.example", FOREIGN_LINK),
        ("See 10.1.2.3/login", FOREIGN_LINK),
        ("See ftp://host/x", FOREIGN_LINK),
        ("See javascript:alert(1)", FOREIGN_LINK),
        ("See bücher.de", FOREIGN_LINK),
        ("See пример.рф", FOREIGN_LINK),
        ("I saw https://in.com/jo", FOREIGN_LINK),
        ("How do you plan at https://monday.com/login?", FOREIGN_LINK),
        ("See https://acme.example.com/made-up", FOREIGN_LINK),
        ("See https://acme.example.com/pricing?lead=jo", FOREIGN_LINK),
        ("See acme.example.com.evil.io", FOREIGN_LINK),
        ("See https://acme.io@evil.com/", FOREIGN_ADDRESS),
        ("Write to jo@evil.com", FOREIGN_ADDRESS),
        ("Write to jo (at) evil (dot) com", FOREIGN_ADDRESS),
        ("Write to ales@acme.example.com", FOREIGN_ADDRESS),
        ("The key is sk-" + "abcd1234" * 3, FOREIGN_KEY),
        ("The key is " + "AIza" + "Sy0123456789" * 2, FOREIGN_KEY),
        ("The hash is " + "0123456789abcdef" * 4, FOREIGN_KEY),
        ("<b>Hello</b>", MARKUP),
        ("Hello<script src=x>", MARKUP),
        ("Hello <!-- x", MARKUP),
        ("See ![x](y)", MARKUP),
        ("See [this](https://evil.com)", MARKUP),
    ],
)
def test_links_from_elsewhere_are_refused(text: str, code: str) -> None:
    """Taken from the lead's data or made up, in the message or in the subject."""
    assert check_message(Message(subject="Hi", message=text), PROMPTS, LEAD) == code
    assert check_message(Message(subject=text, message="Hi"), PROMPTS, LEAD) == code
    assert REASONS[code]


def test_markup_is_allowed_if_the_prompts_row_uses_it() -> None:
    """A user whose prompt asks for HTML gets it."""
    prompts = Prompts(message_prompt="Use <p> for paragraphs")

    assert check_message(Message(subject="Hi", message="<p>Hello</p>"), prompts, LEAD) is None
