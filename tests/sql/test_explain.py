"""Why a lead is not processed: each way produced in a real database, read by the real function, told by the real words."""

from typing import TYPE_CHECKING

from leadhook.domain.dossier import Dossier
from leadhook.domain.explanation import Explanation, explain

if TYPE_CHECKING:
    from tests.sql.conftest import Sql


def told(db: "Sql", lead_id: str = "a") -> Explanation:
    """What is said of the lead."""
    return explain(Dossier.model_validate(db.rpc("leadhook_explain", p_lead_id=lead_id)))


def test_unknown_lead(db: "Sql") -> None:
    """No row in all_leads."""
    found = told(db)
    print(found.model_dump_json(indent=1))
    assert (found.why, found.state) == ("unknown", "unknown")
