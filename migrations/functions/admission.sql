-- Purpose: what may not be claimed (pauses, and budgets in dollars a day that are spent), which Gemini keys may be used, and when a
--          claim could hand something out.
-- A reservation is a column of the leased job, so that no account of it can go wrong, and a save never waits for a claim to count it. Jobs and
-- costs are read in one statement: what a save moves from one to the other is seen exactly once.

set local check_function_bodies = off;

create or replace function leadhook.book_costs(p_costs jsonb, p_now timestamptz)
returns void
language plpgsql
set search_path = ''
set jit = off
as $$
begin
  insert into leadhook.costs as c (day, user_id, spent_usd, wasted_usd)
  select
    (p_now at time zone 'UTC')::date,
    coalesce(b.user_id, '00000000-0000-0000-0000-000000000000'),
    sum(b.cost_usd),
    coalesce(sum(b.cost_usd) filter (where b.wasted), 0)
  from jsonb_to_recordset(p_costs) as b (user_id uuid, cost_usd numeric, wasted boolean)
  where b.cost_usd > 0
  group by 2
  on conflict (day, user_id, xact) do update
  set spent_usd = c.spent_usd + excluded.spent_usd, wasted_usd = c.wasted_usd + excluded.wasted_usd;
end
$$;
comment on function leadhook.book_costs(jsonb, timestamptz) is 'Adds costs [{user_id, cost_usd, wasted}] to the day.';

create or replace function leadhook.merge_costs(p_now timestamptz)
returns void
language plpgsql
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
declare
  v_from date := (p_now at time zone 'UTC')::date - 1;
begin
  with booked as (
    delete from leadhook.costs as c
    where c.day >= v_from and (c.day, c.user_id) in (
      select o.day, o.user_id from leadhook.costs as o where o.day >= v_from group by o.day, o.user_id having count(*) > 1
    )
    returning c.day, c.user_id, c.spent_usd, c.wasted_usd
  )
  insert into leadhook.costs as c (day, user_id, spent_usd, wasted_usd)
  select b.day, b.user_id, sum(b.spent_usd), sum(b.wasted_usd)
  from booked as b
  group by b.day, b.user_id
  on conflict (day, user_id, xact) do update
  set spent_usd = c.spent_usd + excluded.spent_usd, wasted_usd = c.wasted_usd + excluded.wasted_usd;
end
$$;
comment on function leadhook.merge_costs(timestamptz) is 'Makes the rows of each user one, of today and yesterday. Under the outbox lock.';

create or replace function leadhook.budgets_left(p_now timestamptz, p_user_ids uuid[] default null)
returns table (id bigint, user_id uuid, daily_usd numeric, needed_usd numeric, left_usd numeric, reserved_usd numeric)
language plpgsql
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
begin
  return query
  with reserved as materialized (
    select j.user_id, sum(j.reserved_usd) as usd
    from leadhook.jobs as j
    where j.state = 'leased' and j.lease_until >= (select c.leases_from from leadhook.controls as c) and j.reserved_usd > 0
    group by j.user_id
  )
  select b.id, b.user_id, b.daily_usd, b.needed_usd, b.daily_usd - coalesce(c.spent_usd, 0) - coalesce(r.usd, 0), coalesce(r.usd, 0)
  from leadhook.budgets as b
  left join (
    select o.user_id, sum(o.spent_usd) as spent_usd from leadhook.costs as o where o.day = (p_now at time zone 'UTC')::date group by o.user_id
  ) as c on c.user_id = b.user_id
  left join reserved as r on r.user_id = b.user_id
  where p_user_ids is null and b.user_id is not null
  union all
  select
    b.id, b.user_id, b.daily_usd, b.needed_usd,
    b.daily_usd - coalesce((
      select sum(c.spent_usd) from leadhook.costs as c where c.day = (p_now at time zone 'UTC')::date and c.user_id = b.user_id
    ), 0) - coalesce((select sum(r.usd) from reserved as r where r.user_id = b.user_id), 0),
    coalesce((select sum(r.usd) from reserved as r where r.user_id = b.user_id), 0)
  from (select distinct i.user_id from unnest(p_user_ids) as i (user_id)) as i
  join leadhook.budgets as b on b.user_id = i.user_id
  union all
  select
    b.id, b.user_id, b.daily_usd, b.needed_usd,
    b.daily_usd - coalesce((
      select sum(c.spent_usd) from leadhook.costs as c where c.day = (p_now at time zone 'UTC')::date
    ), 0) - coalesce((select sum(r.usd) from reserved as r), 0),
    coalesce((select sum(r.usd) from reserved as r), 0)
  from leadhook.budgets as b
  where b.user_id is null;
