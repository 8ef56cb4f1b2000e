-- Purpose: what a worker does with a lease besides saving: renew and release it, and what save shares with them.
-- Every write is fenced by (lead_id, fence) and the token of the claim, if it names one: a restore may repeat a fence, never a token.
-- The same lead may be listed with several fences. Unknown keys of an item are ignored: two versions of the service overlap in a deploy.

set local check_function_bodies = off;

-- Returns a time before which no lease ends, and notes it if the search took long. Under the claim lock.
create or replace function leadhook.note_first_lease(p_now timestamptz)
returns timestamptz
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_began timestamptz := clock_timestamp();
  v_next timestamptz := (select p_now + make_interval(secs => c.lease_s::float8) from leadhook.controls as c);
  v_noted timestamptz := (select c.leases_from from leadhook.controls as c);
  v_first timestamptz;
begin
  if v_noted > v_next then
    -- The clock was turned back.
    v_noted := 'epoch';
    update leadhook.controls as c set leases_from = v_noted where c.id;
  end if;
  v_first := least(v_next, (
    select j.lease_until from leadhook.jobs as j where j.state = 'leased' and j.lease_until >= v_noted order by j.lease_until limit 1
  ));
  if v_first > v_noted and clock_timestamp() > v_began + interval '1 ms' then
    update leadhook.controls as c set leases_from = v_first where c.id;
  end if;
  return v_noted;
end
$$;

-- Ends expired leases, except those that another transaction has locked: they are being saved or renewed. No attempt is spent, because
-- nothing is known against the lead. But the lead may have ended its worker, so it becomes a suspect: each lead of the worker, or if the
-- worker held suspects, only the one that was leased last. After max_deaths the lead is dead.
-- The whole reservation is booked if a model call had begun: the worker reported it with a renewal (within a second of the first call), or
-- it still holds a lead of a later claim, which it makes once it works on what it has. Otherwise nothing is booked; if the worker is lost
-- within that second, or within a second after the last lead of a later claim has ended, a call may be missed.
create or replace function leadhook.expire_leases(p_now timestamptz)
returns void
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_nestloop = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_max_deaths int := (select c.max_deaths from leadhook.controls as c);
  v_from timestamptz := leadhook.note_first_lease(p_now);
  v_attempts jsonb;
begin
  if not exists (select from leadhook.jobs as j where j.state = 'leased' and j.lease_until between v_from and p_now) then
    return;
  end if;
  with leased as materialized (
    select j.lead_id, j.worker, j.leased_at, j.fence, j.deaths from leadhook.jobs as j where j.state = 'leased' and j.lease_until >= v_from
  ),
  workers as materialized (
    select l.worker, max(l.leased_at) as claimed_at, max(l.fence) filter (where l.deaths > 0) as suspect from leased as l group by l.worker
  ),
  expired as materialized (
    select
      j.lead_id, j.user_id, j.run, j.fence, j.worker, j.source, j.replay_id, j.eligible_at, j.leased_at, j.called, j.reserved_usd, j.deaths
    from leadhook.jobs as j
    where j.state = 'leased' and j.lease_until between v_from and p_now
    order by j.lease_until
    limit 500
    for no key update skip locked
  ),
  blamed as materialized (
    select
      e.*,
      e.deaths + (w.suspect is null or w.suspect = e.fence)::int as total_deaths,
      case when e.called or w.claimed_at > e.leased_at then e.reserved_usd when e.reserved_usd is not null then 0 end as cost_usd
    from expired as e
    join workers as w on w.worker is not distinct from e.worker
  ),
  explained as materialized (
    select
      b.*,
      b.total_deaths >= v_max_deaths as is_last,
      case when b.total_deaths >= v_max_deaths then 'worker_lost' else 'lease_expired' end as error_code,
      format('the lease of worker %s ran out', coalesce(b.worker, 'unknown')) || case
        when b.total_deaths >= v_max_deaths then format(
          ', as %s leases of this lead did in a row: it may be what ends the process; look at the service''s log, then correct the row or replay it',
          b.total_deaths
        )
        else '; no attempt is spent'
      end as reason
    from blamed as b
  ),
  ended as (
    update leadhook.jobs as j
    set
      state = case when x.is_last then 'dead' else 'ready' end,
      deaths = case when x.is_last then 0 else x.total_deaths end,
      replay_id = case when not x.is_last then j.replay_id end,
      error_code = x.error_code,
      reason = x.reason,
      finished_at = case when x.is_last then p_now end,
      claim_token = null,
      lease_until = null,
      reserved_usd = null
    from explained as x
    where j.lead_id = any (array(select e.lead_id from expired as e)) and j.lead_id = x.lead_id
  )
  select jsonb_agg(to_jsonb(x) || '{"outcome": "lease_expired", "wasted": true}') into v_attempts from explained as x;

  if v_attempts is not null then
    perform leadhook.note_attempts(v_attempts, p_now);
    perform leadhook.begin_postponed_replays(array(select a.lead_id from jsonb_to_recordset(v_attempts) as a (lead_id text)), p_now);
    perform leadhook.recall_changes(array(select a.lead_id from jsonb_to_recordset(v_attempts) as a (lead_id text)));
  end if;
