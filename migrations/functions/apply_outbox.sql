-- Purpose: applies the outbox: checks the leads that changed and moves their jobs, after the application's commit, in our own transaction.
-- Planner flags: cached plans outlive the growth of a table from nothing to millions of rows. So each table is read once, by its index
-- (`lead_id = any (…)`), and hashed: a nested loop planned for an empty table would read it once per lead.

set local check_function_bodies = off;

-- Locks the jobs of these leads without waiting. Returns the leads whose jobs another transaction (a save, a renewal) has locked.
create or replace function leadhook.lock_jobs(p_lead_ids text[])
returns text[]
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_nestloop = off
as $$
begin
  return (
    with locked as materialized (
      select j.lead_id from leadhook.jobs as j where j.lead_id = any (p_lead_ids) for no key update skip locked
    )
    select coalesce(array_agg(j.lead_id), '{}')
    from leadhook.jobs as j
    where j.lead_id = any (p_lead_ids) and not exists (select from locked as l where l.lead_id = j.lead_id)
  );
end
$$;

-- Returns whether one of these transactions changed something that the job's last lease cannot have seen. A change after the end of the run
-- always is: after a restore, the snapshot may be of another history.
create or replace function leadhook.is_news(p_xacts xid8[], p_changed_at timestamptz, p_leased_snapshot pg_snapshot, p_finished_at timestamptz)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
  if p_leased_snapshot is null or p_changed_at > p_finished_at then
    return true;
  end if;
  return (
    select bool_or(x.xact is null or not pg_catalog.pg_visible_in_snapshot(x.xact, p_leased_snapshot)) from unnest(p_xacts) as x (xact)
  );
end
$$;

