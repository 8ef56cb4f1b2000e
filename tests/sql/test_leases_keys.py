"""Keys rest for as long as Google said, in every process."""

import hashlib
from datetime import datetime

import pytest
from tests.sql.conftest import Row, Sql

from leadhook.doctor.database import sql as doctors_question


def parked(key: str, for_ms: int | None, reason: str = "quota") -> Row:
    return {"fingerprint": hashlib.sha256(key.strip().encode()).hexdigest()[:16], "reason": reason, "for_ms": for_ms}


def healthy(db: Sql) -> list[str]:
    return sorted(row["api_key"] for row in db.rows("select api_key from leadhook.healthy_keys()"))


def renew(db: Sql, lease: Row) -> Row:
    reply: Row = db.rpc("leadhook_renew", p_worker="worker-1", p_leases=[lease])
    return reply


def state(db: Sql) -> str:
    found: str = db.value("select state from leadhook.api_keys")
    return found


def test_park_cools_a_key_for_its_time(db: Sql) -> None:
    db.key("fake-one")
    db.key("fake-two")
    db.park_keys(parked("fake-one", 60_000))
    assert healthy(db) == ["fake-two"]
    db.run("update leadhook.api_keys set until = clock_timestamp() - interval '1 s'")
    assert healthy(db) == ["fake-one", "fake-two"]


def test_park_without_end_lasts_until_the_row_changes(db: Sql) -> None:
    """A changed row is a new chance, even with the same key."""
    db.key("fake-one")
    db.park_keys(parked("fake-one", None, "API_KEY_INVALID"))
    assert (state(db), healthy(db)) == ("disabled", [])
    db.run("update public.gemini_api set api_key = api_key")
    assert healthy(db) == ["fake-one"]


@pytest.mark.parametrize("around", ["\n", "\r\n", "\t", " "])
def test_a_key_with_blanks_around_it_has_one_fingerprint_everywhere(db: Sql, around: str) -> None:
    """As pasted; the service, the database and the doctor mean the same key."""
    db.key(f"{around}fake-one{around}")
    db.key("fake-one")
    fingerprint = parked("fake-one", 60_000)["fingerprint"]
    assert [row["fingerprint"] for row in db.rows("select fingerprint from leadhook.healthy_keys()")] == [fingerprint]
    question = doctors_question("keys").replace(b"%%", b"%")
    asked = db.connection.execute(question).fetchall()
    assert {row["fingerprint"] for row in asked} == {fingerprint}
    db.park_keys(parked("fake-one", 60_000))
    assert healthy(db) == []
    keys = db.rpc("leadhook_status")["keys"]
    assert (keys["total"], keys["cooling"]) == (1, 1)


def test_park_holds_for_every_row_of_the_same_key(db: Sql) -> None:
    """The key is bad, not the row."""
    db.key("fake-one")
    db.key(" fake-one ")
    db.park_keys(parked("fake-one", None))
    assert healthy(db) == []


@pytest.mark.parametrize("order", [(60_000, 3_600_000), (3_600_000, 60_000)])
def test_park_by_two_leads_takes_the_longer_rest(db: Sql, order: tuple[int, int]) -> None:
    db.key("fake-one")
    for for_ms in order:
        db.park_keys(parked("fake-one", for_ms))
    assert db.value("select until > clock_timestamp() + interval '50 min' from leadhook.api_keys")


@pytest.mark.parametrize("order", [(None, 60_000), (60_000, None)])
def test_park_for_good_is_not_softened(db: Sql, order: tuple[int | None, int | None]) -> None:
    db.key("fake-one")
    db.park_keys(*[parked("fake-one", for_ms) for for_ms in order])
    assert state(db) == "disabled"
    db.run("delete from leadhook.api_keys")
    for for_ms in order:
        db.park_keys(parked("fake-one", for_ms))
    assert state(db) == "disabled"


def test_park_of_a_changed_row_forgets_the_old_word(db: Sql) -> None:
    db.key("fake-one")
    db.park_keys(parked("fake-one", None))
    db.run("update public.gemini_api set api_key = api_key")
    db.park_keys(parked("fake-one", 60_000))
    assert state(db) == "cooling"


def test_park_ignores_a_key_that_is_gone(db: Sql) -> None:
    """Its row was deleted in the meantime."""
    db.park_keys(parked("fake-one", None))
    assert db.count("leadhook.api_keys") == 0