end
$$;

-- Returns the leases in p_items, each once. Raises PT400 unless each item names a lease.
create or replace function leadhook.read_leases(p_items jsonb)
returns leadhook.ending[]
language plpgsql
immutable
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
  return array(
    select distinct on (i.lead_id, i.fence) i from jsonb_populate_recordset(null::leadhook.ending, p_items) as i order by i.lead_id, i.fence
  );
end
$$;

-- Locks the jobs of these leases and returns the leases with their lock_state. past: outcome and reason say how the lease ended; null:
-- another claim has the lead.
create or replace function leadhook.lock_leases(p_leases leadhook.ending[])
returns leadhook.ending[]
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_nestloop = off
set row_security = off -- a hidden lease would look lost
as $$
declare
  v_lead_ids text[] := array(select l.lead_id from unnest(p_leases) as l);
  v_fences bigint[] := array(select l.fence from unnest(p_leases) as l);
  v_locked text[];
begin
  -- By primary key, not by state: under an old snapshot, the index of leased jobs is full of dead entries.
  -- Waits for locked rows; but one that stays locked must not cost the others their leases, so they are then locked without it.
  begin
    v_locked := array(
      select j.lead_id
      from leadhook.jobs as j
      where j.lead_id = any (v_lead_ids) and j.fence = any (v_fences)
      order by j.lead_id
      for no key update of j
    );
  exception when lock_not_available or deadlock_detected then
    v_locked := array(
      select j.lead_id
      from leadhook.jobs as j
      where j.lead_id = any (v_lead_ids) and j.fence = any (v_fences)
      order by j.lead_id
      for no key update of j skip locked
    );
  end;
  return array(
    select case when s.lock_state = 'past'
      then jsonb_populate_record(l, jsonb_build_object('lock_state', s.lock_state, 'outcome', p.outcome, 'reason', p.reason))
      else jsonb_populate_record(l, jsonb_build_object('lock_state', s.lock_state))
    end
    from unnest(p_leases) as l
    left join leadhook.jobs as j on j.lead_id = any (v_lead_ids) and j.lead_id = l.lead_id
    cross join lateral (
      select case
        when j.lead_id is null then 'gone'
        when j.state <> 'leased' or j.fence <> l.fence or l.token <> j.claim_token then 'past'
        when l.lead_id = any (v_locked) then 'locked'
        else 'busy'
      end
    ) as s (lock_state)
    left join lateral (
      select t.outcome, t.reason
      from leadhook.attempts as t
      where s.lock_state = 'past' and t.lead_id = l.lead_id and t.fence = l.fence
      order by t.id desc
      limit 1
    ) as p on true
  );
end
$$;