-- Returns what becomes of the job of each lead: a state (the present one: only its user and tag change), changed (noted on the job),
-- erased, or null: nothing. A lead may be listed once per transaction that changed it. A leased job keeps its state. p_mode says why the
-- leads are checked:
--   change    their own rows changed: every transition
--   refresh   their rows were deleted and inserted again in one transaction: as change; but dead or held → ready only with another user or
--             tag, or if they changed while they were not eligible, or if their check had failed
--   wake      a prompts row changed: waiting → ready, and dead → ready if the old row was what ended the lead (prompts_too_long)
--   wake_all  a prompts row was inserted: also dead → ready, and held → ready unless the lead has an answer
--   check     ready or held → waiting if not eligible, waiting → ready if eligible; reopens and releases nothing
--   hint      an id from an unsigned webhook: an unknown lead gets a job, waiting → ready, nothing else
--   sweep     waiting or done → ready
--   hold      as sweep, in the first round after the installation: held, unless their group has had a prompts row since
create or replace function leadhook.decide_moves(p_lead_ids text[], p_changed_at timestamptz[], p_mode text, p_xacts xid8[] default null)
returns table (lead_id text, user_id uuid, tag text, changed_at timestamptz, replayable boolean, was text, becomes text)
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_nestloop = off
as $$
#variable_conflict use_column
begin
  return query
  with asked as materialized (
    select i.lead_id, max(i.changed_at) as changed_at, array_agg(i.xact) as xacts
    from unnest(p_lead_ids, p_changed_at, p_xacts) as i (lead_id, changed_at, xact)
    group by i.lead_id
  ),
  checked as materialized (
    select e.*, e.known and e.has_details as registered, e.scrapped and e.has_prompts and e.has_details as replayable
    from leadhook.check_eligibility(p_lead_ids) as e
  ),
  groups as (
    select distinct e.user_id, e.tag from checked as e where p_mode = 'hold' and e.eligible
  ),
  -- Leads of these groups are not backlog: someone asked for them after the installation.
  asked_for as materialized (
    select g.user_id, g.tag
    from leadhook.find_groups_with_prompts(
      array(select l.user_id from groups as l), array(select l.tag from groups as l), (select c.installed_at from leadhook.controls as c)
    ) as g
  )
  select
    e.lead_id, e.user_id, e.tag, a.changed_at, e.replayable, j.state,
    case
      when not e.registered then case when p_mode not in ('hint', 'sweep', 'hold') then 'erased' end
      when j.state = 'leased' then case when p_mode in ('change', 'refresh', 'wake_all') and n.is_news then 'changed' end
      when e.eligible and (
        j.state is null
        or j.state = 'waiting'
        or j.state = 'done' and p_mode in ('change', 'refresh', 'sweep', 'hold')
        or j.state = 'held' and (
          p_mode = 'change' or p_mode = 'wake_all' and e.lead_id <> all ((select leadhook.find_answered(p_lead_ids))::text[])
        )
        or j.state = 'dead' and n.is_news
          and (p_mode in ('change', 'wake_all') or p_mode = 'wake' and j.error_code = 'prompts_too_long')
        or j.state in ('held', 'dead') and p_mode = 'refresh' and n.is_news
      ) then case when p_mode = 'hold' and j.state is distinct from 'done' and not exists (
        select from asked_for as f where f.user_id = e.user_id and f.tag = e.tag
      ) then 'held' else 'ready' end
      when j.state is null then 'waiting'
      when j.state in ('ready', 'held') and p_mode in ('change', 'refresh', 'check')
        and not (e.eligible or e.replayable and j.replay_id is not null) then 'waiting'
      when p_mode <> 'hint' and (j.user_id, j.tag) is distinct from (e.user_id, e.tag) then j.state
      when j.state = 'ready' and j.replay_id is not null and p_mode in ('change', 'wake_all') then 'changed'
      when j.state = 'dead' and not e.eligible and p_mode in ('change', 'refresh') and n.is_news then 'changed'
    end
  from checked as e
  join asked as a on a.lead_id = e.lead_id
  left join (select k.* from leadhook.jobs as k where k.lead_id = any (p_lead_ids)) as j on j.lead_id = e.lead_id
  left join lateral (
    select case
      when p_mode = 'refresh' and e.eligible
        then j.changed or j.error_code = 'evaluation_failed' or (j.user_id, j.tag) is distinct from (e.user_id, e.tag)
      else leadhook.is_news(a.xacts, a.changed_at, j.leased_snapshot, j.finished_at)
    end as is_news
    where j.state in ('leased', 'held', 'dead')
  ) as n on true;
end
$$;

-- Notes all groups of each lead that has other groups than its job, so that a prompts row of any of them finds the lead.
create or replace function leadhook.note_lead_groups(p_lead_ids text[])
returns void
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = on
set enable_nestloop = off
set seq_page_cost = 100
as $$
begin
  insert into leadhook.lead_groups (user_id, tag, lead_id)
  select distinct r.user_id, r.tag, r.lead_id
  from (
    select
      j.lead_id, a.user_id::uuid as user_id, a.tag::text as tag,
      bool_or((j.user_id, j.tag) is distinct from (a.user_id::uuid, a.tag::text)) over (partition by j.lead_id) as several
    from public.all_leads as a
    join leadhook.jobs as j on j.lead_id = a.lead_id
    where a.lead_id = any (p_lead_ids) and j.lead_id = any (p_lead_ids) and a.user_id is not null and a.tag is not null
  ) as r
  where r.several
  on conflict do nothing;
end
$$;

-- Moves the jobs of these leads as decide_moves decides. Returns the leads to check again, because another transaction had locked their
-- jobs.
create or replace function leadhook.move_jobs(p_lead_ids text[], p_changed_at timestamptz[], p_source text, p_mode text, p_xacts xid8[] default null)
returns text[]
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_nestloop = off
as $$
declare
  -- Locked first, checked in a later statement: otherwise a save that commits in between would be checked by the rows from before it.
  v_busy text[] := leadhook.lock_jobs(p_lead_ids);
  v_now timestamptz := clock_timestamp();
  v_begun jsonb;
  v_asleep text[];
  v_erased text[];
