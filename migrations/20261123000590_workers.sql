-- Purpose: which services work on this project, so that `leadhook status` can tell an idle one from one that is gone.
-- Touches: table leadhook.workers; functions leadhook.note_worker, leadhook.waiting_work.
-- Undo:    drop function leadhook.waiting_work(timestamptz), leadhook.note_worker(text, text); drop table leadhook.workers;

create table if not exists leadhook.workers (
  worker text primary key,
  claimed_at timestamptz,
  swept_at timestamptz
);
comment on table leadhook.workers is 'the last successful claim and sweep of each process, to 5 s; a process that is gone leaves it after a day';
alter table leadhook.workers enable row level security;
revoke all on table leadhook.workers from public, anon, authenticated;
grant select, insert, update, delete on table leadhook.workers to service_role;

-- Called at the end of a claim or sweep, whose rollback takes it back: what is noted has succeeded.
create or replace function leadhook.note_worker(p_worker text, p_what text)
returns void
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  -- The installer sweeps once and is no service.
  if coalesce(p_worker, '') in ('', 'leadhook install') or exists (
    select from leadhook.workers as w
    where w.worker = p_worker and case p_what when 'claim' then w.claimed_at else w.swept_at end between v_now - interval '5 seconds' and v_now
  ) then
    return;
  end if;
  if p_what = 'sweep' then
    delete from leadhook.workers as w where greatest(w.claimed_at, w.swept_at) < v_now - interval '1 day';
  end if;
  insert into leadhook.workers as w (worker, claimed_at, swept_at)
  values (p_worker, case p_what when 'claim' then v_now end, case p_what when 'sweep' then v_now end)
  on conflict (worker) do update
  set claimed_at = coalesce(excluded.claimed_at, w.claimed_at), swept_at = coalesce(excluded.swept_at, w.swept_at);
end
$$;
comment on function leadhook.note_worker(text, text) is 'Notes that this process has claimed or swept (p_what: claim, sweep), at most every 5 s.';
revoke all on function leadhook.note_worker(text, text) from public, anon, authenticated;
grant execute on function leadhook.note_worker(text, text) to service_role;

create or replace function leadhook.waiting_work(p_now timestamptz)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
declare
  v_shut record := leadhook.shut_gates(p_now);
  v_oldest timestamptz := least(leadhook.first_due(false, p_now, '{}', '{}'), leadhook.first_due(true, p_now, '{}', '{}'));
  v_unclaimed timestamptz := (select t.touched_at from leadhook.touches as t order by t.id limit 1);
begin
  if v_shut.everything is null then
    v_unclaimed := least(
      v_unclaimed,
      leadhook.first_due(false, p_now, v_shut.user_ids, v_shut.lanes),
      leadhook.first_due(true, p_now, v_shut.user_ids, v_shut.lanes),
      (select j.lease_until from leadhook.jobs as j where j.state = 'leased' order by j.lease_until limit 1)
    );
  end if;
  return jsonb_build_object(
    'oldest_ready_ms', case when v_oldest <= p_now and isfinite(v_oldest) then floor(extract(epoch from p_now - v_oldest) * 1000)::bigint end,
    'unclaimed_ms', case when v_unclaimed <= p_now and isfinite(v_unclaimed) then floor(extract(epoch from p_now - v_unclaimed) * 1000)::bigint end,
    'working', exists (select from leadhook.jobs as j where j.state = 'leased' and j.lease_until > p_now),
    'workers', (
      select coalesce(jsonb_agg(to_jsonb(w) order by least(w.claimed_ms, w.swept_ms), w.worker), '[]')
      from (
        select
          w.worker, floor(extract(epoch from p_now - w.claimed_at) * 1000)::bigint as claimed_ms,
          floor(extract(epoch from p_now - w.swept_at) * 1000)::bigint as swept_ms
        from leadhook.workers as w
        order by greatest(w.claimed_at, w.swept_at) desc
        limit 20
      ) as w
    )
  );
end
$$;
comment on function leadhook.waiting_work(timestamptz) is
  'What waits and who works: oldest_ready_ms, how long the oldest ready lead of either priority has been due; unclaimed_ms, how long a claim could '
  'have taken something (a change, a lead neither paused nor over budget, or one whose lease ran out); working, whether a lead is leased; '
  'workers, the last 20 seen.';
revoke all on function leadhook.waiting_work(timestamptz) from public, anon, authenticated;
grant execute on function leadhook.waiting_work(timestamptz) to service_role;