-- Returns since when the model calls of a job fail in this run: what begins a run sets eligible_at and keeps failing_since. Inlined,
-- because it is called for each lead; so without search_path.
create or replace function leadhook.failing_since(p_failing_since timestamptz, p_eligible_at timestamptz)
returns timestamptz
language sql
immutable
as $$
  select case when failing_since.p_eligible_at is null or failing_since.p_failing_since >= failing_since.p_eligible_at then failing_since.p_failing_since end
$$;

-- Makes leads due that wait for an answer to another lead, to learn whether they are to blame for their failures. The next answer wakes
-- more.
create or replace function leadhook.wake_undecided(p_now timestamptz)
returns void
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
begin
  update leadhook.jobs as j
  set available_at = least(j.available_at, greatest(j.decide_after, p_now)), decide_after = null
  where j.lead_id = any (array(
    select k.lead_id
    from leadhook.jobs as k
    where k.state = 'ready' and k.decide_after is not null
    order by k.decide_after
    limit 50
    for no key update of k skip locked
  )) and j.state = 'ready';
end
$$;

-- Returns what the model calls of other workers came to, of the last hundred attempts, as evidence for or against a lead of this claim
-- whose calls have failed; nothing if there is no such lead.
create or replace function leadhook.recent_attempts(p_token uuid, p_worker text, p_now timestamptz)
returns json
language plpgsql
stable
set search_path = ''
set enable_seqscan = off
set enable_sort = off
as $$
begin
  return (
    select coalesce(json_agg(json_build_object(
      'id', t.id,
      'lead_id', t.lead_id,
      'error_code', case when t.outcome <> 'saved' then t.error_code end,
      'key_fingerprint', t.key_fingerprint,
      'leased_ms', floor(extract(epoch from p_now - t.leased_at) * 1000)::bigint,
      'finished_ms', floor(extract(epoch from p_now - t.finished_at) * 1000)::bigint
    ) order by t.id), '[]')
    from (select a.* from leadhook.attempts as a order by a.finished_at desc limit 100) as t
    where t.worker <> p_worker and t.key_fingerprint is not null and t.calls > 0 and t.leased_at is not null
      and (t.outcome = 'saved' or t.outcome in ('retry', 'returned') and t.error_code is not null)
      and exists (
        select from leadhook.jobs as j
        where j.claim_token = p_token and leadhook.failing_since(j.failing_since, j.eligible_at) is not null
      )
  );
end
$$;

-- Returns what each ending comes to: the next state of the job, the outcome of the attempt, what was bought and its cost; and the job as it
-- is.
create or replace function leadhook.resolve_endings(p_endings leadhook.ending[])
returns table (
  ending leadhook.ending, state text, comes_to text, bought jsonb, cost_usd numeric, user_id uuid, run int, source text, replay_id bigint,
  eligible_at timestamptz, leased_at timestamptz, postponed boolean, changed boolean
)
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_nestloop = off
as $$
declare
  v_lead_ids text[] := array(select e.lead_id from unnest(p_endings) as e);
  v_max_attempts int := (select c.max_attempts from leadhook.controls as c);
begin
  return query
  select
    e, n.state, case when e.outcome = 'retry' and n.state = 'dead' then 'dead' else e.outcome end, coalesce(e.checkpoint, j.checkpoint),
    coalesce(e.cost_usd, j.reserved_usd), j.user_id, j.run, j.source, j.replay_id, j.eligible_at, j.leased_at, j.replay_after is not null, j.changed
  from unnest(p_endings) as e
  join leadhook.jobs as j on j.lead_id = e.lead_id and j.fence = e.fence
  cross join lateral (
    select case
      when e.outcome in ('saved', 'saved_without_message') then 'done'
      when e.outcome = 'unwanted' then 'waiting'
      when e.outcome = 'returned' or (e.outcome = 'retry' and j.attempts + 1 < v_max_attempts) then 'ready'
      else 'dead'
    end
  ) as n (state)
  where j.lead_id = any (v_lead_ids);
end
$$;

