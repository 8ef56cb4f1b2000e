-- Purpose: the numbers that operators watch (how many leads are in which state, how long the oldest one waits, how the keys fare), counted
--          now and then by whichever claim or sweep comes by, and handed out with every reply, so that no scrape asks the database.
-- Touches: table leadhook.figures; functions leadhook.count_figures, leadhook.recent_figures.
-- Undo:    drop function leadhook.recent_figures(timestamptz), leadhook.count_figures(timestamptz); drop table leadhook.figures;

create unlogged table if not exists leadhook.figures (
  id boolean primary key default true constraint there_is_one_row check (id),
  taken_at timestamptz not null,
  figures jsonb not null
);
comment on table leadhook.figures is 'the last count; unlogged, as it is worth nothing after a crash';
alter table leadhook.figures enable row level security;
revoke all on leadhook.figures from public, anon, authenticated;
grant select, insert, update on leadhook.figures to service_role;

-- Every count ends at 10,000 and goes by an index: beyond that the question is for a person with a query.
create or replace function leadhook.count_figures(p_now timestamptz)
returns jsonb
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
declare
  v_keys jsonb;
begin
  begin
    v_keys := (
      select jsonb_build_object('healthy', k.healthy, 'cooling', k.cooling, 'disabled', k.disabled) from leadhook.key_states() as k
    );
  exception when undefined_table or undefined_column or insufficient_privilege then
    v_keys := '{"healthy": 0, "cooling": 0, "disabled": 0}';
  end;
  return jsonb_build_object(
    'jobs', jsonb_build_object(
      'waiting', (select count(*) from (select from leadhook.jobs as j where j.state = 'waiting' limit 10000) as n),
      'held', (select count(*) from (select from leadhook.jobs as j where j.state = 'held' limit 10000) as n),
      'dead', (select count(*) from (select from leadhook.jobs as j where j.state = 'dead' limit 10000) as n),
      'leased', (select count(*) from (select from leadhook.jobs as j where j.state = 'leased' limit 10000) as n),
      'ready', (select count(*) from (select from leadhook.jobs as j where j.state = 'ready' limit 10000) as n)
    ),
    'oldest_ready_ms', (
      select jsonb_object_agg(o.lane, coalesce(greatest(0, floor(extract(epoch from p_now - o.since) * 1000)), 0)::bigint)
      from (values
        ('fresh', (select min(j.available_at) from leadhook.jobs as j where j.state = 'ready' and not j.slow and isfinite(j.available_at))),
        ('slow', (select min(j.available_at) from leadhook.jobs as j where j.state = 'ready' and j.slow and isfinite(j.available_at)))
      ) as o (lane, since)
    ),
    'touches', (select count(*) from (select from leadhook.touches as t limit 10000) as n),
    'keys', v_keys
  );
end
$$;
comment on function leadhook.count_figures(timestamptz) is 'Counts what operators watch; some milliseconds.';
revoke all on function leadhook.count_figures(timestamptz) from public, anon, authenticated;
grant execute on function leadhook.count_figures(timestamptz) to service_role;

-- Its callers hold leadhook.lock_drain(), so that two never count at once.
create or replace function leadhook.recent_figures(p_now timestamptz)
returns jsonb
language plpgsql
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_last leadhook.figures;
begin
  select f.* into v_last from leadhook.figures as f;
  if v_last.taken_at > p_now - interval '10 seconds' and v_last.taken_at <= p_now then
    return v_last.figures || jsonb_build_object('age_ms', floor(extract(epoch from p_now - v_last.taken_at) * 1000)::int);
  end if;
  insert into leadhook.figures as f (taken_at, figures) values (p_now, leadhook.count_figures(p_now))
  on conflict (id) do update set taken_at = excluded.taken_at, figures = excluded.figures
  returning f.* into v_last;
  return v_last.figures || '{"age_ms": 0}';
end
$$;
comment on function leadhook.recent_figures(timestamptz) is 'The numbers that operators watch, at most 10 s old, with their age.';
revoke all on function leadhook.recent_figures(timestamptz) from public, anon, authenticated;
grant execute on function leadhook.recent_figures(timestamptz) to service_role;
