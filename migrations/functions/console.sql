-- Purpose: the lists of the console: leads, failures, webhooks, and the progress of work with low priority.
-- A search reads candidates step by step, each step with the index that fits its filter, in slices of 250. It stops after 40 slices or 80
-- ms and returns a cursor to continue from. Names and companies are in the application's table, which gets no index for this: its pages are
-- read from the newest to the oldest.

set local check_function_bodies = off;

-- Returns the steps of a search, in order. The indexes by state and group do not contain leased jobs, and the index by age only finished ones.
create or replace function leadhook.plan_search(p_filter jsonb)
returns text[]
language sql
stable
set search_path = ''
as $$
  select case
    when p_filter ? 'lead_id' then '{id}'
    when p_filter ? 'q' then '{id,name}'
    when p_filter ? 'flag' then '{flag}'
    else array_remove(array[
      case when f.any_time and coalesce(f.state, 'leased') = 'leased' then 'leased' end,
      case
        when f.state = 'leased' then null
        when (p_filter ->> 'since')::timestamptz > clock_timestamp() - interval '1 day' then 'finished'
        when p_filter ? 'error_code' then 'code'
        when p_filter ? 'user_id' then 'user'
        when f.state is not null then 'state'
        else 'finished'
      end,
      case when f.any_time and not p_filter ?| '{error_code,user_id,state}' then 'unfinished' end
    ], null)
  end
  from (select p_filter ->> 'state' as state, not p_filter ?| '{since,until}' as any_time) as f
$$;

-- Returns the next candidates of a step: leased, by error code, by user and tag, by state, finished (newest first), or unfinished.
create or replace function leadhook.find_jobs(p_step text, p_filter jsonb, p_after jsonb, p_limit int)
returns table (lead_id text, cursor jsonb)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_user_id uuid := (p_filter ->> 'user_id')::uuid;
  v_tag text := p_filter ->> 'tag';
  v_state text := p_filter ->> 'state';
  v_first text := coalesce(p_after ->> 1, '');
  v_lead text := coalesce(p_after ->> 2, '');
begin
  if p_step = 'leased' then
    return query
    with leased as materialized (select j.lead_id from leadhook.jobs as j where j.state = 'leased')
    select l.lead_id, jsonb_build_array('leased', '', l.lead_id) from leased as l where l.lead_id > v_lead order by l.lead_id limit p_limit;
  elsif p_step = 'code' then
    return query
    select j.lead_id, jsonb_build_array('code', j.state, j.lead_id)
    from leadhook.jobs as j
    where j.error_code = p_filter ->> 'error_code' and j.state <> 'leased' and (j.state, j.lead_id) > (v_first, v_lead)
      and (v_state is null or j.state = v_state)
    order by j.state, j.lead_id
    limit p_limit;
  elsif p_step = 'user' then
    return query
    select j.lead_id, jsonb_build_array('user', j.tag, j.lead_id)
    from leadhook.jobs as j
    where j.state <> 'leased' and j.user_id = v_user_id and (j.tag, j.lead_id) > (v_first, v_lead) and (v_tag is null or j.tag = v_tag)
    order by j.tag, j.lead_id
    limit p_limit;
  elsif p_step in ('state', 'unfinished') then
    return query
    select j.lead_id, jsonb_build_array(p_step, j.state, j.lead_id)
    from leadhook.jobs as j
    where j.state <> 'leased' and (j.state, j.lead_id) > (greatest(v_first, coalesce(v_state, 'done')), v_lead)
      and (v_state is null and j.state > 'done' and j.finished_at is null or j.state = v_state)
    order by j.state, j.lead_id
    limit p_limit;
  else
    return query
    select j.lead_id, jsonb_build_array('finished', j.finished_at, j.lead_id)
    from leadhook.jobs as j
    where (j.finished_at, j.lead_id) < (coalesce(p_after ->> 1, p_filter ->> 'until', 'infinity')::timestamptz, v_lead)
      and j.finished_at >= coalesce((p_filter ->> 'since')::timestamptz, '-infinity')
    order by j.finished_at desc, j.lead_id desc
    limit p_limit;
  end if;