end
$$;
comment on function leadhook.budgets_left(timestamptz, uuid[]) is
  'The budget of all users together (user_id null) and those of these users (null: of each), with what is left today: neither spent nor reserved by leased '
  'leads. Infinity: the budget was cleared, and leads that it turned away are still to be woken.';

create or replace function leadhook.budgets_to_look_at(p_now timestamptz)
returns uuid[]
language plpgsql
stable
set search_path = ''
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
begin
  return array(
    select b.user_id
    from leadhook.budgets as b
    where b.user_id is not null and (b.spent_on is not null or b.needed_usd is not null) and b.settled_on < (p_now at time zone 'UTC')::date
  );
end
$$;
comment on function leadhook.budgets_to_look_at(timestamptz) is
  'The users whose budget holds something back and may not do so any more: the day or the budget changed, or money may have come back.';

create or replace function leadhook.find_blocked(p_now timestamptz, out everything text, out budget_spent boolean, out payable bigint[])
language plpgsql
volatile
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
declare
  v_user_ids uuid[] := leadhook.budgets_to_look_at(p_now);
begin
  everything := case when exists (select from leadhook.pauses as p where p.user_id is null) then 'paused' end;
  budget_spent := exists (select from leadhook.budgets as b where b.spent_on = (p_now at time zone 'UTC')::date);
  payable := '{}';
  if v_user_ids <> '{}' or exists (select from leadhook.budgets as b where b.user_id is null) then
    select
      coalesce(everything, case when bool_or(l.user_id is null and l.left_usd <= 0) then 'spent' end),
      budget_spent or coalesce(bool_or(l.left_usd <= 0), false),
      coalesce(array_agg(l.id) filter (where l.left_usd >= l.needed_usd or l.left_usd > 0 and b.spent_on is not null), '{}')
    into everything, budget_spent, payable
    from leadhook.budgets_left(p_now, v_user_ids) as l
    join leadhook.budgets as b on b.id = l.id;
  end if;
end
$$;
comment on function leadhook.find_blocked(timestamptz) is
  'What a claim may not hand out besides groups that are shut: everything (why: paused or spent; null: not everything). budget_spent: some of it only until '
  'the next day in UTC. payable: budgets that have enough now for a lead that they held back.';

create or replace function leadhook.mark_spent_budgets(p_now timestamptz, p_user_ids uuid[])
returns boolean
language plpgsql
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
begin
  if p_user_ids is not null and not exists (select from leadhook.budgets as b where b.user_id = any (p_user_ids)) then
    return false;
  end if;
  update leadhook.budgets as b
  set spent_on = (p_now at time zone 'UTC')::date, settled_on = 'epoch'
  where b.spent_on is distinct from (p_now at time zone 'UTC')::date and b.id = any (array(
    select l.id from leadhook.budgets_left(p_now, p_user_ids) as l where l.user_id is not null and l.left_usd <= 0
  ));
  return found;
end
$$;
comment on function leadhook.mark_spent_budgets(timestamptz, uuid[]) is
  'Marks the budgets of these users (null: all) that have nothing left; true: of some that was not known. Under the claim lock.';

create or replace function leadhook.settle_budgets(p_now timestamptz)
returns void
language plpgsql
set search_path = ''
set jit = off
as $$
declare
  v_today date := (p_now at time zone 'UTC')::date;
  v_user_ids uuid[] := leadhook.budgets_to_look_at(p_now);
