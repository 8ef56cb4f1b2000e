"""Checks on a generated message before it is accepted: it may contain no link, address or key the user did not supply.

Links, e-mail addresses and keys are allowed only if they appear in the `prompts` row. Those in the lead's data are
refused, because anyone may have written them. So is a new page on a site that the row names, because the model made it
up. One exception: the lead's company may be mentioned by name even if the name looks like a host, such as monday.com.
"""

import re
from collections.abc import Iterator
from importlib import resources
from typing import Final

from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Message

FOREIGN_LINK: Final = "message_foreign_link"
FOREIGN_ADDRESS: Final = "message_foreign_address"
FOREIGN_KEY: Final = "message_foreign_key"
MARKUP: Final = "message_markup"

REASONS: Final = {
    FOREIGN_LINK: "it contains a link or site name that is not in the company's data",
    FOREIGN_ADDRESS: "it contains an e-mail address that is not in the company's data",
    FOREIGN_KEY: "it contains what looks like a key or password",
    MARKUP: "it contains markup but must be plain text",
}
"""The reason for each code. It is shown to people and sent to the model when the message is requested again."""

_ENDINGS: Final = (resources.files(__package__) / "endings.txt").read_text(encoding="utf-8").split()
"""Top-level domains: the common generic ones and all country codes."""
_PRODUCTS: Final = frozenset({"asp.net", "ado.net", "vb.net", "ml.net", "socket.io", "draw.io"})
"""Names of tools that look like host names."""

_HOST: Final = (
    rf"(?:[^\W_](?:[\w-]{{0,61}}[^\W_])?\.)+(?:{'|'.join(sorted(_ENDINGS, key=len, reverse=True))}|xn--[a-z0-9]+|рф)"
)
_LINK: Final = re.compile(
    r"[a-z][a-z0-9+.-]{1,20}:/{2,}[^\s<>\"]+|\b(?:javascript|data|mailto|vbscript|file):[^\s<>\"]+|\bwww\.[^\s<>\"]+"
    rf"|(?<![\w@.-]){_HOST}(?![\w-])(?::\d+)?(?:[/?#][^\s<>\"]*)?"
    r"|(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])(?:[:/][^\s<>\"]*)?"
)
_DISGUISED_DOT: Final = re.compile(r"\s?(?:\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)|[\u3002\uff0e\uff61](?=[a-z]))\s?")
_DISGUISED_AT: Final = re.compile(r"\s?(?:\[at\]|\(at\)|\{at\}|\uff20)\s?")
_ADDRESS: Final = re.compile(r"[\w.+%-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_KEY: Final = re.compile(
    r"(?:sk|pk|rk|sb_secret|sb_publishable|ghp|gho|github_pat|xox[abp]|whsec|aiza|akia|ya29)[-_.]?[\w-]{12,}"
    r"|eyj[\w-]{10,}\.[\w-]+|(?=[\w+/-]*\d)(?=[\w+/-]*[a-z])[\w+/-]{32,}"
)
_SHORTEST_KEY: Final = 14
_MARKUP: Final = re.compile(r"</?[a-z][^<>\n]{0,300}>|<!--|<script|!?\[[^\]\n]{0,200}\]\([^)\n]*\)", re.IGNORECASE)
_ENDS: Final = ".,;:!?)]}>'\"\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}…*_"


def check_message(message: Message, prompts: Prompts, lead: Lead) -> str | None:
    """Return the code of the first violation, or None if the message may be used."""
    text = f"{message.subject}\n{message.message}"
    plain = _plain(text)
    addresses = set(_ADDRESS.findall(plain)) if "@" in plain else set()
    links = set(_links(_ADDRESS.sub(" ", plain) if addresses else plain))
    keys = set(_keys(_LINK.sub(" ", plain) if links else plain))
    markup = _MARKUP.search(text) is not None
    if not (addresses or links or keys or markup):
        return None
    given = "\n".join(filter(None, (prompts.wildnet_data, prompts.message_prompt, prompts.scoring_criteria_and_icp)))
    known = _plain(given)
    if markup and not _MARKUP.search(given):
        return MARKUP
    if addresses - set(_ADDRESS.findall(known)):
        return FOREIGN_ADDRESS
    if any(key not in known for key in keys):
        return FOREIGN_KEY
    if links - set(_links(known)) - _hosts(known) - _hosts(_plain(lead.company_name or "")) - _PRODUCTS:
        return FOREIGN_LINK
    return None


def _plain(text: str) -> str:
    """Lower-case the text and undo common disguises of dots and at signs."""
    return _DISGUISED_AT.sub("@", _DISGUISED_DOT.sub(".", text)).lower().replace("hxxp", "http")


def _links(plain: str) -> Iterator[str]:
    for found in _LINK.findall(plain):
        yield _bare(found)


def _bare(link: str) -> str:
    """Drop the parts of a link that do not change its target."""
    return link.rstrip(_ENDS).removeprefix("https://").removeprefix("http://").removeprefix("www.").rstrip("/")


def _keys(plain: str) -> Iterator[str]:
    for word in plain.split():
        if len(word) >= _SHORTEST_KEY and (found := _KEY.search(word)):
            yield found[0]


def _hosts(plain: str) -> set[str]:
    """Return the hosts of all links and e-mail addresses in a text."""
    links = {re.split(r"[/?#:]", link, maxsplit=1)[0] for link in _links(plain)}
    return links | {address.rpartition("@")[2] for address in _ADDRESS.findall(plain)}