end
$$;

-- Returns the next leads whose last result has a flag, newest first. A row without lead_id: a later result exists.
create or replace function leadhook.find_flagged_leads(p_after jsonb, p_limit int)
returns table (lead_id text, cursor jsonb)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  select case when n.run is null then r.lead_id end, jsonb_build_array('flag', r.created_at, r.lead_id)
  from leadhook.results as r
  left join lateral (select n.run from leadhook.results as n where n.lead_id = r.lead_id and n.run > r.run limit 1) as n on true
  where r.flags <> '{}' and (r.created_at, r.lead_id) < (coalesce(p_after ->> 1, 'infinity')::timestamptz, coalesce(p_after ->> 2, ''))
  order by r.created_at desc, r.lead_id desc
  limit p_limit;
end
$$;

-- Returns the next leads whose name or company contains p_text, from the newest pages of lead_details to the oldest, 200 pages a call. For
-- a partitioned table, the first page to read is that of the largest partition.
create or replace function leadhook.find_leads_by_name(p_text text, p_after jsonb, p_limit int)
returns table (lead_id text, cursor jsonb)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_end text := coalesce(p_after ->> 1, format('(%s,0)', (
    select max(pg_catalog.pg_relation_size(t.relid)) / pg_catalog.current_setting('block_size')::int + 1
    from (select 'public.lead_details'::regclass as relid union all select p.relid from pg_catalog.pg_partition_tree('public.lead_details') as p) as t
  )));
  v_begin text := format('(%s,0)', greatest(split_part(ltrim(v_end, '('), ',', 1)::bigint - 200, 0));
  v_pattern text := '%' || regexp_replace(p_text, '([\\%_])', '\\\1', 'g') || '%';
  v_found int;
begin
  return query
  select d.lead_id, jsonb_build_array('name', d.ctid)
  from public.lead_details as d
  where d.ctid >= v_begin::tid and d.ctid < v_end::tid and d.lead_id <> p_text and (d.name::text ilike v_pattern or d.company_name::text ilike v_pattern)
  order by d.ctid desc
  limit p_limit;
  get diagnostics v_found = row_count;
  if v_found < p_limit and v_begin <> '(0,0)' then
    return query select null::text, jsonb_build_array('name', v_begin);
  end if;
end
$$;

-- Returns the next leads after a cursor (null: the first) that may match a filter. A cursor names the step and the last candidate. If there
-- are fewer than p_limit rows and none without lead_id, these were the last.
create or replace function leadhook.find_candidates(p_filter jsonb, p_after jsonb, p_limit int)
returns table (lead_id text, cursor jsonb)
language plpgsql
stable
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
  v_steps text[] := leadhook.plan_search(p_filter);
  v_step text := case when p_after is null then v_steps[1] else coalesce(p_after ->> 0, '') end;
  v_next text := v_steps[array_position(v_steps, v_step) + 1];
  v_found int;
begin
  if v_step is null then
    return;
  elsif v_step <> all (v_steps) then
    raise exception 'not a step of this search: %', v_step using errcode = 'invalid_parameter_value';
  end if;
  case v_step
    when 'id' then return query select coalesce(p_filter ->> 'lead_id', p_filter ->> 'q'), '["id"]'::jsonb where p_after is null;
    when 'name' then return query select c.* from leadhook.find_leads_by_name(p_filter ->> 'q', p_after, p_limit) as c;
    when 'flag' then return query select c.* from leadhook.find_flagged_leads(p_after, p_limit) as c;
    else return query select c.* from leadhook.find_jobs(v_step, p_filter, p_after, p_limit) as c;
  end case;
  get diagnostics v_found = row_count;
  if v_found < p_limit and v_next is not null then
    return query select null::text, jsonb_build_array(v_next);
  end if;
