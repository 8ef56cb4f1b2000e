-- Purpose: folds outbox rows into jobs, after the application's commit and in our own transaction.
-- Planner flags: plans are cached while the tables grow from nothing to millions of rows. So a table is read once, by `lead_id = any (…)` on
--          its index, and hashed: a nested loop that was planned for an empty table would read it once a lead.

set local check_function_bodies = off;

-- Checks leads and brings their jobs in line. Returns those that somebody else holds at the moment (a save, a renewal): it never waits for a row.
--   change  the lead's own rows changed: every transition, but nothing that is leased is disturbed
--   wake    a prompts row changed: waiting → ready
--   wake_all  a prompts row was inserted: also dead → ready, and held → ready unless the lead has an answer already
--   check   ready or held → waiting where not eligible, waiting → ready where eligible; reopens and releases nothing
--   hint    an id that no trigger vouches for: registers an unknown lead, waiting → ready, nothing else
create or replace function leadhook.apply_together(p_lead_ids text[], p_changed_at timestamptz[], p_source text, p_mode text)
returns text[]
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_nestloop = off
as $$
declare
  v_held_elsewhere text[];
  v_gone text[];
  v_now timestamptz := clock_timestamp();
begin
  -- Lock first, check in a later statement: else a save that commits in between would be checked by rows from before it.
  with locked as materialized (
    select j.lead_id from leadhook.jobs as j where j.lead_id = any (p_lead_ids) for no key update skip locked
  )
  select coalesce(array_agg(j.lead_id), '{}') into v_held_elsewhere
  from leadhook.jobs as j
  where j.lead_id = any (p_lead_ids) and not exists (select from locked as l where l.lead_id = j.lead_id);

  with asked as materialized (
    select i.lead_id, max(i.changed_at) as changed_at
    from unnest(p_lead_ids, p_changed_at) as i (lead_id, changed_at)
    where i.lead_id is not null and not i.lead_id = any (v_held_elsewhere)
    group by i.lead_id
  ),
  checked as materialized (
    select
      e.lead_id, e.user_id, e.tag, e.eligible,
      e.known and e.has_details as registered,
      e.scrapped and e.has_prompts and e.has_details as replayable,
      a.changed_at
    from leadhook.check_eligibility(array(select a.lead_id from asked as a)) as e
    join asked as a using (lead_id)
  ),
  answered as materialized (
    select r.lead_id from unnest(case when p_mode = 'wake_all' then leadhook.find_answered(p_lead_ids) end) as r (lead_id)
  ),
  decided as materialized (
    select
      g.lead_id, g.user_id, g.tag, g.changed_at, j.state,
      g.eligible and (
        j.state = 'waiting'
        or j.state = 'held' and (
          p_mode = 'change' or p_mode = 'wake_all' and not exists (select from answered as r where r.lead_id = g.lead_id)
        )
        or j.state = 'done' and p_mode = 'change'
        or j.state = 'dead' and p_mode in ('change', 'wake_all') and g.changed_at >= coalesce(j.leased_at, '-infinity')
      ) as wakes,
      j.state in ('ready', 'held') and p_mode in ('change', 'check')
        and not (g.eligible or g.replayable and j.replay_id is not null) as sleeps,
      g.replayable and j.replay_after is not null as asked_again
    from checked as g
    join leadhook.jobs as j using (lead_id)
    where j.lead_id = any (p_lead_ids) and g.registered and j.state <> 'leased'
  ),
  -- A replay that was asked for while it was leased, and then given back, begins when nothing else wants it any more.
  known as materialized (
    select d.*, d.sleeps and d.asked_again as replays from decided as d
  ),
  moved as (
    update leadhook.jobs as j set
      user_id = d.user_id,
      tag = d.tag,
      state = case when d.wakes or d.replays then 'ready' when d.sleeps then 'waiting' else j.state end,
      low_priority = d.replays or j.low_priority and not (d.wakes or d.sleeps),
      run = j.run + (d.replays or d.wakes and d.state in ('done', 'dead'))::int,
      attempts = case when d.wakes or d.replays then 0 else j.attempts end,
      available_at = case when d.wakes or d.replays then v_now else j.available_at end,
      eligible_at = case when d.wakes then d.changed_at when d.replays then v_now else j.eligible_at end,
      source = case when d.wakes then p_source when d.replays then 'replay' else j.source end,
      replay_id = case when d.replays then j.replay_after when not (d.wakes or d.sleeps) then j.replay_id end,
      replay_after = case when not d.sleeps then j.replay_after end,
      checkpoint = case when d.wakes and d.state = 'done' then null else j.checkpoint end,
      error_code = case when not (d.wakes or d.replays) then j.error_code end,
      reason = case when not (d.wakes or d.replays) then j.reason end,
      finished_at = case when not (d.wakes or d.replays) then j.finished_at end
    from known as d
    where j.lead_id = any (p_lead_ids) and j.lead_id = d.lead_id
      and (d.wakes or d.sleeps or p_mode <> 'hint' and (j.user_id, j.tag) is distinct from (d.user_id, d.tag))
  ),
  added as (
    insert into leadhook.jobs as j (lead_id, user_id, tag, state, available_at, eligible_at, source)
    select g.lead_id, g.user_id, g.tag, case when g.eligible then 'ready' else 'waiting' end, v_now, g.changed_at, p_source
    from checked as g
    where g.registered
      and not exists (select from leadhook.jobs as k where k.lead_id = any (p_lead_ids) and k.lead_id = g.lead_id)
    on conflict (lead_id) do update set
      state = excluded.state, user_id = excluded.user_id, tag = excluded.tag, available_at = excluded.available_at,
      eligible_at = excluded.eligible_at, source = excluded.source
    where j.state = 'waiting' and excluded.state = 'ready'
  )
  select array_agg(g.lead_id) into v_gone from checked as g where not g.registered and p_mode <> 'hint';

  if v_gone is not null then
    perform leadhook.erase_leads(v_gone);
  end if;

  if cardinality(v_held_elsewhere) = 0 then
    return '{}';
  end if;
  return array(
    select j.lead_id
    from leadhook.jobs as j
    where j.lead_id = any (v_held_elsewhere)
      and (p_mode in ('change', 'wake_all') or p_mode <> 'hint' and j.state in ('waiting', 'ready', 'leased'))
  );
