-- Purpose: what operators and the service's own checks read: the state of the installation (leadhook_status), of a lead (leadhook_explain),
-- the answers (leadhook_answers), figures for metrics, and which processes work.
-- Facts only; leadhook.domain.diagnosis words them. Every count stops at 1,000 and uses an index: a scan of a million jobs of which none is
-- in a state would not stop early. Figures are counted by a claim or sweep, at most every 10 s, and returned with every reply, so metrics
-- never query the database.

set local check_function_bodies = off;

-- Records that a process has claimed or swept (p_call), at most every 5 s. Called at the end of the call, so only successful ones are recorded.
create or replace function leadhook.note_worker(p_worker text, p_call text)
returns void
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  -- The installer sweeps, but it is not a service.
  if coalesce(p_worker, '') in ('', 'leadhook install') or exists (
    select from leadhook.workers as w
    where w.worker = p_worker and case p_call when 'claim' then w.claimed_at else w.swept_at end between v_now - interval '5 seconds' and v_now
  ) then
    return;
  end if;
  if p_call = 'sweep' then
    delete from leadhook.workers as w where greatest(w.claimed_at, w.swept_at) < v_now - interval '1 day';
  end if;
  insert into leadhook.workers as w (worker, claimed_at, swept_at)
  values (p_worker, case p_call when 'claim' then v_now end, case p_call when 'sweep' then v_now end)
  on conflict (worker) do update
  set claimed_at = coalesce(excluded.claimed_at, w.claimed_at), swept_at = coalesce(excluded.swept_at, w.swept_at);
end
$$;

create or replace function leadhook.webhook_settings(
  out url_set boolean, out secret_set boolean, out pg_net boolean, out vault_error text, out foreign_code text[],
  out outbox_guards text[]
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  url_set := false;
  secret_set := false;
  pg_net := leadhook.has_extension('pg_net');
  foreign_code := array(
    select format('%s %I (%s, owned by %I)', c.kind, c.object_name, c.function_name, c.function_owner)
    from leadhook.find_foreign_code() as c
    where c.table_name = 'http_request_queue'
    limit 5
  );
  outbox_guards := leadhook.find_outbox_guards();
  if not leadhook.has_extension('supabase_vault') then
    return;
  end if;
  select
    coalesce(bool_or(s.name = 'leadhook_webhook_url'), false),
    coalesce(bool_or(s.name = 'leadhook_webhook_secret'), false)
  into url_set, secret_set
  from vault.decrypted_secrets as s
  where s.name in ('leadhook_webhook_url', 'leadhook_webhook_secret') and btrim(s.decrypted_secret, E' \t\r\n') <> '';
exception when assert_failure or others then
  -- Not the message, which may contain a secret.
  vault_error := sqlstate;
end
$$;
comment on function leadhook.webhook_settings() is
  'Returns what webhooks need. vault_error: the SQLSTATE if Vault could not be read. foreign_code: triggers on pg_net''s queue, because of '
  'which no webhook is sent. outbox_guards: what may refuse an outbox row. Errors of Vault or pg_net, which are optional, never hide the '
  'rest. security definer: service_role may not read Vault; it learns whether a value exists, never the value.';

-- Returns for each watched table whether enabled triggers of leadhook cover all required events, as bits of tgtype: 4 insert, 8 delete, 16
-- update, 32 truncate.
create or replace function leadhook.check_triggers()
returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_object_agg(w.relation, coalesce(h.events, 0) & w.events = w.events)
  from (values ('all_leads', 60), ('lead_details', 60), ('prompts', 20), ('gemini_api', 20)) as w (relation, events)
  left join lateral (
    select bit_or(t.tgtype::int) as events
    from pg_catalog.pg_trigger as t
    join pg_catalog.pg_proc as f on f.oid = t.tgfoid
    where t.tgrelid = to_regclass('public.' || w.relation) and t.tgenabled in ('O', 'A') and f.pronamespace = 'leadhook'::regnamespace
  ) as h on true
$$;

create or replace function leadhook.held_snapshot(p_longer_than interval default '5 min')
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select jsonb_build_object(
      'held_by', h.held_by, 'pid', h.pid, 'name', h.name, 'role', h.role, 'state', h.state,
      'held_ms', floor(extract(epoch from clock_timestamp() - h.since) * 1000)::bigint
    )
    from (
      select
        'session' as held_by, a.pid, nullif(left(a.application_name, 100), '') as name, a.usename::text as role, a.state, a.xact_start as since,
        a.backend_xmin as xmin
      from pg_stat_activity as a
      where a.datname = current_database() and a.backend_xmin is not null and a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
        and a.xact_start < clock_timestamp() - p_longer_than
      union all
      select 'prepared transaction', null, left(p.gid, 100), p.owner::text, null, p.prepared, p.transaction
      from pg_prepared_xacts as p
      where p.database = current_database() and p.prepared < clock_timestamp() - p_longer_than
      union all
      select 'replication slot', s.active_pid, s.slot_name::text, null, case when s.active then 'active' else 'inactive' end, null, s.xmin
      from pg_replication_slots as s
      where age(s.xmin) > 100000
    ) as h
    order by age(h.xmin) desc
    limit 1
  );
