-- Purpose: what a worker does with a lease besides saving: keep it (renew) and give it back (release), and what save shares with them.
-- Every write is fenced by (lead_id, fence); the same lead may stand in a list with several fences. Keys of an item that a function
-- does not know are ignored: two versions of the service overlap in a deploy.

set local check_function_bodies = off;

-- A lease that ran out spends no attempt, as nothing is known against its lead; it may have ended its worker, though, hence the suspicion:
-- each lead that the lost worker held is suspected, but where it held suspects already, the one that was handed out last, alone. With max_deaths
-- the lead is dead.
-- What the lease cost is all that was reserved, if its worker said that a model call had begun: with a renewal (a second after the first call at the
-- latest, while nothing else speaks for it), or by having claimed more since, which it does once it works on what it has. Else it cost nothing. A
-- worker that is lost within that second may have begun a call that is not booked.
-- Rows that somebody holds are skipped: they are being saved or renewed.
create or replace function leadhook.expire_leases(p_now timestamptz)
returns void
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_nestloop = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_max_deaths int := (select c.max_deaths from leadhook.controls as c);
begin
  with leased as materialized (
    select j.lead_id, j.worker, j.leased_at, j.fence, j.deaths from leadhook.jobs as j where j.state = 'leased'
  ),
  workers as materialized (
    select l.worker, max(l.leased_at) as claimed_at, max(l.fence) filter (where l.deaths > 0) as suspect from leased as l group by l.worker
  ),
  expired as materialized (
    select
      j.lead_id, j.user_id, j.run, j.fence, j.worker, j.source, j.replay_id, j.eligible_at, j.leased_at, j.called, j.reserved_usd, j.deaths,
      j.replay_after is not null as runs_again
    from leadhook.jobs as j
    where j.state = 'leased' and j.lease_until <= p_now
    order by j.lease_until
    limit 500
    for no key update skip locked
  ),
  blamed as materialized (
    select
      e.lead_id, e.user_id, e.run, e.fence, e.worker, e.source, e.replay_id, e.eligible_at, e.leased_at, e.runs_again,
      e.deaths + (w.suspect is null or w.suspect = e.fence)::int as deaths,
      case when e.called or w.claimed_at > e.leased_at then e.reserved_usd when e.reserved_usd is not null then 0 end as cost_usd
    from expired as e
    join workers as w on w.worker is not distinct from e.worker
  ),
  told as materialized (
    select
      b.*,
      b.deaths >= v_max_deaths as is_last,
      case when b.deaths >= v_max_deaths then 'worker_lost' else 'lease_expired' end as error_code,
      format('the lease of worker %s ran out', coalesce(b.worker, 'unknown')) || case
        when b.deaths >= v_max_deaths then format(
          ', as %s leases of this lead did in a row: it may be what ends the process; look at the service''s log, then correct the row or replay it',
          b.deaths
        )
        else '; no attempt is spent'
      end as reason
    from blamed as b
  ),
  noted as (
    insert into leadhook.attempts (
      lead_id, run, fence, outcome, error_code, reason, worker, source, replay_id, cost_usd, wasted, eligible_at, leased_at,
      finished_at
    )
    select
      t.lead_id, t.run, t.fence, 'lease_expired', t.error_code, t.reason, t.worker, t.source, t.replay_id, t.cost_usd,
      coalesce(t.cost_usd > 0, false), t.eligible_at, t.leased_at, p_now
    from told as t
  ),
  booked as materialized (
    select leadhook.book_costs(jsonb_agg(jsonb_build_object('user_id', t.user_id, 'usd', t.cost_usd, 'wasted', true)), p_now)
    from told as t
    where t.cost_usd > 0
    having count(*) > 0
  )
  update leadhook.jobs as j set
    state = case when t.is_last and not t.runs_again then 'dead' else 'ready' end,
    deaths = case when t.is_last then 0 else t.deaths end,
    attempts = case when t.is_last and t.runs_again then 0 else j.attempts end,
    run = j.run + (t.is_last and t.runs_again)::int,
    low_priority = j.low_priority or t.is_last and t.runs_again,
    replay_id = case when t.is_last and t.runs_again then j.replay_after when not t.is_last then j.replay_id end,
    replay_after = case when t.is_last then null else j.replay_after end,
    source = case when t.is_last and t.runs_again then 'replay' else j.source end,
    eligible_at = case when t.is_last and t.runs_again then p_now else j.eligible_at end,
    error_code = t.error_code,
    reason = t.reason,
    finished_at = case when t.is_last and not t.runs_again then p_now end,
    claim_token = null,
    lease_until = null,
    reserved_usd = null
  from told as t
  where j.lead_id = any (array(select e.lead_id from expired as e)) and j.lead_id = t.lead_id
    and (select count(*) from booked as b) >= 0;
