-- Purpose: what may not be claimed: pauses by hand, and budgets in dollars a day that are spent.
-- Touches: one view and functions in schema leadhook; public.leadhook_pause, public.leadhook_resume, public.leadhook_set_budget,
--          public.leadhook_admission.
-- Undo:    drop function public.leadhook_admission(), public.leadhook_set_budget(uuid, numeric, text), public.leadhook_resume(uuid, text, text),
--          public.leadhook_pause(uuid, text, text, text), leadhook.check_gate(uuid, text, text), leadhook.ring_if_ready(text, uuid, text),
--          leadhook.budget_left(uuid), leadhook.shut_gates(timestamptz),
--          leadhook.budgets_left(timestamptz), leadhook.book_costs(jsonb, timestamptz), leadhook.next_day(timestamptz);
--          drop view leadhook.spend;
-- A reservation is a column of the leased job, so that no account of it can go wrong, and a save never waits for a claim to count it. Jobs and
-- costs are read in one statement: what a save moves from one to the other is seen exactly once.

create or replace view leadhook.spend with (security_invoker = true) as
select s.day, s.user_id, sum(s.reserved_usd) as reserved_usd, sum(s.spent_usd) as spent_usd, sum(s.wasted_usd) as wasted_usd
from (
  select c.day, c.user_id, 0::numeric as reserved_usd, c.spent_usd, c.wasted_usd from leadhook.costs as c
  union all
  select (now() at time zone 'UTC')::date, j.user_id, j.reserved_usd, 0, 0
  from leadhook.jobs as j
  where j.state = 'leased' and j.reserved_usd is not null
) as s
group by s.day, s.user_id;
comment on view leadhook.spend is
  'Dollars by day (UTC) and user: spent_usd, of it wasted_usd, and what leads at work may still spend (reserved_usd, today).';
revoke all on table leadhook.spend from public, anon, authenticated;
grant select on table leadhook.spend to service_role;

create or replace function leadhook.next_day(p_now timestamptz)
returns timestamptz
language sql
immutable
security invoker
set search_path = ''
as $$
  select ((p_now at time zone 'UTC')::date + 1)::timestamp at time zone 'UTC'
$$;
comment on function leadhook.next_day(timestamptz) is 'The next midnight in UTC, when every budget begins anew.';
revoke all on function leadhook.next_day(timestamptz) from public, anon, authenticated;
grant execute on function leadhook.next_day(timestamptz) to service_role;

-- In the order of the users, as every writer does: two saves can't wait for each other.
create or replace function leadhook.book_costs(p_costs jsonb, p_now timestamptz)
returns void
language sql
security invoker
set search_path = ''
set jit = off
as $$
  insert into leadhook.costs as c (day, user_id, spent_usd, wasted_usd)
  select
    (book_costs.p_now at time zone 'UTC')::date,
    coalesce(b.user_id, '00000000-0000-0000-0000-000000000000'),
    sum(b.usd),
    coalesce(sum(b.usd) filter (where b.wasted), 0)
  from jsonb_to_recordset(book_costs.p_costs) as b (user_id uuid, usd numeric, wasted boolean)
  where b.usd > 0
  group by 2
  order by 2
  on conflict (day, user_id) do update
  set spent_usd = c.spent_usd + excluded.spent_usd, wasted_usd = c.wasted_usd + excluded.wasted_usd
$$;
comment on function leadhook.book_costs(jsonb, timestamptz) is 'Adds costs [{user_id, usd, wasted}] to the day.';
revoke all on function leadhook.book_costs(jsonb, timestamptz) from public, anon, authenticated;
grant execute on function leadhook.book_costs(jsonb, timestamptz) to service_role;

create or replace function leadhook.budgets_left(p_now timestamptz)
returns table (user_id uuid, daily_usd numeric, needed_usd numeric, left_usd numeric)
language sql
volatile
security invoker
set search_path = ''
set jit = off
as $$
  with used as materialized (
    select c.user_id, c.spent_usd as usd from leadhook.costs as c where c.day = (budgets_left.p_now at time zone 'UTC')::date
    union all
    select j.user_id, j.reserved_usd from leadhook.jobs as j where j.state = 'leased' and j.reserved_usd > 0
  ),
  by_user as materialized (
    select u.user_id, sum(u.usd) as usd from used as u group by u.user_id
  )
  select b.user_id, b.daily_usd, b.needed_usd, b.daily_usd - coalesce(u.usd, 0)
  from leadhook.budgets as b
  left join by_user as u on u.user_id = b.user_id
  where b.user_id is not null
  union all
  select b.user_id, b.daily_usd, b.needed_usd, b.daily_usd - coalesce((select sum(u.usd) from by_user as u), 0)
  from leadhook.budgets as b
  where b.user_id is null