begin
  with decided as materialized (
    select d.* from leadhook.decide_moves(p_lead_ids, p_changed_at, p_mode, p_xacts) as d where d.becomes is not null and d.lead_id <> all (v_busy)
  ),
  moved as (
    update leadhook.jobs as j
    set
      user_id = d.user_id,
      tag = d.tag,
      state = d.becomes,
      low_priority = j.low_priority and d.becomes = d.was,
      available_at = case when j.budget_id is null then j.available_at else v_now end, -- the new user has another budget
      budget_id = null,
      replay_id = case when d.becomes = d.was then j.replay_id end,
      changed = j.changed or d.becomes = d.was,
      replay_after = case when d.becomes = d.was or d.replayable then j.replay_after end
    from decided as d
    where j.lead_id = any (p_lead_ids) and j.lead_id = d.lead_id and (d.becomes = d.was or d.becomes = 'waiting')
  ),
  noted as (
    update leadhook.jobs as j set changed = true from decided as d where j.lead_id = any (p_lead_ids) and j.lead_id = d.lead_id and d.becomes = 'changed'
  ),
  added as (
    insert into leadhook.jobs as j (lead_id, user_id, tag, state, low_priority, available_at, eligible_at, source)
    select d.lead_id, d.user_id, d.tag, d.becomes, d.becomes = 'held', v_now,
      case when d.becomes = 'waiting' then d.changed_at else coalesce(d.changed_at, v_now) end, p_source
    from decided as d
    where d.was is null and d.becomes <> 'erased' or d.was = 'waiting' and d.becomes = 'held'
    on conflict (lead_id) do update
    set
      state = excluded.state, user_id = excluded.user_id, tag = excluded.tag, low_priority = excluded.low_priority, attempts = 0,
      available_at = excluded.available_at, eligible_at = excluded.eligible_at, source = excluded.source, error_code = null, reason = null,
      finished_at = null
    where j.state = 'waiting' and excluded.state <> 'waiting'
  )
  select
    jsonb_agg(jsonb_build_object('lead_id', d.lead_id, 'user_id', d.user_id, 'tag', d.tag, 'eligible_at', d.changed_at))
      filter (where d.becomes = 'ready' and d.was <> 'ready'),
    array_agg(d.lead_id) filter (where d.becomes = 'waiting' and d.was <> 'waiting'),
    array_agg(d.lead_id) filter (where d.becomes = 'erased')
  into v_begun, v_asleep, v_erased
  from decided as d;

  if v_begun is not null then
    perform leadhook.begin_runs(v_begun, p_source, false, null, v_now);
  end if;
  if v_asleep is not null then
    -- A released lease leaves its postponed replay on the ready job; it begins now that nothing else wants the lead.
    perform leadhook.begin_postponed_replays(v_asleep, v_now);
  end if;
  if v_erased is not null then
    perform leadhook.erase_leads(v_erased);
  end if;
  if p_mode in ('change', 'refresh', 'hint', 'sweep', 'hold') then
    perform leadhook.note_lead_groups(p_lead_ids);
  end if;
  if v_busy = '{}' then
    return v_busy;
  end if;
  return array(
    select j.lead_id
    from leadhook.jobs as j
    where j.lead_id = any (v_busy)
      and (
        p_mode in ('change', 'refresh', 'wake_all') or p_mode in ('wake', 'check') and j.state in ('waiting', 'ready', 'leased')
        or p_mode = 'wake' and j.error_code = 'prompts_too_long'
      )
  );
end
$$;

