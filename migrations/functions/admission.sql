-- Purpose: what may be claimed now: pauses, and daily budgets in dollars with their costs and reservations.
-- A reservation is a column of the leased job, so it can't outlive its lease, and a save books its cost without waiting for a claim. A save
-- moves money from jobs to costs; both are read in one statement, so the money is counted exactly once.

set local check_function_bodies = off;

-- Adds costs [{user_id, cost_usd, wasted}] to the day of p_now (UTC).
create or replace function leadhook.book_costs(p_costs jsonb, p_now timestamptz)
returns void
language plpgsql
set search_path = ''
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

-- Merges the cost rows of each user, of today and yesterday, into one row a day. Under the outbox lock.
create or replace function leadhook.merge_costs(p_now timestamptz)
returns void
language plpgsql
set search_path = ''
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

-- Returns the budget of all users together (user_id null) and the budgets of p_user_ids (null: every user) with what is left today: neither spent nor
-- reserved by leased leads. daily_usd is Infinity if the budget was removed and leads that it turned away have not been made due yet.
create or replace function leadhook.budgets_left(p_now timestamptz, p_user_ids uuid[] default null)
returns table (id bigint, user_id uuid, daily_usd numeric, needed_usd numeric, left_usd numeric, reserved_usd numeric)
language plpgsql
set search_path = ''
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

-- Returns the users whose budget holds leads back and must be checked again: it is another day, the budget was changed, or a reservation
-- may have been returned.
create or replace function leadhook.budgets_to_look_at(p_now timestamptz)
returns uuid[]
language plpgsql
stable
set search_path = ''
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

-- Returns what a claim must not hand out, besides groups that are shut. everything: why nothing may be claimed (paused or spent), or null.
-- budget_spent: some of it only until the next day (UTC). payable: budgets that can pay now for a lead that they turned away.
create or replace function leadhook.find_blocked(p_now timestamptz, out everything text, out budget_spent boolean, out payable bigint[])
language plpgsql
volatile
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_user_ids uuid[];
begin
  everything := case when exists (select from leadhook.pauses as p where p.user_id is null) then 'paused' end;
  budget_spent := false;
  payable := '{}';
  if not exists (select from leadhook.budgets) then
    return;
  end if;
  v_user_ids := leadhook.budgets_to_look_at(p_now);
  budget_spent := exists (select from leadhook.budgets as b where b.spent_on = (p_now at time zone 'UTC')::date);
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

-- Marks the budgets of these users (null: all) that have nothing left, and returns whether one was not marked yet. Under the claim lock.
create or replace function leadhook.mark_spent_budgets(p_now timestamptz, p_user_ids uuid[])
returns boolean
language plpgsql
set search_path = ''
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

-- Opens the groups of users who can spend again, and marks budgets that can't change today, so that claims do not check them. Under both
-- locks of a claim.
create or replace function leadhook.settle_budgets(p_now timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_today date := (p_now at time zone 'UTC')::date;
  v_user_ids uuid[] := leadhook.budgets_to_look_at(p_now);
begin
  -- The sweep merges them too; but between its rounds, every claim that checks budgets reads the rows.
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

-- Returns leads of this claim that a budget can't pay. They are due again on the next day, or when wake_turned_away finds the money.
create or replace function leadhook.turn_away(p_token uuid, p_lead_ids text[], p_budget_ids bigint[], p_usd numeric[], p_now timestamptz)
returns void
language plpgsql
set search_path = ''
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

-- Makes leads due that these budgets turned away and can pay now: the cheapest first, as many as the money pays for, at most 50. The next
-- claim continues.
create or replace function leadhook.wake_turned_away(p_budget_ids bigint[], p_now timestamptz)
returns void
language plpgsql
set search_path = ''
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

-- Checks the arguments of a change of admission, and takes the claim lock: after the change returns, no claim hands out what it forbids.
create or replace function leadhook.check_admission_call(p_user_id uuid, p_tag text, p_actor text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform leadhook.require_actor(p_actor);
  if p_tag is not null and p_user_id is null then
    raise exception 'p_tag needs p_user_id' using errcode = 'PT400';
  end if;
  perform leadhook.lock_claims();
end
$$;

-- Sends a webhook if a lead of this user and tag (null: any) is ready.
create or replace function leadhook.send_webhook_if_ready(p_reason text, p_user_id uuid, p_tag text)
returns void
language plpgsql
set search_path = ''
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
  v_is_new boolean;
begin
  perform leadhook.check_admission_call(p_user_id, p_tag, p_actor);
  insert into leadhook.pauses (user_id, tag, actor, reason)
  values (p_user_id, p_tag, left(btrim(p_actor), 200), left(p_reason, 500))
  on conflict do nothing;
  v_is_new := found;
  perform leadhook.note_action(p_actor, 'pause', jsonb_build_object('user_id', p_user_id, 'tag', p_tag, 'already', not v_is_new), p_reason);
  return jsonb_build_object('paused', v_is_new, 'already', not v_is_new);
end
$$;
comment on function public.leadhook_pause(uuid, text, text, text) is
  'Stops claiming leads of this user and tag; without a tag, of the user; without both, all leads. Leased leads are finished. already: it '
  'was paused before, and that pause is unchanged.';

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
  'Ends the pause of exactly this user and tag (without a tag: of the user; without both: of everything) and sends a webhook. pauses: the '
  'first 20 wider or narrower pauses that still hold back some of these leads.';

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
    raise exception 'p_daily_usd must be a number of dollars, 0 or more' using errcode = 'PT400';
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
    insert into leadhook.budgets (user_id, daily_usd) values (p_user_id, p_daily_usd)
    on conflict (user_id) do update set daily_usd = excluded.daily_usd, spent_on = null, settled_on = 'epoch';
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
  'Sets the dollars that the leads of a user (null: all leads together) may cost per day (UTC), including what was spent today; null '
  'removes the budget. Sends a webhook if a lead is ready.';

create or replace function public.leadhook_admission(p_limit int default 1000)
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
        select p.user_id, p.tag, p.actor, p.reason, p.paused_at
        from leadhook.pauses as p
        order by p.user_id nulls first, p.tag nulls first
        limit p_limit
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
        limit p_limit
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
  'Returns the first p_limit pauses and budgets (null: all), those of all users first, with what is left of each budget, and today''s '
  'spending (UTC). needed_usd: the least that a lead needs of a budget that turned it away.';

select leadhook.grant_functions();