end
$$;
revoke all on function leadhook.expire_leases(timestamptz) from public, anon, authenticated;
grant execute on function leadhook.expire_leases(timestamptz) to service_role;

create or replace function leadhook.require_leases(p_items jsonb)
returns void
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if jsonb_typeof(p_items) is distinct from 'array' then
    raise exception 'a JSON array of leases is wanted' using errcode = 'PT400';
  end if;
  if exists (
    select from jsonb_array_elements(p_items) as i (item)
    where jsonb_typeof(i.item -> 'lead_id') is distinct from 'string' or jsonb_typeof(i.item -> 'fence') is distinct from 'number'
  ) then
    raise exception 'each lease is named by lead_id (text) and fence (number)' using errcode = 'PT400';
  end if;
end
$$;
comment on function leadhook.require_leases(jsonb) is 'Raises PT400 unless each item names a lease.';
revoke all on function leadhook.require_leases(jsonb) from public, anon, authenticated;
grant execute on function leadhook.require_leases(jsonb) to service_role;

create or replace function leadhook.lock_leases(p_items jsonb)
returns table (lead_id text, fence bigint, standing text, outcome text, reason text)
language plpgsql
security invoker
set search_path = ''
set jit = off
set row_security = off -- a lease that is hidden would look as if it were gone
as $$
#variable_conflict use_column
begin
  -- Waits for whoever has a row. One that has it for too long must not cost the others their leases: then without waiting.
  begin
    perform
    from leadhook.jobs as j
    join jsonb_to_recordset(p_items) as i (lead_id text, fence bigint) on i.lead_id = j.lead_id and i.fence = j.fence
    where j.state = 'leased'
    order by j.lead_id
    for no key update of j;
  exception when lock_not_available or deadlock_detected then
    null;
  end;
  return query
  with asked as (
    select distinct i.lead_id, i.fence from jsonb_to_recordset(p_items) as i (lead_id text, fence bigint)
  ),
  locked as materialized (
    select j.lead_id, j.fence
    from leadhook.jobs as j
    join asked as a on a.lead_id = j.lead_id and a.fence = j.fence
    where j.state = 'leased'
    order by j.lead_id
    for no key update of j skip locked
  )
  select
    a.lead_id,
    a.fence,
    case
      when l.lead_id is not null then 'locked'
      when j.lead_id is null then 'gone'
      when j.state = 'leased' and j.fence = a.fence then 'busy'
      else 'past'
    end,
    p.outcome,
    p.reason
  from asked as a
  left join locked as l on l.lead_id = a.lead_id and l.fence = a.fence
  left join leadhook.jobs as j on j.lead_id = a.lead_id
  left join lateral (
    select t.outcome, t.reason
    from leadhook.attempts as t
    where l.lead_id is null and t.lead_id = a.lead_id and t.fence = a.fence
    order by t.id desc
    limit 1
  ) as p on true;
end
$$;
comment on function leadhook.lock_leases(jsonb) is
  'Locks the jobs of these leases. standing: locked (ours until the transaction ends), busy (somebody has the row), past (ended; outcome says '
  'how, null: taken by another claim), gone (no job).';
revoke all on function leadhook.lock_leases(jsonb) from public, anon, authenticated;
grant execute on function leadhook.lock_leases(jsonb) to service_role;

