"""Every flag that a result can carry has words, and the same ones are in the docs."""

import re
import tomllib
from pathlib import Path

from leadhook.domain.lead_snapshot import FLAGS, PastResult

ROOT = Path(__file__).parents[2]
SIGNALS = tomllib.loads((ROOT / "src/leadhook/gemini/injection_signals.toml").read_text())
CODE = [*(ROOT / "src/leadhook/gemini").glob("*.py"), ROOT / "src/leadhook/domain/results.py"]
SOURCES = "".join(file.read_text() for file in CODE)
TABLE = re.findall(r"^\| `(\w+)` \| ", (ROOT / "docs/model.md").read_text(), re.MULTILINE)


def test_every_flag_has_words() -> None:
    assert set(SIGNALS) <= set(FLAGS)
    assert all(f'"{code}"' in SOURCES for code in set(FLAGS) - set(SIGNALS))
    assert set(FLAGS) <= set(TABLE)


def test_a_flag_that_is_not_known_stays_as_it_is() -> None:
    """A newer service may have written it."""
    result = {"run": 1, "score": 1, "should_contact": False, "subject": "", "written": True, "created_at": 0}
    flagged = PastResult.model_validate({**result, "flags": ["asks_for_score", "of_tomorrow"]})
    assert flagged.flag_words == (FLAGS["asks_for_score"], "of_tomorrow")