exception when assert_failure or others then
  return null;
end
$$;
comment on function leadhook.held_snapshot(interval) is
  'Returns who has held the oldest snapshot for longer than p_longer_than, which keeps Postgres from removing replaced row versions, or '
  'null. A replication slot has no start; its age in transactions counts. security definer: service_role may not see other roles'' '
  'sessions. Queries and addresses are not returned.';

create or replace function public.leadhook_status()
returns jsonb
language plpgsql
stable
set search_path = ''
set jit = off
set row_security = off
set enable_seqscan = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_keys jsonb := leadhook.describe_keys();
begin
  return (
    select jsonb_build_object(
      'schema', (select max(m.name) from leadhook.migrations as m where m.name not like 'functions/%'),
      'backlog', c.backlog,
      'first_round_finished_at', c.first_round_finished_at,
      'outbox', (select count(*) from (select from leadhook.outbox as t limit 1000) as n),
      'keys', v_keys - 'parked',
      'parked_keys', v_keys -> 'parked',
      'triggers', leadhook.check_triggers(),
      'webhook_setup', to_jsonb(r),
      'held_snapshot', leadhook.held_snapshot(),
      'jobs', jsonb_build_object(
        'waiting', (select count(*) from (select from leadhook.jobs as j where j.state = 'waiting' limit 1000) as n),
        'ready', (select count(*) from (select from leadhook.jobs as j where j.state = 'ready' limit 1000) as n),
        'leased', (select count(*) from (select from leadhook.jobs as j where j.state = 'leased' limit 1000) as n),
        'done', (select count(*) from (select from leadhook.jobs as j where j.state = 'done' limit 1000) as n),
        'dead', (select count(*) from (select from leadhook.jobs as j where j.state = 'dead' limit 1000) as n),
        'held', (select count(*) from (select from leadhook.jobs as j where j.state = 'held' limit 1000) as n)
      ),
      'without_message', (
        select count(*) from (select from leadhook.jobs as j where j.state = 'done' and j.error_code is not null limit 1000) as n
      )
    ) || public.leadhook_admission(20) || leadhook.describe_waiting_work(clock_timestamp())
    from leadhook.controls as c
    cross join leadhook.webhook_settings() as r
  );
end
$$;
comment on function public.leadhook_status() is
  'Returns the state of the database for /ready and `leadhook status`. Needs neither pg_net nor Vault nor the application''s tables.';

-- Returns the job of a lead without its claim token, or null.
create or replace function leadhook.describe_job(p_lead_id text)
returns jsonb
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
  select jsonb_build_object(
    'state', j.state, 'low_priority', j.low_priority, 'run', j.run, 'attempts', j.attempts, 'worker', j.worker, 'leased_at', j.leased_at,
    'lease_until', j.lease_until, 'available_at', j.available_at, 'decide_after', j.decide_after, 'eligible_at', j.eligible_at, 'source', j.source,
    'replay_id', j.replay_id, 'replay_after', j.replay_after, 'checkpoint', j.checkpoint is not null, 'error_code', j.error_code,
    'reason', j.reason, 'finished_at', j.finished_at
  )
  from leadhook.jobs as j
  where j.lead_id = describe_job.p_lead_id
