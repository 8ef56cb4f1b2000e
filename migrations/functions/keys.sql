-- Purpose: the Gemini keys of public.gemini_api: which may be used, which are parked (cooling down or disabled), and why.

set local check_function_bodies = off;

-- Returns every key of gemini_api that is not blank, once. state: healthy (a call succeeded), cooling (until), disabled, or untried (new,
-- changed or cooled down). What is known about a key holds only for the row it was learned from: a changed row is untried.
create or replace function leadhook.list_keys()
returns table (
  fingerprint text, api_key text, row_version text, state text, until timestamptz, reason text, rests int, model text, changed_at timestamptz
)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  select
    g.fingerprint, g.api_key, g.row_version,
    case when s.state = 'cooling' and s.until <= clock_timestamp() then 'untried' else coalesce(s.state, 'untried') end,
    case when s.until > clock_timestamp() then s.until end,
    s.reason, coalesce(s.rests, 0), s.model, s.changed_at
  from (
    select
      leadhook.key_fingerprint(r.api_key) as fingerprint, min(btrim(r.api_key, E' \t\r\n')) as api_key, max(r.xmin::text) as row_version,
      array_agg(r.xmin::text) as row_versions
    from public.gemini_api as r
    where btrim(r.api_key, E' \t\r\n') <> ''
    group by 1
  ) as g
  left join leadhook.api_keys as s on s.fingerprint = g.fingerprint and (s.row_version is null or s.row_version = any (g.row_versions));
end
$$;

-- Returns the keys that may be used, for a claim. tried: a call with it succeeded; the service risks only one call at a time with an
-- untried key. rests: cooldowns in a row. answered_ms: age of the last success, null if untried.
create or replace function leadhook.healthy_keys()
returns table (fingerprint text, api_key text, tried boolean, rests int, answered_ms bigint)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  select
    k.fingerprint, k.api_key, k.state = 'healthy', k.rests,
    case when k.state = 'healthy' then floor(extract(epoch from clock_timestamp() - k.changed_at) * 1000)::bigint end
  from leadhook.list_keys() as k
  where k.state in ('healthy', 'untried');
end
$$;

-- Counts the keys by state for status, explain and metrics; healthy includes untried. parked: the first 20 that may not be used, and why
-- (until null: until their row changes). All zeros if gemini_api cannot be read.
create or replace function leadhook.describe_keys()
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'total', count(*),
      'healthy', count(*) filter (where k.state in ('healthy', 'untried')),
      'untried', count(*) filter (where k.state = 'untried'),
      'cooling', count(*) filter (where k.state = 'cooling'),
      'disabled', count(*) filter (where k.state = 'disabled'),
      'next_return_at', min(k.until) filter (where k.state = 'cooling'),
      'parked', jsonb_path_query_array(coalesce(
        jsonb_agg(jsonb_build_object('fingerprint', k.fingerprint, 'until', k.until, 'reason', k.reason) order by k.until nulls last, k.fingerprint)
          filter (where k.state in ('cooling', 'disabled')),
        '[]'
      ), '$[0 to 19]')
    )
    from leadhook.list_keys() as k
  );
exception when undefined_table or undefined_column or insufficient_privilege then
  return jsonb '{"total": 0, "healthy": 0, "untried": 0, "cooling": 0, "disabled": 0, "next_return_at": null, "parked": []}';
end
$$;

create or replace function public.leadhook_keys()
returns jsonb
language plpgsql
stable
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
begin
  return jsonb_build_object('keys', (
    select coalesce(jsonb_agg(to_jsonb(l) order by array_position('{disabled,cooling,untried,healthy}', l.state), l.fingerprint), '[]')
    from (
      select k.fingerprint, k.state, k.until, k.reason, k.rests, k.model, k.changed_at
      from leadhook.list_keys() as k
      order by array_position('{disabled,cooling,untried,healthy}', k.state), k.fingerprint
      limit 200
    ) as l
  ));
exception when undefined_table or undefined_column or insufficient_privilege then
  return jsonb '{"keys": []}';
end
$$;
comment on function public.leadhook_keys() is
  'Returns the first 200 Gemini keys by fingerprint for the console, those that may not be used first: state (disabled, cooling, untried, '
  'healthy), until and reason.';

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
    raise exception 'p_keys must be an array' using errcode = 'PT400';
  end if;
  insert into leadhook.api_keys as s (fingerprint, state, until, row_version, reason, rests, model, changed_at)
  select distinct on (p.fingerprint)
    p.fingerprint,
    case when p.for_ms is null then 'disabled' else 'cooling' end,
    clock_timestamp() + make_interval(secs => greatest(p.for_ms, 0) / 1000.0),
    k.row_version,
    left(p.reason, 500),
    coalesce(p.rests, 1),
    p.model,
    clock_timestamp()
  from jsonb_to_recordset(p_keys) as p (fingerprint text, reason text, for_ms bigint, rests int, model text)
  join leadhook.list_keys() as k using (fingerprint)
  order by p.fingerprint, (p.for_ms is null) desc, p.for_ms desc
  on conflict (fingerprint) do update
  set state = excluded.state, until = excluded.until, row_version = excluded.row_version, reason = excluded.reason,
    rests = excluded.rests, model = excluded.model, changed_at = excluded.changed_at
  where s.row_version is distinct from excluded.row_version
    or (s.state <> 'disabled' and (excluded.state = 'disabled' or s.until is null or s.until < excluded.until));
  return jsonb '{}';
end
$$;
comment on function public.leadhook_park_keys(jsonb) is
  'Parks keys [{fingerprint, reason, for_ms, rests, model}]: for for_ms (the rests-th cooldown in a row; model: for this model only), or, '
  'if for_ms is null, until their row in gemini_api changes. If several reports concern the same row, the longest cooldown counts, in any '
  'order. Ignores keys without a row.';

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
  'Forgets that a key is cooling or disabled, so that the next call may try it, and sends a webhook. unparked false: it was not parked.';

-- Marks keys as healthy after a successful call, at most once a minute each. A key that is cooling or disabled stays so.
create or replace function leadhook.confirm_keys(p_fingerprints text[])
returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into leadhook.api_keys as s (fingerprint, state, row_version, changed_at)
  select k.fingerprint, 'healthy', k.row_version, clock_timestamp()
  from leadhook.list_keys() as k
  where k.fingerprint = any (p_fingerprints)
    and (k.state = 'untried' or k.state = 'healthy' and k.changed_at <= clock_timestamp() - interval '1 min')
  order by k.fingerprint
  on conflict (fingerprint) do update
  set state = excluded.state, until = null, row_version = excluded.row_version, reason = null, rests = 0, model = null,
    changed_at = excluded.changed_at
  where s.row_version is distinct from excluded.row_version and s.row_version is not null
    or s.state = 'cooling' and s.until <= clock_timestamp() or s.state = 'healthy';
end
$$;

-- Returns the keys [{fingerprint, resting, answered_ms}] that were parked or succeeded in the last 30 s. Every process renews its leases
-- more often, so it learns about each.
create or replace function leadhook.key_news(p_now timestamptz)
returns json
language plpgsql
stable
set search_path = ''
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

-- Forgets cooldowns for other models, because a quota belongs to one model. Called when a service starts.
create or replace function leadhook.forget_rests_for_other_models(p_model text)
returns void
language sql
set search_path = ''
as $$
  delete from leadhook.api_keys as k where k.model <> forget_rests_for_other_models.p_model
$$;

select leadhook.grant_functions();
