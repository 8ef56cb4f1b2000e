-- Purpose: which leads are next, fairly between the lanes (user_id, tag).
-- Touches: functions in schema leadhook.
-- Undo:    drop function leadhook.next_suspect(uuid[], text[]), leadhook.pick_leads(boolean, int, timestamptz, uuid, text, uuid[], text[]),
--          leadhook.next_open_lane(boolean, uuid, text, uuid[], text[]);
-- Planner flags: see the drain. `limit` takes constants only: with an expression the planner reckons with a tenth of the table.

-- The first lane (user_id, tag) behind the given one, from the beginning where that is null, that is not shut; null when there is none. A user
-- who is shut is passed in one step, however many tags there are.
create or replace function leadhook.next_open_lane(
  p_slow boolean, inout p_user_id uuid, inout p_tag text, p_shut_user_ids uuid[], p_shut_lanes text[], out available_at timestamptz
)
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_next record;
  v_whole_user boolean := false;
begin
  for v_visit in 1..5000 loop
    if p_user_id is null then
      select j.user_id, j.tag, j.available_at into v_next
      from leadhook.jobs as j
      where j.state = 'ready' and j.deaths = 0 and j.slow = p_slow
      order by j.user_id, j.tag, j.available_at
      limit 1;
    elsif v_whole_user then
      select j.user_id, j.tag, j.available_at into v_next
      from leadhook.jobs as j
      where j.state = 'ready' and j.deaths = 0 and j.slow = p_slow and j.user_id > p_user_id
      order by j.user_id, j.tag, j.available_at
      limit 1;
    else
      select j.user_id, j.tag, j.available_at into v_next
      from leadhook.jobs as j
      where j.state = 'ready' and j.deaths = 0 and j.slow = p_slow and (j.user_id, j.tag) > (p_user_id, p_tag)
      order by j.user_id, j.tag, j.available_at
      limit 1;
    end if;
    exit when not found;
    v_whole_user := v_next.user_id = any (p_shut_user_ids);
    if not v_whole_user and v_next.user_id::text || ' ' || v_next.tag <> all (p_shut_lanes) then
      available_at := v_next.available_at;
      p_user_id := v_next.user_id;
      p_tag := v_next.tag;
      return;
    end if;
    p_user_id := v_next.user_id;
    p_tag := v_next.tag;
  end loop;
  p_user_id := null;
  p_tag := null;
end
$$;
revoke all on function leadhook.next_open_lane(boolean, uuid, text, uuid[], text[]) from public, anon, authenticated;
grant execute on function leadhook.next_open_lane(boolean, uuid, text, uuid[], text[]) to service_role;

-- The ids of up to p_limit due jobs, dealt one by one to the open lanes (user_id, tag) behind the given one, wrapping round; and the lane that
-- got the last one. At most 200 lanes are looked at, as most may hold only retries of the future; then the longest due fill the rest.
create or replace function leadhook.pick_leads(
  p_slow boolean, p_limit int, p_now timestamptz, inout p_user_id uuid, inout p_tag text, p_shut_user_ids uuid[], p_shut_lanes text[],
  out lead_ids text[]
)
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_user_id uuid := p_user_id;
  v_tag text := p_tag;
  v_wrapped boolean := p_user_id is null;
  v_through boolean := false;
  v_next record;
  v_user_ids uuid[] := '{}';
  v_tags text[] := '{}';
  v_last int;
begin
  for v_visit in 1..200 loop
    exit when cardinality(v_user_ids) >= p_limit;
    v_next := leadhook.next_open_lane(p_slow, v_user_id, v_tag, p_shut_user_ids, p_shut_lanes);
    v_user_id := v_next.p_user_id;
    v_tag := v_next.p_tag;
    v_through := v_wrapped and (v_user_id is null or coalesce((v_user_id, v_tag) > (p_user_id, p_tag), false));
    exit when v_through;
    v_wrapped := v_wrapped or v_user_id is null;
    if v_next.available_at <= p_now then
      v_user_ids := v_user_ids || v_user_id;
      v_tags := v_tags || v_tag;
    end if;
  end loop;

  select
    coalesce(array_agg(d.lead_id order by d.slot), '{}'),
    (array_agg(d.place order by d.slot desc))[1]
  into lead_ids, v_last
  from (
    select w.lead_id, l.place, row_number() over (order by w.turn, l.place) as slot
    from unnest(v_user_ids, v_tags) with ordinality as l (user_id, tag, place)
    cross join lateral (
      select w.lead_id, row_number() over (order by w.available_at, w.lead_id) as turn
      from (
        select j.lead_id, j.available_at
        from leadhook.jobs as j
        where j.state = 'ready' and j.deaths = 0 and j.slow = p_slow and j.user_id = l.user_id and j.tag = l.tag and j.available_at <= p_now
        order by j.available_at, j.lead_id
        limit 50
      ) as w
    ) as w
  ) as d
  where d.slot <= p_limit;

  if not v_through and cardinality(v_user_ids) < p_limit then
    p_user_id := v_user_id;
    p_tag := v_tag;
    lead_ids := lead_ids || (array(
      select w.lead_id
      from (
        select j.lead_id, j.user_id, j.tag, j.available_at
        from leadhook.jobs as j
        where j.state = 'ready' and j.deaths = 0 and j.slow = p_slow and j.available_at <= p_now and j.lead_id <> all (lead_ids)
        order by j.available_at
        limit 2000
      ) as w
      where w.user_id <> all (p_shut_user_ids) and w.user_id::text || ' ' || w.tag <> all (p_shut_lanes)
      order by w.available_at
      limit 50
    ))[:p_limit - cardinality(lead_ids)];
  elsif v_last is not null then
    p_user_id := v_user_ids[v_last];
    p_tag := v_tags[v_last];
  end if;
end
$$;
revoke all on function leadhook.pick_leads(boolean, int, timestamptz, uuid, text, uuid[], text[]) from public, anon, authenticated;
grant execute on function leadhook.pick_leads(boolean, int, timestamptz, uuid, text, uuid[], text[]) to service_role;

-- A lead whose lease ran out may be what ended its worker: it is claimed by itself. One that was suspected twice is also the only suspect at work,
-- so that it answers for itself alone.
create or replace function leadhook.next_suspect(
  p_shut_user_ids uuid[], p_shut_lanes text[], out lead_id text, out available_at timestamptz
)
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_worst int := (select j.deaths from leadhook.jobs as j where j.deaths > 0 and j.state = 'leased' order by j.deaths desc, j.available_at desc limit 1);
begin
  if v_worst > 1 then
    return;
  end if;
  select j.lead_id, j.available_at into lead_id, available_at
  from leadhook.jobs as j
  where j.deaths > 0 and j.state = 'ready' and (v_worst is null or j.deaths = 1)
    and j.user_id <> all (p_shut_user_ids) and j.user_id::text || ' ' || j.tag <> all (p_shut_lanes)
  order by j.deaths, j.available_at, j.lead_id
  limit 1;
end
$$;
comment on function leadhook.next_suspect(uuid[], text[]) is
  'The ready lead whose lease ran out that may be claimed next, and when; null: there is none, or another one must end first.';
revoke all on function leadhook.next_suspect(uuid[], text[]) from public, anon, authenticated;
grant execute on function leadhook.next_suspect(uuid[], text[]) to service_role;