$$;

-- Returns the last 20 attempts and results of a lead, newest first, and its replays.
create or replace function leadhook.describe_history(p_lead_id text)
returns jsonb
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
  with attempts as materialized (
    select t.* from leadhook.attempts as t where t.lead_id = describe_history.p_lead_id order by t.id desc limit 20
  ),
  results as (
    select v.* from leadhook.results as v where v.lead_id = describe_history.p_lead_id order by v.run desc limit 20
  ),
  replays as (
    select r.id, r.actor, r.reason, r.created_at
    from leadhook.replays as r
    where r.id in (
      select a.replay_id from attempts as a
      union all
      select unnest(array[j.replay_id, j.replay_after]) from leadhook.jobs as j where j.lead_id = describe_history.p_lead_id
    )
  )
  select jsonb_build_object(
    'attempts', (select coalesce(jsonb_agg(to_jsonb(a) - '{id,lead_id,fence,request_id}'::text[] order by a.id desc), '[]') from attempts as a),
    'results', (select coalesce(jsonb_agg(to_jsonb(v) - 'lead_id' order by v.run desc), '[]') from results as v),
    'replays', (select coalesce(jsonb_agg(to_jsonb(r) order by r.id desc), '[]') from replays as r)
  )
$$;

-- Returns how many outbox rows there are (up to 1,000), and those among the oldest 20,000 that concern this lead.
create or replace function leadhook.find_pending_changes(p_lead_id text, p_user_id uuid, p_tag text)
returns jsonb
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
  with oldest as materialized (
    select t.id, t.kind, t.lead_ids, t.user_id, t.tag, t.prompts_inserted, t.after_lead, t.until_lead, t.changed_at, t.not_before, t.xact
    from leadhook.outbox as t
    order by t.id
    limit 20000
  ),
  concerned as (
    select o.kind, o.prompts_inserted, min(o.changed_at) as changed_at,
      bool_and(o.not_before is not null) as return_to_outbox, (array_agg(o.xact order by o.changed_at))[1] as xact
    from oldest as o
    where case o.kind
      when 'leads' then find_pending_changes.p_lead_id = any (o.lead_ids)
      when 'prompts' then o.user_id = find_pending_changes.p_user_id and o.tag = find_pending_changes.p_tag
      else true
    end and (
      o.kind = 'leads'
      or find_pending_changes.p_lead_id > o.after_lead
        and (o.until_lead is null or o.until_lead <= o.after_lead or find_pending_changes.p_lead_id <= o.until_lead)
      or o.until_lead <= o.after_lead and find_pending_changes.p_lead_id <= o.until_lead
    )
    group by o.kind, o.prompts_inserted
  )
  select jsonb_build_object(
    'total', (select count(*) from (select from oldest as o limit 1000) as n),
    'of_lead', (select coalesce(jsonb_agg(to_jsonb(c) order by c.changed_at), '[]') from concerned as c)
  )
$$;