end
$$;
comment on function leadhook.apply_together(text[], timestamptz[], text, text) is
  'Brings the jobs of these leads in line with the application''s tables; returns those that are locked by somebody else.';
revoke all on function leadhook.apply_together(text[], timestamptz[], text, text) from public, anon, authenticated;
grant execute on function leadhook.apply_together(text[], timestamptz[], text, text) to service_role;

-- A lead that can't be evaluated is dead with the reason, so that the others go on. p_token: also when it is leased by that claim.
create or replace function leadhook.quarantine(
  p_lead_id text, p_reason text, p_source text, p_changed_at timestamptz, p_token uuid default null
)
returns void
language plpgsql
security invoker
set search_path = ''
set jit = off
as $$
begin
  insert into leadhook.jobs as j (lead_id, state, error_code, reason, eligible_at, source, finished_at)
  values (
    p_lead_id, 'dead', 'evaluation_failed', left(coalesce(nullif(p_reason, ''), 'unknown'), 500), p_changed_at, p_source, clock_timestamp()
  )
  on conflict (lead_id) do update set
    state = 'dead', error_code = excluded.error_code, reason = excluded.reason, finished_at = excluded.finished_at,
    claim_token = null, lease_until = null
  where j.state <> 'leased' or j.claim_token = p_token;
exception
  when others then
    -- Not even a row for it fits (a lead id too long for an index): then only the log can tell.
    if not leadhook.blames_the_lead(sqlstate) then
      raise;
    end if;
    raise warning 'leadhook: lead % can not be set aside: %', left(p_lead_id, 100), sqlerrm;
end
$$;
revoke all on function leadhook.quarantine(text, text, text, timestamptz, uuid) from public, anon, authenticated;
grant execute on function leadhook.quarantine(text, text, text, timestamptz, uuid) to service_role;

-- As apply_together, but one lead's error does not stop the others: what raises is halved down to the lead that is to blame.
create or replace function leadhook.apply_changes(p_lead_ids text[], p_changed_at timestamptz[], p_source text, p_mode text)
returns text[]
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_middle int := cardinality(p_lead_ids) / 2;
  v_reason text;
begin
  if cardinality(p_lead_ids) = 0 then
    return '{}';
  end if;
  begin
    return leadhook.apply_together(p_lead_ids, p_changed_at, p_source, p_mode);
  exception
    when others then
      if not leadhook.blames_the_lead(sqlstate) then
        raise;
      end if;
      v_reason := sqlerrm;
  end;
  if v_middle > 0 then
    return leadhook.apply_changes(p_lead_ids[:v_middle], p_changed_at[:v_middle], p_source, p_mode)
      || leadhook.apply_changes(p_lead_ids[v_middle + 1:], p_changed_at[v_middle + 1:], p_source, p_mode);
  end if;
  perform leadhook.quarantine(p_lead_ids[1], v_reason, p_source, p_changed_at[1]);
  return '{}';
end
$$;
revoke all on function leadhook.apply_changes(text[], timestamptz[], text, text) from public, anon, authenticated;
grant execute on function leadhook.apply_changes(text[], timestamptz[], text, text) to service_role;

-- One slice of the outbox rows that name leads, small ones first. Returns how many leads were looked at, null when there is none.
create or replace function leadhook.apply_lead_changes(p_source text)
returns int
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
declare
  v_outbox int;
  v_lead_ids text[];
  v_changed_at timestamptz[];
