-- Purpose: finds what no outbox row named: leads that became eligible unseen, jobs of leads that are gone, records that are old.
--          The backlog (what was eligible before leadhook came) is held by the first round, and let go on request, group by group, in slices.
-- A round walks over the unsent leads, then over the jobs; its position is in leadhook.controls. Locks: that of the sweep is only
-- tried; that of the outbox is waited for, so that nothing is checked twice at once.

set local check_function_bodies = off;

-- The planner flags: the window is read by its index, whatever the statistics say.
create or replace function leadhook.sweep_leads(
  p_after_lead text, out last_lead text, out looked_at int, out made_ready int, out held int
)
language plpgsql
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_window text[] := array(
    select d.lead_id from public.lead_details as d
    where d.sent_to_llm is not true and d.sent_to_llm::text is distinct from 'true' and octet_length(d.lead_id) <= 2000 and d.lead_id > p_after_lead
    order by d.lead_id
    limit 500
  );
  v_asleep text[] := array(
    select distinct w.lead_id
    from unnest(v_window) as w (lead_id)
    left join leadhook.jobs as j using (lead_id)
    where j.lead_id is null or j.state in ('waiting', 'done')
  );
begin
  looked_at := cardinality(v_window);
  last_lead := v_window[500];
  perform leadhook.apply_changes(v_asleep, 'sweep', (
    select case when c.backlog = 'hold' and c.first_round_finished_at is null then 'hold' else 'sweep' end from leadhook.controls as c
  ));
  select count(*) filter (where j.state = 'ready'), count(*) filter (where j.state = 'held')
  into made_ready, held
  from leadhook.jobs as j
  where j.lead_id = any (v_asleep);
end
$$;
comment on function leadhook.sweep_leads(text) is 'Looks at the next unsent leads; last_lead is null when these were the last.';

create or replace function leadhook.sweep_jobs(p_after_lead text, out last_lead text, out looked_at int, out removed int)
language plpgsql
set search_path = ''
set jit = off
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
  -- Its texts or the price may have changed since a budget turned it away, which leaves no outbox row: it is tried again.
  update leadhook.jobs as j set budget_id = null, needed_usd = null, available_at = coalesce(j.eligible_at, clock_timestamp())
  where j.lead_id = any (array(
    select k.lead_id
    from leadhook.jobs as k
    where k.lead_id = any (v_window) and k.state = 'ready' and k.budget_id is not null
    for no key update of k skip locked
  ));
end
$$;
comment on function leadhook.sweep_jobs(text) is
  'Looks at the next jobs: forgets leads that are gone, puts what is no longer eligible to sleep, tries what budgets turned away again; last_lead is '
  'null when these were the last.';

create or replace function leadhook.collect_webhook_answers(p_now timestamptz)
returns void
language sql
set search_path = ''
set jit = off
as $$
  update leadhook.webhooks as r
  set status_code = h.status_code,
    error = left(coalesce(h.error, case when h.timed_out then 'timed out' end), 500)
  from leadhook.webhook_answers(array(
    select w.id from leadhook.webhooks as w
    where w.sent_at > p_now - interval '7 hours' and w.status_code is null and w.error is null and w.request_id is not null
  )) as h
  where h.webhook_id = r.id and (h.status_code is not null or h.error is not null or h.timed_out)
$$;
comment on function leadhook.collect_webhook_answers(timestamptz) is 'Notes what became of each webhook, before pg_net forgets it.';

create or replace function leadhook.sweep_records(p_now timestamptz)
returns void
language plpgsql
set search_path = ''
set jit = off
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
comment on function leadhook.sweep_records(timestamptz) is
  'Deletes what is old, a bounded number a round: attempts and replays after 90 days, webhooks after 30, the audit after 365, the overview''s counts '
  'after 32, keys 30 days after they are gone, the costs of a day after 800.';

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
  'One slice of the sweep: applies the outbox, then looks at the next leads or jobs for at most p_budget_ms, one slice at least. busy: another process sweeps. A call after '
  'round_finished begins the next round.';