-- Returns how many leads are ready before this one: in all, in its group, and, if it has low priority, with normal priority; and whether
-- leads are being processed.
create or replace function leadhook.find_place_in_queue(p_lead_id text, p_now timestamptz)
returns jsonb
language plpgsql
stable
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_job record;
begin
  select j.low_priority, j.user_id, j.tag, j.available_at into v_job from leadhook.jobs as j where j.lead_id = p_lead_id and j.state = 'ready';
  return jsonb_build_object(
    'ahead', (
      select count(*)
      from (
        select from leadhook.jobs as j
        where j.state = 'ready' and j.low_priority = v_job.low_priority and j.available_at < least(v_job.available_at, p_now)
        order by j.available_at
        limit 1000
      ) as n
    ),
    'ahead_in_group', (
      select count(*)
      from (
        select from leadhook.jobs as j
        where j.state = 'ready' and j.low_priority = v_job.low_priority and j.user_id = v_job.user_id and j.tag = v_job.tag
          and j.available_at <= p_now and (j.available_at, j.lead_id) < (v_job.available_at, p_lead_id)
        order by j.available_at, j.lead_id
        limit 1000
      ) as n
    ),
    'fresh_ahead', (
      select count(*)
      from (
        select from leadhook.jobs as j
        where v_job.low_priority and j.state = 'ready' and not j.low_priority and j.available_at <= p_now
        order by j.available_at
        limit 1000
      ) as n
    ),
    'leased', (
      select count(*)
      from (select from leadhook.jobs as j where j.state = 'leased' and j.lease_until > p_now order by j.lease_until limit 1000) as n
    ),
    'finished_last_minute', (
      select count(*)
      from (
        select from leadhook.attempts as t
        where t.finished_at > p_now - interval '1 minute' and t.outcome <> 'lease_expired'
        order by t.finished_at
        limit 1000
      ) as n
    )
  );
end
$$;

-- Returns the pauses and budgets that apply to a lead of this user and tag, those of everything first. needed_usd: what it needs of a
-- budget that turned it away.
create or replace function leadhook.describe_admission(p_lead_id text, p_user_id uuid, p_tag text, p_now timestamptz)
returns jsonb
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
  select jsonb_build_object(
    'pauses', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'user_id', p.user_id, 'tag', p.tag, 'actor', p.actor, 'reason', p.reason, 'paused_at', p.paused_at
      ) order by p.user_id nulls first, p.tag nulls first), '[]')
      from leadhook.pauses as p
      where p.user_id is null or p.user_id = describe_admission.p_user_id and (p.tag is null or p.tag = describe_admission.p_tag)
    ),
    'budgets', (
      select coalesce(jsonb_agg(to_jsonb(b) || jsonb_build_object('needed_usd', j.needed_usd) order by b.user_id nulls first), '[]')
      from leadhook.budgets_left(describe_admission.p_now, array[describe_admission.p_user_id]) as b
      left join leadhook.jobs as j on j.lead_id = describe_admission.p_lead_id and j.budget_id = b.id
      where b.daily_usd < 'Infinity'
    )
  )
$$;

create or replace function leadhook.read_webhook_answers(p_webhook_ids bigint[])
returns table (webhook_id bigint, status_code int, error text, timed_out boolean, queued boolean)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  if not leadhook.has_extension('pg_net') then
    return;
  end if;
  return query
    select r.id, h.status_code, h.error_msg, coalesce(h.timed_out, false), false
    from leadhook.webhooks as r
    join net._http_response as h on h.id = r.request_id and h.created >= r.sent_at - interval '1 minute'
    where r.id = any (p_webhook_ids) and not exists (
      select from leadhook.webhooks as l
      where l.request_id = r.request_id and l.id > r.id and l.sent_at > r.sent_at and h.created >= l.sent_at - interval '1 minute'
    );
  return query
    select r.id, null::int, null::text, false, true
    from leadhook.webhooks as r
    join net.http_request_queue as q on q.id = r.request_id
    where r.id = any (p_webhook_ids)
      and not exists (select from leadhook.webhooks as l where l.request_id = r.request_id and l.id > r.id and l.sent_at > r.sent_at);
exception when assert_failure or others then
  raise log 'leadhook: the answers to webhooks can''t be read: % %', sqlstate, sqlerrm;
end
$$;
comment on function leadhook.read_webhook_answers(bigint[]) is
  'Returns what pg_net knows about these webhooks: its answer, or that it has not been sent yet. Returns no row if pg_net is missing or '
  'different, so that explain and sweep continue. After a crash pg_net starts numbering again, so an answer belongs to the last webhook '
  'with its number before it; it dates an answer from the start of its transaction, so up to a minute earlier. security definer: before 0.12, '
  'only the owner may read pg_net''s tables.';