end
$$;

-- Returns these leads in their order: the job, the last result, and the current name and company.
create or replace function leadhook.describe_found(p_lead_ids text[])
returns jsonb
language sql
stable
set search_path = ''
set enable_hashjoin = off
set enable_mergejoin = off
as $$
  with details as materialized (
    select distinct on (d.lead_id) d.lead_id, left(d.name::text, 200) as name, left(d.company_name::text, 200) as company
    from public.lead_details as d
    where d.lead_id = any (describe_found.p_lead_ids)
    order by d.lead_id, (d.sent_to_llm is not true) desc, d::text desc
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'lead_id', j.lead_id, 'name', d.name, 'company', d.company, 'user_id', j.user_id, 'tag', j.tag, 'state', j.state,
    'error_code', j.error_code, 'reason', j.reason, 'finished_at', j.finished_at, 'score', v.score,
    'flags', coalesce(to_jsonb(v.flags), '[]')
  ) order by i.place), '[]')
  from unnest(describe_found.p_lead_ids) with ordinality as i (lead_id, place)
  join leadhook.jobs as j on j.lead_id = i.lead_id
  left join details as d on d.lead_id = i.lead_id
  left join lateral (
    select r.score, r.flags from leadhook.results as r where r.lead_id = i.lead_id order by r.run desc limit 1
  ) as v on true
$$;

-- Returns the first p_limit matches among the next 250 candidates, each with its cursor. next_cursor: after these 250; null: no more candidates.
create or replace function leadhook.search_slice(
  p_filter jsonb, p_after jsonb, p_limit int, out lead_ids text[], out cursors jsonb[], out next_cursor jsonb
)
language plpgsql
stable
set search_path = ''
as $$
declare
  v_places bigint[];
begin
  select
    array_agg(c.lead_id order by c.place), array_agg(c.cursor order by c.place),
    case when count(*) >= 250 or count(*) > count(c.lead_id) then (array_agg(c.cursor order by c.place desc))[1] end
  into lead_ids, cursors, next_cursor
  from leadhook.find_candidates(p_filter, p_after, 250) with ordinality as c (lead_id, cursor, place);
  v_places := array(select m.place from leadhook.filter_leads(lead_ids, p_filter, p_limit) as m order by m.place);
  cursors := array(select cursors[p.place] from unnest(v_places) with ordinality as p (place, n) order by p.n);
  lead_ids := array(select lead_ids[p.place] from unnest(v_places) with ordinality as p (place, n) order by p.n);
end
$$;

create or replace function public.leadhook_search_leads(p_filter jsonb default '{}', p_after text default null, p_limit int default 25)
returns jsonb
language plpgsql
stable
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_began_at timestamptz := clock_timestamp();
  v_limit int := case when p_after is null then 10000 else p_limit + 1 end;
  v_cursor jsonb;
  v_lead_ids text[] := array[]::text[];
  v_cursors jsonb[] := array[]::jsonb[];
  v_count int := 0;
  v_slice record;
begin
  if p_limit is null or p_limit not between 1 and 100 or jsonb_typeof(p_filter) is distinct from 'object' then
    raise exception 'p_filter must be an object, and p_limit 1 to 100' using errcode = 'PT400';
  end if;
  v_cursor := p_after::jsonb;
  for n in 1..40 loop
    v_slice := leadhook.search_slice(p_filter, v_cursor, v_limit - v_count);
    v_cursor := v_slice.next_cursor;
    v_count := v_count + cardinality(v_slice.lead_ids);
    if cardinality(v_lead_ids) < p_limit then
      v_lead_ids := v_lead_ids || v_slice.lead_ids;
      v_cursors := v_cursors || v_slice.cursors;
    end if;
    exit when v_cursor is null or v_count >= v_limit
      or n >= 3 and clock_timestamp() > v_began_at + case when v_count > p_limit then interval '60 ms' else interval '80 ms' end;
  end loop;
  return jsonb_build_object(
    'leads', leadhook.describe_found(v_lead_ids[:p_limit]),
    'after', case when v_count > p_limit then v_cursors[p_limit]::text else v_cursor::text end,
    'count', case when p_after is null then v_count end,
    'complete', v_cursor is null or v_count >= v_limit
  );
