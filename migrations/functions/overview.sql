-- Purpose: the last 48 hours and 30 days for the console's first page: leads in, scored and failed, their durations and scores.
-- Attempts of a month are too many to read for a page, so every sweep, and the page itself, adds new ones to hourly counts.

set local check_function_bodies = off;

-- Adds the next p_limit attempts to leadhook.hourly_counts and returns whether there are more. Returns false if another call is counting.
-- Attempts younger than 10 s are left for the next call: an earlier one may still commit, within its statement timeout of 5 s.
create or replace function leadhook.count_slice(p_now timestamptz, p_limit int)
returns boolean
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_after timestamptz := (select c.until from leadhook.counted as c for no key update skip locked);
  v_until timestamptz := p_now - interval '10 seconds';
begin
  if v_after is null or v_after >= v_until then
    return false;
  end if;
  v_after := greatest(v_after, p_now - interval '31 days');
  v_until := least(v_until, (
    select t.finished_at from leadhook.attempts as t where t.finished_at > v_after order by t.finished_at, t.id offset p_limit limit 1
  ));
  with ended as materialized (
    select
      t.finished_at, t.eligible_at, t.source, t.first_call_ms, r.score,
      t.outcome in ('dead', 'refused') or t.error_code = 'worker_lost' as failed,
      t.eligible_at is not null and t.replay_id is null and t.source not in ('replay', 'release') as fresh,
      not exists (select from leadhook.attempts as e where e.lead_id = t.lead_id and e.run = t.run and e.id < t.id) as first
    from leadhook.attempts as t
    left join leadhook.results as r on t.outcome in ('saved', 'saved_without_message') and r.lead_id = t.lead_id and r.run = t.run
    where t.finished_at > v_after and t.finished_at <= v_until
  )
  insert into leadhook.hourly_counts as h (kind, hour, bucket, leads)
  select c.kind, date_trunc('hour', c.at, 'UTC'), c.bucket, count(*)
  from ended as e
  cross join lateral (values
    ('in', e.eligible_at, (e.source = 'sweep')::int, e.fresh and e.first),
    ('score', e.finished_at, least(e.score / 10, 9), e.score is not null),
    ('failed', e.finished_at, 0, e.failed),
    ('first_call', e.finished_at, leadhook.duration_bucket(e.first_call_ms), e.fresh and e.first and e.first_call_ms is not null),
    ('saved', e.finished_at, leadhook.duration_bucket(extract(epoch from e.finished_at - e.eligible_at) * 1000), e.fresh and e.score is not null)
  ) as c (kind, at, bucket, applies)
  where c.applies
  group by 1, 2, 3
  on conflict (kind, hour, bucket) do update set leads = h.leads + excluded.leads;
  update leadhook.counted as c set until = v_until where c.id;
  return v_until < p_now - interval '10 seconds';
end
$$;

-- Counts attempts for about p_budget, at least one slice.
create or replace function leadhook.count_attempts(p_now timestamptz, p_budget interval)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_deadline timestamptz := clock_timestamp() + p_budget;
begin
  while leadhook.count_slice(p_now, 250) and clock_timestamp() < v_deadline loop
    null;
  end loop;
end
$$;

-- Returns the largest n with 1.25^n ≤ p_ms.
create or replace function leadhook.duration_bucket(p_ms numeric)
returns int
language sql
immutable
set search_path = ''
as $$
  select floor(ln(greatest(p_ms, 1)::float8) / ln(1.25::float8))::int
$$;

-- Returns the median and 95th percentile of the milliseconds from eligible_at to the first call and to the answer, of leads saved since
-- p_since (a full hour).
create or replace function leadhook.summarize_durations(p_since timestamptz)
returns jsonb
language sql
stable
set search_path = ''
as $$
  with counts as (
    select h.kind, h.bucket, sum(h.leads) as leads
    from leadhook.hourly_counts as h
    where h.kind in ('first_call', 'saved') and h.hour >= summarize_durations.p_since
    group by h.kind, h.bucket
  ),
  summed as (
    select
      c.kind, power(1.25::float8, c.bucket + 0.5) as ms, sum(c.leads) over (partition by c.kind order by c.bucket) as up_to,
      sum(c.leads) over (partition by c.kind) as total
    from counts as c
  )
  select jsonb_build_object(
    'leads', coalesce(max(s.total) filter (where s.kind = 'saved'), 0),
    'first_call_p50', min(s.ms) filter (where s.kind = 'first_call' and s.up_to >= s.total * 0.5),
    'first_call_p95', min(s.ms) filter (where s.kind = 'first_call' and s.up_to >= s.total * 0.95),
    'saved_p50', min(s.ms) filter (where s.kind = 'saved' and s.up_to >= s.total * 0.5),
    'saved_p95', min(s.ms) filter (where s.kind = 'saved' and s.up_to >= s.total * 0.95)
  )
  from summed as s