create or replace function leadhook.end_leases(p_worker text, p_endings jsonb, p_now timestamptz)
returns table (lead_id text, fence bigint, outcome text)
language plpgsql
security invoker
set search_path = ''
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with endings as materialized (
    select
      e.*,
      j.user_id,
      coalesce(e.cost_usd, j.reserved_usd) as cost,
      j.run,
      j.replay_id,
      j.source,
      j.eligible_at,
      j.leased_at,
      coalesce(e.checkpoint, j.checkpoint) as bought,
      n.state,
      n.state <> 'ready' and j.replay_after is not null and j.user_id is not null and j.tag is not null as again
    from jsonb_to_recordset(p_endings) as e (
      lead_id text, fence bigint, outcome text, error_code text, reason text, note text, delay_ms bigint, checkpoint jsonb,
      key_fingerprint text, usage jsonb, cost_usd numeric, timing jsonb, request_id uuid
    )
    join leadhook.jobs as j on j.lead_id = e.lead_id and j.fence = e.fence and j.state = 'leased'
    cross join leadhook.controls as c
    cross join lateral (
      select case
        when e.outcome = 'saved' then 'done'
        when e.outcome = 'unwanted' then 'waiting'
        when e.outcome = 'returned' or (e.outcome = 'retry' and j.attempts + 1 < c.max_attempts) then 'ready'
        else 'dead'
      end
    ) as n (state)
  ),
  recorded as (
    insert into leadhook.attempts (
      lead_id, run, fence, request_id, outcome, error_code, reason, worker, source, replay_id, model, prompt_version, key_fingerprint,
      calls, input_tokens, cached_tokens, output_tokens, thinking_tokens, cost_usd, wasted, eligible_at, leased_at, first_call_ms, key_wait_ms, model_ms, finished_at
    )
    select
      e.lead_id, e.run, e.fence, e.request_id, case when e.outcome = 'retry' and e.state = 'dead' then 'dead' else e.outcome end,
      e.error_code, left(coalesce(e.note, e.reason), 500), p_worker, e.source, e.replay_id,
      e.bought ->> 'model', e.bought ->> 'prompt_version', e.key_fingerprint,
      (e.usage ->> 'calls')::int, (e.usage ->> 'input_tokens')::int, (e.usage ->> 'cached_tokens')::int,
      (e.usage ->> 'output_tokens')::int, (e.usage ->> 'thinking_tokens')::int,
      e.cost, coalesce(e.outcome = 'refused' and e.cost > 0, false),
      e.eligible_at, e.leased_at, (e.timing ->> 'first_call_ms')::int, (e.timing ->> 'key_wait_ms')::int,
      (e.timing ->> 'model_ms')::int, p_now
    from endings as e
  ),
  booked as materialized (
    select leadhook.book_costs(
      jsonb_agg(jsonb_build_object('user_id', e.user_id, 'usd', e.cost, 'wasted', e.outcome = 'refused')), p_now
    )
    from endings as e
    where e.cost > 0
    having count(*) > 0
  ),
  ended as (
    update leadhook.jobs as j
    set
      state = case when e.again then 'ready' else e.state end,
      claim_token = null,
      lease_until = null,
      deaths = 0,
      reserved_usd = null,
      low_priority = e.again or (j.low_priority and e.state = 'ready'),
      run = j.run + e.again::int,
      attempts = case when e.again then 0 when e.outcome in ('retry', 'dead') then j.attempts + 1 else j.attempts end,
      available_at = case
        when e.state = 'ready' then p_now + make_interval(secs => least(greatest(e.delay_ms, 0), 86400000) / 1000.0)
        else p_now
      end,
      eligible_at = case when e.again then p_now else j.eligible_at end,
      source = case when e.again then 'replay' else j.source end,
      replay_id = case when e.again then j.replay_after when e.state = 'ready' then j.replay_id end,
      replay_after = case when e.state = 'ready' then j.replay_after end,
      checkpoint = case when e.outcome <> 'saved' then e.bought end,
      error_code = case
        when e.again or e.outcome = 'saved' then null
        when e.outcome = 'retry' and e.state = 'dead' then 'attempts_exhausted'
        else coalesce(e.error_code, e.outcome)
      end,
      reason = case
        when e.again or e.outcome = 'saved' then null
        when e.outcome = 'retry' and e.state = 'dead' then left(concat_ws(': ', e.error_code, e.reason), 500)
        else left(coalesce(e.reason, e.error_code, e.outcome), 500)
      end,
      finished_at = case when e.state in ('done', 'dead') then p_now else j.finished_at end
    from endings as e
    where j.lead_id = e.lead_id and (select count(*) from booked as b) >= 0
  )
  select e.lead_id, e.fence, case when e.outcome = 'retry' and e.state = 'dead' then 'dead' else e.outcome end from endings as e;
end
$$;
comment on function leadhook.end_leases(text, jsonb, timestamptz) is
  'Ends leases that this transaction has locked: notes the attempt, books what it cost (cost_usd, else what was reserved) and moves the job on. A replay that was asked for meanwhile begins once the '
  'run is over. outcome: saved, unwanted, refused, retry, returned, dead; note stands in the attempt in place of reason.';
revoke all on function leadhook.end_leases(text, jsonb, timestamptz) from public, anon, authenticated;
grant execute on function leadhook.end_leases(text, jsonb, timestamptz) to service_role;

create or replace function public.leadhook_renew(p_worker text, p_leases jsonb)
returns jsonb
language plpgsql
security invoker
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_leases jsonb;
  v_now timestamptz;