-- Makes a lead whose own data makes SQL raise dead, with the reason, so that the others go on; with p_token, also if it is leased by that
-- claim.
create or replace function leadhook.quarantine(
  p_lead_id text, p_reason text, p_source text, p_changed_at timestamptz, p_token uuid default null
)
returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into leadhook.jobs as j (lead_id, state, error_code, reason, eligible_at, source, finished_at)
  values (
    p_lead_id, 'dead', 'evaluation_failed', left(coalesce(nullif(p_reason, ''), 'unknown'), 500), coalesce(p_changed_at, clock_timestamp()), p_source,
    clock_timestamp()
  )
  on conflict (lead_id) do update set
    state = 'dead', error_code = excluded.error_code, reason = excluded.reason, finished_at = excluded.finished_at,
    claim_token = null, lease_until = null, reserved_usd = null
  where j.state <> 'leased' or j.claim_token = p_token;
  update leadhook.jobs as j set changed = true where j.lead_id = p_lead_id and j.state = 'leased' and not j.changed;
  begin
    perform leadhook.note_lead_groups(array[p_lead_id]);
  exception when others then
    if not leadhook.blames_the_lead(sqlstate) then
      raise;
    end if;
  end;
exception
  when others then
    -- Not even a job fits: the lead id is too long for an index. Only the log reports it.
    if not leadhook.blames_the_lead(sqlstate) then
      raise;
    end if;
    raise warning 'leadhook: lead % can not be quarantined: %', left(p_lead_id, 100), sqlerrm;
end
$$;

-- Checks these leads and moves their jobs, as move_jobs; but one lead's error does not stop the others: a list that raises is halved down
-- to the lead at fault. p_changed_at, p_xacts: when and by which transaction each lead changed; null: now. Returns the leads to check
-- again.
create or replace function leadhook.apply_changes(
  p_lead_ids text[], p_source text, p_mode text, p_changed_at timestamptz[] default null, p_xacts xid8[] default null
)
returns text[]
language plpgsql
set search_path = ''
as $$
declare
  v_middle int := cardinality(p_lead_ids) / 2;
  v_reason text;
begin
  if cardinality(p_lead_ids) = 0 then
    return array[]::text[];
  end if;
  begin
    return leadhook.move_jobs(p_lead_ids, p_changed_at, p_source, p_mode, p_xacts);
  exception
    when others then
      if not leadhook.blames_the_lead(sqlstate) then
        raise;
      end if;
      v_reason := sqlerrm;
  end;
  if v_middle > 0 then
    return leadhook.apply_changes(p_lead_ids[:v_middle], p_source, p_mode, p_changed_at[:v_middle], p_xacts[:v_middle])
      || leadhook.apply_changes(p_lead_ids[v_middle + 1:], p_source, p_mode, p_changed_at[v_middle + 1:], p_xacts[v_middle + 1:]);
  end if;
  perform leadhook.quarantine(p_lead_ids[1], v_reason, p_source, p_changed_at[1]);
  return array[]::text[];
end
$$;

-- Applies one slice of the outbox rows that name leads, small rows first. looked_at: the number of leads, null if no row is left. checked:
-- the leads whose jobs now agree with their rows.
create or replace function leadhook.apply_lead_changes(p_source text, out looked_at int, out checked text[])
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_outbox int;
  v_lead_ids text[];
  v_changed_at timestamptz[];
  v_xacts xid8[];
  v_refreshed boolean;
  v_busy text[];
begin
  with smallest as (
    select t.id, t.n, t.refreshed
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
      where s.refreshed = (select f.refreshed from smallest as f order by f.n, f.id limit 1)
      window by_size as (order by s.n, s.id)
    ) as s
    where s.total <= 500 or s.place = 1
  ),
  taken as (
    delete from leadhook.outbox as t where t.id = any (array(select f.id from fitting as f)) returning t.lead_ids, t.changed_at, t.xact, t.refreshed
  ),
  named as (
    select i.lead_id, t.xact, max(t.changed_at) as changed_at
    from taken as t
    cross join lateral unnest(t.lead_ids) as i (lead_id)
    where i.lead_id is not null
    group by i.lead_id, t.xact
  )
  select (select count(*) from taken), coalesce(array_agg(n.lead_id), '{}'), coalesce(array_agg(n.changed_at), '{}'), array_agg(n.xact), (select bool_or(t.refreshed) from taken as t)
  into v_outbox, v_lead_ids, v_changed_at, v_xacts, v_refreshed
  from named as n;

  if v_outbox = 0 then
    return;
  end if;
  v_busy := leadhook.apply_changes(v_lead_ids, p_source, case when v_refreshed then 'refresh' else 'change' end, v_changed_at, v_xacts);
  perform leadhook.return_to_outbox(v_busy, v_changed_at, v_refreshed) where v_busy <> '{}';
  select count(distinct i.lead_id), array_agg(i.lead_id) filter (where i.lead_id <> all (v_busy))
  into looked_at, checked
  from unnest(v_lead_ids) as i (lead_id);
