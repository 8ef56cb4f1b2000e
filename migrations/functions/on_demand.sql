-- Purpose: leads that a person has judged at once (POST /process-lead): their jobs are leased like any other, so that no worker judges them too.
-- An errand is renewed, saved and released as every lease is. What it brings is written whatever the lead's eligibility; where it brings
-- nothing, the job is again what it was. An errand may be about a lead that the application's tables don't know: the answer is written all
-- the same, and the sweep forgets the job.

set local check_function_bodies = off;

-- A change that came while the errand lasted was drained without effect, hence the touch for what may have become ready or stale by it.
create or replace function leadhook.end_errands(p_endings jsonb, p_now timestamptz)
returns void
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
declare
  v_lead_ids text[] := array(
    select j.lead_id
    from leadhook.jobs as j
    where j.lead_id = any (array(select e.lead_id from jsonb_to_recordset(p_endings) as e (lead_id text))) and j.errand is not null
  );
  v_unsettled text[];
begin
  if v_lead_ids = '{}' then
    return;
  end if;
  with over as materialized (
    select
      j.lead_id, b.*,
      coalesce(e.paid, j.paid, b.paid) as bought,
      j.replay_after is not null and j.user_id is not null and j.tag is not null as replayed
    from jsonb_to_recordset(p_endings) as e (lead_id text, outcome text, paid jsonb)
    join leadhook.jobs as j on j.lead_id = e.lead_id
    cross join lateral jsonb_to_record(j.errand -> 'before') as b (
      state text, slow boolean, run int, attempts int, available_at timestamptz, eligible_at timestamptz, found_by text, worker text,
      leased_at timestamptz, replay_id bigint, paid jsonb, error_code text, reason text, finished_at timestamptz
    )
    where j.lead_id = any (v_lead_ids) and e.outcome not in ('saved', 'refused')
  ),
  restored as (
    update leadhook.jobs as j
    set
      state = case when o.replayed then 'ready' else o.state end,
      slow = o.slow or o.replayed,
      run = o.run + (o.replayed and o.state in ('done', 'dead'))::int,
      attempts = case when o.replayed then 0 else o.attempts end,
      available_at = case when o.replayed then p_now else o.available_at end,
      eligible_at = case when o.replayed then p_now else o.eligible_at end,
      found_by = case when o.replayed then 'replay' else o.found_by end,
      worker = o.worker,
      leased_at = o.leased_at,
      replay_id = case when o.replayed then j.replay_after else o.replay_id end,
      replay_after = null,
      paid = o.bought,
      error_code = case when not o.replayed then o.error_code end,
      reason = case when not o.replayed then o.reason end,
      finished_at = case when not o.replayed then o.finished_at end,
      claim_token = null,
      lease_until = null,
      errand = null
    from over as o
    where j.lead_id = any (v_lead_ids) and j.lead_id = o.lead_id
    returning j.lead_id, o.state
  )
  select array_agg(r.lead_id) into v_unsettled from restored as r where r.state in ('waiting', 'ready');

  update leadhook.jobs as j set errand = null where j.lead_id = any (v_lead_ids) and j.errand is not null;

  if v_unsettled is not null then
    insert into leadhook.touches (kind, n, lead_ids) values ('leads', cardinality(v_unsettled), v_unsettled);
  end if;
end
$$;
comment on function leadhook.end_errands(jsonb, timestamptz) is
  'Part of leadhook.end_leases. An errand that was saved or refused leaves its job as that left it; any other leaves it as it was before, except '
  'that what was bought is kept, and that a replay asked for meanwhile begins.';
revoke all on function leadhook.end_errands(jsonb, timestamptz) from public, anon, authenticated;
grant execute on function leadhook.end_errands(jsonb, timestamptz) to service_role;

create or replace function leadhook.expire_errands(p_now timestamptz)
returns void
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_sort = off
as $$
declare
  v_expired record;
begin
  for v_expired in
    select j.lead_id, j.fence, coalesce(j.worker, 'unknown') as worker
    from leadhook.jobs as j
    where j.state = 'leased' and j.lease_until <= p_now and j.errand is not null
    order by j.lease_until
    limit 500
    for no key update skip locked
  loop
    perform from leadhook.end_leases(v_expired.worker, jsonb_build_array(jsonb_build_object(
      'lead_id', v_expired.lead_id, 'fence', v_expired.fence, 'outcome', 'lease_expired', 'error_code', 'lease_expired',
      'reason', format('the lease of worker %s ran out during a request', v_expired.worker)
    )), p_now);
  end loop;
end
$$;
comment on function leadhook.expire_errands(timestamptz) is 'Part of leadhook.expire_leases: an errand whose lease ran out costs its job nothing.';
revoke all on function leadhook.expire_errands(timestamptz) from public, anon, authenticated;
grant execute on function leadhook.expire_errands(timestamptz) to service_role;

create or replace function leadhook.begin_errands(p_token uuid, p_worker text, p_leads jsonb)
returns jsonb
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
declare
  v_lead_ids text[] := array(select l.lead_id from jsonb_to_recordset(p_leads) as l (lead_id text));
  v_now timestamptz := clock_timestamp();
  v_judged jsonb;
