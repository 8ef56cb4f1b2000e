-- Purpose: finds what no outbox row named: leads that became eligible unnoticed and jobs of deleted leads. Deletes old records. A round checks all
-- unsent leads, then all jobs; its position is in leadhook.controls. The first round after the installation holds what it finds eligible.

set local check_function_bodies = off;

-- Checks the next 500 unsent leads; last_lead is null after the last ones. The planner flags make Postgres read them by index whatever the
-- statistics say.
create or replace function leadhook.sweep_leads(
  p_after_lead text, out last_lead text, out looked_at int, out made_ready int, out held int
)
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_window text[] := array(
    select d.lead_id from public.lead_details as d
    where d.sent_to_llm is not true and d.sent_to_llm::varchar is distinct from 'true' and octet_length(d.lead_id::varchar) <= 2000 and d.lead_id > p_after_lead
    order by d.lead_id
    limit 500
  );
  v_checked text[] := array(
    select distinct w.lead_id
    from unnest(v_window) as w (lead_id)
    left join leadhook.jobs as j using (lead_id)
    where j.lead_id is null or j.state in ('waiting', 'done')
  );
begin
  looked_at := cardinality(v_window);
  last_lead := v_window[500];
  perform leadhook.apply_changes(v_checked, 'sweep', (
    select case when c.backlog = 'hold' and c.first_round_finished_at is null then 'hold' else 'sweep' end from leadhook.controls as c
  ));
  select count(*) filter (where j.state = 'ready'), count(*) filter (where j.state = 'held')
  into made_ready, held
  from leadhook.jobs as j
  where j.lead_id = any (v_checked);
end
$$;

-- Checks the next 500 jobs: erases those of deleted leads, moves those that are not eligible any more to waiting, and makes those that a
-- budget turned away due again, because their texts or the price may have changed. last_lead is null after the last ones.
create or replace function leadhook.sweep_jobs(p_after_lead text, out last_lead text, out looked_at int, out removed int)
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_window text[] := array(
    select j.lead_id from leadhook.jobs as j where j.lead_id > p_after_lead order by j.lead_id limit 500
  );
  v_gone text[];
  v_changed text[];
begin
  looked_at := cardinality(v_window);
  last_lead := v_window[500];
  select
    coalesce(array_agg(j.lead_id) filter (where e.gone), '{}'),
    coalesce(array_agg(j.lead_id) filter (where j.state = 'ready' and e.gone is not true and (
      e.failed
      or not (e.eligible or j.replay_id is not null and e.scrapped and e.has_prompts)
      or (j.user_id, j.tag) is distinct from (e.user_id, e.tag)
    )), '{}')
  into v_gone, v_changed
  from leadhook.jobs as j
  join (
    select e.*, not (e.known and e.has_details) as gone
    from jsonb_to_recordset(leadhook.check_each(v_window)) as e (
      lead_id text, known boolean, user_id uuid, tag text, scrapped boolean, has_details boolean, has_prompts boolean, eligible boolean,
      failed boolean
    )
  ) as e using (lead_id)
  where j.lead_id = any (v_window);

  removed := leadhook.erase_leads(array(
    select j.lead_id from leadhook.jobs as j where j.lead_id = any (v_gone) for update of j skip locked
  ));
  perform leadhook.apply_changes(v_changed, 'sweep', 'check');
  update leadhook.jobs as j set budget_id = null, needed_usd = null, available_at = coalesce(j.eligible_at, clock_timestamp())
  where j.lead_id = any (array(
    select k.lead_id
    from leadhook.jobs as k
    where k.lead_id = any (v_window) and k.state = 'ready' and k.budget_id is not null
    for no key update of k skip locked
  ));
end
$$;

-- Copies the answers to webhooks from pg_net, which deletes them after six hours. Reads the newest 10,000, because it holds the outbox lock.
create or replace function leadhook.collect_webhook_answers(p_now timestamptz)
returns void
language sql
set search_path = ''
as $$
  update leadhook.webhooks as r
  set status_code = h.status_code,
    error = left(coalesce(h.error, case when h.timed_out then 'timed out' end), 500)
  from leadhook.read_webhook_answers(array(
    select w.id
    from (select n.* from leadhook.webhooks as n where n.sent_at > p_now - interval '7 hours' order by n.sent_at desc limit 10000) as w
    where w.status_code is null and w.error is null and w.request_id is not null
  )) as h
  where h.webhook_id = r.id and (h.status_code is not null or h.error is not null or h.timed_out)
$$;