create or replace function leadhook.held_groups(
  p_user_id uuid default null, p_tag text default null, p_since timestamptz default null
)
returns table (user_id uuid, tag text, asked_at timestamptz, held bigint, answered bigint, sent bigint)
language plpgsql
stable
set search_path = ''
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with jobs as materialized (
    select j.lead_id, j.user_id, j.tag
    from leadhook.jobs as j
    where j.state = 'held' and (p_user_id is null or j.user_id = p_user_id) and (p_tag is null or j.tag = p_tag)
  ),
  answers as materialized (
    select distinct r.lead_id from public.llm_response as r
  ),
  unsent as materialized (
    select distinct d.lead_id
    from public.lead_details as d
    where d.sent_to_llm is not true and d.sent_to_llm::text is distinct from 'true' and octet_length(d.lead_id) <= 2000
  ),
  groups as materialized (
    select
      j.user_id, j.tag,
      count(*) as held,
      count(*) filter (where r.lead_id is not null and u.lead_id is not null) as answered,
      count(*) filter (where u.lead_id is null) as sent
    from jobs as j
    left join answers as r on r.lead_id = j.lead_id
    left join unsent as u on u.lead_id = j.lead_id
    group by j.user_id, j.tag
  ),
  asked as (
    select l.user_id, l.tag, max(p.created_at) as asked_at
    from groups as l
    left join public.prompts as p on p.user_id = l.user_id and p.tag = l.tag
    group by l.user_id, l.tag
  )
  select l.user_id, l.tag, a.asked_at, l.held, l.answered, l.sent
  from groups as l
  join asked as a on a.user_id = l.user_id and a.tag = l.tag
  where p_since is null or a.asked_at >= p_since
  order by a.asked_at desc nulls last, l.user_id, l.tag;
end
$$;
comment on function leadhook.held_groups(uuid, text, timestamptz) is
  'The users and tags with held leads, those with the newest prompts row first: how many are held, how many of them have an answer already, and '
  'how many were marked as sent by something else since. p_since: only those whose newest prompts row is not older.';

create or replace function leadhook.release_backlog(
  p_user_id uuid, p_tag text, p_after_lead text, p_limit int, p_redo boolean,
  out last_lead text, out released int, out answered int, out unwanted int
)
language plpgsql
set search_path = ''
set jit = off
set enable_seqscan = off
set lock_timeout = '2s'
as $$
declare
  v_lead_ids text[];
  v_answered text[];
  v_held text[];
  v_released jsonb;
begin
  -- The outbox lock: no one else checks these leads now.
  perform leadhook.lock_outbox();
  v_lead_ids := array(
    select j.lead_id
    from leadhook.jobs as j
    where j.state = 'held' and j.user_id = p_user_id and j.tag = p_tag and j.lead_id > p_after_lead
    order by j.lead_id
    limit 500
  );
  perform from leadhook.jobs as j where j.lead_id = any (v_lead_ids) order by j.lead_id for no key update;
  -- held -> waiting, or forgotten, where a lead is not eligible any more.
  perform leadhook.apply_changes(v_lead_ids, 'release', 'check');
  v_answered := case when p_redo then '{}' else leadhook.find_answered(v_lead_ids) end;
  v_held := array(
    select j.lead_id from leadhook.jobs as j where j.lead_id = any (v_lead_ids) and j.state = 'held' order by j.lead_id
  );
  answered := (select count(*) from unnest(v_held) as h (lead_id) where h.lead_id = any (v_answered));
  unwanted := cardinality(v_lead_ids) - cardinality(v_held);
  v_released := (
    select coalesce(jsonb_agg(to_jsonb(r)), '[]')
    from (
      select j.lead_id, j.user_id, j.tag
      from leadhook.jobs as j
      where j.lead_id = any (v_held) and j.lead_id <> all (v_answered)
      order by j.lead_id
      limit greatest(p_limit, 0)
    ) as r
  );
  perform leadhook.begin_runs(v_released, 'release', true, null, clock_timestamp());
  released := jsonb_array_length(v_released);
  last_lead := v_lead_ids[500];
  if released > 0 then
    perform leadhook.send_webhook('backlog', released);
  end if;
end
$$;
comment on function leadhook.release_backlog(uuid, text, text, int, boolean) is
  'Makes ready, behind fresh leads, up to p_limit of the next 500 held leads of a user and tag, in the order of their ids, and sends a webhook. Without '
  'p_redo those that have an answer in llm_response stay held; what is not eligible any more goes to sleep. last_lead: where to go on '
  'while the limit is not reached; null when these were the last.';

