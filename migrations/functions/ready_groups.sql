-- Purpose: the groups with ready leads, so that a claim reads no group that is empty, not due or shut, and no lead that was claimed before;
-- and when a claim is due.
-- A trigger notes the groups of jobs that become ready, in any transaction and without waiting. Only claims, under the claim lock, turn
-- notes into groups and correct groups. A group's place (due_at, lead_id) is a lower bound of its ready leads.
-- Planner flags: callers of find_head and is_shut set them once, because these run for each group.

set local check_function_bodies = off;

-- Trigger: notes the groups of jobs that this statement made ready or due earlier.
create or replace function leadhook.note_ready_jobs()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  insert into leadhook.ready_notes (low_priority, user_id, tag, due_at)
  select n.low_priority, n.user_id, n.tag, min(n.available_at)
  from new_jobs as n
  where n.state = 'ready' and n.deaths = 0
  group by n.low_priority, n.user_id, n.tag;
  return null;
end
$$;

-- `enable always`: a restore or a script with session_replication_role = replica must not hide leads from claims.
do $$
begin
  if not exists (select from pg_trigger as t where t.tgrelid = 'leadhook.jobs'::regclass and t.tgname = 'note_updated') then
    create trigger note_inserted after insert on leadhook.jobs
      referencing new table as new_jobs for each statement execute function leadhook.note_ready_jobs();
    create trigger note_updated after update on leadhook.jobs
      referencing new table as new_jobs for each statement execute function leadhook.note_ready_jobs();
    alter table leadhook.jobs enable always trigger note_inserted, enable always trigger note_updated;
  end if;
end
$$;

-- Turns notes into groups, and moves the places of known groups back. Under the claim lock.
create or replace function leadhook.list_ready_groups()
returns void
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
begin
  with taken as (
    delete from leadhook.ready_notes as n where n.low_priority in (false, true) returning n.low_priority, n.user_id, n.tag, n.due_at
  )
  insert into leadhook.ready_groups as g (low_priority, user_id, tag, due_at)
  select t.low_priority, t.user_id, t.tag, min(t.due_at)
  from taken as t
  group by t.low_priority, t.user_id, t.tag
  on conflict (low_priority, user_id, tag) do update set due_at = excluded.due_at, lead_id = ''
  where (g.due_at, g.lead_id) > (excluded.due_at, '');
end
$$;

