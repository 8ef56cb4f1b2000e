"""What Postgres can't hold never reaches it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadhook.store.columns import cleaned

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\x00b", "ab"), ("a\ud800b", "a\ufffdb"), ("\udc00\ud800", "\ufffd\ufffd"), ("😀 é", "😀 é"), ("", "")],
)
def test_nuls_go_and_lone_surrogates_are_replaced(text: str, expected: str) -> None:
    assert cleaned(text) == expected


def test_cleaning_reaches_every_depth() -> None:
    """Names of fields too; numbers, booleans and nulls stay."""
    dirty = {"a\x00": [{"b": ("x\x00", 1, None, True, 1.5)}]}
    assert cleaned(dirty) == {"a": [{"b": ["x", 1, None, True, 1.5]}]}


@given(st.recursive(ANY_TEXT | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner)))
def test_cleaned_value_is_json_that_postgres_takes(value: object) -> None:
    """UTF-8, and without the one escape that jsonb refuses."""
    sent = json.dumps(cleaned(value), ensure_ascii=False).encode()
    assert b"\\u0000" not in sent