def test_rests_are_counted_until_a_call_succeeds(db: Sql) -> None:
    db.key("fake-one")
    key = parked("fake-one", 60_000) | {"rests": 3}

    def rest() -> int:
        db.park_keys(key)
        db.run("update leadhook.api_keys set until = clock_timestamp() - interval '1 s'")
        return rests()

    def rests() -> int:
        found: int = db.value("select rests from leadhook.healthy_keys()")
        return found

    assert rest() == 3
    db.run("update public.gemini_api set api_key = api_key")
    assert rests() == 0
    assert rest() == 3
    db.save(db.result_of(db.leased_lead("a"), key_fingerprint=key["fingerprint"]))
    assert rests() == 0


def test_rest_for_one_model_ends_when_a_service_starts_with_another(db: Sql) -> None:
    """A quota holds per model; a rest for all models stays."""
    db.key("fake-one")
    db.key("fake-two")
    db.park_keys(parked("fake-one", 60_000) | {"model": "old"}, parked("fake-two", 60_000))
    db.claim(source="start", model="old")
    db.claim(source="webhook", model="new")
    assert healthy(db) == []
    db.claim(source="start", model="new")
    assert healthy(db) == ["fake-one"]


def test_save_does_not_wake_a_cooling_key(db: Sql) -> None:
    """A call that began before the quota was reached says nothing of now."""
    db.key("fake-one")
    key = parked("fake-one", 60_000)
    db.park_keys(key)
    db.save(db.result_of(db.leased_lead("a"), key_fingerprint=key["fingerprint"]))
    assert healthy(db) == []


def test_every_reply_about_leases_says_what_other_processes_learned_of_keys(db: Sql) -> None:
    """A key rests, a call succeeded with another: in the replies to renew, save and release, for half a minute."""
    db.key("fake-one")
    db.key("fake-two")
    resting, answering = parked("fake-one", 60_000)["fingerprint"], parked("fake-two", 0)["fingerprint"]
    lead, other = db.leased_lead("a"), db.leased_lead("b")
    assert renew(db, lead)["key_news"] == []
    db.park_keys(parked("fake-one", 60_000))
    saved = db.save(db.result_of(other, key_fingerprint=answering))
    for reply in (saved, renew(db, lead), db.release(db.release_of(lead))):
        said = {item["fingerprint"]: (item["resting"], item["answered_ms"]) for item in reply["key_news"]}
        assert said.keys() == {resting, answering}
        assert said[resting] == (True, None)
        assert said[answering][0] is False
        assert 0 <= said[answering][1] < 10_000
    db.run("update leadhook.api_keys set changed_at = changed_at - interval '31 s'")
    assert renew(db, lead)["key_news"] == []


@pytest.mark.parametrize("change", ["its rest is over", "its row changed", "its row is gone"])
def test_no_reply_speaks_of_a_rest_that_no_longer_holds(db: Sql, change: str) -> None:
    db.key("fake-one")
    lead = db.leased_lead("a")
    db.park_keys(parked("fake-one", 60_000))
    match change:
        case "its rest is over":
            db.run("update leadhook.api_keys set until = clock_timestamp() - interval '1 s'")
        case "its row changed":
            db.run("update public.gemini_api set api_key = api_key")
        case _:
            db.run("delete from public.gemini_api")
    assert renew(db, lead)["key_news"] == []


def test_a_success_is_noted_once_a_minute(db: Sql) -> None:
    db.key("fake-one")
    fingerprint = parked("fake-one", 0)["fingerprint"]
    leads = iter("acd")

    def noted() -> datetime:
        db.save(db.result_of(db.leased_lead(next(leads)), key_fingerprint=fingerprint))
        changed_at: datetime = db.value("select changed_at from leadhook.api_keys")
        return changed_at

    first = noted()
    assert noted() == first
    db.run("update leadhook.api_keys set changed_at = changed_at - interval '61 s'")
    db.ready_job("b")
    [key] = db.claim()["keys"]
    assert 61_000 <= key["answered_ms"] < 90_000
    assert noted() > first


def test_new_keys_come_without_leads_so_that_they_can_be_checked(db: Sql) -> None:
    """Once one is tried, or rested, no one needs keys for no lead."""
    db.key("fake-one")
    [key] = db.claim()["keys"]
    assert (key["tried"], key["rests"], key["answered_ms"]) == (False, 0, None)
    db.park_keys(parked("fake-one", 0))
    assert db.claim()["keys"] == []
    db.run("update public.gemini_api set api_key = api_key")
    assert len(db.claim()["keys"]) == 1
    db.save(db.result_of(db.leased_lead("a"), key_fingerprint=key["fingerprint"]))
    assert db.claim()["keys"] == []