exception when data_exception then
  raise exception 'the filter or the cursor is invalid: %', sqlerrm using errcode = 'PT400';
end
$$;
comment on function public.leadhook_search_leads(jsonb, text, int) is
  'Returns the next p_limit leads that match a filter: the fields of leadhook.filter_leads, lead_id, flag (any: any flag), and q, which is '
  'part of the name or company, or the lead_id. after: p_after of the next page, null on the last. count (first page only): all matches, '
  'up to 10,000. complete false: the count or the search ran into its limit of 10,000 leads or 80 ms.';

create or replace function public.leadhook_replay_preview(p_filter jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
set jit = off
set enable_seqscan = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_began_at timestamptz := clock_timestamp();
  v_slice record;
  v_cursor jsonb;
  v_counts jsonb := jsonb '{}';
  v_queued text[] := array[]::text[];
begin
  for n in 1..40 loop
    v_slice := leadhook.search_slice(p_filter, v_cursor, 250);
    v_cursor := v_slice.next_cursor;
    with decided as materialized (
      select d.lead_id, d.outcome from leadhook.decide_replay(v_slice.lead_ids, false) as d
    )
    select
      (
        select v_counts || coalesce(jsonb_object_agg(c.outcome, c.n + coalesce((v_counts ->> c.outcome)::int, 0)), '{}')
        from (select d.outcome, count(*) as n from decided as d group by d.outcome) as c
      ),
      v_queued || array(select d.lead_id from decided as d where d.outcome in ('queued', 'queued_after') order by d.lead_id)
    into v_counts, v_queued;
    exit when v_cursor is null or clock_timestamp() > v_began_at + interval '60 ms';
  end loop;
  return jsonb_build_object(
    'counts', v_counts,
    'complete', v_cursor is null,
    'sample', to_jsonb(v_queued[:10]),
    'usage', (select to_jsonb(u) from leadhook.sum_usage(v_queued) as u),
    'average', (select to_jsonb(a) from leadhook.average_usage() as a)
  );
end
$$;
comment on function public.leadhook_replay_preview(jsonb) is
  'As leadhook_replay_dry_run, for a page: checks as many matches of a filter as 60 ms allow. complete false: there may be more.';

-- Returns the first 100 pairs of error code and state of jobs that failed or wait for their next attempt.
create or replace function leadhook.list_failed_groups()
returns table (error_code text, state text)
language sql
stable
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
  with recursive groups as (
    (select j.error_code, j.state from leadhook.jobs as j where j.error_code is not null order by j.error_code, j.state limit 1)
    union all
    select n.error_code, n.state
    from groups as g
    cross join lateral (
      select j.error_code, j.state
      from leadhook.jobs as j
      where j.error_code is not null and (j.error_code, j.state) > (g.error_code, g.state)
      order by j.error_code, j.state
      limit 1
    ) as n
  )
  select g.error_code, g.state from groups as g where g.state in ('dead', 'done', 'ready') limit 100
$$;

create or replace function public.leadhook_failures()
returns jsonb
language plpgsql
stable
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
begin
  return jsonb_build_object('groups', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'error_code', g.error_code, 'state', g.state, 'count', c.n, 'reasons', s.reasons, 'example', s.example, 'last_at', s.last_at
    ) order by c.n desc, g.error_code, g.state), '[]')
    from leadhook.list_failed_groups() as g
    cross join lateral (
      select count(*) as n from (
        select from leadhook.jobs as j where j.error_code = g.error_code and j.state = g.state limit 10000
      ) as j
    ) as c
    cross join lateral (
      with examples as materialized (
        select j.lead_id, j.reason, j.finished_at from leadhook.jobs as j where j.error_code = g.error_code and j.state = g.state limit 100
      )
      select
        (
          select jsonb_agg(jsonb_build_object('reason', r.reason, 'leads', r.n) order by r.n desc, r.reason)
          from (select coalesce(x.reason, '') as reason, count(*) as n from examples as x group by 1 order by 2 desc, 1 limit 3) as r
        ) as reasons,
        (select x.lead_id from examples as x order by x.finished_at desc nulls last, x.lead_id limit 1) as example,
        (select max(x.finished_at) from examples as x) as last_at
    ) as s
    where s.example is not null
  ));
