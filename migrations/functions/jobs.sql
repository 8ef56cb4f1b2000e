-- Purpose: what several topics do with a job: record an attempt, begin a run, restore the job of a stopped replay, erase a lead.

set local check_function_bodies = off;

-- Inserts attempts, given by the columns of leadhook.attempts with usage and timing as objects, and adds their costs to the day of their user_id.
create or replace function leadhook.note_attempts(p_attempts jsonb, p_now timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_costs jsonb;
begin
  with attempts as materialized (
    select a.*
    from jsonb_to_recordset(p_attempts) as a (
      lead_id text, user_id uuid, run int, fence bigint, request_id uuid, outcome text, error_code text, reason text, worker text,
      source text, replay_id bigint, model text, prompt_version text, key_fingerprint text, usage jsonb, timing jsonb, cost_usd numeric,
      wasted boolean, eligible_at timestamptz, leased_at timestamptz
    )
  ),
  noted as (
    insert into leadhook.attempts (
      lead_id, run, fence, request_id, outcome, error_code, reason, worker, source, replay_id, model, prompt_version, key_fingerprint, calls,
      input_tokens, cached_tokens, output_tokens, thinking_tokens, cost_usd, wasted, eligible_at, leased_at, first_call_ms, key_wait_ms,
      model_ms, finished_at
    )
    select
      a.lead_id, a.run, a.fence, a.request_id, a.outcome, a.error_code, left(a.reason, 500), a.worker, a.source, a.replay_id, a.model,
      a.prompt_version, a.key_fingerprint, (a.usage ->> 'calls')::int, (a.usage ->> 'input_tokens')::int,
      (a.usage ->> 'cached_tokens')::int, (a.usage ->> 'output_tokens')::int, (a.usage ->> 'thinking_tokens')::int, a.cost_usd,
      coalesce(a.wasted and a.cost_usd > 0, false), a.eligible_at, a.leased_at, (a.timing ->> 'first_call_ms')::int,
      (a.timing ->> 'key_wait_ms')::int, (a.timing ->> 'model_ms')::int, p_now
    from attempts as a
  )
  select jsonb_agg(jsonb_build_object('user_id', a.user_id, 'cost_usd', a.cost_usd, 'wasted', a.wasted)) into v_costs
  from attempts as a
  where a.cost_usd > 0;
  if v_costs is not null then
    perform leadhook.book_costs(v_costs, p_now);
  end if;
end
$$;

-- Makes jobs [{lead_id, user_id, tag, eligible_at}] ready; the caller has locked them, and none is leased. A job that was done or dead, or
-- has a postponed replay, starts a new run. The checkpoint is kept unless its answer was saved completely: a done job with an error_code
-- has no message yet.
create or replace function leadhook.begin_runs(p_leads jsonb, p_source text, p_low_priority boolean, p_replay_id bigint, p_now timestamptz)
returns void
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_nestloop = off
as $$
declare
  v_lead_ids text[] := array(select l.lead_id from jsonb_to_recordset(p_leads) as l (lead_id text));
begin
  if v_lead_ids = '{}' then
    return;
  end if;
  update leadhook.jobs as j
  set
    state = 'ready',
    user_id = l.user_id,
    tag = l.tag,
    low_priority = p_low_priority,
    run = j.run + (j.state in ('done', 'dead') or j.replay_after is not null)::int,
    attempts = 0,
    available_at = p_now,
    eligible_at = coalesce(l.eligible_at, p_now),
    source = p_source,
    replay_id = coalesce(p_replay_id, j.replay_after),
    replay_after = null,
    changed = false,
    budget_id = null,
    needed_usd = null,
    checkpoint = case when j.state <> 'done' or j.error_code is not null then j.checkpoint end,
    error_code = null,
    reason = null,
    finished_at = null
  from jsonb_to_recordset(p_leads) as l (lead_id text, user_id uuid, tag text, eligible_at timestamptz)
  where j.lead_id = any (v_lead_ids) and j.lead_id = l.lead_id;
end
$$;

-- Begins replays that were requested while these leads were leased, if their run is over.
create or replace function leadhook.begin_postponed_replays(p_lead_ids text[], p_now timestamptz)
returns void
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_leads jsonb := (
    select jsonb_agg(jsonb_build_object('lead_id', j.lead_id, 'user_id', j.user_id, 'tag', j.tag))
    from leadhook.jobs as j
    where j.lead_id = any (p_lead_ids) and j.replay_after is not null and j.state in ('waiting', 'done', 'dead')
  );
begin
  if v_leads is not null then
    perform leadhook.begin_runs(v_leads, 'replay', true, null, p_now);
  end if;
end
$$;

-- Appends these leads to the outbox again if they changed during a run that this transaction has ended.
create or replace function leadhook.recall_changes(p_lead_ids text[])
returns void
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
begin
  with recalled as (
    update leadhook.jobs as j
    set changed = false
    where j.lead_id = any (p_lead_ids) and j.changed and j.state in ('waiting', 'dead', 'held')
    returning j.lead_id
  )
  insert into leadhook.outbox (kind, n, lead_ids)
  select 'leads', count(*), array_agg(r.lead_id) from recalled as r having count(*) > 0;
end
$$;

-- Restores jobs [{lead_id, before}] to the state before a replay queued them. Paid answers are kept.
create or replace function leadhook.restore_jobs(p_jobs jsonb)
returns void
language sql
set search_path = ''
as $$
  update leadhook.jobs as j
  set
    state = b.state,
    run = b.run,
    attempts = b.attempts,
    low_priority = b.low_priority,
    available_at = coalesce(b.available_at, j.available_at),
    eligible_at = b.eligible_at,
    source = b.source,
    replay_id = null,
    checkpoint = case when b.state <> 'done' or b.error_code is not null then j.checkpoint end,
    error_code = b.error_code,
    reason = b.reason,
    finished_at = b.finished_at
  from jsonb_to_recordset(restore_jobs.p_jobs) as r (lead_id text, before jsonb)
  cross join lateral jsonb_to_record(r.before) as b (
    state text, run int, attempts int, low_priority boolean, available_at timestamptz, eligible_at timestamptz, source text,
    error_code text, reason text, finished_at timestamptz
  )
  where j.lead_id = r.lead_id
$$;

-- Deletes everything that leadhook keeps about these leads, which the application has deleted, and returns the number of jobs. Reservations
-- of their leases are booked as wasted if a model call had begun, as in expire_leases. Of on-demand requests, the outcome is kept without the
-- lead.
create or replace function leadhook.erase_leads(p_lead_ids text[])
returns int
language plpgsql
set search_path = ''
as $$
declare
  v_erased int;
  v_costs jsonb;
begin
  with attempts as (
    delete from leadhook.attempts as t where t.lead_id = any (p_lead_ids) returning t.request_id, t.outcome
  )
  insert into leadhook.settled_requests (request_id, outcome)
  select t.request_id, t.outcome from attempts as t where t.request_id is not null
  on conflict do nothing;
  delete from leadhook.results as r where r.lead_id = any (p_lead_ids);
  delete from leadhook.replay_leads as m where m.lead_id = any (p_lead_ids);
  delete from leadhook.lead_groups as o where o.lead_id = any (p_lead_ids);
  with jobs as (
    delete from leadhook.jobs as j where j.lead_id = any (p_lead_ids) returning j.user_id, j.reserved_usd, j.called, j.worker, j.leased_at
  )
  select
    count(*),
    jsonb_agg(jsonb_build_object('user_id', j.user_id, 'cost_usd', j.reserved_usd, 'wasted', true)) filter (
      where j.reserved_usd is not null and (j.called or exists (
        select from leadhook.jobs as k where k.state = 'leased' and k.worker = j.worker and k.leased_at > j.leased_at
      ))
    )
  into v_erased, v_costs
  from jobs as j;
  perform leadhook.book_costs(coalesce(v_costs, '[]'), clock_timestamp());
  perform leadhook.note_action('application', 'erase', jsonb_build_object('leads', v_erased), null) where v_erased > 0;
  return v_erased;
end
$$;

-- Erases leads whose answers came after the application had deleted them. What an answer cost is booked as wasted; the reservation of its lease
-- is booked only if the cost is unknown.
create or replace function leadhook.erase_answered(p_answers leadhook.ending[], p_now timestamptz)
returns void
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_lead_ids text[] := array(select a.lead_id from unnest(p_answers) as a);
  v_costs jsonb := (
    select jsonb_agg(jsonb_build_object('user_id', j.user_id, 'cost_usd', a.cost_usd, 'wasted', true))
    from unnest(p_answers) as a
    left join leadhook.jobs as j on j.lead_id = any (v_lead_ids) and j.lead_id = a.lead_id
  );
begin
  perform leadhook.book_costs(v_costs, p_now) where v_costs is not null;
  update leadhook.jobs as j
  set called = true, reserved_usd = case when a.cost_usd is null then j.reserved_usd end
  from unnest(p_answers) as a
  where j.lead_id = any (v_lead_ids) and j.lead_id = a.lead_id and j.fence = a.fence;
  insert into leadhook.settled_requests (request_id, outcome)
  select a.request_id, a.outcome from unnest(p_answers) as a where a.request_id is not null
  on conflict do nothing;
  perform leadhook.erase_leads(v_lead_ids) where v_lead_ids <> '{}';
end
$$;

select leadhook.grant_functions();
