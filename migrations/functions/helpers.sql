-- Purpose: the advisory locks, and small functions that several topics share.

set local check_function_bodies = off;

-- Advisory locks, all of them. The functions hold theirs until the transaction ends, and may be called again within it.
--
--   lock_claims()     (727201, 1)  What may be handed out: ready jobs, pauses, what is left of the budgets.
--                                  Held by leadhook_claim, and by every change of a pause or a budget.
--   lock_outbox()      (727201, 2)  Which leads are eligible: they are checked by one transaction at a time.
--                                  Held by whoever applies the outbox: claim, sweep, replay, stop of a replay and release of a backlog.
--   try_lock_sweep()  (727201, 3)  The sweep's position in leadhook.controls. Held by leadhook_sweep, which never waits for it: without
--                                  the lock it sweeps nothing.
--   install/locks.py  (727201, 4)  The definition of the database. Held by the session of an installer, which tries again and again;
--                                  there is no function, because the installer takes it before this schema exists.
--
-- Order: lock_claims or try_lock_sweep, then lock_outbox, then rows of jobs. A transaction that holds lock_outbox takes no other advisory
-- lock, so that these never deadlock. The caller's lock_timeout bounds each wait (55P03).
create or replace function leadhook.lock_claims()
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform pg_catalog.pg_advisory_xact_lock(727201, 1);
end
$$;
comment on function leadhook.lock_claims() is
  'Waits until no other transaction claims or changes a pause or a budget, and keeps others waiting until this one ends.';

create or replace function leadhook.lock_outbox()
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform pg_catalog.pg_advisory_xact_lock(727201, 2);
end
$$;
comment on function leadhook.lock_outbox() is
  'Waits until no other transaction checks which leads are eligible, and keeps others waiting until this one ends.';

create or replace function leadhook.try_lock_sweep()
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  return pg_catalog.pg_try_advisory_xact_lock(727201, 3);
end
$$;
comment on function leadhook.try_lock_sweep() is 'False while another transaction sweeps; true keeps others from sweeping until this one ends.';

create or replace function leadhook.warn(p_words text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = 'error'
as $$
begin
  raise warning 'leadhook: %', p_words;
end
$$;
comment on function leadhook.warn(text) is
  'Writes to the server''s log and to no one else. `raise log` would write the application''s whole statement beside it, leads and all.';

-- Errors of the installation, of concurrency, of resources and of the operator say nothing of a lead: they end the claim, and the outbox rows stay.
create or replace function leadhook.blames_the_lead(p_sqlstate text)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select left(p_sqlstate, 2) not in ('08', '0A', '25', '28', '3D', '3F', '40', '42', '53', '55', '57', '58') and p_sqlstate <> 'XX000'
$$;

create or replace function leadhook.next_day(p_now timestamptz)
returns timestamptz
language sql
immutable
set search_path = ''
as $$
  select ((p_now at time zone 'UTC')::date + 1)::timestamp at time zone 'UTC'
$$;
comment on function leadhook.next_day(timestamptz) is 'The next midnight in UTC, when every budget begins again.';

-- No search_path, which would keep it from being inlined: every claim and save asks it about every key.
create or replace function leadhook.key_fingerprint(p_api_key text)
returns text
language sql
immutable
as $$
  select pg_catalog.left(
    pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.btrim(p_api_key, E' \t\r\n'), 'UTF8')), 'hex'), 16
  )
$$;
comment on function leadhook.key_fingerprint(text) is
  'The first 16 hex digits of the SHA-256 of a key, without the blanks and line ends around it: the name of the key wherever it may be read.';

-- The statement's timer fires once. A call that it has stopped must end: whatever it went on with could not be stopped again.
create or replace function leadhook.ends_the_call(p_sqlstate text, p_context text)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select p_sqlstate = '57014' and p_context !~ '^[^\n]* RAISE(\n|$)'
$$;
comment on function leadhook.ends_the_call(text, text) is
  'Whether an error, with its context, is about the whole call and no lead: the statement was stopped, and 57014 not raised by code of the application.';

create or replace function leadhook.require_actor(p_actor text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  if coalesce(btrim(p_actor), '') = '' then
    raise exception 'who asks for it is missing' using errcode = 'PT400';
  end if;
end
$$;
comment on function leadhook.require_actor(text) is 'Raises PT400 where an operator''s call does not name who asks.';

-- security definer: only the owner may set a sequence.
create or replace function leadhook.advance_fences(p_by bigint default 0)
returns void
language sql
security definer
set search_path = ''
as $$
  select pg_catalog.setval('leadhook.fences', greatest((select max(j.fence) from leadhook.jobs as j), (select f.last_value from leadhook.fences as f)) + advance_fences.p_by)
$$;
comment on function leadhook.advance_fences(bigint) is 'Moves the fences beyond those of all jobs, and by so many more.';

-- security definer: only the owner may set a sequence. A row that is inserted meanwhile has taken its number from the sequence already.
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
comment on function leadhook.advance_ids() is 'Moves the sequences of leadhook''s tables that are behind their rows.';

-- A restore may leave sequences behind their rows, and one to an earlier time forgets fences whose holders still run.
create or replace function leadhook.notice_restore()
returns void
language plpgsql
set search_path = ''
set jit = off
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
comment on function leadhook.notice_restore() is
  'Moves sequences that are behind their rows, and, on another server or timeline than that of the last claim, the fences by a billion.';

select leadhook.grant_functions();
