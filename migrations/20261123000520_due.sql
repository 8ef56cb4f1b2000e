-- Purpose: when a claim could hand something out, and with which keys.
-- Touches: functions in schema leadhook.
-- Undo:    drop function leadhook.next_due_ms(timestamptz), leadhook.first_due(boolean, timestamptz, uuid[], text[]), leadhook.has_touches(timestamptz), leadhook.healthy_keys(), leadhook.key_fingerprint(text);

create or replace function leadhook.key_fingerprint(p_api_key text)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select left(encode(sha256(convert_to(btrim(key_fingerprint.p_api_key, E' \t\r\n'), 'UTF8')), 'hex'), 16)
$$;
comment on function leadhook.key_fingerprint(text) is
  'The first 16 hex digits of the SHA-256 of a key, without the blanks and line ends around it: the name of the key wherever it may be read.';
revoke all on function leadhook.key_fingerprint(text) from public, anon, authenticated;
grant execute on function leadhook.key_fingerprint(text) to service_role;

-- A parked state counts only for the row that it was said of: a changed row is a new chance.
create or replace function leadhook.healthy_keys()
returns table (fingerprint text, api_key text, tried boolean)
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with keys as (
    select
      leadhook.key_fingerprint(g.api_key) as fingerprint,
      btrim(g.api_key, E' \t\r\n') as api_key,
      g.xmin::text as row_version
    from public.gemini_api as g
    where btrim(g.api_key, E' \t\r\n') <> ''
  )
  select k.fingerprint, min(k.api_key), coalesce(bool_or(s.state = 'healthy'), false)
  from keys as k
  left join leadhook.api_keys as s
    on s.fingerprint = k.fingerprint and (s.row_version is null or s.row_version = k.row_version)
  group by k.fingerprint
  having bool_or(s.state = 'disabled' or s.state = 'cooling' and s.until > clock_timestamp()) is not true
$$;
comment on function leadhook.healthy_keys() is
  'Every key of gemini_api, once, that is neither blank nor disabled nor cooling. tried: a call with it succeeded since it was added, changed or '
  'rested; one that is not tried may be bad, so that no more than one call at a time is risked.';
revoke all on function leadhook.healthy_keys() from public, anon, authenticated;
grant execute on function leadhook.healthy_keys() to service_role;

create or replace function leadhook.has_touches(p_now timestamptz)
returns boolean
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
begin
  -- Ordered, so that it goes by the index: the table's first pages may hold nothing but what was drained.
  return exists (
    select from (
      select from leadhook.touches as t where t.not_before is null or t.not_before <= p_now order by t.id limit 1
    ) as t
  );
end
$$;
revoke all on function leadhook.has_touches(timestamptz) from public, anon, authenticated;
grant execute on function leadhook.has_touches(timestamptz) to service_role;

-- When the first lead of an open lane is due. Most often it is the very first; else lane by lane, until one is due now.
create or replace function leadhook.first_due(p_slow boolean, p_now timestamptz, p_shut_user_ids uuid[], p_shut_lanes text[])
returns timestamptz
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_first timestamptz;
  v_lane record;
begin
  if p_shut_user_ids = '{}' and p_shut_lanes = '{}' then
    return (select j.available_at from leadhook.jobs as j where j.state = 'ready' and j.deaths = 0 and j.slow = p_slow order by j.available_at limit 1);
  end if;
  v_first := (
    select f.available_at
    from (
      select j.available_at, j.user_id, j.tag
      from leadhook.jobs as j
      where j.state = 'ready' and j.deaths = 0 and j.slow = p_slow
      order by j.available_at
      limit 20
    ) as f
    where f.user_id <> all (p_shut_user_ids) and f.user_id::text || ' ' || f.tag <> all (p_shut_lanes)
    order by f.available_at
    limit 1
  );
  if v_first is not null then
    return v_first;
  end if;
  v_lane := leadhook.next_open_lane(p_slow, null, null, p_shut_user_ids, p_shut_lanes);
  for v_visit in 1..5000 loop
    exit when v_lane.p_user_id is null;
    v_first := least(v_first, v_lane.available_at);
    exit when v_first <= p_now;
    v_lane := leadhook.next_open_lane(p_slow, v_lane.p_user_id, v_lane.p_tag, p_shut_user_ids, p_shut_lanes);
  end loop;
  return v_first;
end
$$;
comment on function leadhook.first_due(boolean, timestamptz, uuid[], text[]) is
  'When the first ready lead is due that is neither of these users nor of these lanes, as leadhook.shut_gates names them.';
revoke all on function leadhook.first_due(boolean, timestamptz, uuid[], text[]) from public, anon, authenticated;
grant execute on function leadhook.first_due(boolean, timestamptz, uuid[], text[]) to service_role;

create or replace function leadhook.next_due_ms(p_now timestamptz)
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
  v_shut record;
  v_next timestamptz;
begin
  if leadhook.has_touches(p_now) then
    return 0;
  end if;
  v_shut := leadhook.shut_gates(p_now);
  if v_shut.everything is null then
    v_next := least(
      leadhook.first_due(false, p_now, v_shut.user_ids, v_shut.lanes), leadhook.first_due(true, p_now, v_shut.user_ids, v_shut.lanes),
      (select s.available_at from leadhook.next_suspect(v_shut.user_ids, v_shut.lanes) as s)
    );
  end if;
  if v_shut.budget_spent and v_shut.everything is distinct from 'paused'
    and (leadhook.first_due(false, p_now, '{}', '{}') is not null or leadhook.first_due(true, p_now, '{}', '{}') is not null) then
    v_next := least(v_next, leadhook.next_day(p_now));
  end if;
  v_next := least(
    v_next,
    (select j.lease_until from leadhook.jobs as j where j.state = 'leased' order by j.lease_until limit 1)
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
  v_next := least(v_next, (select t.not_before from leadhook.touches as t order by t.id limit 1));
  if v_next is null then
    return null;
  end if;
  return greatest(250, least(86400000, ceil(extract(epoch from v_next - p_now) * 1000)));
end
$$;
comment on function leadhook.next_due_ms(timestamptz) is
  'Milliseconds until a claim could hand something out: 0 when touches are left, else at least 250; null when nothing is due. What is paused is '
  'not due; what waits for a budget is due with the next day in UTC.';
revoke all on function leadhook.next_due_ms(timestamptz) from public, anon, authenticated;
grant execute on function leadhook.next_due_ms(timestamptz) to service_role;