end
$$;

-- Returns the next 500 leads, by lead_id, that a prompts row of this group may wake; and those that are leased or replayed, whose jobs only
-- note the change.
create or replace function leadhook.leads_of_group(p_user_id uuid, p_tag text, p_after_lead text)
returns text[]
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
begin
  return array(
    -- There are few. In one query with the group, they would be searched among all jobs.
    with leased as materialized (
      select j.lead_id, j.user_id, j.tag from leadhook.jobs as j where j.state = 'leased'
    )
    select w.lead_id
    from (
      (
        select j.lead_id
        from leadhook.jobs as j
        where (j.state in ('waiting', 'held', 'dead') or j.replay_id is not null)
          and j.user_id = p_user_id and j.tag = p_tag and j.lead_id > p_after_lead
        order by j.lead_id
        limit 500
      )
      union
      (
        select o.lead_id
        from leadhook.lead_groups as o
        where o.user_id = p_user_id and o.tag = p_tag and o.lead_id > p_after_lead
        order by o.lead_id
        limit 500
      )
      union
      (
        select l.lead_id from leased as l where l.user_id = p_user_id and l.tag = p_tag and l.lead_id > p_after_lead
      )
    ) as w
    order by w.lead_id
    limit 500
  );
end
$$;

-- Returns the outbox rows that are equal to this one, which names no leads, and the row itself. An application may leave a walk for each of
-- its users, so they are found by an index. Without a condition on kind, no other index can be read for a group, and only walks have one.
create or replace function leadhook.find_equal_walks(p_walk leadhook.outbox)
returns leadhook.outbox[]
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  return array(
    select t
    from leadhook.outbox as t
    where t.user_id = p_walk.user_id and hashtextextended(t.tag, 0) = hashtextextended(p_walk.tag, 0)
      and t.tag = p_walk.tag and t.prompts_inserted = p_walk.prompts_inserted
    union all
    select t
    from leadhook.outbox as t
    where (p_walk.user_id is null or p_walk.tag is null)
      and t.kind <> 'leads' and t.kind = p_walk.kind and t.prompts_inserted = p_walk.prompts_inserted
      and t.user_id is not distinct from p_walk.user_id and t.tag is not distinct from p_walk.tag
  );
end
$$;

-- Returns the first outbox row that names no leads, with the rows equal to it. Equal walks become one: a later one joins at the position of
-- the others.
create or replace function leadhook.next_walk()
returns leadhook.outbox[]
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_first leadhook.outbox;
  v_walks leadhook.outbox[];
  v_position text;
begin
  select t.* into v_first from leadhook.outbox as t where t.kind <> 'leads' order by t.id limit 1;
  if v_first.id is null then
    return '{}';
  end if;
  v_walks := leadhook.find_equal_walks(v_first);
  if cardinality(v_walks) < 2 then
    return v_walks;
  end if;
  v_position := (select max(w.after_lead) from unnest(v_walks) as w);
  update leadhook.outbox as t
  set after_lead = v_position, until_lead = v_position
  where t.id in (select w.id from unnest(v_walks) as w where w.after_lead <> v_position);
  return array(select t from leadhook.outbox as t where t.id in (select w.id from unnest(v_walks) as w));
end
$$;

-- Applies one slice of the first walk over the jobs; its outbox rows stay until it is finished. Returns the number of leads, null if there
-- is no walk.
create or replace function leadhook.apply_walk(p_source text)
returns int
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_walks leadhook.outbox[] := leadhook.next_walk();
  v_walk leadhook.outbox := v_walks[1];
  v_slice text[];
  v_lead_ids text[];
  v_changed_at timestamptz[];
  v_xacts xid8[];
  v_busy text[];