end
$$;
comment on function public.leadhook_failures() is
  'Returns the leads that are dead, done without their message, or waiting for their next attempt, by error code and state: how many (up to 10,000), '
  'and of 100 of them the most frequent reasons and the newest lead. A replay with this state and error_code takes exactly these.';

create or replace function public.leadhook_deliveries(p_before bigint default null, p_limit int default 25)
returns jsonb
language plpgsql
stable
set search_path = ''
set jit = off
set enable_seqscan = off
set plan_cache_mode = force_custom_plan
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_deliveries jsonb;
begin
  if p_limit is null or p_limit not between 1 and 100 then
    raise exception 'p_limit must be 1 to 100' using errcode = 'PT400';
  end if;
  v_deliveries := (
    select coalesce(jsonb_agg(to_jsonb(w) - 'timed_out' order by w.id desc), '[]')
    from leadhook.describe_webhooks(array(
      select p.id from leadhook.webhooks as p where p_before is null or p.id < p_before order by p.id desc limit p_limit + 1
    )) as w
  );
  return jsonb_build_object(
    'deliveries', v_deliveries - p_limit,
    'before', case when v_deliveries -> p_limit is not null then v_deliveries -> (p_limit - 1) -> 'id' end
  );
end
$$;
comment on function public.leadhook_deliveries(bigint, int) is
  'Returns the webhooks before id p_before (null: the newest), newest first, with pg_net''s answers.';

-- Returns the newest 20 replays that have waiting leads or are still being queued or stopped, with the number of waiting leads up to 100,000.
create or replace function leadhook.list_unfinished_replays()
returns table (replay_id bigint, waiting bigint)
language sql
stable
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
  with recursive known as (
    (
      select j.replay_id from leadhook.jobs as j where j.low_priority and j.state in ('ready', 'leased') and j.replay_id is not null
      order by j.replay_id desc
      limit 1
    )
    union all
    select n.replay_id
    from known as k
    cross join lateral (
      select j.replay_id from leadhook.jobs as j where j.low_priority and j.state in ('ready', 'leased') and j.replay_id < k.replay_id
      order by j.replay_id desc
      limit 1
    ) as n
  )
  select r.replay_id, (
    select count(*)
    from (
      select from leadhook.jobs as j where j.low_priority and j.state in ('ready', 'leased') and j.replay_id = r.replay_id limit 100000
    ) as j
  )
  from (
    (select k.replay_id from known as k limit 20)
    union
    select u.id from leadhook.replays as u where u.phase in ('queueing', 'stopping')
    order by 1 desc
    limit 20
  ) as r
$$;

-- Returns the newest releases, up to 20, that still queue leads or have waiting ones, and the number of leads that they queued together.
-- Released leads are scored in about the order of their releases, so the waiting ones belong to the newest.
create or replace function leadhook.list_unfinished_releases(p_waiting bigint)
returns table (total bigint, releases jsonb)
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
  select coalesce(sum(n.released), 0), coalesce(jsonb_agg(to_jsonb(n) - 'newer' order by n.release_id desc), '[]')
  from (
    select
      r.id as release_id, r.actor, r.reason, r.user_id, r.tag, r.created_at, r.lead_limit as limit, r.released, r.ended_at,
      coalesce(sum(r.released) over (order by r.id desc rows between unbounded preceding and 1 preceding), 0) as newer
    from (select b.* from leadhook.releases as b order by b.id desc limit 20) as r
  ) as n
  where n.ended_at is null or n.newer < list_unfinished_releases.p_waiting