begin
  -- The sweep does so too, but a claim that keeps budgets reads the rows.
  perform leadhook.merge_costs(p_now) where random() < 0.05 and exists (select from leadhook.budgets);
  if v_user_ids = '{}' then
    return;
  end if;
  with changed as (
    update leadhook.budgets as b
    set
      spent_on = case when l.left_usd <= 0 then v_today end,
      settled_on = case when l.reserved_usd = 0 and l.left_usd < coalesce(l.needed_usd, 'Infinity') then v_today else 'epoch' end
    from leadhook.budgets_left(p_now, v_user_ids) as l
    where b.id = l.id and l.user_id is not null
    returning b.user_id, b.spent_on
  )
  select array_agg(c.user_id) into v_user_ids from changed as c where c.spent_on is null;
  perform leadhook.reopen_groups(v_user_ids);
end
$$;
comment on function leadhook.settle_budgets(timestamptz) is
  'Opens the groups of users whose budget is not spent any more, and looks no more at budgets that can''t change today. Under both locks of a claim.';

create or replace function leadhook.turn_away(p_token uuid, p_lead_ids text[], p_budget_ids bigint[], p_usd numeric[], p_now timestamptz)
returns void
language plpgsql
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
begin
  perform leadhook.return_leads(p_token, p_lead_ids);
  update leadhook.jobs as j
  set budget_id = a.budget_id, needed_usd = a.usd, available_at = leadhook.next_day(p_now)
  from unnest(p_lead_ids, p_budget_ids, p_usd) as a (lead_id, budget_id, usd)
  where j.lead_id = any (p_lead_ids) and j.lead_id = a.lead_id and j.state = 'ready';
  update leadhook.budgets as b
  set needed_usd = least(b.needed_usd, a.usd), settled_on = 'epoch'
  from (select u.budget_id, min(u.usd) as usd from unnest(p_budget_ids, p_usd) as u (budget_id, usd) group by u.budget_id) as a
  where b.id = a.budget_id and (a.usd < coalesce(b.needed_usd, 'Infinity') or b.settled_on > 'epoch');
end
$$;
comment on function leadhook.turn_away(uuid, text[], bigint[], numeric[], timestamptz) is
  'Gives back leads of this claim that a budget can''t pay: they are due with the next day.';

-- As many as the budget pays for together, the cheapest first; at most 50, and the next claim goes on.
create or replace function leadhook.wake_turned_away(p_budget_ids bigint[], p_now timestamptz)
returns void
language plpgsql
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
begin
  with affordable as materialized (
    select j.lead_id
    from (
      select j.lead_id, b.left_usd, sum(j.needed_usd) over (partition by b.id order by j.needed_usd, j.lead_id) as total_usd
      from leadhook.budgets_left(p_now) as b
      cross join lateral (
        select j.lead_id, j.needed_usd
        from leadhook.jobs as j
        where j.state = 'ready' and j.budget_id = b.id and j.needed_usd <= b.left_usd
        order by j.needed_usd, j.lead_id
        limit 50
      ) as j
      where b.id = any (p_budget_ids)
    ) as j
    where j.total_usd <= j.left_usd
  )
  update leadhook.jobs as j
  set budget_id = null, needed_usd = null, available_at = least(coalesce(j.eligible_at, p_now), p_now)
  where j.lead_id = any (array(
    select k.lead_id from leadhook.jobs as k where k.lead_id = any (array(select a.lead_id from affordable as a)) for no key update of k skip locked
  )) and j.state = 'ready';
  update leadhook.budgets as b
  set needed_usd = (select min(j.needed_usd) from leadhook.jobs as j where j.state = 'ready' and j.budget_id = b.id)
  where b.id = any (p_budget_ids);
  delete from leadhook.budgets as b where b.id = any (p_budget_ids) and b.daily_usd = 'Infinity' and b.needed_usd is null;
end
$$;
comment on function leadhook.wake_turned_away(bigint[], timestamptz) is
  'Makes leads due that these budgets turned away and can pay now: money came back, the day or the budget changed.';