-- Returns whether one of these groups is paused, or one of these users is paused or has spent the budget; find_blocked covers what shuts every group.
-- `is not distinct from` makes Postgres find the budget by user_id; with `=` it would read the whole index of budgets_to_look_at.
create or replace function leadhook.is_any_shut(p_user_ids uuid[], p_tags text[], p_now timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (
    select from unnest(p_user_ids, p_tags) as g (user_id, tag) join leadhook.pauses as p on p.user_id = g.user_id and p.tag = g.tag
  )
    or exists (select from leadhook.pauses as p where p.user_id = any (p_user_ids) and p.tag is null)
    or exists (
      select from leadhook.budgets as b where b.user_id = any (p_user_ids) and b.spent_on is not distinct from (p_now at time zone 'UTC')::date
    );
end
$$;

-- The same for one group.
create or replace function leadhook.is_shut(p_user_id uuid, p_tag text, p_now timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return leadhook.is_any_shut(array[p_user_id], array[p_tag], p_now);
end
$$;

-- Marks all groups that is_shut, so that claims skip them. Under the claim lock. Subqueries with `in` are hashed whatever the statistics say.
create or replace function leadhook.shut_groups(p_now timestamptz)
returns void
language sql
set search_path = ''
as $$
  update leadhook.ready_groups as g
  set shut = true
  where not g.shut and (
    g.user_id in (select p.user_id from leadhook.pauses as p where p.tag is null)
    or (g.user_id, g.tag) in (select p.user_id, p.tag from leadhook.pauses as p where p.tag is not null)
    or g.user_id in (select b.user_id from leadhook.budgets as b where b.spent_on = (shut_groups.p_now at time zone 'UTC')::date)
  )
$$;

-- Makes the next claim check the groups of these users again, after a pause ended or money came back. Under the claim lock.
create or replace function leadhook.reopen_groups(p_user_ids uuid[])
returns void
language sql
set search_path = ''
as $$
  update leadhook.ready_groups as g
  set shut = false
  where g.user_id = any (reopen_groups.p_user_ids) and g.shut
$$;

-- Returns the first ready lead of a group, or nulls.
create or replace function leadhook.find_head(p_group leadhook.ready_groups, out available_at timestamptz, out lead_id text)
language plpgsql
set search_path = ''
as $$
begin
  select j.available_at, j.lead_id into available_at, lead_id
  from leadhook.jobs as j
  where j.state = 'ready' and j.deaths = 0 and j.low_priority = p_group.low_priority and j.user_id = p_group.user_id and j.tag = p_group.tag
    and (j.available_at, j.lead_id) >= (p_group.due_at, p_group.lead_id)
  order by j.available_at, j.lead_id
  limit 1;
end
$$;

-- Returns those of the next 1,000 groups, starting with this user, that have no due lead, each with its correct place.
create or replace function leadhook.find_misplaced(p_low_priority boolean, p_now timestamptz, p_user_id uuid)
returns leadhook.ready_groups[]
language plpgsql
set search_path = ''
as $$
begin
  return array(
    select (g.low_priority, g.user_id, g.tag, h.available_at, h.lead_id, false)::leadhook.ready_groups
    from (
      select g.*
      from leadhook.ready_groups as g
      where g.low_priority = p_low_priority and not g.shut and g.due_at <= p_now and g.user_id >= p_user_id
      order by g.user_id, g.tag
      limit 1000
    ) as g
    cross join lateral leadhook.find_head(g::leadhook.ready_groups) as h
    where (h.available_at <= p_now) is not true
  );
end
$$;

-- Sets the places of groups, each to its first ready lead. Removes groups whose lead_id is null. Under the claim lock.
create or replace function leadhook.correct_groups(p_groups leadhook.ready_groups[])
returns void
language plpgsql
set search_path = ''
as $$
begin
  delete from leadhook.ready_groups as g
  using unnest(p_groups) as n
  where n.lead_id is null and g.tag = n.tag and g.user_id = n.user_id and g.low_priority = n.low_priority;
  update leadhook.ready_groups as g
  set due_at = n.due_at, lead_id = n.lead_id
  from unnest(p_groups) as n
  where n.lead_id is not null and g.tag = n.tag and g.user_id = n.user_id and g.low_priority = n.low_priority;
end
$$;

-- Returns when the first ready lead of a group that is not shut is due, or null. It may be too early, never too late.
create or replace function leadhook.find_earliest_due(p_low_priority boolean, p_now timestamptz)
returns timestamptz
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_first timestamptz;
  v_group leadhook.ready_groups;
  v_count int := 0;
begin
  for v_group in
    select g.low_priority, g.user_id, g.tag, g.due_at, g.lead_id, g.shut
    from leadhook.ready_groups as g
    where g.low_priority = p_low_priority and not g.shut
    union all
    select n.low_priority, n.user_id, n.tag, n.due_at, '', false from leadhook.ready_notes as n where n.low_priority = p_low_priority
    order by due_at
  loop
    exit when v_first <= v_group.due_at;
    if v_count >= 200 then
      return least(v_first, v_group.due_at);
    end if;
    v_count := v_count + 1;
    if not leadhook.is_shut(v_group.user_id, v_group.tag, p_now) then
      v_first := least(v_first, (leadhook.find_head(v_group)).available_at);
    end if;
  end loop;
  return v_first;
end
$$;

-- As find_earliest_due; if something is due now, any time in the past. Corrects no group, because a save does not hold the claim lock: a time
-- that is too early costs one claim, which corrects it.
create or replace function leadhook.first_due(p_low_priority boolean, p_now timestamptz)
returns timestamptz
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_due_at timestamptz := (
    select h.available_at
    from (
      select g.*
      from leadhook.ready_groups as g
      where g.low_priority = p_low_priority and not g.shut and g.due_at <= p_now
      order by g.user_id, g.tag
      limit 20
    ) as g
    cross join lateral leadhook.find_head(g::leadhook.ready_groups) as h
    where h.available_at <= p_now and not leadhook.is_shut(g.user_id, g.tag, p_now)
    limit 1
  );
begin
  return coalesce(v_due_at, leadhook.find_earliest_due(p_low_priority, p_now));
end
$$;

-- Returns whether the outbox has rows that may be applied now. Ordered by id, so that the index is used: the first pages of the table may
-- hold only rows that were applied.
create or replace function leadhook.has_changes(p_now timestamptz)
returns boolean
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
begin
  return exists (
    select from (
      select from leadhook.outbox as t where t.not_before is null or t.not_before <= p_now order by t.id limit 1
    ) as t
  );
end
$$;

-- Returns when the first ready lead of each kind that is not shut is due; null: there is none.
create or replace function leadhook.find_due(p_now timestamptz, out fresh timestamptz, out low_priority timestamptz, out suspect timestamptz)
language plpgsql
set search_path = ''
as $$
begin
  fresh := leadhook.first_due(false, p_now);
  low_priority := leadhook.first_due(true, p_now);
  suspect := (select s.available_at from leadhook.next_suspect(p_now) as s);
end
$$;

-- Returns the milliseconds until a claim could return something: 0 if the outbox has rows, else at least 250; null if nothing is due.
-- Paused leads are not due; leads that wait for a budget are due on the next day (UTC). p_blocked, p_due, p_has_keys: the results of
-- find_blocked and find_due, and whether a key may be used, if the caller knows all three.
create or replace function leadhook.next_due_ms(
  p_now timestamptz, p_blocked record default null, p_due record default null, p_has_keys boolean default null
)
returns int
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_blocked record := p_blocked;
  v_due record := p_due;
  v_next timestamptz;
begin
  if leadhook.has_changes(p_now) then
    return 0;
  end if;
  if v_blocked is null then
    v_blocked := leadhook.find_blocked(p_now);
  end if;
  if v_blocked.everything is null then
    if p_has_keys is null then
      v_due := leadhook.find_due(p_now);
    end if;
    v_next := least(v_due.fresh, v_due.low_priority, v_due.suspect, case when v_blocked.payable <> '{}' then p_now end);
  end if;
  if v_blocked.budget_spent and v_blocked.everything is distinct from 'paused'
    and (exists (select from leadhook.ready_groups) or exists (select from leadhook.ready_notes)) then
    v_next := least(v_next, leadhook.next_day(p_now));
  end if;
  v_next := least(
    v_next,
    (
      select j.lease_until
      from leadhook.jobs as j
      where j.state = 'leased' and j.lease_until >= (select c.leases_from from leadhook.controls as c)
      order by j.lease_until
      limit 1
    )
  );
  if v_next is not null and p_has_keys is not true then
    v_next := (
      select case
        when bool_or(k.state in ('healthy', 'untried')) then v_next
        else min(greatest(k.until, v_next)) filter (where k.state = 'cooling')
      end
      from leadhook.list_keys() as k
    );
  end if;
  v_next := least(v_next, (select t.not_before from leadhook.outbox as t order by t.id limit 1));
  if v_next is null then
    return null;
  end if;
  return greatest(250, least(86400000, ceil(extract(epoch from v_next - p_now) * 1000)));
end
$$;

-- Returns what waits and who works. oldest_ready_ms: how long the oldest ready lead of either priority has been due. unclaimed_ms: how long
-- a claim could have taken something (a change, a lead neither paused nor over budget, an expired lease). working: a lead is leased.
-- workers: the last 20 seen.
create or replace function leadhook.describe_waiting_work(p_now timestamptz)
returns jsonb
language plpgsql
volatile
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_blocked record := leadhook.find_blocked(p_now);
  v_oldest timestamptz := (
    select min(o.available_at)
    from (values (false), (true)) as p (low)
    cross join lateral (
      select j.available_at
      from leadhook.jobs as j
      where j.state = 'ready' and j.deaths = 0 and j.low_priority = p.low
      order by j.available_at
      limit 1
    ) as o
  );
  v_unclaimed timestamptz := (select t.changed_at from leadhook.outbox as t order by t.id limit 1);
begin
  if v_blocked.everything is null then
    v_unclaimed := least(
      v_unclaimed,
      leadhook.find_earliest_due(false, p_now),
      leadhook.find_earliest_due(true, p_now),
      (select j.lease_until from leadhook.jobs as j where j.state = 'leased' order by j.lease_until limit 1)
    );
  end if;
  return jsonb_build_object(
    'oldest_ready_ms', case when v_oldest <= p_now and isfinite(v_oldest) then floor(extract(epoch from p_now - v_oldest) * 1000)::bigint end,
    'unclaimed_ms', case when v_unclaimed <= p_now and isfinite(v_unclaimed) then floor(extract(epoch from p_now - v_unclaimed) * 1000)::bigint end,
    'working', exists (select from leadhook.jobs as j where j.state = 'leased' and j.lease_until > p_now),
    'workers', (
      select coalesce(jsonb_agg(to_jsonb(w) order by least(w.claimed_ms, w.swept_ms), w.worker), '[]')
      from (
        select
          w.worker, floor(extract(epoch from p_now - w.claimed_at) * 1000)::bigint as claimed_ms,
          floor(extract(epoch from p_now - w.swept_at) * 1000)::bigint as swept_ms
        from leadhook.workers as w
        order by greatest(w.claimed_at, w.swept_at) desc
        limit 20
      ) as w
    )
  );
end
$$;

select leadhook.grant_functions();
