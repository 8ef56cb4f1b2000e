-- Purpose: scores leads again at an operator's request, by name or by filter; what a replay would cost, and its progress. A replay never changes
-- sent_to_llm: a queued job carries the replay's id, and is scored even if the lead was already sent, also by something else in the meantime.
-- A slice takes 250 leads, found among 5,000 jobs, because claims wait while it holds the outbox lock. The service and the command call
-- leadhook_replay_slice, with pauses, until nothing is left; if one of them ends, a claim reports to the next process that slices are left.

set local check_function_bodies = off;

-- Returns what a replay would do with each of these leads: queued (new run), queued_after (after its lease ends), already_queued, held
-- (unless it is named), not_eligible (missing: scrapped, details, prompts, or evaluation if its check raises) or unknown.
create or replace function leadhook.decide_replay(p_lead_ids text[], p_named boolean)
returns table (lead_id text, user_id uuid, tag text, outcome text, missing text[])
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
#variable_conflict use_column
begin
  return query
  select
    e.lead_id, e.user_id, e.tag, d.outcome, case when d.outcome = 'not_eligible' then m.missing end
  from jsonb_to_recordset(leadhook.check_each(p_lead_ids)) as e (
    lead_id text, known boolean, user_id uuid, tag text, scrapped boolean, has_details boolean, has_prompts boolean, failed boolean
  )
  cross join lateral (
    select array_remove(array[
      case when e.failed then 'evaluation' end,
      case when not e.scrapped then 'scrapped' end,
      case when not e.has_details then 'details' end,
      case when not e.has_prompts then 'prompts' end
    ], null)
  ) as m (missing)
  left join leadhook.jobs as j on j.lead_id = e.lead_id
  cross join lateral (
    select case
      when j.state = 'leased' then 'queued_after'
      when e.known is false then 'unknown'
      when m.missing <> '{}' then 'not_eligible'
      when j.state = 'ready' then 'already_queued'
      when j.state = 'held' and not p_named then 'held'
      else 'queued'
    end
  ) as d (outcome);
end
$$;

-- Queues these leads as decide_replay decides, keeping paid answers. The jobs are locked before the check: a save that commits in between
-- would otherwise be missed.
create or replace function leadhook.queue_replay(p_replay_id bigint, p_lead_ids text[], p_named boolean)
returns table (lead_id text, outcome text, missing text[])
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  v_decided jsonb;
  v_now timestamptz;
begin
  perform from leadhook.jobs as j where j.lead_id = any (p_lead_ids) order by j.lead_id for no key update;
  v_decided := (select coalesce(jsonb_agg(to_jsonb(d)), '[]') from leadhook.decide_replay(p_lead_ids, p_named) as d);
  v_now := clock_timestamp();

  return query
  with decided as materialized (
    select
      d.lead_id, d.user_id, d.tag, d.outcome, d.missing, j.state,
      coalesce(j.run + (j.state = 'leased' or d.outcome = 'queued' and j.state in ('done', 'dead'))::int, 1) as run,
      case when d.outcome = 'queued' and j.lead_id is not null then jsonb_build_object(
        'state', j.state, 'run', j.run, 'attempts', j.attempts, 'low_priority', j.low_priority, 'available_at', j.available_at,
        'eligible_at', j.eligible_at, 'source', j.source, 'error_code', j.error_code, 'reason', j.reason,
        'finished_at', j.finished_at
      ) end as before
    from jsonb_to_recordset(v_decided) as d (lead_id text, user_id uuid, tag text, outcome text, missing text[])
    left join leadhook.jobs as j on j.lead_id = d.lead_id
  ),
  noted as (
    insert into leadhook.replay_leads (replay_id, lead_id, run, outcome, before)
    select p_replay_id, d.lead_id, d.run, d.outcome, d.before
    from decided as d
    where d.outcome in ('queued', 'queued_after', 'already_queued')
    on conflict (replay_id, lead_id) do nothing
  ),
  after_this_run as (
    update leadhook.jobs as j set replay_after = p_replay_id from decided as d where j.lead_id = d.lead_id and d.outcome = 'queued_after'
  ),
  -- Without replay_id, the job would become waiting if the application marked the lead as sent.
  kept as (
    update leadhook.jobs as j
    set replay_id = coalesce(j.replay_id, p_replay_id)
    from decided as d
    where j.lead_id = d.lead_id and d.outcome = 'already_queued'
  ),
  added as (
    insert into leadhook.jobs (lead_id, user_id, tag, state, low_priority, available_at, eligible_at, source, replay_id)
    select d.lead_id, d.user_id, d.tag, 'ready', true, v_now, v_now, 'replay', p_replay_id
    from decided as d
    where d.outcome = 'queued' and d.state is null
    on conflict (lead_id) do nothing
  )
  select d.lead_id, d.outcome, d.missing from decided as d;
  perform leadhook.begin_runs(
    jsonb_path_query_array(v_decided, '$[*] ? (@.outcome == "queued")'), 'replay', true, p_replay_id, v_now
  );
