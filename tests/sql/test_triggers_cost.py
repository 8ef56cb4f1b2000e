"""What our triggers cost the transactions of the application: subtransactions, waits, long ids."""

from time import perf_counter

import pytest
from tests.sql.conftest import Connect, Sql

SUBTRANSACTIONS = """
select s.subxact_count from pg_stat_get_backend_subxact(
  (select i from pg_stat_get_backend_idset() as i where pg_stat_get_backend_pid(i) = pg_backend_pid())
) as s
"""
UPSERT = """
insert into public.lead_details (lead_id) values ('upserted'), ('lead-7')
on conflict (lead_id) do update set sent_to_llm = false
"""


def test_leadhook_adds_one_subtransaction_to_a_transaction(wired: Sql) -> None:
    """However many statements it has, on whichever of the tables: more than 64 slow every other session down."""
    with wired.transaction():
        for number in range(20):
            lead_id = f"lead-{number}"
            wired.lead(lead_id)
            wired.details(lead_id)
            wired.prompts(tag=lead_id)
            wired.run("update public.all_leads set scrapped = false where lead_id = %(i)s", i=lead_id)
            wired.run("update public.lead_details set sent_to_llm = true where lead_id = %(i)s", i=lead_id)
            wired.run("delete from public.all_leads where lead_id = %(i)s", i=lead_id)
        wired.run(UPSERT)
        wired.run("insert into public.lead_details (lead_id) select 'many-' || i from generate_series(1, 1001) as i")
        with wired.connection.cursor() as cursor, cursor.copy("copy public.lead_details (lead_id) from stdin") as copy:
            copy.write("copied-1\ncopied-2\n")
        wired.run("truncate public.all_leads")
        if wired.connection.info.server_version >= 160000:  # before, they can't be counted
            assert wired.value(SUBTRANSACTIONS) == 1
    assert wired.count("leadhook.outbox") == 20 * 5 + 2 + 3 + 1 + 1
    assert wired.count("net.http_request_queue") == 1
    noted = {row["lead_id"] for row in wired.rows("select unnest(lead_ids) as lead_id from leadhook.outbox")}
    assert noted >= {"upserted", "lead-7", "many-1", "many-1001", "copied-1", "copied-2"}


@pytest.mark.parametrize("table", ["leadhook.outbox", "leadhook.webhooks", "net.http_request_queue"])
def test_a_lock_on_our_tables_delays_a_transaction_once(wired_connect: Connect, table: str) -> None:
    """By a fraction of a second; where the outbox is locked, the sweep finds what was changed."""
    holder, application = wired_connect(), wired_connect()
    with holder.transaction():
        holder.connection.execute(f"lock table {table} in access exclusive mode".encode())
        began = perf_counter()
        with application.transaction():
            for number in range(60):
                application.details(f"lead-{number}")
        assert perf_counter() - began < 6, "a fraction of a second each would be more"
    assert application.count("leadhook.outbox") == (0 if table == "leadhook.outbox" else 60)
    application.details("later")
    assert application.count("leadhook.outbox", "'later' = any (lead_ids)") == 1


def test_a_very_long_tag_is_no_reason_to_refuse_a_row(wired: Sql) -> None:
    """The index of the outbox has a hash of it."""
    wired.run("drop index public.prompts_by_user_and_tag")
    tag = "".join(f"{number:x}" for number in range(0, 1_000_000, 97))
    with wired.transaction():
        for number in range(3):
            wired.prompts(tag=tag + str(number))
    assert wired.count("leadhook.outbox", "length(tag) > 20000") == 3
    wired.note_prompts_changes(tag=tag + "0")
    wired.apply_outbox()
    assert wired.count("leadhook.outbox") == 0


def test_a_very_long_id_is_no_reason_to_refuse_a_row(wired: Sql) -> None:
    """The application's table may have no key; ours has an index, which takes no entry of more than 2.7 kB."""
    wired.run("alter table public.lead_details drop constraint lead_details_pkey")
    wired.run(
        "insert into public.lead_details (lead_id)"
        " select string_agg(md5(g::text), '') from generate_series(1, 500) as g"
    )
    wired.details("short")
    wired.run("update leadhook.controls set first_round_finished_at = now()")
    wired.rpc("leadhook_sweep", p_worker="worker-1")
    assert wired.count("public.lead_details") == 2


def test_a_sequence_behind_its_rows_aborts_no_statement(wired: Sql) -> None:
    """As a restore may leave it; what is lost is found by the sweep."""
    wired.run("insert into leadhook.outbox (id, kind, n) overriding system value values (3, 'everything', 0)")
    with wired.transaction():
        for number in range(5):
            wired.details(f"lead-{number}")
    assert wired.count("public.lead_details") == 5
    assert wired.count("leadhook.outbox", "kind = 'leads'") == 4
