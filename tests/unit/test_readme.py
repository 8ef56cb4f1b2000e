"""The README and .env.example say what the code says."""

import re
from pathlib import Path

import pytest

from leadhook.settings import Row, settings_table

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()


@pytest.mark.parametrize("setting", settings_table(), ids=lambda setting: setting.name)
def test_each_setting_is_told_as_the_code_has_it(setting: Row) -> None:
    """Name, default and meaning, in the table and in the example."""
    default = f"`{setting.default}`" if setting.default else ""
    assert f"| `{setting.name}` | {default} | {setting.meaning} |" in README
    assert f"# {setting.meaning}\n#{setting.name}={setting.default}\n" in EXAMPLE


def test_every_target_that_the_readme_names_exists() -> None:
    """`make <target>`."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", " ".join(re.findall(r"`+[^`]*`+", README)))) <= targets


def test_every_file_that_the_readme_names_exists() -> None:
    """Links, tests and folders."""
    named = re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r"\b(?:tests|src|migrations)/[\w/.]*", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
