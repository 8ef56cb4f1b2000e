-- Purpose: saves the answers of on-demand requests (POST /process-lead) to the application and to the job, in one transaction.
-- No lease is held while such a lead is scored. Its answer is written even if the lead is not eligible, and the job gets a new fence, so a
-- worker that holds the lead loses its lease. The application's tables may not know the lead; the sweep then erases its job.
-- Locks: as leadhook_save, first the application's rows, without waiting (busy), then the jobs, waiting.

set local check_function_bodies = off;

-- Parses and checks 1 to 100 results; those with an outcome (retry, returned, dead) have no answer. fence is 0 until the job is leased.
-- Raises PT400 if a result is incomplete, or a lead or request_id occurs twice.
create or replace function leadhook.read_on_demand(p_results jsonb)
returns leadhook.ending[]
language plpgsql
immutable
set search_path = ''
as $$
begin
  if jsonb_typeof(p_results) is distinct from 'array' then
    raise exception 'p_results must be an array' using errcode = 'PT400';
  end if;
  if jsonb_array_length(p_results) not between 1 and 100
    or (
      select least(count(distinct i.item ->> 'lead_id'), count(distinct i.item ->> 'request_id')) from jsonb_array_elements(p_results) as i (item)
    ) < jsonb_array_length(p_results) then
    raise exception 'p_results must hold 1 to 100 results, each with its lead_id and request_id, and each of them once' using errcode = 'PT400';
  end if;
  if exists (
    select from jsonb_array_elements(p_results) as i (item)
    where jsonb_typeof(i.item -> 'lead_id') is distinct from 'string' or length(i.item ->> 'lead_id') not between 1 and 500
      or i.item ->> 'request_id' is null
      or i.item ->> 'outcome' not in ('retry', 'returned', 'dead')
  ) then
    raise exception 'a result must have a lead_id of 1 to 500 characters, a request_id and, without an answer, the outcome retry, returned or dead'
      using errcode = 'PT400';
  end if;
  return (
    select
      leadhook.read_results(coalesce(jsonb_agg(r.result) filter (where r.result ->> 'outcome' is null), '[]'))
      || leadhook.read_leases(coalesce(jsonb_agg(r.result) filter (where r.result ->> 'outcome' is not null), '[]'))
    from (select i.item || '{"fence": 0}' as result from jsonb_array_elements(p_results) as i (item)) as r
  );
end
$$;

-- Creates the missing jobs of answered leads, unless the request is settled, and locks the jobs of all leads of the call. Two requests may
-- answer the same unknown lead; the second waits for the row.
create or replace function leadhook.enter_on_demand(p_results leadhook.ending[])
returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into leadhook.jobs (lead_id, state, source)
  select r.lead_id, 'waiting', 'on_demand'
  from unnest(p_results) as r
  where r.outcome is null and not exists (select from leadhook.settled_requests as s where s.request_id = r.request_id)
  order by r.lead_id
  on conflict (lead_id) do nothing;
  perform from leadhook.jobs as j where j.lead_id = any (array(select r.lead_id from unnest(p_results) as r)) order by j.lead_id for no key update;
end
$$;

-- Returns the results with their outcomes, decided after the locks: saved, saved_without_message, busy, gone (the application has deleted
-- the lead; a job that is missing after enter_on_demand was erased), or the outcome of an earlier call with this request_id. Values given by
-- the request take precedence over stored ones.
create or replace function leadhook.decide_on_demand(p_results leadhook.ending[], p_busy text[])
returns leadhook.ending[]
language plpgsql
set search_path = ''
as $$
declare
  v_lead_ids text[] := array(select r.lead_id from unnest(p_results) as r);
