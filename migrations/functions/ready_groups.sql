-- Purpose: which groups have ready leads, so that a claim looks at no group that is empty, asleep or shut, and at no lead that was claimed before.
-- A job that becomes ready leaves a note, in any transaction; only claims, under their lock, turn notes into groups and correct those, so that no one
-- waits for a row of a group. A group's place (due_at, lead_id) is a bound: no ready lead of it comes before, and the first may come later.
-- Planner flags: set by the functions that call find_group, find_head and is_shut in loops, where setting them again would cost more than the look.

set local check_function_bodies = off;

create or replace function leadhook.note_ready_jobs()
returns trigger
language plpgsql
set search_path = ''
set jit = off
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
comment on function leadhook.note_ready_jobs() is 'Trigger: notes the groups of jobs that became ready, or due earlier, with this statement.';

-- Always: a restore or a script with session_replication_role = replica must not hide leads from the claim.
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

create or replace function leadhook.list_ready_groups()
returns void
language plpgsql
set search_path = ''
set jit = off
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
comment on function leadhook.list_ready_groups() is 'Turns notes into groups, or moves their places back. Under the claim lock.';

-- "is not distinct from", so that the budget is found by its user: the index on those that hold something back would do too, but it is read whole.
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
comment on function leadhook.is_any_shut(uuid[], text[], timestamptz) is
  'Whether one of these groups, or its user, is paused or the user''s budget is spent; find_blocked knows what shuts everything.';

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
comment on function leadhook.is_shut(uuid, text, timestamptz) is 'The same of one group.';

-- The sets are subqueries, because they are hashed then whatever the plan knows of them.
create or replace function leadhook.shut_groups(p_now timestamptz)
returns void
language sql
set search_path = ''
set jit = off
as $$
  update leadhook.ready_groups as g
  set shut = true
  where not g.shut and (
    g.user_id in (select p.user_id from leadhook.pauses as p where p.tag is null)
    or (g.user_id, g.tag) in (select p.user_id, p.tag from leadhook.pauses as p where p.tag is not null)
    or g.user_id in (select b.user_id from leadhook.budgets as b where b.spent_on = (shut_groups.p_now at time zone 'UTC')::date)
  )
$$;
comment on function leadhook.shut_groups(timestamptz) is 'Takes every group that is_shut out of the claims'' way. Under the claim lock.';

create or replace function leadhook.reopen_groups(p_user_ids uuid[])
returns void
language sql
set search_path = ''
set jit = off
as $$
  update leadhook.ready_groups as g
  set shut = false
  where g.user_id = any (reopen_groups.p_user_ids) and g.shut
$$;
comment on function leadhook.reopen_groups(uuid[]) is
  'After the end of a pause or more money: the next claim looks at the groups of these users again, and shuts those that still are. Under the claim lock.';

create or replace function leadhook.find_group(p_low_priority boolean, p_now timestamptz, p_user_id uuid, p_tag text)
returns leadhook.ready_groups
language plpgsql
set search_path = ''
as $$
declare
  v_group leadhook.ready_groups;
begin
  if p_user_id is null then
    select * into v_group
    from leadhook.ready_groups as g
    where g.low_priority = p_low_priority and not g.shut and g.due_at <= p_now
    order by g.user_id, g.tag
    limit 1;
  else
    select * into v_group
    from leadhook.ready_groups as g
    where g.low_priority = p_low_priority and not g.shut and g.due_at <= p_now and (g.user_id, g.tag) > (p_user_id, p_tag)
    order by g.user_id, g.tag
    limit 1;
  end if;
  return v_group;
end
$$;
comment on function leadhook.find_group(boolean, timestamptz, uuid, text) is
  'The next group that is not known to be shut or asleep: behind this one, or where p_user_id is null the first.';

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
comment on function leadhook.find_head(leadhook.ready_groups) is 'The first ready lead of a group; null: there is none.';

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
comment on function leadhook.find_misplaced(boolean, timestamptz, uuid) is
  'Those of the next 1,000 groups, from this user on, that have no due lead, with the places that they should have.';

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
comment on function leadhook.correct_groups(leadhook.ready_groups[]) is
  'Sets the places of groups, each that of its first ready lead, or, where lead_id is null, removes the group. Under the claim lock.';

create or replace function leadhook.earliest_due(p_low_priority boolean, p_now timestamptz)
returns timestamptz
language plpgsql
set search_path = ''
set jit = off
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
comment on function leadhook.earliest_due(boolean, timestamptz) is
  'When the first ready lead of a group that is not shut is due; null: there is none. It may be named too early, never too late.';

-- Corrects nothing, because a save has no claim lock. Too early costs one claim, which corrects it.
create or replace function leadhook.first_due(p_low_priority boolean, p_now timestamptz)
returns timestamptz
language plpgsql
set search_path = ''
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_group leadhook.ready_groups;
  v_due_at timestamptz;
begin
  for v_count in 1..20 loop
    v_group := leadhook.find_group(p_low_priority, p_now, v_group.user_id, v_group.tag);
    exit when v_group.user_id is null;
    v_due_at := (leadhook.find_head(v_group)).available_at;
    if v_due_at <= p_now and not leadhook.is_shut(v_group.user_id, v_group.tag, p_now) then
      return v_due_at;
    end if;
  end loop;
  return leadhook.earliest_due(p_low_priority, p_now);
end
$$;
comment on function leadhook.first_due(boolean, timestamptz) is 'As earliest_due; where something is due now, any time that has passed.';

select leadhook.grant_functions();