-- Ends leases that this transaction has locked: notes the attempts with their costs (cost_usd, otherwise what was reserved) and moves the
-- jobs. Outcomes: saved, saved_without_message (the score stays in the checkpoint), unwanted, refused, retry, returned, dead. Returns the
-- outcome of each attempt by lead_id.
create or replace function leadhook.end_leases(p_worker text, p_endings leadhook.ending[], p_now timestamptz)
returns jsonb
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_nestloop = off
as $$
declare
  v_lead_ids text[] := array(select e.lead_id from unnest(p_endings) as e);
  v_outcomes jsonb;
  v_costs jsonb;
  v_replayed text[];
  v_changed text[];
begin
  with endings as materialized (
    select (r.ending).*, r.state, r.comes_to, r.bought, r.cost_usd as cost, r.user_id as owner_id, r.run, r.source, r.replay_id, r.eligible_at,
      r.leased_at, r.postponed, r.changed
    from leadhook.resolve_endings(p_endings) as r
  ),
  ended as (
    update leadhook.jobs as j
    set
      state = e.state,
      claim_token = null,
      lease_until = null,
      deaths = 0,
      reserved_usd = null,
      low_priority = j.low_priority and e.state = 'ready',
      attempts = j.attempts + (e.outcome in ('retry', 'dead'))::int,
      available_at = p_now + case
        when e.state = 'ready' then make_interval(secs => least(greatest(e.delay_ms, 0), 86400000) / 1000.0) else '0'
      end,
      replay_id = case when e.state = 'ready' then j.replay_id end,
      replay_after = case when e.state = 'ready' or j.user_id is not null and j.tag is not null then j.replay_after end,
      failing_since = case
        when e.state <> 'ready' then null
        when e.failing then coalesce(leadhook.failing_since(j.failing_since, j.eligible_at), p_now)
        else j.failing_since
      end,
      decide_after = case when e.state = 'ready' then p_now + make_interval(secs => e.decide_after_ms / 1000.0) end,
      checkpoint = case when e.outcome <> 'saved' then e.bought end,
      error_code = case
        when e.outcome = 'saved' then null
        when e.comes_to <> e.outcome then 'attempts_exhausted'
        else coalesce(e.error_code, e.outcome)
      end,
      reason = case
        when e.outcome = 'saved' then null
        when e.comes_to <> e.outcome then left(concat_ws(': ', e.error_code, e.reason), 500)
        else left(coalesce(e.reason, e.error_code, e.outcome), 500)
      end,
      finished_at = case when e.state in ('done', 'dead') then p_now else j.finished_at end
    from endings as e
    where j.lead_id = any (v_lead_ids) and j.lead_id = e.lead_id
  ),
  noted as (
    insert into leadhook.attempts (
      lead_id, run, fence, request_id, outcome, error_code, reason, worker, source, replay_id, model, prompt_version, key_fingerprint, calls,
      input_tokens, cached_tokens, output_tokens, thinking_tokens, cost_usd, wasted, eligible_at, leased_at, first_call_ms, key_wait_ms,
      model_ms, finished_at
    )
    select
      e.lead_id, e.run, e.fence, e.request_id, e.comes_to, e.error_code, left(coalesce(e.note, e.reason), 500), p_worker, e.source, e.replay_id,
      e.bought ->> 'model', e.bought ->> 'prompt_version', e.key_fingerprint, (e.usage ->> 'calls')::int, (e.usage ->> 'input_tokens')::int,
      (e.usage ->> 'cached_tokens')::int, (e.usage ->> 'output_tokens')::int, (e.usage ->> 'thinking_tokens')::int, e.cost,
      coalesce(e.outcome = 'refused' and e.cost > 0, false), e.eligible_at, e.leased_at, (e.timing ->> 'first_call_ms')::int,
      (e.timing ->> 'key_wait_ms')::int, (e.timing ->> 'model_ms')::int, p_now
    from endings as e
  )
  select
    coalesce(jsonb_object_agg(e.lead_id, e.comes_to), '{}'),
    jsonb_agg(jsonb_build_object('user_id', e.owner_id, 'cost_usd', e.cost, 'wasted', e.outcome = 'refused')) filter (where e.cost > 0),
    array_agg(e.lead_id) filter (where e.postponed),
    array_agg(e.lead_id) filter (where e.changed)
  into v_outcomes, v_costs, v_replayed, v_changed
  from endings as e;

  if v_costs is not null then
    perform leadhook.book_costs(v_costs, p_now);
  end if;
  if v_replayed is not null then
    perform leadhook.begin_postponed_replays(v_replayed, p_now);
  end if;
  perform leadhook.recall_changes(v_changed) where v_changed is not null;
  return v_outcomes;