begin
  return (
    with stored as (
      select distinct on (f.lead_id) f.lead_id, jsonb_build_object('name', f.name, 'linkedin_url', f.profile_url, 'location', f.location) as lead
      from public.lead_details as f
      where f.lead_id = any (v_lead_ids)
      order by f.lead_id, (f.sent_to_llm is not true) desc, case when count(*) over (partition by f.lead_id) > 1 then f::text end desc
    )
    select coalesce(array_agg(jsonb_populate_record(
      r,
      jsonb_build_object('tag', j.tag) || coalesce(s.lead, '{}') || coalesce(jsonb_strip_nulls(r.lead), '{}') || jsonb_build_object(
        'registered', coalesce(e.known and e.has_details, false), 'user_id', e.user_id, 'stored_tag', e.tag,
        'outcome', o.outcome, 'error_code', case when o.unwritten then r.message_failure ->> 'code' end,
        'reason', case when o.unwritten then left(r.message_failure ->> 'reason', 500) else p.reason end, 'note', null,
        'ends', p.outcome is null and o.outcome <> 'busy'
      )
    )), '{}')
    from unnest(p_results) as r
    left join leadhook.jobs as j using (lead_id)
    left join jsonb_to_recordset(leadhook.check_each(v_lead_ids)) as e (lead_id text, user_id uuid, tag text, known boolean, has_details boolean)
      using (lead_id)
    left join stored as s using (lead_id)
    left join lateral (
      select t.outcome, t.reason
      from leadhook.attempts as t
      where t.lead_id = r.lead_id and t.request_id = r.request_id
      union all
      select s.outcome, null from leadhook.settled_requests as s where s.request_id = r.request_id
      limit 1
    ) as p on true
    cross join lateral (
      select case
        when p.outcome is not null then p.outcome
        when j.lead_id is null then 'gone'
        when r.lead_id = any (p_busy) then 'busy'
        when (j.user_id is not null or j.tag is not null) and e.known is not null and not (e.known and e.has_details) then 'gone'
        when r.message is null then 'saved_without_message'
        else 'saved'
      end
    ) as d (outcome)
    cross join lateral (select d.outcome, p.outcome is null and d.outcome = 'saved_without_message') as o (outcome, unwritten)
  );
end
$$;

-- Leases the jobs of these results, which the caller has locked, whatever their state, and returns the results with their fences. A replay that is
-- ready or leased is postponed, because it uses other prompts. If a run was ready or leased, the job counts as changed: if this answer is refused, it
-- starts again. What the worker that loses its lease has spent is not known, so its reservation is booked if it had reported a call.
create or replace function leadhook.take_on_demand(p_worker text, p_results leadhook.ending[], p_now timestamptz)
returns leadhook.ending[]
language plpgsql
set search_path = ''
as $$
declare
  v_lead_ids text[] := array(select r.lead_id from unnest(p_results) as r);
  v_taken leadhook.ending[];
  v_overtaken jsonb;
begin
  with before as materialized (
    select j.*, case when j.called then j.reserved_usd when j.reserved_usd is not null then 0 end as cost_usd
    from leadhook.jobs as j
    where j.lead_id = any (v_lead_ids)
  ),
  postponed as (
    update leadhook.replay_leads as m
    set run = b.run + 1, outcome = 'queued_after', before = null
    from before as b
    where m.replay_id = b.replay_id and m.lead_id = b.lead_id and m.run = b.run and b.state in ('ready', 'leased') and b.replay_after is null
  ),
  taken as (
    update leadhook.jobs as j
    set
      user_id = case when r.registered then r.user_id else j.user_id end,
      tag = case when r.registered then r.stored_tag else j.tag end,
      state = 'leased',
      run = j.run + (j.state in ('done', 'dead'))::int,
      attempts = 0,
      fence = nextval('leadhook.fences'),
      claim_token = pg_catalog.gen_random_uuid(),
      worker = p_worker,
      leased_snapshot = null,
      changed = j.changed or j.state in ('ready', 'leased'),
      leased_at = p_now - make_interval(secs => greatest(r.age_ms, 0) / 1000.0),
      lease_until = p_now,
      eligible_at = p_now - make_interval(secs => greatest(r.age_ms, 0) / 1000.0),
      source = 'on_demand',
      replay_id = null,
      replay_after = coalesce(j.replay_after, case when j.state in ('ready', 'leased') then j.replay_id end),
      reserved_usd = null
    from unnest(p_results) as r
    where j.lead_id = any (v_lead_ids) and j.lead_id = r.lead_id
    returning j.lead_id, j.fence
  )
  select
    array(
      select jsonb_populate_record(r, jsonb_build_object('fence', t.fence))
      from unnest(p_results) as r
      join taken as t on t.lead_id = r.lead_id
    ),
    (
      select jsonb_agg(to_jsonb(b) || jsonb_build_object(
        'outcome', 'returned', 'error_code', 'overtaken', 'reason', 'an on-demand request answered the lead in the meantime', 'wasted', true
      ))
      from before as b
      where b.state = 'leased'
    )
  into v_taken, v_overtaken;

  perform leadhook.note_attempts(v_overtaken, p_now) where v_overtaken is not null;
  return v_taken;
end
$$;