begin
  perform leadhook.expire_leases(v_now);
  v_judged := leadhook.judge_each(v_lead_ids);
  insert into leadhook.jobs (lead_id, user_id, tag, state, found_by)
  select e.lead_id, e.user_id, e.tag, 'waiting', 'process'
  from jsonb_to_recordset(v_judged) as e (lead_id text, user_id uuid, tag text)
  on conflict (lead_id) do nothing;

  with due as materialized (
    select j.lead_id, to_jsonb(j) - 'errand' as before, nextval('leadhook.fences') as fence
    from leadhook.jobs as j
    where j.lead_id = any (v_lead_ids) and j.state <> 'leased'
    order by j.lead_id
    for no key update
  ),
  stored as (
    select distinct on (f.lead_id) f.lead_id, jsonb_build_object('name', f.name, 'linkedin_url', f.profile_url, 'location', f.location) as lead
    from public.lead_details as f
    where f.lead_id = any (v_lead_ids)
    order by f.lead_id, (f.sent_to_llm is not true) desc, case when count(*) over (partition by f.lead_id) > 1 then f::text end desc
  )
  update leadhook.jobs as j
  set
    state = 'leased',
    run = j.run + (j.state in ('done', 'dead'))::int,
    attempts = 0,
    fence = d.fence,
    claim_token = p_token,
    worker = p_worker,
    leased_at = v_now,
    lease_until = v_now,
    eligible_at = v_now,
    found_by = 'process',
    replay_id = null,
    errand = jsonb_build_object(
      'before', d.before,
      'lead', coalesce(s.lead, '{}') || jsonb_strip_nulls(l.lead),
      'registered', coalesce(e.known and e.has_details, false)
    )
  from due as d
  join jsonb_to_recordset(v_judged) as e (lead_id text, known boolean, has_details boolean) using (lead_id)
  join (select i.lead, i.lead ->> 'lead_id' as lead_id from jsonb_array_elements(p_leads) as i (lead)) as l using (lead_id)
  left join stored as s using (lead_id)
  where j.lead_id = any (v_lead_ids) and j.lead_id = d.lead_id;

  update leadhook.jobs as j
  set lease_until = v_now + make_interval(secs => c.lease_s::float8)
  from leadhook.controls as c
  where j.lead_id = any (v_lead_ids) and j.claim_token = p_token;

  return (
    select jsonb_build_object(
      'busy', false,
      'leads', (
        select jsonb_agg(case
          when j.claim_token = p_token
            then jsonb_build_object('lead_id', j.lead_id, 'fence', j.fence, 'run', j.run, 'paid', j.paid)
          else jsonb_build_object('lead_id', j.lead_id, 'leased_by', j.worker, 'leased_until', j.lease_until)
        end order by j.lead_id)
        from leadhook.jobs as j
        where j.lead_id = any (v_lead_ids)
      ),
      'renew_ms', round(c.renew_s * 1000)::int,
      'start_limit_ms', round(c.start_limit_s * 1000)::int
    )
    from leadhook.controls as c
  );
end
$$;
revoke all on function leadhook.begin_errands(uuid, text, jsonb) from public, anon, authenticated;
grant execute on function leadhook.begin_errands(uuid, text, jsonb) to service_role;

create or replace function public.leadhook_process_begin(p_token uuid, p_worker text, p_leads jsonb)
returns jsonb
language plpgsql
security invoker
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_lead_ids text[];
begin
  if jsonb_typeof(p_leads) is distinct from 'array' then
    raise exception 'a JSON array of leads is wanted' using errcode = 'PT400';
  end if;
  v_lead_ids := array(select i.lead ->> 'lead_id' from jsonb_array_elements(p_leads) as i (lead));
  if p_token is null or coalesce(p_worker, '') = '' then
    raise exception 'p_token and p_worker are wanted' using errcode = 'PT400';
  end if;
  if cardinality(v_lead_ids) not between 1 and 100 or (select count(distinct i) from unnest(v_lead_ids) as i) < cardinality(v_lead_ids) then
    raise exception '1 to 100 leads are wanted, each with its lead_id and each once' using errcode = 'PT400';
  end if;
  if exists (select from unnest(v_lead_ids) as i where length(i) not between 1 and 500) then
    raise exception 'a lead_id has 1 to 500 characters' using errcode = 'PT400';
  end if;
  begin
    -- Both locks of the claim: what is looked at here is looked at by no claim, drain, sweep or replay.
    perform leadhook.lock_claims();
    perform leadhook.lock_drain();
    return leadhook.begin_errands(p_token, p_worker, p_leads);
  exception when lock_not_available or deadlock_detected then
    return (
      select jsonb_build_object(
        'busy', true, 'leads', '[]'::jsonb,
        'renew_ms', round(c.renew_s * 1000)::int,
        'start_limit_ms', round(c.start_limit_s * 1000)::int
      )
      from leadhook.controls as c
    );
  end;
end
$$;
comment on function public.leadhook_process_begin(uuid, text, jsonb) is
  'Leases up to 100 named leads for a person''s request, whatever their state: with fence, or with leased_by where somebody has them already. p_leads: '
  'objects with lead_id, tag, name, linkedin_url and location. The same token again returns the same leases. busy: again in 200 to 600 ms.';
revoke all on function public.leadhook_process_begin(uuid, text, jsonb) from public, anon, authenticated;
grant execute on function public.leadhook_process_begin(uuid, text, jsonb) to service_role;