begin
  with smallest as (
    select t.id, t.n
    from leadhook.outbox as t
    where t.kind = 'leads' and (t.not_before is null or t.not_before <= clock_timestamp())
    order by t.n, t.id
    limit 500
  ),
  fitting as (
    select s.id
    from (
      select s.id, sum(s.n) over by_size as total, row_number() over by_size as place
      from smallest as s
      window by_size as (order by s.n, s.id)
    ) as s
    where s.total <= 500 or s.place = 1
  ),
  taken as (
    delete from leadhook.outbox as t where t.id = any (array(select f.id from fitting as f)) returning t.lead_ids, t.changed_at
  ),
  named as (
    select i.lead_id, max(t.changed_at) as changed_at
    from taken as t
    cross join lateral unnest(t.lead_ids) as i (lead_id)
    where i.lead_id is not null
    group by i.lead_id
  )
  select (select count(*) from taken), coalesce(array_agg(n.lead_id), '{}'), coalesce(array_agg(n.changed_at), '{}')
  into v_outbox, v_lead_ids, v_changed_at
  from named as n;

  if v_outbox = 0 then
    return null;
  end if;
  perform leadhook.return_to_outbox(leadhook.apply_changes(v_lead_ids, v_changed_at, p_source, 'change'), v_changed_at);
  return cardinality(v_lead_ids);
end
$$;
revoke all on function leadhook.apply_lead_changes(text) from public, anon, authenticated;
grant execute on function leadhook.apply_lead_changes(text) to service_role;

-- One slice of the oldest outbox row that names no leads. It walks over jobs, and stays until it is through.
create or replace function leadhook.apply_walk(p_source text)
returns int
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_row record;
  v_lead_ids text[];
  v_changed_at timestamptz[];
begin
  select t.id, t.kind, t.user_id, t.tag, t.prompts_inserted, t.after_lead, t.changed_at
  into v_row
  from leadhook.outbox as t
  where t.kind <> 'leads'
  order by t.id
  limit 1;
  if not found then
    return null;
  end if;

  if v_row.kind = 'prompts' then
    v_lead_ids := array(
      select j.lead_id
      from leadhook.jobs as j
      where j.state in ('waiting', 'held', 'dead')
        and j.user_id = v_row.user_id and j.tag = v_row.tag and j.lead_id > v_row.after_lead
      order by j.lead_id
      limit 500
    );
  else
    v_lead_ids := array(
      select j.lead_id from leadhook.jobs as j where j.lead_id > v_row.after_lead order by j.lead_id limit 500
    );
  end if;

  if cardinality(v_lead_ids) < 500 then
    delete from leadhook.outbox as t where t.id = v_row.id;
  else
    update leadhook.outbox as t set after_lead = v_lead_ids[500] where t.id = v_row.id;
  end if;
  v_changed_at := array_fill(v_row.changed_at, array[cardinality(v_lead_ids)]);
  perform leadhook.return_to_outbox(
    leadhook.apply_changes(
      v_lead_ids, v_changed_at, p_source,
      case when v_row.kind = 'everything' then 'check' when v_row.prompts_inserted then 'wake_all' else 'wake' end
    ),
    v_changed_at
  );
  return cardinality(v_lead_ids);
end
$$;
revoke all on function leadhook.apply_walk(text) from public, anon, authenticated;
grant execute on function leadhook.apply_walk(text) to service_role;

-- An outbox row for leads whose jobs were locked; a little later, so that a save that hangs does not make claims spin.
create or replace function leadhook.return_to_outbox(p_lead_ids text[], p_changed_at timestamptz[])
returns void
language sql
security invoker
set search_path = ''
as $$
  insert into leadhook.outbox (kind, n, lead_ids, changed_at, not_before)
  select 'leads', cardinality(p_lead_ids), p_lead_ids, max(t.changed_at), clock_timestamp() + interval '250 ms'
  from unnest(p_changed_at) as t (changed_at)
  where cardinality(p_lead_ids) > 0
  having count(*) > 0
$$;
revoke all on function leadhook.return_to_outbox(text[], timestamptz[]) from public, anon, authenticated;
grant execute on function leadhook.return_to_outbox(text[], timestamptz[]) to service_role;

-- One applier at a time, waiting and not trying: each checks what the others have committed, none deadlocks, and who waited finds
-- what the other one made ready. lock_timeout bounds that wait for every caller (55P03).
create or replace function leadhook.apply_outbox(p_source text, p_budget interval default '100 ms')
returns int
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
set row_security = off
set lock_timeout = '2s'
as $$
declare
  v_deadline timestamptz;
  v_looked_at int;
  v_slice int;
begin
  if not exists (select from leadhook.outbox) then
    return 0;
  end if;
  perform leadhook.lock_outbox();
  v_deadline := clock_timestamp() + p_budget;
  v_looked_at := coalesce(leadhook.apply_walk(p_source), 0);
  loop
    v_slice := leadhook.apply_lead_changes(p_source);
    if v_slice is null and clock_timestamp() < v_deadline then
      v_slice := leadhook.apply_walk(p_source);
    end if;
    exit when v_slice is null;
    v_looked_at := v_looked_at + v_slice;
    exit when clock_timestamp() >= v_deadline;
  end loop;
  return v_looked_at;
end
$$;
comment on function leadhook.apply_outbox(text, interval) is
  'Folds outbox rows into jobs until the budget of clock time is used up, at least one slice of each kind. Returns how many leads were looked at.';
revoke all on function leadhook.apply_outbox(text, interval) from public, anon, authenticated;
grant execute on function leadhook.apply_outbox(text, interval) to service_role;