end
$$;

create or replace function public.leadhook_replay(p_lead_ids text[], p_actor text, p_reason text default null)
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_replay_id bigint;
  v_counts jsonb;
  v_leads jsonb;
begin
  if p_lead_ids is null or cardinality(p_lead_ids) = 0 or cardinality(p_lead_ids) > 1000 or array_position(p_lead_ids, null) is not null then
    raise exception 'p_lead_ids must name 1 to 1000 leads' using errcode = 'PT400';
  end if;
  perform leadhook.require_actor(p_actor);

  perform leadhook.lock_outbox();
  perform leadhook.apply_outbox('webhook');
  insert into leadhook.replays (actor, reason)
  values (left(btrim(p_actor), 200), left(p_reason, 500))
  returning id into v_replay_id;

  with asked as (
    select i.lead_id, min(i.place) as place from unnest(p_lead_ids) with ordinality as i (lead_id, place) group by i.lead_id
  ),
  queued as materialized (
    select q.lead_id, q.outcome, q.missing
    from leadhook.queue_replay(v_replay_id, array(select a.lead_id from asked as a), true) as q
  )
  select
    jsonb_agg(jsonb_strip_nulls(jsonb_build_object('lead_id', q.lead_id, 'outcome', q.outcome, 'missing', q.missing)) order by a.place),
    (select jsonb_object_agg(c.outcome, c.n) from (select q.outcome, count(*) as n from queued as q group by q.outcome) as c)
  into v_leads, v_counts
  from queued as q
  join asked as a using (lead_id);

  update leadhook.replays as r set counts = v_counts where r.id = v_replay_id;
  perform leadhook.note_action(
    p_actor, 'replay', jsonb_build_object('replay_id', v_replay_id, 'named', jsonb_array_length(v_leads), 'counts', v_counts), p_reason
  );
  if v_counts ? 'queued' then
    perform leadhook.send_webhook('replay', (v_counts ->> 'queued')::int);
  end if;
  return jsonb_build_object('replay_id', v_replay_id, 'counts', v_counts, 'leads', v_leads);
end
$$;
comment on function public.leadhook_replay(text[], text, text) is
  'Scores up to 1,000 named leads again and sends a webhook. Outcomes: as leadhook.decide_replay; leads are returned in the order of the '
  'call, each once.';

-- Returns the positions in p_lead_ids of the first p_limit leads that match a filter. user_id, tag, state and error_code are those of the
-- job, outcome that of its last attempt, score, prompt_version and flag those of its last result; since and until limit the end of its last
-- run. All given fields must match.
create or replace function leadhook.filter_leads(p_lead_ids text[], p_filter jsonb, p_limit int)
returns table (place bigint)
language plpgsql
stable
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  return query
  select i.place
  from jsonb_to_record(p_filter) as f (
    user_id uuid, tag text, state text, outcome text, error_code text, score_min int, score_max int, prompt_version text, flag text,
    since timestamptz, until timestamptz
  )
  cross join unnest(p_lead_ids) with ordinality as i (lead_id, place)
  cross join lateral (
    select j.user_id, j.tag, j.state, j.error_code, j.finished_at from leadhook.jobs as j where j.lead_id = i.lead_id offset 0
  ) as s
  left join lateral (
    select v.score, v.prompt_version, v.flags
    from leadhook.results as v
    where v.lead_id = i.lead_id and coalesce(f.score_min::text, f.score_max::text, f.prompt_version, f.flag) is not null
    order by v.run desc
    limit 1
  ) as v on true
  where (f.user_id is null or s.user_id = f.user_id)
    and (f.tag is null or s.tag = f.tag)
    and (f.state is null or s.state = f.state)
    and (f.error_code is null or s.error_code = f.error_code)
    and (f.since is null or s.finished_at >= f.since)
    and (f.until is null or s.finished_at < f.until)
    and (f.score_min is null or v.score >= f.score_min)
    and (f.score_max is null or v.score <= f.score_max)
    and (f.prompt_version is null or v.prompt_version = f.prompt_version)
    and (f.flag is null or f.flag = any (v.flags) or f.flag = 'any' and v.flags <> '{}')
    and (f.outcome is null or f.outcome = (
      select t.outcome from leadhook.attempts as t where t.lead_id = i.lead_id order by t.id desc limit 1
    ))
  limit p_limit;