$$;
comment on function leadhook.budgets_left(timestamptz) is
  'Every budget with what is left of it today: neither spent nor reserved by leads at work. user_id null: of all users together.';
revoke all on function leadhook.budgets_left(timestamptz) from public, anon, authenticated;
grant execute on function leadhook.budgets_left(timestamptz) to service_role;

create or replace function leadhook.shut_gates(
  p_now timestamptz, out everything text, out user_ids uuid[], out lanes text[], out budget_spent boolean
)
language plpgsql
volatile
security invoker
set search_path = ''
set jit = off
as $$
begin
  user_ids := '{}';
  lanes := '{}';
  budget_spent := false;
  if exists (select from leadhook.pauses) then
    select
      case when bool_or(p.user_id is null) then 'paused' end,
      coalesce(array_agg(p.user_id) filter (where p.user_id is not null and p.tag is null), '{}'),
      coalesce(array_agg(p.user_id::text || ' ' || p.tag) filter (where p.tag is not null), '{}')
    into everything, user_ids, lanes
    from leadhook.pauses as p;
  end if;
  if exists (select from leadhook.budgets) then
    select
      coalesce(everything, case when bool_or(b.user_id is null) then 'spent' end),
      user_ids || coalesce(array_agg(b.user_id) filter (where b.user_id is not null), '{}'),
      count(*) > 0
    into everything, user_ids, budget_spent
    from leadhook.budgets_left(p_now) as b
    where b.left_usd <= 0 or b.left_usd < b.needed_usd;
  end if;
end
$$;
comment on function leadhook.shut_gates(timestamptz) is
  'What a claim may not hand out: everything (why: paused or spent; null: not everything), users, and lanes spelt "user_id tag". '
  'budget_spent: some of it only until the next day in UTC.';
revoke all on function leadhook.shut_gates(timestamptz) from public, anon, authenticated;
grant execute on function leadhook.shut_gates(timestamptz) to service_role;

create or replace function leadhook.budget_left(p_user_id uuid)
returns numeric
language sql
volatile
security invoker
set search_path = ''
as $$
  select min(b.left_usd) from leadhook.budgets_left(clock_timestamp()) as b where b.user_id is null or b.user_id = budget_left.p_user_id
$$;
comment on function leadhook.budget_left(uuid) is
  'Dollars that leads of this user may still reserve today, by the user''s own budget and that of all; null: there is no budget.';
revoke all on function leadhook.budget_left(uuid) from public, anon, authenticated;
grant execute on function leadhook.budget_left(uuid) to service_role;

create or replace function leadhook.check_gate(p_user_id uuid, p_tag text, p_actor text)
returns void
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if coalesce(btrim(p_actor), '') = '' then
    raise exception 'who asks for it is missing' using errcode = 'PT400';
  end if;
  if p_tag is not null and p_user_id is null then
    raise exception 'a tag belongs to a user, who is missing' using errcode = 'PT400';
  end if;
  -- The claim's lock: once this has returned, no claim hands out what it forbids.
  perform leadhook.lock_claims();
end
$$;
revoke all on function leadhook.check_gate(uuid, text, text) from public, anon, authenticated;
grant execute on function leadhook.check_gate(uuid, text, text) to service_role;

create or replace function leadhook.ring_if_ready(p_cause text, p_user_id uuid, p_tag text)
returns void
language plpgsql
security invoker
set search_path = ''
set jit = off
as $$
begin
  if exists (
    select from leadhook.jobs as j
    where j.state = 'ready' and (p_user_id is null or j.user_id = p_user_id) and (p_tag is null or j.tag = p_tag)
  ) then
    perform leadhook.ring(p_cause);
  end if;
end
$$;
comment on function leadhook.ring_if_ready(text, uuid, text) is 'Rings when leads of this user and tag (null: any) wait.';
revoke all on function leadhook.ring_if_ready(text, uuid, text) from public, anon, authenticated;
grant execute on function leadhook.ring_if_ready(text, uuid, text) to service_role;