-- Returns these webhooks with what pg_net answered, from leadhook.webhooks or, until the sweep has copied it, from pg_net.
create or replace function leadhook.describe_webhooks(p_webhook_ids bigint[])
returns table (
  id bigint, reason text, leads int, sent_at timestamptz, sent boolean, queued boolean, status_code int, error text, timed_out boolean
)
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
  select
    w.id, w.reason, w.leads, w.sent_at, w.request_id is not null, coalesce(a.queued, false), coalesce(w.status_code, a.status_code),
    coalesce(w.error, a.error, case when a.timed_out then 'timed out' end), coalesce(a.timed_out, w.error = 'timed out', false)
  from leadhook.webhooks as w
  left join leadhook.read_webhook_answers(describe_webhooks.p_webhook_ids) as a on a.webhook_id = w.id
  where w.id = any (describe_webhooks.p_webhook_ids)
$$;

-- Returns up to five webhooks of a transaction or, without one, within 5 s of p_at, the nearest first. While the outbox row exists, its
-- transaction identifies the webhook; later only the time is known, because a webhook does not name its leads.
create or replace function leadhook.find_webhooks(p_at timestamptz, p_xact xid8)
returns jsonb
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
  with near as materialized (
    select w.id, abs(extract(epoch from w.sent_at - find_webhooks.p_at)) as distance_s
    from leadhook.webhooks as w
    where w.sent_at between find_webhooks.p_at - interval '1 hour' and find_webhooks.p_at + interval '5 s' and case
      when find_webhooks.p_xact is not null then w.xact = find_webhooks.p_xact
      else w.sent_at > find_webhooks.p_at - interval '5 s'
    end
    order by distance_s, w.id
    limit 5
  )
  select coalesce(jsonb_agg(to_jsonb(w) - 'id' order by n.distance_s, n.id), '[]')
  from near as n
  join leadhook.describe_webhooks(array(select i.id from near as i)) as w using (id)
$$;

-- Returns the watched tables that have a webhook of Supabase's dashboard.
create or replace function leadhook.find_dashboard_webhooks()
returns text[]
language sql
stable
set search_path = ''
as $$
  select coalesce(array_agg(distinct c.relname::text order by c.relname::text), '{}')
  from pg_catalog.pg_trigger as t
  join pg_catalog.pg_class as c on c.oid = t.tgrelid
  join pg_catalog.pg_proc as f on f.oid = t.tgfoid
  join pg_catalog.pg_namespace as s on s.oid = f.pronamespace
  where c.relnamespace = 'public'::regnamespace and c.relname in ('all_leads', 'lead_details', 'prompts')
    and t.tgenabled in ('O', 'A') and s.nspname = 'supabase_functions' and f.proname = 'http_request'
$$;

create or replace function public.leadhook_explain(p_lead_id text)
returns json
language plpgsql
stable
set search_path = ''
set jit = off
set enable_seqscan = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_checked record;
  v_failure text;
  v_job jsonb := leadhook.describe_job(p_lead_id);
  v_outbox jsonb;