$$;

create or replace function public.leadhook_progress()
returns jsonb
language plpgsql
stable
set search_path = ''
set jit = off
set enable_seqscan = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_ended jsonb := (
    select coalesce(jsonb_object_agg(e.replay_id, e.n), '{}')
    from (
      select coalesce(t.replay_id, 0) as replay_id, count(*) as n
      from (
        select a.replay_id, a.source, a.outcome from leadhook.attempts as a where a.finished_at > v_now - interval '10 min'
        order by a.finished_at desc limit 20000
      ) as t
      where (t.replay_id is not null or t.source = 'release') and t.outcome not in ('retry', 'returned', 'lease_expired')
      group by 1
    ) as e
  );
  v_released bigint := (
    select count(*)
    from (select from leadhook.jobs as j where j.low_priority and j.state in ('ready', 'leased') and j.replay_id is null limit 100000) as j
  );
begin
  return jsonb_build_object(
    'now', v_now,
    'replays', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'replay_id', r.id, 'phase', r.phase, 'actor', r.actor, 'reason', r.reason, 'created_at', r.created_at, 'filter', r.filter,
        'queued', coalesce((r.counts ->> 'queued')::int, 0) + coalesce((r.counts ->> 'queued_after')::int, 0), 'waiting', u.waiting
      ) || leadhook.estimate_end(u.waiting, (v_ended ->> r.id::text)::int, r.created_at, v_now) order by r.id desc), '[]')
      from leadhook.list_unfinished_replays() as u
      join leadhook.replays as r on r.id = u.replay_id
    ),
    'release', (
      select case when v_released > 0 or b.total > 0 then to_jsonb(b) || jsonb_build_object('waiting', v_released)
        || leadhook.estimate_end(v_released, (v_ended ->> '0')::int, (
          select max(a.at) from leadhook.audit as a where a.action = 'backlog_release' and a.at > v_now - interval '10 min'
        ), v_now) end
      from leadhook.list_unfinished_releases(v_released) as b
    )
  );
end
$$;
comment on function public.leadhook_progress() is
  'Returns the unfinished replays and the release of held leads: how many leads wait, how many end per minute, and when the last one will.';

-- Returns how many leads end per minute, from the number that ended in the last 10 minutes (or since p_since, if that is later), and when
-- none will wait any more.
create or replace function leadhook.estimate_end(p_waiting bigint, p_ended int, p_since timestamptz, p_now timestamptz)
returns jsonb
language sql
immutable
set search_path = ''
as $$
  select jsonb_build_object(
    'per_minute', round(r.rate, 2),
    'ends_at', case when r.rate > 0 and p_waiting > 0 then p_now + make_interval(secs => (p_waiting * 60 / r.rate)::float8) end
  )
  from (
    select coalesce(p_ended, 0) * 60 / least(greatest(coalesce(extract(epoch from p_now - p_since), 600), 60), 600) as rate
  ) as r
$$;

create or replace function public.leadhook_lead_input(p_lead_id text)
returns json
language plpgsql
stable
set search_path = ''
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
begin
  return coalesce((
    select json_build_object('lead', d.lead, 'prompts', d.prompts)
    from leadhook.jobs as j
    cross join lateral leadhook.describe_leads(array[j.lead_id], array[j.user_id], array[j.tag]) as d
    where j.lead_id = p_lead_id and d.prompts is not null
  ), '{}');
end
$$;
comment on function public.leadhook_lead_input(text) is
  'Returns the fields and prompts of a lead as a claim would return them now, whatever the state of its job; empty if it has no job or no '
  'prompts row.';

select leadhook.grant_functions();
