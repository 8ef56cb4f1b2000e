"""Checks on a generated message: it holds no link, address or key of others, and nothing that was left unfinished.

Links, e-mail addresses, telephone numbers and keys are allowed only if they appear in the `prompts` row. Those in the
lead's data are refused, because anyone may have written them. So is a new page on a site that the row names, because
the model made it up. One exception: the lead's companies may be mentioned by name even if it looks like a host, such as
monday.com.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Message
from leadhook.gemini.leftovers import has_entities, has_escapes, placeholders_in
from leadhook.gemini.links import addresses_in, hosts_in, links_in, undisguised, without_links
from leadhook.gemini.rendering import render
from leadhook.gemini.telephones import digits_of, is_given, telephones_in

FOREIGN_LINK: Final = "message_foreign_link"
FOREIGN_ADDRESS: Final = "message_foreign_address"
FOREIGN_TELEPHONE: Final = "message_foreign_telephone"
FOREIGN_KEY: Final = "message_foreign_key"
MARKUP: Final = "message_markup"
PLACEHOLDER: Final = "message_placeholder"
ESCAPES: Final = "message_escapes"

REASONS: Final = {
    FOREIGN_LINK: "it contains a link or site name that is not in the company's data",
    FOREIGN_ADDRESS: "it contains an e-mail address that is not in the company's data",
    FOREIGN_TELEPHONE: "it contains a telephone number that is not in the company's data",
    FOREIGN_KEY: "it contains what looks like a key or password",
    MARKUP: "it contains markup but must be plain text",
    PLACEHOLDER: "it contains a placeholder such as [Name] or {name}: write the value, or leave it out",
    ESCAPES: r"it contains escapes such as \n or &amp;, or broken characters: write the characters themselves",
}
"""The reason for each code. It is shown to people and sent to the model when the message is requested again."""

_KEY: Final = re.compile(
    r"(?:sk|pk|rk|sb_secret|sb_publishable|ghp|gho|github_pat|xox[abp]|whsec|aiza|akia|ya29)[-_.]?[\w-]{12,}"
    r"|eyj[\w-]{10,}\.[\w-]+|(?<![\w+/-])(?=[\w+/-]*\d)(?=[\w+/-]*[a-z])[\w+/-]{32,}"
)
_SHORTEST_KEY: Final = 14
_MARKUP: Final = re.compile(r"</?[a-z][^<>\n]{0,300}>|<!--|<script|!?\[[^\]\n]{0,200}\]\([^)\n]*\)", re.IGNORECASE)
_LONGEST_NAME: Final = 60
"""Of a piece of a lead's data that may be a company's name."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a `prompts` row allows in messages."""

    plain: str
    digits: str
    links: frozenset[str]
    addresses: frozenset[str]
    has_markup: bool


def check_message(message: Message, prompts: Prompts, lead: Lead) -> str | None:
    """Return the code of the first violation, or None if the message may be used."""
    text = f"{message.subject}\n{message.message}"
    plain = undisguised(text)
    rest = without_links(plain)
    # Broken characters are looked for in the text as it is, because NFKC takes them apart.
    raw_rest = rest if plain == text else without_links(text)
    leftover = next(_leftovers(text, raw_rest, prompts, lead), None)
    return leftover or next(_foreign(plain, rest, prompts, lead), None)


def _leftovers(text: str, rest: str, prompts: Prompts, lead: Lead) -> Iterator[str]:
    text = unicodedata.normalize("NFKC", text)
    placeholders = set(placeholders_in(text))
    if placeholders:
        # The message prompt does not count: it may show a placeholder that the model has to fill in.
        facts = unicodedata.normalize("NFKC", f"{render(lead).text}\n{prompts.wildnet_data}")
        facts = re.sub(r"^\w+: ", "", facts, flags=re.MULTILINE)
        if not all(found in facts for found in placeholders):
            yield PLACEHOLDER
    if has_escapes(rest):
        yield ESCAPES
    is_marked_up, has_unread = _MARKUP.search(text) is not None, has_entities(rest)
    if (is_marked_up or has_unread) and not _given(prompts).has_markup:
        yield MARKUP if is_marked_up else ESCAPES


def _foreign(plain: str, rest: str, prompts: Prompts, lead: Lead) -> Iterator[str]:
    addresses, keys, links = addresses_in(plain), set(_keys(rest.lower())), list(links_in(plain))
    telephones = telephones_in(rest)
    if not (addresses or keys or links or telephones):
        return
    given = _given(prompts)
    if addresses - given.addresses:
        yield FOREIGN_ADDRESS
    if not all(is_given(digits, given.digits) for digits in telephones):
        yield FOREIGN_TELEPHONE
    if any(key not in given.plain for key in keys):
        yield FOREIGN_KEY
    unknown = [link for link in links if link.target not in given.links]
    names = _company_names(lead) if unknown else set()
    if any(not link.is_name or link.target not in names for link in unknown):
        yield FOREIGN_LINK


@lru_cache(maxsize=64)
def _given(prompts: Prompts) -> Given:
    text = "\n".join(filter(None, (prompts.wildnet_data, prompts.message_prompt, prompts.scoring_criteria_and_icp)))
    plain = undisguised(text)
    return Given(
        plain=plain.lower(),
        digits=digits_of(plain),
        links=frozenset(link.target for link in links_in(plain)) | hosts_in(plain),
        addresses=frozenset(addresses_in(plain)),
        has_markup=_MARKUP.search(text) is not None,
    )


def _company_names(lead: Lead) -> set[str]:
    """Return site names that the lead's data uses as names of companies rather than as something to follow."""
    names = hosts_in(undisguised(lead.company_name or ""))
    career = render(Lead(lead_id="", title=lead.title, experience=lead.experience, skills=lead.skills)).text
    for piece in re.split(r"[\n|;,]|: | - ", career):
        links = links_in(undisguised(piece)) if len(piece) <= _LONGEST_NAME else ()
        names |= {
            link.target for link in links if link.is_name and (link.is_capitalised or link.target == piece.strip())
        }
    return names


def _keys(plain: str) -> Iterator[str]:
    for word in plain.split():
        if len(word) >= _SHORTEST_KEY and (found := _KEY.search(word)):
            yield found[0]