create or replace function public.leadhook_pause(
  p_user_id uuid default null, p_tag text default null, p_actor text default null, p_reason text default null
)
returns jsonb
language plpgsql
security invoker
set search_path = ''
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_new boolean;
begin
  perform leadhook.check_gate(p_user_id, p_tag, p_actor);
  insert into leadhook.pauses (user_id, tag, actor, reason)
  values (p_user_id, p_tag, left(btrim(p_actor), 200), left(p_reason, 500))
  on conflict do nothing;
  v_new := found;
  return jsonb_build_object('paused', v_new, 'already', not v_new);
end
$$;
comment on function public.leadhook_pause(uuid, text, text, text) is
  'From now on no lead is claimed of this user and tag; without a tag, of the user; without both, at all. Leads at work are finished. already: '
  'it was paused before, and stays as it was.';
revoke all on function public.leadhook_pause(uuid, text, text, text) from public, anon, authenticated;
grant execute on function public.leadhook_pause(uuid, text, text, text) to service_role;

create or replace function public.leadhook_resume(p_user_id uuid default null, p_tag text default null, p_actor text default null)
returns jsonb
language plpgsql
security invoker
set search_path = ''
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_ended boolean;
begin
  perform leadhook.check_gate(p_user_id, p_tag, p_actor);
  delete from leadhook.pauses as p where p.user_id is not distinct from p_user_id and p.tag is not distinct from p_tag;
  v_ended := found;
  if v_ended then
    perform leadhook.ring_if_ready('resume', p_user_id, p_tag);
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
comment on function public.leadhook_resume(uuid, text, text) is
  'Ends the pause of exactly this user and tag (without a tag: that of the user; without both: that of everything), and rings. '
  'pauses: the first 20, wider or narrower, that still hold back some of it.';
revoke all on function public.leadhook_resume(uuid, text, text) from public, anon, authenticated;
grant execute on function public.leadhook_resume(uuid, text, text) to service_role;

create or replace function public.leadhook_set_budget(p_user_id uuid default null, p_daily_usd numeric default null, p_actor text default null)
returns jsonb
language plpgsql
security invoker
set search_path = ''
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
begin
  if p_daily_usd < 0 or p_daily_usd >= 'Infinity' then
    raise exception 'a budget is a number of dollars, 0 or more' using errcode = 'PT400';
  end if;
  perform leadhook.check_gate(p_user_id, null, p_actor);
  if p_daily_usd is null then
    delete from leadhook.budgets as b where b.user_id is not distinct from p_user_id;
  else
    insert into leadhook.budgets as b (user_id, daily_usd, changed_by) values (p_user_id, p_daily_usd, left(btrim(p_actor), 200))
    on conflict (user_id) do update
    set daily_usd = excluded.daily_usd, needed_usd = null, changed_by = excluded.changed_by, changed_at = clock_timestamp();
  end if;
  perform leadhook.ring_if_ready('budget', p_user_id, null);
  return jsonb_build_object('daily_usd', p_daily_usd, 'left_usd', (
    select b.left_usd from leadhook.budgets_left(clock_timestamp()) as b where b.user_id is not distinct from p_user_id
  ));
end
$$;
comment on function public.leadhook_set_budget(uuid, numeric, text) is
  'Sets how many dollars the leads of a user (null: all leads) may cost in a day of UTC, what was spent today included; null: as many as they do. '
  'Rings, as leads may have waited for it.';
revoke all on function public.leadhook_set_budget(uuid, numeric, text) from public, anon, authenticated;
grant execute on function public.leadhook_set_budget(uuid, numeric, text) to service_role;

create or replace function public.leadhook_admission()
returns jsonb
language plpgsql
stable
security invoker
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
        select p.user_id, p.tag, p.actor, p.reason, p.paused_at from leadhook.pauses as p order by p.user_id nulls first, p.tag nulls first limit 1000
      ) as a
    ),
    'budgets', (
      select coalesce(jsonb_agg(to_jsonb(a)), '[]')
      from (
        select
          b.user_id, b.daily_usd, b.left_usd, b.needed_usd, b.left_usd <= 0 or coalesce(b.left_usd < b.needed_usd, false) as spent,
          b.daily_usd = 0 or coalesce(b.needed_usd > b.daily_usd, false) as too_small
        from leadhook.budgets_left(clock_timestamp()) as b
        order by b.user_id nulls first
        limit 1000
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
comment on function public.leadhook_admission() is
  'The first 1,000 pauses and budgets, those of all users first, with what is left of each budget, and what was spent today (UTC). needed_usd: the '
  'least that a waiting lead may cost and the budget does not have.';
revoke all on function public.leadhook_admission() from public, anon, authenticated;
grant execute on function public.leadhook_admission() to service_role;
