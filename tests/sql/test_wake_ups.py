"""A change is acted on, whenever it arrives."""

from typing import TYPE_CHECKING, LiteralString
from uuid import UUID, uuid4

import pytest

if TYPE_CHECKING:
    from tests.sql.conftest import Row, Sql

pytestmark = pytest.mark.usefixtures("known_moves")
OTHER_USER = UUID("00000000-0000-4000-8000-000000000002")


@pytest.fixture
def leased(wired: "Sql") -> "Row":
    """The lease of an eligible lead; its runs end dead where they can."""
    wired.key()
    wired.control(max_attempts=1, max_deaths=1)
    wired.eligible_lead("a")
    (lead,) = wired.claim()["leads"]
    return wired.lease_of(lead)


NESTED: dict[str, LiteralString] = {
    "a new lead": "insert into public.all_leads (lead_id, user_id, tag, scrapped) values ('b', v_user, 'other', true)",
    "a changed lead": "update public.all_leads set scrapped = true where lead_id = 'b'",
    "a prompts row": "insert into public.prompts (user_id, tag) values (v_user, 'other')",
}


@pytest.mark.parametrize("call", ["save", "on-demand request"])
@pytest.mark.parametrize("write", NESTED)
def test_what_the_applications_triggers_write_within_our_save_counts(
    wired: "Sql", leased: "Row", write: str, call: str
) -> None:
    """It is a change like any other, with its webhook."""
    if write != "a prompts row":
        wired.prompts(tag="other")
    wired.details("b")
    if write != "a new lead":
        wired.lead("b", tag="other", scrapped=write != "a changed lead")
    assert wired.claim()["leads"] == []
    wired.connection.execute(
        f"""create function public.react() returns trigger language plpgsql as $$
        declare v_user uuid := '{wired.USER}';
        begin {NESTED[write]}; return null; end $$;
        create trigger react after insert on public.llm_response for each row execute function public.react();"""
    )
    webhooks = wired.count("leadhook.webhooks")
    if call != "save":
        result = wired.result_of(leased) | {"request_id": str(uuid4()), "lead": {"lead_id": "a"}}
        wired.rpc("leadhook_save_on_demand", p_worker="worker-9", p_results=[result])
    else:
        wired.save(wired.result_of(leased))
    assert wired.count("leadhook.webhooks") == webhooks + 1
    assert wired.ids_of(wired.claim()) == ["b"]
