-- Purpose: advisory locks, fingerprints of keys, kinds of errors, and sequences after a restore.

set local check_function_bodies = off;

-- Advisory locks, all of them. Each is held until its transaction ends and may be taken again within it.
--
--   lock_claims()     (727201, 1)  which leads may be claimed: ready jobs, pauses, budgets
--                                  taken by leadhook_claim and by every change of a pause or budget
--   lock_outbox()     (727201, 2)  which leads are eligible: one transaction at a time checks them
--                                  taken by whatever applies the outbox or moves jobs by eligibility: claim, sweep, replay, release of held leads
--   try_lock_sweep()  (727201, 3)  the sweep's position in leadhook.controls
--                                  taken by leadhook_sweep, which returns at once if it is held
--   install/locks.py  (727201, 4)  the definition of the database
--                                  taken by an installer for its session, before this schema exists, so there is no function
--
-- Order: lock_claims or try_lock_sweep, then lock_outbox, then rows of jobs. A transaction that holds lock_outbox takes no other advisory
-- lock, so these never deadlock. The caller's lock_timeout limits each wait (55P03).

-- Waits for the claim lock.
create or replace function leadhook.lock_claims()
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform pg_catalog.pg_advisory_xact_lock(727201, 1);
end
$$;

-- Waits for the outbox lock.
create or replace function leadhook.lock_outbox()
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform pg_catalog.pg_advisory_xact_lock(727201, 2);
end
$$;

-- Returns false if another transaction holds the sweep lock.
create or replace function leadhook.try_lock_sweep()
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  return pg_catalog.pg_try_advisory_xact_lock(727201, 3);
end
$$;

-- Writes to the server's log only. `raise log` would also log the application's statement, which contains leads.
create or replace function leadhook.warn(p_message text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = 'error'
as $$
begin
  raise warning 'leadhook: %', p_message;
end
$$;

-- Returns false for errors of the installation, concurrency, resources or operator. Those end the claim, and its outbox rows stay.
create or replace function leadhook.blames_the_lead(p_sqlstate text)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select left(p_sqlstate, 2) not in ('08', '0A', '25', '28', '3D', '3F', '40', '42', '53', '55', '57', '58') and p_sqlstate <> 'XX000'
$$;

-- Returns the next midnight in UTC, when daily budgets start again.
create or replace function leadhook.next_day(p_now timestamptz)
returns timestamptz
language sql
immutable
set search_path = ''
as $$
  select ((p_now at time zone 'UTC')::date + 1)::timestamp at time zone 'UTC'
$$;

-- Returns the first 16 hex digits of the SHA-256 of a Gemini key without surrounding whitespace; logs and tables show it instead of the
-- key.
-- Inlined, because every claim and save calls it for every key; so without search_path, and stable, as convert_to is.
create or replace function leadhook.key_fingerprint(p_api_key text)
returns text
language sql
stable
as $$
  select pg_catalog.left(
    pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.btrim(p_api_key, E' \t\r\n'), 'UTF8')), 'hex'), 16
  )
$$;

-- Returns true if statement_timeout or a cancel request ended the statement, and false if code of the application raised 57014. The timer
-- fires once, so the call must end: nothing would stop what it did next.
create or replace function leadhook.ends_the_call(p_sqlstate text, p_context text)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select p_sqlstate = '57014' and p_context !~ '^[^\n]* RAISE(\n|$)'
$$;

-- Raises PT400 unless an operator call names its actor.
create or replace function leadhook.require_actor(p_actor text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  if coalesce(btrim(p_actor), '') = '' then
    raise exception 'p_actor is missing' using errcode = 'PT400';
  end if;
end
$$;

create or replace function leadhook.advance_fences(p_by bigint default 0)
returns void
language sql
security definer
set search_path = ''
as $$
  select pg_catalog.setval('leadhook.fences', greatest(f.last_value, (select max(j.fence) from leadhook.jobs as j)) + advance_fences.p_by)
  from leadhook.fences as f
$$;
comment on function leadhook.advance_fences(bigint) is
  'Moves the fences past those of all jobs, and p_by further. security definer: only the owner may set a sequence.';

create or replace function leadhook.advance_ids()
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_table text;
begin
  foreach v_table in array array['outbox', 'attempts', 'webhooks', 'replays', 'releases', 'pauses', 'budgets', 'audit'] loop
    execute format(
      'select pg_catalog.setval(%1$L, greatest(m.id, s.last_value)) from (select max(t.id) as id from leadhook.%2$I as t) as m cross join %1$s as s '
      'where s.last_value + s.is_called::int <= m.id', format('leadhook.%I', v_table || '_id_seq'), v_table
    );
  end loop;
end
$$;
comment on function leadhook.advance_ids() is
  'Moves id sequences that are behind their tables. security definer: only the owner may set a sequence. A concurrent insert has already '
  'taken its id from the sequence.';

-- Repairs sequences after a restore: those that are behind their tables and, if the server or its timeline has changed since the last
-- claim, the fences, by a billion. A restore to an earlier time forgets fences whose holders may still run.
create or replace function leadhook.notice_restore()
returns void
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_history text := (
    select s.system_identifier || ' ' || left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8)
    from pg_catalog.pg_control_system() as s
  );
  v_known text := (select c.history from leadhook.controls as c);
begin
  perform leadhook.advance_ids()
  where (select s.last_value + s.is_called::int from leadhook.outbox_id_seq as s) <= (select max(t.id) from leadhook.outbox as t)
    or (select s.last_value + s.is_called::int from leadhook.attempts_id_seq as s) <= (select max(t.id) from leadhook.attempts as t)
    or (select s.last_value + s.is_called::int from leadhook.webhooks_id_seq as s) <= (select max(t.id) from leadhook.webhooks as t);
  if v_known is distinct from v_history then
    perform leadhook.advance_ids();
    perform leadhook.advance_fences(1000000000) where v_known is not null;
    update leadhook.controls as c set history = v_history where c.id;
  end if;
end
$$;

select leadhook.grant_functions();