-- 1100 and 800 are the fixed parts of the two requests: the instructions, and the names of a lead's fields.
create or replace function leadhook.held_size(p_lead_ids text[])
returns table (leads bigint, score_chars bigint, message_chars bigint)
language sql
stable
set search_path = ''
set jit = off
as $$
  with held as materialized (
    select j.lead_id, j.user_id, j.tag from leadhook.jobs as j where j.lead_id = any (held_size.p_lead_ids)
  ),
  details as materialized (
    select d.lead_id, max(length(concat(
      d.name, d.title, d.location, d.company_name, d.experience, d.skills, d.bio, d.profile_url, d.company_page_url
    ))) as chars
    from public.lead_details as d
    where d.lead_id = any (held_size.p_lead_ids) and d.sent_to_llm is not true
    group by d.lead_id
  ),
  newest as materialized (
    select distinct on (p.user_id, p.tag) p.user_id, p.tag,
      length(concat(p.wildnet_data, p.scoring_criteria_and_icp)) as score_chars,
      length(concat(p.wildnet_data, p.message_prompt)) as message_chars
    from public.prompts as p
    where (p.user_id, p.tag) in (select h.user_id, h.tag from held as h)
    order by p.user_id, p.tag, p.created_at desc nulls last
  )
  select
    count(*), coalesce(sum(d.chars + n.score_chars + 1100), 0)::bigint, coalesce(sum(d.chars + n.message_chars + 800), 0)::bigint
  from held as h
  join details as d on d.lead_id = h.lead_id
  join newest as n on n.user_id = h.user_id and n.tag = h.tag
$$;
comment on function leadhook.held_size(text[]) is
  'How many of these held leads have all that is sent to the model, and how many characters that is.';

-- The whole backlog is counted; for a person who waits, so the limit is long.
create or replace function public.leadhook_backlog(
  p_user_id uuid default null, p_tag text default null, p_since timestamptz default null, p_redo boolean default false
)
returns jsonb
language plpgsql
stable
set search_path = ''
set jit = off
set statement_timeout = '30s'
set lock_timeout = '2s'
as $$
begin
  return (
    select jsonb_build_object(
      'backlog', c.backlog,
      'first_round_finished_at', c.first_round_finished_at,
      'released', (select count(*) from leadhook.jobs as j where j.state = 'ready' and j.low_priority),
      'leased', (select count(*) from leadhook.jobs as j where j.state = 'leased' and j.low_priority),
      'sent_while_leased', (
        select count(distinct t.lead_id)
        from leadhook.attempts as t
        where t.outcome = 'unwanted' and t.reason like '%already sent%' and t.finished_at > clock_timestamp() - interval '24 hours'
      ),
      'groups', (select coalesce(jsonb_agg(to_jsonb(l)), '[]') from leadhook.held_groups(p_user_id, p_tag, p_since) as l),
      'size', (
        select to_jsonb(s)
        from leadhook.held_size(array(
          select j.lead_id
          from leadhook.jobs as j
          where j.state = 'held'
            and (p_user_id is null or j.user_id = p_user_id)
            and (p_tag is null or j.tag = p_tag)
            and (p_redo or not exists (select from public.llm_response as r where r.lead_id = j.lead_id))
            and (p_since is null or p_since <= (
              select max(p.created_at) from public.prompts as p where p.user_id = j.user_id and p.tag = j.tag
            ))
          limit 1000
        )) as s
      )
    )
    from leadhook.controls as c
  );
end
$$;
comment on function public.leadhook_backlog(uuid, text, timestamptz, boolean) is
  'The backlog: whether the first sweep round is over, released and leased leads of low priority, groups as leadhook.held_groups has them, the size of '
  'what a release would queue, and sent_while_leased: leads that something else marked as sent in the last 24 hours while leadhook had leased them.';

create or replace function public.leadhook_release_backlog(
  p_user_id uuid, p_tag text, p_after_lead text default '', p_limit int default 500, p_redo boolean default false, p_actor text default null,
  p_reason text default null
)
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_released record;
begin
  perform leadhook.require_actor(p_actor);
  select r.* into v_released from leadhook.release_backlog(p_user_id, p_tag, p_after_lead, p_limit, p_redo) as r;
  perform leadhook.note_release(p_actor, p_user_id, p_tag, p_redo, p_after_lead = '', v_released.released, p_reason);
  return to_jsonb(v_released);
end
$$;
comment on function public.leadhook_release_backlog(uuid, text, text, int, boolean, text, text) is 'One slice of leadhook.release_backlog.';

select leadhook.grant_functions();