begin
  if v_walk.id is null then
    return null;
  end if;

  if v_walk.kind = 'prompts' then
    v_slice := leadhook.leads_of_group(v_walk.user_id, v_walk.tag, v_walk.after_lead);
  else
    v_slice := array(
      select j.lead_id from leadhook.jobs as j where j.lead_id > v_walk.after_lead order by j.lead_id limit 500
    );
  end if;

  delete from leadhook.outbox as t
  where t.id in (select w.id from unnest(v_walks) as w) and case
    when t.until_lead is null then v_slice[500] is null
    else t.after_lead < t.until_lead and (v_slice[500] is null or v_slice[500] >= t.until_lead)
  end;
  -- A new id puts them behind the other walks.
  update leadhook.outbox as t
  set id = default, after_lead = coalesce(v_slice[500], '')
  where t.id in (select w.id from unnest(v_walks) as w);

  -- When each of the equal changes was made matters only if dead leads may be woken.
  select coalesce(array_agg(s.lead_id), '{}'), array_agg(w.changed_at), array_agg(w.xact)
  into v_lead_ids, v_changed_at, v_xacts
  from unnest(v_slice) as s (lead_id)
  cross join unnest(v_walks) as w
  where v_walk.kind = 'prompts' or w.id = v_walk.id;
  v_busy := leadhook.apply_changes(
    v_lead_ids, p_source,
    case when v_walk.kind = 'everything' then 'check' when v_walk.prompts_inserted then 'wake_all' else 'wake' end, v_changed_at, v_xacts
  );
  perform leadhook.return_to_outbox(v_busy, v_changed_at) where v_busy <> '{}';
  return cardinality(v_slice);
end
$$;

-- Appends leads whose jobs were locked to the outbox, for 250 ms later: a save that hangs must not make claims spin.
create or replace function leadhook.return_to_outbox(p_lead_ids text[], p_changed_at timestamptz[], p_refreshed boolean default false)
returns void
language sql
set search_path = ''
as $$
  insert into leadhook.outbox (kind, n, lead_ids, changed_at, not_before, refreshed)
  select 'leads', cardinality(p_lead_ids), p_lead_ids, max(t.changed_at), clock_timestamp() + interval '250 ms', p_refreshed
  from unnest(p_changed_at) as t (changed_at)
$$;

-- Applies the outbox for p_budget of clock time, at least one slice of each kind. looked_at: the number of leads. checked: the leads with
-- outbox rows of their own whose jobs now agree with their rows. Appliers wait for each other, at most lock_timeout (55P03): each one
-- checks what the others have committed, and finds what they made ready.
create or replace function leadhook.apply_outbox(p_source text, p_budget interval default '100 ms', out looked_at int, out checked text[])
language plpgsql
set search_path = ''
set enable_seqscan = off
set row_security = off
set lock_timeout = '2s'
as $$
declare
  v_deadline timestamptz;
  v_slice record;
begin
  looked_at := 0;
  checked := '{}';
  if not exists (select from leadhook.outbox) then
    return;
  end if;
  perform leadhook.lock_outbox();
  v_deadline := clock_timestamp() + p_budget;
  looked_at := coalesce(leadhook.apply_walk(p_source), 0);
  loop
    v_slice := leadhook.apply_lead_changes(p_source);
    if v_slice.looked_at is null and clock_timestamp() < v_deadline then
      v_slice.looked_at := leadhook.apply_walk(p_source);
    end if;
    looked_at := looked_at + coalesce(v_slice.looked_at, 0);
    checked := checked || v_slice.checked;
    exit when v_slice.looked_at is null or clock_timestamp() >= v_deadline or not leadhook.has_changes(clock_timestamp());
  end loop;
end
$$;

select leadhook.grant_functions();