-- Books the costs of requests without an answer, and records their attempts without changing the jobs; a paid score is kept for the next
-- lease, which checks that it was bought with the same prompts.
create or replace function leadhook.note_failed_on_demand(p_worker text, p_results leadhook.ending[], p_now timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_lead_ids text[] := array(select r.lead_id from unnest(p_results) as r);
  v_known jsonb;
  v_unknown jsonb;
begin
  with failed as materialized (
    select
      r.lead_id, r.request_id, r.outcome, r.error_code, r.reason, r.checkpoint, r.key_fingerprint, r.usage, r.cost_usd, r.timing,
      j.lead_id is not null as has_job, coalesce(j.user_id, e.user_id) as user_id,
      p_now - make_interval(secs => greatest(r.age_ms, 0) / 1000.0) as began_at
    from unnest(p_results) as r
    left join leadhook.jobs as j on j.lead_id = r.lead_id
    left join jsonb_to_recordset(leadhook.check_each(v_lead_ids)) as e (lead_id text, user_id uuid) on e.lead_id = r.lead_id
    where not exists (select from leadhook.attempts as t where t.lead_id = r.lead_id and t.request_id = r.request_id)
      and not exists (select from leadhook.settled_requests as s where s.request_id = r.request_id)
  ),
  settled as (
    insert into leadhook.settled_requests (request_id, outcome)
    select f.request_id, f.outcome from failed as f where not f.has_job
    on conflict do nothing
    returning request_id
  ),
  kept as (
    update leadhook.jobs as j
    set checkpoint = f.checkpoint
    from failed as f
    where j.lead_id = f.lead_id and j.state <> 'leased' and j.checkpoint is null and f.checkpoint is not null
  )
  select
    jsonb_agg(to_jsonb(f) - 'checkpoint' || jsonb_build_object(
      'run', 0, 'fence', nextval('leadhook.fences'), 'worker', p_worker, 'source', 'on_demand', 'eligible_at', f.began_at,
      'leased_at', f.began_at
    )) filter (where f.has_job),
    jsonb_agg(to_jsonb(f)) filter (where f.request_id in (select s.request_id from settled as s))
  into v_known, v_unknown
  from failed as f;
  perform leadhook.note_attempts(coalesce(v_known, '[]'), p_now);
  perform leadhook.book_costs(coalesce(v_unknown, '[]'), p_now);
end
$$;

create or replace function public.leadhook_save_on_demand(p_worker text, p_results jsonb)
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set row_security = off
set enable_seqscan = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_all leadhook.ending[] := leadhook.read_on_demand(p_results);
  v_failed leadhook.ending[] := array(select r from unnest(v_all) as r where r.outcome is not null);
  v_results leadhook.ending[] := array(select r from unnest(v_all) as r where r.outcome is null);
  v_lead_ids text[] := array(select r.lead_id from unnest(v_results) as r);
  v_busy text[];
  v_ended leadhook.ending[];
  v_now timestamptz;
begin
  v_busy := leadhook.lock_application_rows(v_lead_ids);
  perform leadhook.enter_on_demand(v_all);
  v_now := clock_timestamp();
  v_results := leadhook.write_results(leadhook.decide_on_demand(v_results, v_busy));

  v_ended := leadhook.take_on_demand(
    p_worker, array(select r from unnest(v_results) as r where r.ends and r.outcome in ('saved', 'saved_without_message', 'refused')), v_now
  );
  perform leadhook.keep_results(v_ended, v_now);
  perform leadhook.end_leases(p_worker, v_ended, v_now);
  perform leadhook.confirm_keys(array(
    select distinct r.key_fingerprint from unnest(v_ended) as r where r.key_fingerprint is not null
  ));
  perform leadhook.note_failed_on_demand(p_worker, v_failed, v_now);

  perform leadhook.erase_answered(array(select r from unnest(v_results) as r where r.ends and r.outcome = 'gone'), v_now);
  perform leadhook.send_webhook('replay') where exists (
    select from leadhook.jobs as j where j.lead_id = any (v_lead_ids) and j.state = 'ready' and j.source = 'replay'
  );

  return jsonb_build_object('leads', (
    select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'lead_id', r.lead_id, 'reason', coalesce(r.note, r.reason),
      'outcome', case when r.outcome in ('retry', 'returned', 'dead') then 'released' else r.outcome end,
      'error_code', case when r.outcome = 'busy' then r.error_code end
    ))), '[]')
    from unnest(v_results || v_failed) as r
  ));
end
$$;
comment on function public.leadhook_save_on_demand(text, jsonb) is
  'Saves the results of on-demand requests, each lead separately and each request_id once. Outcomes: saved or saved_without_message (a '
  'worker that holds the lead loses it); refused by the application''s constraint or trigger (dead, and the answer is kept); busy (retry '
  'soon: the application holds a row, or, with error_code and reason, the answer could not be written now); gone; released (a result with '
  'the outcome retry, returned or dead: its cost is booked, and only a paid score changes its job). An error that concerns every lead of '
  'the call is raised, and nothing is written.';

select leadhook.grant_functions();