create or replace function leadhook.check_admission_call(p_user_id uuid, p_tag text, p_actor text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform leadhook.require_actor(p_actor);
  if p_tag is not null and p_user_id is null then
    raise exception 'a tag belongs to a user, who is missing' using errcode = 'PT400';
  end if;
  -- The claim's lock: once this has returned, no claim hands out what it forbids.
  perform leadhook.lock_claims();
end
$$;

create or replace function leadhook.send_webhook_if_ready(p_reason text, p_user_id uuid, p_tag text)
returns void
language plpgsql
set search_path = ''
set jit = off
as $$
begin
  if exists (
    select from leadhook.jobs as j
    where j.state = 'ready' and (p_user_id is null or j.user_id = p_user_id) and (p_tag is null or j.tag = p_tag)
  ) then
    perform leadhook.send_webhook(p_reason);
  end if;
end
$$;
comment on function leadhook.send_webhook_if_ready(text, uuid, text) is 'Webhooks when leads of this user and tag (null: any) wait.';

create or replace function public.leadhook_pause(
  p_user_id uuid default null, p_tag text default null, p_actor text default null, p_reason text default null
)
returns jsonb
language plpgsql
set search_path = ''
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_new boolean;
begin
  perform leadhook.check_admission_call(p_user_id, p_tag, p_actor);
  insert into leadhook.pauses (user_id, tag, actor, reason)
  values (p_user_id, p_tag, left(btrim(p_actor), 200), left(p_reason, 500))
  on conflict do nothing;
  v_new := found;
  perform leadhook.note_action(p_actor, 'pause', jsonb_build_object('user_id', p_user_id, 'tag', p_tag, 'already', not v_new), p_reason);
  return jsonb_build_object('paused', v_new, 'already', not v_new);
end
$$;
comment on function public.leadhook_pause(uuid, text, text, text) is
  'From now on no lead is claimed of this user and tag; without a tag, of the user; without both, at all. Leased leads are finished. already: '
  'it was paused before, and stays as it was.';

create or replace function public.leadhook_resume(
  p_user_id uuid default null, p_tag text default null, p_actor text default null, p_reason text default null
)
returns jsonb
language plpgsql
set search_path = ''
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_ended boolean;
begin
  perform leadhook.check_admission_call(p_user_id, p_tag, p_actor);
  delete from leadhook.pauses as p where p.user_id is not distinct from p_user_id and p.tag is not distinct from p_tag;
  v_ended := found;
  perform leadhook.note_action(p_actor, 'resume', jsonb_build_object('user_id', p_user_id, 'tag', p_tag, 'resumed', v_ended), p_reason);
  if v_ended then
    perform leadhook.reopen_groups(array[p_user_id]);
    perform leadhook.send_webhook_if_ready('resume', p_user_id, p_tag);
  end if;
  return jsonb_build_object('resumed', v_ended, 'pauses', (
    select coalesce(jsonb_agg(to_jsonb(o)), '[]')
    from (
      select p.user_id, p.tag
      from leadhook.pauses as p
      where (p_user_id is null or p.user_id is null or p.user_id = p_user_id) and (p_tag is null or p.tag is null or p.tag = p_tag)
      order by p.user_id nulls first, p.tag nulls first
      limit 20
    ) as o
  ));
end
$$;
comment on function public.leadhook_resume(uuid, text, text, text) is
  'Ends the pause of exactly this user and tag (without a tag: that of the user; without both: that of everything), and sends a webhook. '
  'pauses: the first 20, wider or narrower, that still hold back some of it.';

create or replace function public.leadhook_set_budget(
  p_user_id uuid default null, p_daily_usd numeric default null, p_actor text default null, p_reason text default null
)
returns jsonb
language plpgsql
set search_path = ''
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_before numeric;
begin
  if p_daily_usd < 0 or p_daily_usd >= 'Infinity' then
    raise exception 'a budget is a number of dollars, 0 or more' using errcode = 'PT400';
  end if;
  perform leadhook.check_admission_call(p_user_id, null, p_actor);
  v_before := (select b.daily_usd from leadhook.budgets as b where b.user_id is not distinct from p_user_id and b.daily_usd < 'Infinity');
  perform leadhook.note_action(
    p_actor, 'budget', jsonb_build_object('user_id', p_user_id, 'before_usd', v_before, 'daily_usd', p_daily_usd), p_reason
  );
  if p_daily_usd is null then
    delete from leadhook.budgets as b where b.user_id is not distinct from p_user_id and b.needed_usd is null;
    update leadhook.budgets as b set daily_usd = 'Infinity', settled_on = 'epoch' where b.user_id is not distinct from p_user_id;
  else
    insert into leadhook.budgets as b (user_id, daily_usd, changed_by) values (p_user_id, p_daily_usd, left(btrim(p_actor), 200))
    on conflict (user_id) do update
    set daily_usd = excluded.daily_usd, changed_by = excluded.changed_by, changed_at = clock_timestamp(), spent_on = null, settled_on = 'epoch';
  end if;
  perform leadhook.reopen_groups(array[p_user_id]);
  perform leadhook.mark_spent_budgets(clock_timestamp(), array[p_user_id]);
  perform leadhook.send_webhook_if_ready('budget', p_user_id, null);
  return jsonb_build_object('daily_usd', p_daily_usd, 'left_usd', (
    select b.left_usd
    from leadhook.budgets_left(clock_timestamp(), array[p_user_id]) as b
    where b.user_id is not distinct from p_user_id and b.daily_usd < 'Infinity'
  ));
end
$$;
comment on function public.leadhook_set_budget(uuid, numeric, text, text) is
  'Sets how many dollars the leads of a user (null: all leads) may cost in a day of UTC, what was spent today included; null: as many as they do. '
  'Webhooks, as leads may have waited for it.';

-- A parked state counts only for the row that it was said of: a changed row is a new chance.
create or replace function leadhook.healthy_keys()
returns table (fingerprint text, api_key text, tried boolean, rests int, answered_ms bigint)
language plpgsql
stable
set search_path = ''
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with keys as (
    select
      leadhook.key_fingerprint(g.api_key) as fingerprint,
      btrim(g.api_key, E' \t\r\n') as api_key,
      g.xmin::text as row_version
    from public.gemini_api as g
    where btrim(g.api_key, E' \t\r\n') <> ''
  )
  select
    k.fingerprint, min(k.api_key), coalesce(bool_or(s.state = 'healthy'), false), coalesce(max(s.rests), 0),
    floor(extract(epoch from clock_timestamp() - max(s.changed_at) filter (where s.state = 'healthy')) * 1000)::bigint
  from keys as k
  left join leadhook.api_keys as s
    on s.fingerprint = k.fingerprint and (s.row_version is null or s.row_version = k.row_version)
  group by k.fingerprint
  having bool_or(s.state = 'disabled' or s.state = 'cooling' and s.until > clock_timestamp()) is not true;
end
$$;
comment on function leadhook.healthy_keys() is
  'Every key of gemini_api, once, that is neither blank nor disabled nor cooling. tried: a call with it succeeded since it was added, changed or '
  'rested; one that is not tried may be bad, so that no more than one call at a time is risked. rests: in a row, without a success in between. '
  'answered_ms: age of the last success; null: not tried.';

create or replace function leadhook.has_changes(p_now timestamptz)
returns boolean
language plpgsql
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
begin
  -- Ordered, so that it goes by the index: the table's first pages may hold nothing but what was applied.
  return exists (
    select from (
      select from leadhook.outbox as t where t.not_before is null or t.not_before <= p_now order by t.id limit 1
    ) as t
  );
end
$$;

create or replace function leadhook.next_due_ms(p_now timestamptz, p_blocked record default null)
returns int
language plpgsql
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_blocked record := p_blocked;
  v_next timestamptz;
begin
  if leadhook.has_changes(p_now) then
    return 0;
  end if;
  if v_blocked is null then
    v_blocked := leadhook.find_blocked(p_now);
  end if;
  if v_blocked.everything is null then
    v_next := least(
      leadhook.first_due(false, p_now), leadhook.first_due(true, p_now), (select s.available_at from leadhook.next_suspect(p_now) as s),
      case when v_blocked.payable <> '{}' then p_now end
    );
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
  if v_next is not null and not exists (select from leadhook.healthy_keys()) then
    v_next := (
      select min(greatest(s.until, v_next))
      from leadhook.api_keys as s
      where s.state = 'cooling' and s.fingerprint in (
        select leadhook.key_fingerprint(g.api_key) from public.gemini_api as g
      )
    );
  end if;
  v_next := least(v_next, (select t.not_before from leadhook.outbox as t order by t.id limit 1));
  if v_next is null then
    return null;
  end if;
  return greatest(250, least(86400000, ceil(extract(epoch from v_next - p_now) * 1000)));
end
$$;
comment on function leadhook.next_due_ms(timestamptz, record) is
  'Milliseconds until a claim could hand something out: 0 when outbox rows are left, else at least 250; null when nothing is due. What is paused is '
  'not due; what waits for a budget is due with the next day in UTC. p_blocked: by find_blocked, where the caller has it.';

create or replace function leadhook.waiting_work(p_now timestamptz)
returns jsonb
language plpgsql
volatile
set search_path = ''
set jit = off
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
      leadhook.earliest_due(false, p_now),
      leadhook.earliest_due(true, p_now),
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
comment on function leadhook.waiting_work(timestamptz) is
  'What waits and who works: oldest_ready_ms, how long the oldest ready lead of either priority has been due; unclaimed_ms, how long a claim could '
  'have taken something (a change, a lead neither paused nor over budget, or one whose lease ran out); working, whether a lead is leased; '
  'workers, the last 20 seen.';

-- Two leads may report one key at once, in any order: the longer rest counts, as long as it is about the same row.
create or replace function public.leadhook_park_keys(p_keys jsonb)
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
begin
  if jsonb_typeof(p_keys) is distinct from 'array' then
    raise exception 'a JSON array of parked keys is wanted' using errcode = 'PT400';
  end if;
  insert into leadhook.api_keys as k (fingerprint, state, until, row_version, reason, rests, model, changed_at)
  select distinct on (p.fingerprint)
    p.fingerprint,
    case when p.for_ms is null then 'disabled' else 'cooling' end,
    clock_timestamp() + make_interval(secs => greatest(p.for_ms, 0) / 1000.0),
    g.row_version,
    left(p.reason, 500),
    coalesce(p.rests, 1),
    p.model,
    clock_timestamp()
  from jsonb_to_recordset(p_keys) as p (fingerprint text, reason text, for_ms bigint, rests int, model text)
  join (
    select leadhook.key_fingerprint(r.api_key) as fingerprint, max(r.xmin::text) as row_version
    from public.gemini_api as r
    group by 1
  ) as g using (fingerprint)
  order by p.fingerprint, (p.for_ms is null) desc, p.for_ms desc
  on conflict (fingerprint) do update
  set state = excluded.state, until = excluded.until, row_version = excluded.row_version, reason = excluded.reason,
    rests = excluded.rests, model = excluded.model, changed_at = excluded.changed_at
  where k.row_version is distinct from excluded.row_version
    or (k.state <> 'disabled' and (excluded.state = 'disabled' or k.until is null or k.until < excluded.until));
  return jsonb '{}';
end
$$;
comment on function public.leadhook_park_keys(jsonb) is
  'Lets keys [{fingerprint, reason, for_ms, rests, model}] rest for for_ms (their rests-th rest in a row; model: for calls of this model alone), or, '
  'where for_ms is null, until their row in gemini_api changes. Keys that have no row any more are ignored.';

create or replace function public.leadhook_unpark_key(p_fingerprint text, p_actor text, p_reason text default null)
returns jsonb
language plpgsql
set search_path = ''
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_unparked boolean;
begin
  perform leadhook.require_actor(p_actor);
  delete from leadhook.api_keys as k
  where k.fingerprint = p_fingerprint and (k.state = 'disabled' or k.state = 'cooling' and k.until > clock_timestamp());
  v_unparked := found;
  perform leadhook.note_action(
    p_actor, 'key_unpark', jsonb_build_object('fingerprint', left(p_fingerprint, 16), 'unparked', v_unparked), p_reason
  );
  if v_unparked then
    perform leadhook.send_webhook_if_ready('keys', null, null);
  end if;
  return jsonb_build_object('unparked', v_unparked);
end
$$;
comment on function public.leadhook_unpark_key(text, text, text) is
  'Forgets that this key rests or is disabled, so that a call may try it, and sends a webhook. unparked false: it was not parked.';

create or replace function leadhook.confirm_keys(p_fingerprints text[])
returns void
language plpgsql
set search_path = ''
set jit = off
as $$
begin
  insert into leadhook.api_keys as k (fingerprint, state, row_version, changed_at)
  select g.fingerprint, 'healthy', g.row_version, clock_timestamp()
  from (
    select
      leadhook.key_fingerprint(r.api_key) as fingerprint,
      max(r.xmin::text) as row_version,
      array_agg(r.xmin::text) as row_versions
    from public.gemini_api as r
    group by 1
  ) as g
  where g.fingerprint = any (p_fingerprints) and not exists (
    select from leadhook.api_keys as s
    where s.fingerprint = g.fingerprint and (s.row_version is null or s.row_version = any (g.row_versions)) and case s.state
      when 'healthy' then s.changed_at > clock_timestamp() - interval '1 min' when 'cooling' then s.until > clock_timestamp() else true
    end
  )
  order by g.fingerprint
  on conflict (fingerprint) do update
  set state = excluded.state, until = null, row_version = excluded.row_version, reason = null, rests = 0, model = null,
    changed_at = excluded.changed_at
  where k.row_version is distinct from excluded.row_version and k.row_version is not null
    or k.state = 'cooling' and k.until <= clock_timestamp() or k.state = 'healthy';
end
$$;
comment on function leadhook.confirm_keys(text[]) is
  'Marks keys as healthy that a call has succeeded with; those that rest or are disabled stay so. A success is noted once a minute.';

create or replace function leadhook.key_news(p_now timestamptz)
returns json
language plpgsql
stable
set search_path = ''
set jit = off
as $$
begin
  return (
    select coalesce(json_agg(json_build_object(
      'fingerprint', s.fingerprint,
      'resting', s.state <> 'healthy',
      'answered_ms', case when s.state = 'healthy' then greatest(0, floor(extract(epoch from p_now - s.changed_at) * 1000))::bigint end
    )), '[]')
    from leadhook.api_keys as s
    where s.changed_at > p_now - interval '30 s' and (s.state <> 'cooling' or s.until > p_now)
      and exists (
        select from public.gemini_api as g
        where leadhook.key_fingerprint(g.api_key) = s.fingerprint and (s.row_version is null or s.row_version = g.xmin::text)
      )
  );
end
$$;
comment on function leadhook.key_news(timestamptz) is
  'The keys [{fingerprint, resting, answered_ms}] that were parked, or that a call succeeded with, in the last 30 s: a process renews its leases more '
  'often, so that it hears of each.';

create or replace function leadhook.forget_rests_for_other_models(p_model text)
returns void
language sql
set search_path = ''
as $$
  delete from leadhook.api_keys as k where k.model <> forget_rests_for_other_models.p_model
$$;
comment on function leadhook.forget_rests_for_other_models(text) is 'A quota holds for one model: a service that starts with another one tries the key again.';

create or replace function public.leadhook_admission(p_most int default 1000)
returns jsonb
language plpgsql
stable
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
begin
  return jsonb_build_object(
    'pauses', (
      select coalesce(jsonb_agg(to_jsonb(a)), '[]')
      from (
        select p.user_id, p.tag, p.actor, p.reason, p.paused_at from leadhook.pauses as p order by p.user_id nulls first, p.tag nulls first limit p_most
      ) as a
    ),
    'budgets', (
      select coalesce(jsonb_agg(to_jsonb(a)), '[]')
      from (
        select
          b.user_id, b.daily_usd, b.left_usd, n.needed_usd, b.left_usd <= 0 or coalesce(b.left_usd < n.needed_usd, false) as spent,
          b.daily_usd = 0 or coalesce(n.needed_usd > b.daily_usd, false) as too_small
        from leadhook.budgets_left(clock_timestamp()) as b
        left join lateral (
          select min(j.needed_usd) as needed_usd from leadhook.jobs as j where b.needed_usd > 0 and j.state = 'ready' and j.budget_id = b.id
        ) as n on true
        where b.daily_usd < 'Infinity'
        order by b.user_id nulls first
        limit p_most
      ) as a
    ),
    'spend', (
      select jsonb_build_object(
        'spent_usd', coalesce(sum(s.spent_usd), 0), 'wasted_usd', coalesce(sum(s.wasted_usd), 0),
        'reserved_usd', coalesce(sum(s.reserved_usd), 0)
      )
      from leadhook.spend as s
      where s.day = (now() at time zone 'UTC')::date
    )
  );
end
$$;
comment on function public.leadhook_admission(int) is
  'The first p_most pauses and budgets (null: all), those of all users first, with what is left of each budget, and what was spent today (UTC). '
  'needed_usd: the least that a waiting lead may cost, where the budget does not have it.';

select leadhook.grant_functions();
