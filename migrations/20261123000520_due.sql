-- Purpose: when a claim could hand something out, and with which keys.
-- Touches: functions in schema leadhook.
-- Undo:    drop function leadhook.next_due_ms(timestamptz), leadhook.has_touches(timestamptz), leadhook.healthy_keys();

-- A parked state counts only for the row that it was said of: a changed row is a new chance.
create or replace function leadhook.healthy_keys()
returns table (fingerprint text, api_key text)
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with keys as (
    select
      left(encode(sha256(convert_to(btrim(g.api_key), 'UTF8')), 'hex'), 16) as fingerprint,
      btrim(g.api_key, E' \t\r\n') as api_key,
      g.xmin::text as row_version
    from public.gemini_api as g
    where btrim(g.api_key, E' \t\r\n') <> ''
  )
  select k.fingerprint, min(k.api_key)
  from keys as k
  left join leadhook.api_keys as s
    on s.fingerprint = k.fingerprint
    and (s.row_version is null or s.row_version = k.row_version)
    and (s.state = 'disabled' or s.state = 'cooling' and s.until > clock_timestamp())
  group by k.fingerprint
  having count(s.fingerprint) = 0
$$;
comment on function leadhook.healthy_keys() is 'Every key of gemini_api, once, that is neither blank nor disabled nor cooling.';
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
  v_next timestamptz;
begin
  if leadhook.has_touches(p_now) then
    return 0;
  end if;
  v_next := least(
    (select j.available_at from leadhook.jobs as j where j.state = 'ready' and not j.slow order by j.available_at limit 1),
    (select j.available_at from leadhook.jobs as j where j.state = 'ready' and j.slow order by j.available_at limit 1),
    (select j.lease_until from leadhook.jobs as j where j.state = 'leased' order by j.lease_until limit 1)
  );
  if v_next is not null and not exists (select from leadhook.healthy_keys()) then
    v_next := (
      select min(greatest(s.until, v_next))
      from leadhook.api_keys as s
      where s.state = 'cooling' and s.fingerprint in (
        select left(encode(sha256(convert_to(btrim(g.api_key), 'UTF8')), 'hex'), 16) from public.gemini_api as g
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
  'Milliseconds until a claim could hand something out: 0 when touches are left, else at least 250; null when nothing is due.';
revoke all on function leadhook.next_due_ms(timestamptz) from public, anon, authenticated;
grant execute on function leadhook.next_due_ms(timestamptz) to service_role;
