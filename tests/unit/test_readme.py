"""The README and .env.example say what the code says."""

import re
from pathlib import Path

import pytest
from tests.docs_blocks import pages
from tests.support.doc_tables import SETTINGS, SettingRow

from leadhook.settings import OTLP

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()

OTHERS = {"PATH", "COLUMNS", "PYTHONUNBUFFERED", "LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"}
"""Variables of other programs, which are passed on, obeyed or turned off, and are no settings of ours."""


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_each_setting_is_documented_as_the_code_has_it(setting: SettingRow) -> None:
    default = f"`{setting.default}`" if setting.default else ""
    assert f"| `{setting.name}` | {default} | {setting.meaning} |" in README
    assert f"# {setting.meaning}\n#{setting.name}={setting.default}\n" in EXAMPLE


def test_the_example_has_every_setting_and_no_other() -> None:
    assert re.findall(r"^#([A-Z_]+)=", EXAMPLE, re.MULTILINE) == [setting.name for setting in SETTINGS]


def test_every_variable_that_the_code_reads_is_a_setting() -> None:
    """Wherever it is read: by name, from the environment."""
    read = re.compile(
        r"(?:\benviron(?:ment)?(?:\.get\(|\[)|\benv\.get\(|\bread_variable\([\w.]+,)\s*\"([A-Z][A-Z0-9_]*)\""
    )
    sources = (file.read_text() for file in (ROOT / "src").rglob("*.py"))
    found = {name for text in sources for name in read.findall(text)}
    assert {"DATABASE_URL", "GEMINI_MODEL"} <= found
    assert {name for name in found if not name.startswith(OTLP)} <= {setting.name for setting in SETTINGS} | OTHERS


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_target_that_a_page_names_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)\b", " ".join(re.findall(r"`+[^`]*`+", (ROOT / page).read_text()))))
    assert named
    assert named <= targets


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_every_file_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    named = re.findall(r"\]\(([^)#:]+)[#)]", text) + re.findall(r"\b(?:tests|src|migrations)/[\w/.]*", text)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def anchors(page: Path) -> set[str]:
    """Return the targets of links to a page: its headings, named as GitHub names them, and explicit anchors."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    named = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return named | set(re.findall(r'<a id="([\w-]+)"></a>', text))


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", page.read_text()):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def test_the_index_of_the_readme_names_every_page() -> None:
    index = README.partition("\n## Documentation\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"\((?:docs/)?(\w+\.md)\)", index))
    assert named == {page.name for page in pages()} - {"README.md"}