$$;

-- Returns the counts of each hour since p_since that has any. Leads that wait in the queue count as in, so that the page shows them while
-- nothing is claimed.
create or replace function leadhook.count_hours(p_since timestamptz)
returns jsonb
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
  with counts as (
    select h.hour, h.kind, h.bucket, h.leads
    from leadhook.hourly_counts as h
    where h.kind in ('in', 'score', 'failed') and h.hour >= count_hours.p_since
    union all
    select date_trunc('hour', w.eligible_at, 'UTC'), 'in', (w.source = 'sweep')::int, 1
    from (
      select j.eligible_at, j.leased_at, j.source from leadhook.jobs as j where j.state = 'ready' and not j.low_priority order by j.available_at limit 5000
    ) as w
    where w.eligible_at >= count_hours.p_since and (w.leased_at is null or w.leased_at < w.eligible_at)
  )
  select coalesce(jsonb_agg(to_jsonb(s)), '[]')
  from (
    select
      c.hour,
      coalesce(sum(c.leads) filter (where c.kind = 'in'), 0) as leads_in,
      coalesce(sum(c.leads) filter (where c.kind = 'in' and c.bucket = 1), 0) as by_sweep,
      coalesce(sum(c.leads) filter (where c.kind = 'score'), 0) as scored,
      coalesce(sum(c.leads) filter (where c.kind = 'score' and c.bucket >= 5), 0) as contact,
      coalesce(sum(c.leads) filter (where c.kind = 'failed'), 0) as failed
    from counts as c
    group by c.hour
  ) as s
$$;

-- Sums the counts of count_hours by hour or day (p_unit, UTC), with a row for each from p_since to p_now.
create or replace function leadhook.sum_periods(p_hours jsonb, p_unit text, p_since timestamptz, p_now timestamptz)
returns jsonb
language sql
immutable
set search_path = ''
as $$
  with sums as (
    select
      date_trunc(p_unit, h.hour, 'UTC') as at, sum(h.leads_in) as leads_in, sum(h.by_sweep) as by_sweep, sum(h.scored) as scored,
      sum(h.contact) as contact, sum(h.failed) as failed
    from jsonb_to_recordset(p_hours) as h (hour timestamptz, leads_in int, by_sweep int, scored int, contact int, failed int)
    group by 1
  )
  select jsonb_agg(jsonb_build_object(
    'at', g.at, 'leads_in', coalesce(s.leads_in, 0), 'by_sweep', coalesce(s.by_sweep, 0), 'scored', coalesce(s.scored, 0),
    'contact', coalesce(s.contact, 0), 'failed', coalesce(s.failed, 0)
  ) order by g.at)
  from generate_series(p_since, p_now, case p_unit when 'hour' then interval '1 hour' else interval '24 hours' end) as g (at)
  left join sums as s on s.at = g.at
$$;

create or replace function public.leadhook_overview()
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_hour timestamptz := date_trunc('hour', v_now, 'UTC');
  v_month timestamptz := date_trunc('day', v_now, 'UTC') - interval '696 hours';
  v_hours jsonb;
begin
  perform leadhook.count_attempts(v_now, '25 ms');
  v_hours := leadhook.count_hours(v_month);
  return jsonb_build_object(
    'now', v_now,
    'counted_until', (select c.until from leadhook.counted as c),
    'hours', leadhook.sum_periods(v_hours, 'hour', v_hour - interval '47 hours', v_now),
    'days', leadhook.sum_periods(v_hours, 'day', v_month, v_now),
    'last_hour', leadhook.summarize_durations(v_hour - interval '1 hour'),
    'last_day', leadhook.summarize_durations(v_hour - interval '24 hours'),
    'scores', (
      select jsonb_agg(jsonb_build_object('score', g.tens * 10, 'leads', coalesce(s.leads, 0)) order by g.tens)
      from generate_series(0, 9) as g (tens)
      left join (
        select h.bucket, sum(h.leads) as leads
        from leadhook.hourly_counts as h
        where h.kind = 'score' and h.hour >= v_month
        group by h.bucket
      ) as s on s.bucket = g.tens
    )
  );
end
$$;
comment on function public.leadhook_overview() is
  'Returns the counts of the last 48 hours and 30 days: leads in, scored, to contact and failed; typical durations; scores by tens.';

select leadhook.grant_functions();
