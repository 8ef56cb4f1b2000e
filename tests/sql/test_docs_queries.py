"""Every query of README and docs/ is one that the database takes."""

from typing import Final

import pytest
from tests.docs_blocks import blocks, pages
from tests.sql.conftest import Sql

QUERIES: Final = {
    f"{page.name}, block {place}": text
    for page in pages()
    for place, (language, text) in enumerate(blocks(page.read_text()), 1)
    if language == "sql" and text.startswith(("select", "with"))
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_the_query_runs(db: Sql, query: str) -> None:
    db.eligible_lead("a")
    db.key()
    assert isinstance(db.connection.execute(query.encode()).fetchall(), list)