end
$$;

-- Returns the next up to 250 leads of a filter after p_after_lead; last_lead: where to continue, null after the last.
create or replace function leadhook.match_leads(
  p_filter jsonb, p_after_lead text, out lead_ids text[], out last_lead text
)
language plpgsql
stable
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_window text[] := array(select j.lead_id from leadhook.jobs as j where j.lead_id > p_after_lead order by j.lead_id limit 5000);
begin
  lead_ids := array(select v_window[m.place] from leadhook.filter_leads(v_window, p_filter, 250) as m order by m.place);
  last_lead := case when cardinality(lead_ids) = 250 then lead_ids[250] else v_window[5000] end;
end
$$;

-- As match_leads, but ends with the lead that is the p_limit-th to be queued; p_limit null: no limit.
create or replace function leadhook.next_leads(
  p_filter jsonb, p_after_lead text, p_limit int, out lead_ids text[], out last_lead text
)
language plpgsql
stable
set search_path = ''
as $$
declare
  v_last_queued text;
begin
  select m.lead_ids, m.last_lead into lead_ids, last_lead from leadhook.match_leads(p_filter, p_after_lead) as m;
  if cardinality(lead_ids) <= p_limit is not false then
    return;
  end if;
  v_last_queued := (
    select d.lead_id
    from leadhook.decide_replay(lead_ids, false) as d
    where d.outcome in ('queued', 'queued_after')
    order by d.lead_id
    offset p_limit - 1
    limit 1
  );
  if v_last_queued is not null then
    lead_ids := lead_ids[:array_position(lead_ids, v_last_queued)];
    last_lead := v_last_queued;
  end if;
end
$$;

-- Queues the next leads of a replay, and sends a webhook with its first and its last slice.
create or replace function leadhook.queue_slice(p_replay_id bigint)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_replay record;
  v_next record;
  v_left int;
  v_added jsonb;
  v_is_last boolean;
begin
  select
    r.filter, r.after_lead, r.counts, r.lead_limit,
    coalesce((r.counts ->> 'queued')::int, 0) + coalesce((r.counts ->> 'queued_after')::int, 0) as queued
  into v_replay
  from leadhook.replays as r
  where r.id = p_replay_id;
  v_left := v_replay.lead_limit - v_replay.queued;
  v_next := leadhook.next_leads(v_replay.filter, v_replay.after_lead, v_left);
  perform leadhook.lock_outbox();
  v_added := (
    select coalesce(jsonb_object_agg(c.outcome, c.n), '{}')
    from (
      select q.outcome, count(*) as n
      from leadhook.queue_replay(p_replay_id, v_next.lead_ids, false) as q
      group by q.outcome
    ) as c
  );
  v_is_last := v_next.last_lead is null
    or v_left <= coalesce((v_added ->> 'queued')::int, 0) + coalesce((v_added ->> 'queued_after')::int, 0);
  update leadhook.replays as r
  set
    phase = case when v_is_last then 'queued' else 'queueing' end,
    after_lead = case when v_is_last then '' else v_next.last_lead end,
    counts = r.counts || (
      select coalesce(jsonb_object_agg(a.key, a.value::int + coalesce((r.counts ->> a.key)::int, 0)), '{}') from jsonb_each_text(v_added) as a
    )
  where r.id = p_replay_id;
  if v_added ? 'queued' and (v_replay.queued = 0 or v_is_last) then
    perform leadhook.send_webhook('replay', (v_added ->> 'queued')::int);
  end if;
end
$$;