end
$$;

create or replace function public.leadhook_renew(p_worker text, p_leases jsonb)
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set row_security = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_leases leadhook.ending[] := leadhook.lock_leases(leadhook.read_leases(p_leases));
  v_lead_ids text[] := array(select l.lead_id from unnest(v_leases) as l);
  v_now timestamptz := clock_timestamp();
begin
  update leadhook.jobs as j
  set lease_until = greatest(j.lease_until, v_now + make_interval(secs => c.lease_s::float)), checkpoint = coalesce(l.checkpoint, j.checkpoint), worker = coalesce(p_worker, j.worker),
    called = j.called or coalesce(l.called, true)
  from unnest(v_leases) as l
  cross join leadhook.controls as c
  where l.lock_state = 'locked' and j.lead_id = any (v_lead_ids) and j.lead_id = l.lead_id;

  return jsonb_build_object(
    'leases', (
      select coalesce(jsonb_agg(jsonb_build_object('lead_id', l.lead_id, 'fence', l.fence, 'outcome', case l.lock_state
        when 'locked' then 'renewed' when 'past' then 'lease_lost' else l.lock_state
      end)), '[]')
      from unnest(v_leases) as l
    ),
    'key_news', leadhook.key_news(v_now),
    'next_due_ms', leadhook.next_due_ms(v_now)
  );
end
$$;
comment on function public.leadhook_renew(text, jsonb) is
  'Extends leases, expired ones too unless another claim has taken them, and stores their checkpoints. called: whether a model call has '
  'begun. Outcomes: renewed, lease_lost, gone; busy: another transaction has locked the row, so this lease is not extended now.';

create or replace function public.leadhook_release(p_worker text, p_releases jsonb)
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set row_security = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_releases leadhook.ending[] := leadhook.read_leases(p_releases);
  v_outcomes jsonb;
  v_now timestamptz;
begin
  if exists (select from unnest(v_releases) as r where r.outcome is null or r.outcome not in ('retry', 'returned', 'dead')) then
    raise exception 'the outcome of a release is retry, returned or dead' using errcode = 'PT400';
  end if;

  v_releases := leadhook.lock_leases(v_releases);
  v_now := clock_timestamp();
  v_outcomes := leadhook.end_leases(p_worker, array(select r from unnest(v_releases) as r where r.lock_state = 'locked'), v_now);

  return jsonb_build_object(
    'leases', (
      select coalesce(jsonb_agg(jsonb_build_object('lead_id', r.lead_id, 'fence', r.fence, 'outcome', case
        when r.lock_state in ('busy', 'gone') then r.lock_state
        when o.outcome in ('retry', 'returned') then 'released'
        when o.outcome = 'dead' then 'dead'
        else 'lease_lost'
      end)), '[]')
      from unnest(v_releases) as r
      cross join lateral (select case r.lock_state when 'locked' then v_outcomes ->> r.lead_id else r.outcome end) as o (outcome)
    ),
    'key_news', leadhook.key_news(v_now),
    'next_due_ms', leadhook.next_due_ms(v_now)
  );
end
$$;
comment on function public.leadhook_release(text, jsonb) is
  'Ends leases without a result: retry (spends an attempt), returned (spends none) or dead. Outcomes: released, dead, lease_lost, gone; busy: '
  'another transaction has locked the row, so try again soon. It may be repeated after a lost reply.';

select leadhook.grant_functions();