-- Deletes old records, a bounded number per round: attempts, replays and releases after 90 days, webhooks after 30, audit entries after
-- 365, hourly counts after 32, keys 30 days after their row is gone, costs after 800, settled requests, which are repeated for minutes, after 1.
create or replace function leadhook.sweep_records(p_now timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_replay_ids bigint[];
begin
  delete from leadhook.attempts as t where t.id = any (array(
    select o.id from leadhook.attempts as o where o.finished_at < p_now - interval '90 days' order by o.finished_at limit 5000
  ));
  delete from leadhook.webhooks as r where r.id = any (array(
    select o.id from leadhook.webhooks as o where o.sent_at < p_now - interval '30 days' order by o.sent_at limit 5000
  ));
  delete from leadhook.releases as b where b.ended_at < p_now - interval '90 days';
  v_replay_ids := array(
    select o.id from leadhook.replays as o where o.created_at < p_now - interval '90 days' order by o.id limit 100
  );
  delete from leadhook.replay_leads as m where (m.replay_id, m.lead_id) in (
    select o.replay_id, o.lead_id from leadhook.replay_leads as o where o.replay_id = any (v_replay_ids) limit 5000
  );
  delete from leadhook.replays as r
  where r.id = any (v_replay_ids) and not exists (select from leadhook.replay_leads as m where m.replay_id = r.id);
  delete from leadhook.turns as t where t.served_at < p_now - interval '1 day';
  delete from leadhook.settled_requests as q where q.request_id = any (array(
    select o.request_id from leadhook.settled_requests as o where o.settled_at < p_now - interval '1 day' order by o.settled_at limit 5000
  ));
  delete from leadhook.audit as a where a.id = any (array(
    select o.id from leadhook.audit as o where o.at < p_now - interval '365 days' order by o.at limit 5000
  ));
  delete from leadhook.hourly_counts as h where h.hour < p_now - interval '32 days';
  delete from leadhook.costs as c where c.day < (p_now at time zone 'UTC')::date - 800;
  delete from leadhook.api_keys as k
  where k.changed_at < p_now - interval '30 days' and not exists (
    select from public.gemini_api as g where leadhook.key_fingerprint(g.api_key) = k.fingerprint
  );
end
$$;

create or replace function public.leadhook_sweep(p_worker text, p_budget_ms int default 50)
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set row_security = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_budget interval := make_interval(secs => least(greatest(coalesce(p_budget_ms, 50), 1), 2000) / 1000.0);
  v_now timestamptz := clock_timestamp();
  v_deadline timestamptz;
  v_began_at timestamptz;
  v_longest interval := interval '5 ms'; -- what follows the last slice takes less
  v_busy boolean := not leadhook.try_lock_sweep();
  v_finished boolean := false;
  v_looked_at int := 0;
  v_made_ready int := 0;
  v_held int := 0;
  v_removed int := 0;
  v_phase text;
  v_after text;
  v_slice record;
begin
  if not v_busy then
    begin
      perform leadhook.lock_outbox();
    exception when lock_not_available then
      v_busy := true;
    end;
  end if;

  if not v_busy then
    v_deadline := clock_timestamp() + v_budget;
    perform leadhook.apply_outbox('sweep', v_budget / 2);
    v_now := clock_timestamp();
    select c.sweep_phase, c.sweep_after_lead into v_phase, v_after from leadhook.controls as c;
    loop
      v_began_at := clock_timestamp();
      if v_phase = 'leads' then
        select s.last_lead, s.looked_at, s.made_ready, s.held, 0 as removed into v_slice from leadhook.sweep_leads(v_after) as s;
      else
        select s.last_lead, s.looked_at, 0 as made_ready, 0 as held, s.removed into v_slice from leadhook.sweep_jobs(v_after) as s;
      end if;
      v_looked_at := v_looked_at + v_slice.looked_at;
      v_made_ready := v_made_ready + v_slice.made_ready;
      v_held := v_held + v_slice.held;
      v_removed := v_removed + v_slice.removed;
      v_after := coalesce(v_slice.last_lead, '');
      if v_slice.last_lead is null then
        v_finished := v_phase = 'jobs';
        v_phase := case v_phase when 'leads' then 'jobs' else 'leads' end;
      end if;
      v_longest := greatest(v_longest, clock_timestamp() - v_began_at);
      exit when v_finished or clock_timestamp() + v_longest >= v_deadline;
    end loop;
    if v_finished then
      perform leadhook.collect_webhook_answers(v_now);
      perform leadhook.sweep_records(v_now);
      perform leadhook.merge_costs(v_now);
    end if;
    perform leadhook.count_attempts(v_now, v_budget / 2);
    update leadhook.controls as c
    set sweep_phase = v_phase,
      sweep_after_lead = v_after,
      sweep_round_started_at = case when not v_finished then coalesce(c.sweep_round_started_at, v_now) end,
      first_round_finished_at = case when v_finished then coalesce(c.first_round_finished_at, clock_timestamp()) else c.first_round_finished_at end
    where c.id; -- through the API, hosted projects refuse an UPDATE without WHERE
    perform leadhook.note_worker(p_worker, 'sweep');
  end if;

  return jsonb_build_object(
    'busy', v_busy, 'round_finished', v_finished, 'looked_at', v_looked_at, 'made_ready', v_made_ready, 'held', v_held,
    'removed', v_removed, 'figures', case when not v_busy then leadhook.recent_figures(clock_timestamp()) end,
    'next_due_ms', leadhook.next_due_ms(clock_timestamp())
  );
end
$$;
comment on function public.leadhook_sweep(text, int) is
  'Runs one slice of the sweep: applies the outbox, then checks leads or jobs for at most p_budget_ms, one slice at least. busy: another '
  'process is sweeping. A call after round_finished begins the next round.';

select leadhook.grant_functions();