-- Restores the jobs of these leads to their state before this replay, unless they are leased. A lead that another replay waits for as well
-- stays queued for that one, which may have been requested while this one held the lease: its run, and not the next, is then this one.
create or replace function leadhook.unqueue_replay(p_replay_id bigint, p_lead_ids text[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_restored jsonb;
begin
  perform from leadhook.jobs as j where j.lead_id = any (p_lead_ids) order by j.lead_id for no key update;

  with waiting as materialized (
    select
      m.lead_id, m.run, m.outcome, j.run < m.run as is_after, h.replay_id as heir, h.run as heir_run,
      coalesce(
        m.before,
        (
          select jsonb_build_object(
            'state', case t.outcome when 'saved' then 'done' when 'saved_without_message' then 'done' when 'unwanted' then 'waiting' else 'dead' end,
            'run', t.run, 'attempts', 0, 'low_priority', false, 'eligible_at', t.eligible_at, 'source', t.source,
            'error_code', case when t.outcome <> 'saved' then coalesce(t.error_code, t.outcome) end,
            'reason', case when t.outcome <> 'saved' then coalesce(t.reason, t.outcome) end,
            'finished_at', t.finished_at
          )
          from leadhook.attempts as t
          where m.outcome = 'queued_after' and t.lead_id = m.lead_id and t.run = m.run - 1
          order by t.id desc
          limit 1
        ),
        '{"state": "waiting", "run": 1, "attempts": 0, "low_priority": false}'
      ) as before
    from leadhook.replay_leads as m
    join leadhook.jobs as j using (lead_id)
    left join lateral (
      select o.replay_id, o.run
      from leadhook.replay_leads as o
      where o.lead_id = m.lead_id and o.replay_id <> p_replay_id and not o.stopped
        and (o.run = m.run or m.outcome <> 'already_queued' and o.run = j.run + 1 and j.run = m.run and j.replay_after is not null)
      order by o.run, o.replay_id desc
      limit 1
    ) as h on true
    where m.replay_id = p_replay_id and m.lead_id = any (p_lead_ids) and not m.stopped
      and (j.replay_id = p_replay_id and j.state = 'ready' and j.run = m.run or j.replay_after = p_replay_id and j.run < m.run)
  ),
  marked as (
    update leadhook.replay_leads as m set stopped = true from waiting as w where m.replay_id = p_replay_id and m.lead_id = w.lead_id
  ),
  inherited as (
    update leadhook.replay_leads as m
    set
      run = w.run,
      outcome = case when m.replay_id = w.heir then w.outcome else 'already_queued' end,
      before = case when m.replay_id = w.heir then w.before end
    from waiting as w
    where m.lead_id = any (p_lead_ids) and m.lead_id = w.lead_id and m.run = w.heir_run and m.replay_id <> p_replay_id and not m.stopped
      and (w.heir_run > w.run or m.replay_id = w.heir and m.outcome = 'already_queued' and w.outcome = 'queued')
  ),
  handed_over as (
    update leadhook.jobs as j
    set
      replay_id = case when w.is_after then j.replay_id else w.heir end,
      replay_after = case when w.is_after then w.heir when w.heir_run > w.run then null else j.replay_after end
    from waiting as w
    where j.lead_id = w.lead_id and (w.is_after or w.heir is not null or w.outcome = 'already_queued')
  )
  select coalesce(jsonb_agg(to_jsonb(w)) filter (where not w.is_after and w.heir is null and w.outcome <> 'already_queued'), '[]')
  into v_restored
  from waiting as w;
  perform leadhook.restore_jobs(v_restored);
  perform leadhook.recall_changes(array(select r.lead_id from jsonb_to_recordset(v_restored) as r (lead_id text)));

  -- While they were queued, a change that makes them eligible had no effect on them.
  perform leadhook.apply_changes(array(
    select r.lead_id from jsonb_to_recordset(v_restored) as r (lead_id text, before jsonb) where r.before ->> 'state' in ('waiting', 'done')
  ), 'replay', 'change');
end
$$;

-- Takes the next leads of a stopped replay out of the queue.
create or replace function leadhook.stop_slice(p_replay_id bigint)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_after text := (select r.after_lead from leadhook.replays as r where r.id = p_replay_id);
  v_lead_ids text[];
begin
  v_lead_ids := array(
    select m.lead_id
    from leadhook.replay_leads as m
    where m.replay_id = p_replay_id and m.lead_id > v_after and not m.stopped
    order by m.lead_id
    limit 250
  );
  if cardinality(v_lead_ids) > 0 then
    perform leadhook.lock_outbox();
    perform leadhook.unqueue_replay(p_replay_id, v_lead_ids);
  end if;
  update leadhook.replays as r
  set
    phase = case when v_lead_ids[250] is not null then 'stopping' else 'stopped' end,
    after_lead = coalesce(v_lead_ids[250], '')
  where r.id = p_replay_id;
end
$$;

-- Runs the next slice of a replay that is being queued or stopped. Does nothing if another call is working on it.
create or replace function leadhook.work_on_replay(p_replay_id bigint)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_phase text := (
    select r.phase from leadhook.replays as r where r.id = p_replay_id and r.phase in ('queueing', 'stopping') for update skip locked
  );
begin
  if v_phase = 'queueing' then
    perform leadhook.queue_slice(p_replay_id);
  elsif v_phase = 'stopping' then
    perform leadhook.stop_slice(p_replay_id);
  end if;
end
$$;

-- Returns whether leadhook_replay_slice has something to do.
create or replace function leadhook.has_slices()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from leadhook.replays as r where r.phase in ('queueing', 'stopping'))
    or exists (select from leadhook.releases as b where b.ended_at is null);
end
$$;

create or replace function public.leadhook_replay_slice()
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set row_security = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_replay_id bigint := (select r.id from leadhook.replays as r where r.phase in ('queueing', 'stopping') order by r.id limit 1);
  v_now timestamptz;
begin
  if v_replay_id is not null then
    perform leadhook.work_on_replay(v_replay_id);
  else
    perform leadhook.work_on_release((select b.id from leadhook.releases as b where b.ended_at is null order by b.id limit 1));
  end if;
  v_now := clock_timestamp();
  return jsonb_build_object('left', leadhook.has_slices(), 'next_due_ms', leadhook.next_due_ms(v_now));
end
$$;
comment on function public.leadhook_replay_slice() is
  'Continues the oldest replay that is being queued or stopped, or else the oldest release of held leads, by one slice. left: call again '
  'after a pause.';

create or replace function public.leadhook_replay_filtered(
  p_filter jsonb, p_limit int, p_actor text, p_reason text default null, p_request_id uuid default null
)
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_replay_id bigint;
begin
  perform leadhook.require_actor(p_actor);
  if jsonb_typeof(p_filter) is distinct from 'object' or p_limit < 1 then
    raise exception 'p_filter must be an object, and p_limit 1 or more' using errcode = 'PT400';
  end if;
  insert into leadhook.replays (actor, reason, filter, lead_limit, phase, request_id)
  values (left(btrim(p_actor), 200), left(p_reason, 500), p_filter, p_limit, 'queueing', p_request_id)
  on conflict (request_id) do nothing
  returning id into v_replay_id;
  if v_replay_id is not null then
    perform leadhook.note_action(
      p_actor, 'replay', jsonb_build_object('replay_id', v_replay_id, 'filter', p_filter, 'limit', p_limit), p_reason
    );
    perform leadhook.work_on_replay(v_replay_id);
  end if;
  return (
    select jsonb_build_object('replay_id', r.id, 'counts', r.counts, 'phase', r.phase)
    from leadhook.replays as r where r.id = v_replay_id or r.request_id = p_request_id
  );
end
$$;
comment on function public.leadhook_replay_filtered(jsonb, int, text, text, uuid) is
  'Begins a replay of up to p_limit leads (null: all) that match a filter (leadhook.filter_leads), in the order of lead_id. phase '
  'queueing: leadhook_replay_slice continues. A repeated call with the same p_request_id returns the same replay.';

create or replace function public.leadhook_replay_stop(p_replay_id bigint, p_actor text, p_reason text default null)
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_status jsonb := public.leadhook_replay_status(p_replay_id, '', 1, 10000);
begin
  perform leadhook.require_actor(p_actor);
  if v_status ->> 'phase' = 'stopped' or v_status ->> 'phase' = 'queued'
    and coalesce((v_status #>> '{progress,waiting}')::int, 0) = 0 and v_status #> '{progress,leased}' is null then
    return v_status || '{"changed": false}';
  end if;
  update leadhook.replays as r
  set phase = 'stopping', after_lead = ''
  where r.id = p_replay_id and r.phase <> 'stopping';
  if found then
    perform leadhook.note_action(p_actor, 'replay_stop', jsonb_build_object('replay_id', p_replay_id), p_reason);
  end if;
  perform leadhook.work_on_replay(p_replay_id);
  return public.leadhook_replay_status(p_replay_id, '', 1, 10000);
end
$$;
comment on function public.leadhook_replay_stop(bigint, text, text) is
  'Stops a replay: leads that are not leased return to their previous state, leased ones are finished. Returns leadhook_replay_status with '
  'p_most 10,000; phase stopping: leadhook_replay_slice continues. A replay that has ended is not changed (changed false).';

-- Returns what the last run with a result cost, summed over these leads and all attempts of the run.
create or replace function leadhook.sum_usage(p_lead_ids text[])
returns table (known bigint, calls numeric, input_tokens numeric, cached_tokens numeric, output_tokens numeric, thinking_tokens numeric,
  cost_usd numeric, model_ms numeric)
language sql
stable
set search_path = ''
as $$
  select
    count(distinct t.lead_id), sum(t.calls), sum(t.input_tokens), sum(t.cached_tokens), sum(t.output_tokens), sum(t.thinking_tokens),
    sum(t.cost_usd), sum(t.model_ms)
  from (
    select v.lead_id, max(v.run) as run from leadhook.results as v where v.lead_id = any (sum_usage.p_lead_ids) group by v.lead_id
  ) as v
  join leadhook.attempts as t on t.lead_id = v.lead_id and t.run = v.run and t.calls > 0
$$;

-- Returns the average usage of the last 1,000 scored leads among the last 5,000 attempts; nulls if there are none.
create or replace function leadhook.average_usage()
returns table (calls numeric, input_tokens numeric, cached_tokens numeric, output_tokens numeric, thinking_tokens numeric, cost_usd numeric,
  model_ms numeric)
language sql
stable
set search_path = ''
as $$
  select
    avg(t.calls), avg(t.input_tokens), avg(t.cached_tokens), avg(t.output_tokens), avg(t.thinking_tokens),
    avg(t.cost_usd), avg(t.model_ms)
  from (
    select r.* from (select a.* from leadhook.attempts as a order by a.id desc limit 5000) as r
    where r.outcome = 'saved' and r.calls > 0
    limit 1000
  ) as t
$$;

create or replace function public.leadhook_replay_dry_run(
  p_lead_ids text[], p_filter jsonb, p_limit int, p_after_lead text default ''
)
returns jsonb
language plpgsql
stable
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_next record;
  v_queued text[];
  v_counts jsonb;
begin
  if p_lead_ids is not null then
    select p_lead_ids as lead_ids, null::text as last_lead into v_next;
  else
    v_next := leadhook.next_leads(p_filter, p_after_lead, p_limit);
  end if;
  with decided as materialized (
    select d.lead_id, d.outcome from leadhook.decide_replay(v_next.lead_ids, p_lead_ids is not null) as d
  )
  select
    (select coalesce(jsonb_object_agg(c.outcome, c.n), '{}') from (select d.outcome, count(*) as n from decided as d group by d.outcome) as c),
    array(select d.lead_id from decided as d where d.outcome in ('queued', 'queued_after') order by d.lead_id)
  into v_counts, v_queued;
  return jsonb_build_object(
    'counts', v_counts,
    'last_lead', v_next.last_lead,
    'sample', to_jsonb(v_queued[:10]),
    'usage', (select to_jsonb(u) from leadhook.sum_usage(v_queued) as u),
    'average', (select to_jsonb(a) from leadhook.average_usage() as a)
  );
end
$$;
comment on function public.leadhook_replay_dry_run(text[], jsonb, int, text) is
  'Returns what a replay of named leads, or of one slice of a filter, would do, and what these leads cost when they were last scored. '
  'last_lead: where the next slice begins, null after the last. average: cost of a lead lately, for leads that were never scored.';

-- Returns the state of each lead of a replay: waiting, leased, done, failed, stopped, or dropped (not eligible any more, or started again
-- by a change).
create or replace function leadhook.list_replay_leads(p_replay_id bigint, p_lead_ids text[] default null)
returns table (lead_id text, state text, score int, error_code text, reason text)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  select
    m.lead_id,
    case
      when m.stopped then 'stopped'
      when j.state in ('ready', 'leased') and (j.run < m.run or j.run = m.run and j.state = 'ready') then 'waiting'
      when j.run = m.run and j.state = 'leased' then 'leased'
      when v.written then 'done'
      when j.run = m.run and j.state = 'dead' or j.run > m.run and v.written is false then 'failed'
      else 'dropped'
    end,
    case when not m.stopped then v.score end,
    case when j.run = m.run and not m.stopped then j.error_code end,
    case when j.run = m.run and not m.stopped then j.reason end
  from leadhook.replay_leads as m
  left join leadhook.jobs as j on j.lead_id = m.lead_id
  left join leadhook.results as v on v.lead_id = m.lead_id and v.run = m.run
  where m.replay_id = p_replay_id and (p_lead_ids is null or m.lead_id = any (p_lead_ids));
end
$$;

-- Returns the usage of all attempts of a replay.
create or replace function leadhook.sum_replay_usage(p_replay_id bigint)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'calls', coalesce(sum(t.calls), 0),
    'input_tokens', coalesce(sum(t.input_tokens), 0),
    'cached_tokens', coalesce(sum(t.cached_tokens), 0),
    'output_tokens', coalesce(sum(t.output_tokens), 0),
    'thinking_tokens', coalesce(sum(t.thinking_tokens), 0),
    'cost_usd', sum(t.cost_usd)
  )
  from leadhook.attempts as t
  where t.replay_id = sum_replay_usage.p_replay_id
$$;

create or replace function public.leadhook_replay_status(
  p_replay_id bigint, p_after_lead text default '', p_limit int default 100, p_most int default null
)
returns jsonb
language plpgsql
stable
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_replay leadhook.replays := (select r from leadhook.replays as r where r.id = p_replay_id);
  v_complete boolean := (
    select p_most is null or count(*) <= p_most
    from (select from leadhook.replay_leads as m where m.replay_id = p_replay_id and p_most is not null limit p_most + 1) as m
  );
  v_progress jsonb;
  v_leads jsonb;
begin
  if v_replay.id is null then
    return jsonb '{"found": false}';
  end if;
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception 'p_limit must be 1 to 1000' using errcode = 'PT400';
  end if;
  if v_complete then
    v_progress := (
      select jsonb_object_agg(p.state, p.n)
      from (select s.state, count(*) as n from leadhook.list_replay_leads(p_replay_id) as s group by s.state) as p
    );
  else
    v_progress := (
      select jsonb_build_object('waiting', count(*))
      from (
        select from leadhook.jobs as j where j.low_priority and j.state in ('ready', 'leased') and j.replay_id = p_replay_id limit 100000
      ) as j
    );
  end if;
  v_leads := (
    select coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(s)) order by s.lead_id), '[]')
    from leadhook.list_replay_leads(p_replay_id, array(
      select m.lead_id from leadhook.replay_leads as m where m.replay_id = p_replay_id and m.lead_id > p_after_lead order by m.lead_id limit 1001
    )) as s
  );
  return jsonb_build_object(
    'found', true,
    'replay_id', v_replay.id,
    'phase', v_replay.phase,
    'actor', v_replay.actor,
    'reason', v_replay.reason,
    'created_at', v_replay.created_at,
    'filter', v_replay.filter,
    'limit', v_replay.lead_limit,
    'counts', v_replay.counts,
    'progress', coalesce(v_progress, '{}'),
    'complete', v_complete,
    'usage', case when v_complete then leadhook.sum_replay_usage(p_replay_id) else '{}' end,
    'leads', jsonb_path_query_array(v_leads, '$[0 to $last]', jsonb_build_object('last', p_limit - 1)),
    'next_after', case when jsonb_array_length(v_leads) > p_limit then v_leads -> (p_limit - 1) ->> 'lead_id' end
  );
end
$$;
comment on function public.leadhook_replay_status(bigint, text, int, int) is
  'Returns the progress of a replay and the next p_limit of its leads after p_after_lead. found false: there is no such replay. complete '
  'false: it has more than p_most leads, so only waiting ones are counted, up to 100,000.';

create or replace function public.leadhook_replays(p_limit int default 20)
returns jsonb
language plpgsql
stable
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
begin
  return jsonb_build_object('replays', (
    select coalesce(jsonb_agg(to_jsonb(l)), '[]')
    from (
      select r.id as replay_id, r.phase, r.actor, r.reason, r.created_at, r.filter, r.lead_limit as limit, r.counts
      from leadhook.replays as r
      order by r.id desc
      limit least(greatest(p_limit, 1), 1000)
    ) as l
  ));
end
$$;
comment on function public.leadhook_replays(int) is 'Returns the newest replays, up to 1,000; leadhook_replay_status reports the progress of one.';

select leadhook.grant_functions();
