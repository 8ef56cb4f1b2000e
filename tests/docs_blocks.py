"""Code blocks of the documentation, so that tests run what readers copy."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """README, CONTRIBUTING and SECURITY, and all of docs/."""
    beside = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    return [*beside, *sorted((ROOT / "docs").glob("*.md"))]


def section(page: str, title: str) -> str:
    """The text under this heading, down to the next heading."""
    text = (ROOT / page).read_text()
    assert text.count(f"# {title}\n") == 1, f"{page} has one heading {title!r}"
    return re.split(r"^#+ ", text.partition(f"# {title}\n")[2], flags=re.MULTILINE)[0]


def block(page: str, title: str, language: str) -> str:
    """The one block in this language under this heading."""
    (found,) = [match["text"] for match in _BLOCK.finditer(section(page, title)) if match["language"] == language]
    return found


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and text of every block."""
    return [(match["language"], match["text"]) for match in _BLOCK.finditer(text)]