begin
  perform leadhook.require_leases(p_leases);
  v_leases := (select jsonb_agg(to_jsonb(l)) from leadhook.lock_leases(p_leases) as l);
  v_now := clock_timestamp();

  update leadhook.jobs as j
  set lease_until = v_now + make_interval(secs => c.lease_s::float), checkpoint = coalesce(i.checkpoint, j.checkpoint), worker = coalesce(p_worker, j.worker),
    called = j.called or coalesce(i.called, true)
  from jsonb_to_recordset(v_leases) as l (lead_id text, fence bigint, standing text)
  join jsonb_to_recordset(p_leases) as i (lead_id text, fence bigint, checkpoint jsonb, called boolean) on i.lead_id = l.lead_id and i.fence = l.fence
  cross join leadhook.controls as c
  where l.standing = 'locked' and j.lead_id = l.lead_id;

  return jsonb_build_object(
    'leases', (
      select coalesce(jsonb_agg(jsonb_build_object('lead_id', l.lead_id, 'fence', l.fence, 'outcome', case l.standing
        when 'locked' then 'renewed' when 'past' then 'lease_lost' else l.standing
      end)), '[]')
      from jsonb_to_recordset(v_leases) as l (lead_id text, fence bigint, standing text)
    ),
    'next_due_ms', leadhook.next_due_ms(v_now)
  );
end
$$;
comment on function public.leadhook_renew(text, jsonb) is
  'Prolongs leases, expired ones too unless they were claimed anew, and keeps what was bought meanwhile; called: whether a model call began. '
  'Outcomes: renewed, lease_lost, gone; busy: somebody has the row, so this lease is not prolonged now.';
revoke all on function public.leadhook_renew(text, jsonb) from public, anon, authenticated;
grant execute on function public.leadhook_renew(text, jsonb) to service_role;

create or replace function public.leadhook_release(p_worker text, p_releases jsonb, p_keys jsonb default '[]')
returns jsonb
language plpgsql
security invoker
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_leases jsonb;
  v_ended jsonb;
  v_now timestamptz;
begin
  perform leadhook.require_leases(p_releases);
  if exists (
    select from jsonb_array_elements(p_releases) as i (item)
    where (i.item ->> 'outcome') is null or (i.item ->> 'outcome') not in ('retry', 'returned', 'dead')
  ) then
    raise exception 'the outcome of a release is retry, returned or dead' using errcode = 'PT400';
  end if;
  if jsonb_typeof(coalesce(p_keys, '[]')) <> 'array' then
    raise exception 'a JSON array of parked keys is wanted' using errcode = 'PT400';
  end if;

  v_leases := (select jsonb_agg(to_jsonb(l)) from leadhook.lock_leases(p_releases) as l);
  v_now := clock_timestamp();
  v_ended := (
    select jsonb_agg(to_jsonb(e))
    from leadhook.end_leases(p_worker, (
      select coalesce(jsonb_agg(r.item), '[]')
      from (
        select distinct on (l.lead_id) i.item
        from jsonb_to_recordset(v_leases) as l (lead_id text, fence bigint, standing text)
        join jsonb_array_elements(p_releases) as i (item)
          on i.item ->> 'lead_id' = l.lead_id and (i.item ->> 'fence')::bigint = l.fence
        where l.standing = 'locked'
        order by l.lead_id
      ) as r
    ), v_now) as e
  );
  perform leadhook.park_keys(coalesce(p_keys, '[]'));

  return jsonb_build_object(
    'leases', (
      select coalesce(jsonb_agg(jsonb_build_object('lead_id', l.lead_id, 'fence', l.fence, 'outcome', case
        when l.standing in ('busy', 'gone') then l.standing
        when coalesce(e.outcome, l.outcome) in ('retry', 'returned') then 'released'
        when coalesce(e.outcome, l.outcome) = 'dead' then 'dead'
        else 'lease_lost'
      end)), '[]')
      from jsonb_to_recordset(v_leases) as l (lead_id text, fence bigint, standing text, outcome text)
      left join jsonb_to_recordset(v_ended) as e (lead_id text, fence bigint, outcome text)
        on e.lead_id = l.lead_id and e.fence = l.fence
    ),
    'next_due_ms', leadhook.next_due_ms(v_now)
  );
end
$$;
comment on function public.leadhook_release(text, jsonb, jsonb) is
  'Gives leases back without a result: retry (an attempt is spent), returned (none is) or dead; and parks keys. '
  'Outcomes: released, dead, lease_lost, gone; busy: somebody has the row, again soon. Repeating it after a lost reply gives the same answer.';
revoke all on function public.leadhook_release(text, jsonb, jsonb) from public, anon, authenticated;
grant execute on function public.leadhook_release(text, jsonb, jsonb) to service_role;