begin
  if coalesce(p_lead_id, '') = '' then
    raise exception 'p_lead_id is missing' using errcode = 'PT400';
  end if;
  begin
    select e.* into v_checked from leadhook.check_eligibility(array[p_lead_id]) as e;
  exception when others then
    if not leadhook.blames_the_lead(sqlstate) then
      raise;
    end if;
    v_failure := left(sqlerrm, 500);
    select null::uuid as user_id, null::text as tag, null::boolean as has_prompts into v_checked;
  end;
  v_outbox := leadhook.find_pending_changes(p_lead_id, v_checked.user_id, v_checked.tag);
  return (
    select json_build_object(
      'lead_id', p_lead_id,
      'now', v_now,
      'eligibility', case when v_failure is null then to_jsonb(v_checked) end,
      'failure', v_failure,
      'answered', r.answer is not null,
      'answer', r.answer,
      'tags_of_user', case when v_checked.has_prompts is false then (
        select coalesce(jsonb_agg(distinct p.tag), '[]')
        from (select p.tag from public.prompts as p where p.user_id = v_checked.user_id limit 20) as p
      ) else '[]' end,
      'job', v_job,
      'outbox', v_outbox,
      'queue', leadhook.find_place_in_queue(p_lead_id, v_now),
      'keys', leadhook.describe_keys(),
      'pauses', g.gates -> 'pauses',
      'budgets', g.gates -> 'budgets',
      'webhooks', leadhook.find_webhooks(
        coalesce(v_outbox #>> '{of_lead,0,changed_at}', v_job ->> 'eligible_at')::timestamptz,
        (v_outbox #>> '{of_lead,0,xact}')::xid8
      ),
      'triggers', leadhook.check_triggers(),
      'dashboard_webhooks', leadhook.find_dashboard_webhooks(),
      'webhook_setup', to_jsonb(s),
      'backlog', c.backlog,
      'first_round_finished_at', c.first_round_finished_at,
      'max_attempts', c.max_attempts,
      'attempts', h.history -> 'attempts',
      'results', h.history -> 'results',
      'replays', h.history -> 'replays'
    )
    from leadhook.controls as c
    cross join leadhook.webhook_settings() as s
    cross join leadhook.describe_history(p_lead_id) as h (history)
    cross join leadhook.describe_admission(p_lead_id, v_checked.user_id, v_checked.tag, v_now) as g (gates)
    left join lateral (
      select jsonb_build_object(
        'score', l.score, 'should_contact', l.should_contact, 'response', left(l.response::text, 20000), 'subject', left(l.subject::text, 2000),
        'message', left(l.message::text, 20000)
      ) as answer
      from public.llm_response as l
      where l.lead_id = p_lead_id
      order by l.tag is not distinct from v_checked.tag desc, l::text
      limit 1
    ) as r on true
  );
end
$$;
comment on function public.leadhook_explain(text) is
  'Returns everything known about a lead, for `leadhook explain` and GET /leads/{lead_id}: each condition of eligibility, job, outbox '
  'rows, place in the queue, keys, webhooks with pg_net''s answers, triggers, attempts, results, replays. Changes nothing.';

-- Returns the first p_most leads with an answer that fit, newest answer first. A deleted lead disappears before the next claim applies the
-- deletion. all_leads may have no index, so it is read once for many leads, and not once for each.
create or replace function leadhook.list_answered(p_user_id uuid, p_tag text, p_min_score int, p_since timestamptz, p_most int)
returns text[]
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
as $$
declare
  v_lead_ids text[] := '{}';
  v_slice text[];
  v_size int := greatest(p_most, 100);
  v_seen int := 0;
begin
  loop
    v_slice := array(
      select v.lead_id
      from leadhook.results as v
      join leadhook.jobs as j on j.lead_id = v.lead_id
      where (p_user_id is null or j.user_id = p_user_id)
        and (p_tag is null or j.tag = p_tag)
        and (p_min_score is null or v.score >= p_min_score)
        and (p_since is null or v.created_at >= p_since)
        and not exists (select from leadhook.results as n where n.lead_id = v.lead_id and n.run > v.run)
      order by v.created_at desc, v.lead_id
      offset v_seen
      limit v_size
    );
    v_lead_ids := v_lead_ids || array(
      select s.lead_id
      from unnest(v_slice) with ordinality as s (lead_id, place)
      join (select distinct a.lead_id from public.all_leads as a where a.lead_id = any (v_slice)) as k on k.lead_id = s.lead_id
      order by s.place
    );
    exit when cardinality(v_lead_ids) >= p_most or cardinality(v_slice) < v_size;
    v_seen := v_seen + v_size;
    v_size := 2 * v_size;
  end loop;
  return v_lead_ids[:p_most];
end
$$;

create or replace function public.leadhook_answers(
  p_user_id uuid default null,
  p_tag text default null,
  p_min_score int default null,
  p_since timestamptz default null,
  p_limit int default 20
)
returns json
language plpgsql
stable
set search_path = ''
set jit = off
set plan_cache_mode = force_custom_plan
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_lead_ids text[];
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception 'p_limit must be 1 to 1000' using errcode = 'PT400';
  end if;
  -- One more than requested, for has_more.
  v_lead_ids := leadhook.list_answered(p_user_id, p_tag, p_min_score, p_since, p_limit + 1);
  return (
    with details as materialized (
      select distinct on (d.lead_id) d.lead_id, left(d.name::text, 200) as name
      from public.lead_details as d
      where d.lead_id = any (v_lead_ids)
      order by d.lead_id, (d.sent_to_llm is not true) desc, d::text desc
    ),
    newest as (
      select distinct on (v.lead_id)
        v.lead_id, d.name, j.user_id, j.tag, v.run, v.score, v.should_contact, v.response, v.subject, v.message, v.claims, v.matched, v.missed,
        v.flags, v.model, v.prompt_version, v.written, v.created_at
      from leadhook.results as v
      join leadhook.jobs as j on j.lead_id = v.lead_id
      left join details as d on d.lead_id = v.lead_id
      where v.lead_id = any (v_lead_ids[:p_limit])
      order by v.lead_id, v.run desc
    )
    select json_build_object(
      'now', clock_timestamp(),
      'answers', coalesce(json_agg(to_jsonb(n) order by n.created_at desc, n.lead_id), '[]'),
      'has_more', cardinality(v_lead_ids) > p_limit
    )
    from newest as n
  );
end
$$;
comment on function public.leadhook_answers(uuid, text, int, timestamptz, int) is
  'Returns the newest answer of each lead, newest first, for `leadhook answers`: score, reason, message, criteria met and missed, flags. '
  'written: whether it is in llm_response. has_more: the limit cut the list. Changes nothing.';

-- Counts what operators watch, each up to 10,000 and by an index.
create or replace function leadhook.count_figures(p_now timestamptz)
returns jsonb
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
begin
  return jsonb_build_object(
    'jobs', jsonb_build_object(
      'waiting', (select count(*) from (select from leadhook.jobs as j where j.state = 'waiting' limit 10000) as n),
      'held', (select count(*) from (select from leadhook.jobs as j where j.state = 'held' limit 10000) as n),
      'dead', (select count(*) from (select from leadhook.jobs as j where j.state = 'dead' limit 10000) as n),
      'leased', (select count(*) from (select from leadhook.jobs as j where j.state = 'leased' limit 10000) as n),
      'ready', (select count(*) from (select from leadhook.jobs as j where j.state = 'ready' limit 10000) as n)
    ),
    'oldest_ready_ms', (
      select jsonb_object_agg(o.priority, coalesce(greatest(0, floor(extract(epoch from p_now - o.since) * 1000)), 0)::bigint)
      from (values
        ('normal', (select min(j.available_at) from leadhook.jobs as j where j.state = 'ready' and not j.low_priority and isfinite(j.available_at))),
        ('low', (select min(j.available_at) from leadhook.jobs as j where j.state = 'ready' and j.low_priority and isfinite(j.available_at)))
      ) as o (priority, since)
    ),
    'outbox', (select count(*) from (select from leadhook.outbox as t limit 10000) as n),
    'keys', leadhook.describe_keys() - '{total,untried,next_return_at,parked}'::text[]
  );
end
$$;

-- Returns the figures that operators watch, at most p_max_age old, with their age. The caller holds lock_outbox, so only one call counts.
create or replace function leadhook.recent_figures(p_now timestamptz, p_max_age interval default '10 s')
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_last leadhook.figures;
begin
  select f.* into v_last from leadhook.figures as f;
  if v_last.taken_at > p_now - p_max_age and v_last.taken_at <= p_now then
    return v_last.figures || jsonb_build_object('age_ms', floor(extract(epoch from p_now - v_last.taken_at) * 1000)::int);
  end if;
  insert into leadhook.figures as f (taken_at, figures) values (p_now, leadhook.count_figures(p_now))
  on conflict (id) do update set taken_at = excluded.taken_at, figures = excluded.figures
  returning f.* into v_last;
  return v_last.figures || '{"age_ms": 0}';
end
$$;

select leadhook.grant_functions();
