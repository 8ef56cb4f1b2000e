-- Purpose: judges leads again that somebody names, whatever became of them before.
-- Touches: functions in schema leadhook; public.leadhook_replay.
-- Undo:    drop function public.leadhook_replay(text[], text, text), leadhook.queue_replay(bigint, text[], boolean),
--          leadhook.decide_replay(text[], boolean), leadhook.judge_each(text[]), leadhook.refuse_replay(text);
-- sent_to_llm is never touched: a job that is queued here carries the replay's id, and is judged without that one condition. So do leads that
-- were unsent anyway: who names a lead wants its answer, even if somebody else marks it as sent meanwhile, and the attempt tells why it ran.

create or replace function leadhook.judge_each(p_lead_ids text[])
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_middle int := cardinality(p_lead_ids) / 2;
begin
  begin
    return (select coalesce(jsonb_agg(to_jsonb(e)), '[]') from leadhook.judge_eligibility(p_lead_ids) as e);
  exception when others then
    if not leadhook.blames_the_lead(sqlstate) then
      raise;
    end if;
  end;
  if v_middle = 0 then
    return jsonb_build_array(jsonb_build_object('lead_id', p_lead_ids[1], 'failed', true));
  end if;
  return leadhook.judge_each(p_lead_ids[:v_middle]) || leadhook.judge_each(p_lead_ids[v_middle + 1:]);
end
$$;
comment on function leadhook.judge_each(text[]) is
  'judge_eligibility as a JSON array; a lead whose evaluation raises is {"lead_id", "failed": true}, and the others are judged.';
revoke all on function leadhook.judge_each(text[]) from public, anon, authenticated;
grant execute on function leadhook.judge_each(text[]) to service_role;

create or replace function leadhook.decide_replay(p_lead_ids text[], p_named boolean)
returns table (lead_id text, user_id uuid, tag text, outcome text, missing text[])
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
#variable_conflict use_column
begin
  return query
  select
    e.lead_id, e.user_id, e.tag, d.outcome, case when d.outcome = 'not_eligible' then m.missing end
  from jsonb_to_recordset(leadhook.judge_each(p_lead_ids)) as e (
    lead_id text, known boolean, user_id uuid, tag text, scrapped boolean, has_details boolean, has_prompts boolean, failed boolean
  )
  cross join lateral (
    select array_remove(array[
      case when e.failed then 'evaluation' end,
      case when not e.scrapped then 'scrapped' end,
      case when not e.has_details then 'details' end,
      case when not e.has_prompts then 'prompts' end
    ], null)
  ) as m (missing)
  left join leadhook.jobs as j on j.lead_id = e.lead_id
  cross join lateral (
    select case
      when j.state = 'leased' then 'queued_after'
      when e.known is false then 'unknown'
      when m.missing <> '{}' then 'not_eligible'
      when j.state = 'ready' then 'already_queued'
      when j.state = 'held' and not p_named then 'held'
      else 'queued'
    end
  ) as d (outcome);
end
$$;
comment on function leadhook.decide_replay(text[], boolean) is
  'What a replay of these leads would come to, each once: queued (run again), queued_after (once its lease ends), already_queued, '
  'held (unless it is named), not_eligible (missing: scrapped, details, prompts, or evaluation where judging it fails) or unknown.';
revoke all on function leadhook.decide_replay(text[], boolean) from public, anon, authenticated;
grant execute on function leadhook.decide_replay(text[], boolean) to service_role;

create or replace function leadhook.queue_replay(p_replay_id bigint, p_lead_ids text[], p_named boolean)
returns table (lead_id text, outcome text, missing text[])
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  v_decided jsonb;
  v_now timestamptz;
begin
  -- Locked before they are judged: else a save that commits in between would be judged by rows from before it.
  perform from leadhook.jobs as j where j.lead_id = any (p_lead_ids) order by j.lead_id for no key update;
  v_decided := (select coalesce(jsonb_agg(to_jsonb(d)), '[]') from leadhook.decide_replay(p_lead_ids, p_named) as d);
  v_now := clock_timestamp();

  return query
  with decided as materialized (
    select
      d.lead_id, d.user_id, d.tag, d.outcome, d.missing, j.state,
      coalesce(j.run + (j.state = 'leased' or d.outcome = 'queued' and j.state in ('done', 'dead'))::int, 1) as run,
      case when d.outcome = 'queued' and j.lead_id is not null then jsonb_build_object(
        'state', j.state, 'run', j.run, 'attempts', j.attempts, 'slow', j.slow, 'available_at', j.available_at,
        'eligible_at', j.eligible_at, 'found_by', j.found_by, 'error_code', j.error_code, 'reason', j.reason,
        'finished_at', j.finished_at
      ) end as before
    from jsonb_to_recordset(v_decided) as d (lead_id text, user_id uuid, tag text, outcome text, missing text[])
    left join leadhook.jobs as j on j.lead_id = d.lead_id
  ),
  noted as (
    insert into leadhook.replay_leads (replay_id, lead_id, run, outcome, before)
    select p_replay_id, d.lead_id, d.run, d.outcome, d.before
    from decided as d
    where d.outcome in ('queued', 'queued_after', 'already_queued')
    on conflict (replay_id, lead_id) do nothing
  ),
  moved as (
    update leadhook.jobs as j
    set
      state = 'ready',
      user_id = d.user_id,
      tag = d.tag,
      slow = true,
      run = d.run,
      attempts = 0,
      available_at = v_now,
      eligible_at = v_now,
      found_by = 'replay',
      replay_id = p_replay_id,
      paid = case when d.state <> 'done' then j.paid end,
      error_code = null,
      reason = null,
      finished_at = null
    from decided as d
    where j.lead_id = d.lead_id and d.outcome = 'queued'
  ),
  after_this_run as (
    update leadhook.jobs as j set replay_after = p_replay_id from decided as d where j.lead_id = d.lead_id and d.outcome = 'queued_after'
  ),
  -- A claim would put it to sleep if the application had marked it as sent meanwhile.
  kept as (
    update leadhook.jobs as j
    set replay_id = coalesce(j.replay_id, p_replay_id)
    from decided as d
    where j.lead_id = d.lead_id and d.outcome = 'already_queued'
  ),
  added as (
    insert into leadhook.jobs (lead_id, user_id, tag, state, slow, available_at, eligible_at, found_by, replay_id)
    select d.lead_id, d.user_id, d.tag, 'ready', true, v_now, v_now, 'replay', p_replay_id
    from decided as d
    where d.outcome = 'queued' and d.state is null
    on conflict (lead_id) do nothing
  )
  select d.lead_id, d.outcome, d.missing from decided as d;
end
$$;
comment on function leadhook.queue_replay(bigint, text[], boolean) is
  'Makes ready what leadhook.decide_replay says; what was paid for and not written is kept.';
revoke all on function leadhook.queue_replay(bigint, text[], boolean) from public, anon, authenticated;
grant execute on function leadhook.queue_replay(bigint, text[], boolean) to service_role;

create or replace function leadhook.refuse_replay(p_actor text)
returns void
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if coalesce(btrim(p_actor), '') = '' then
    raise exception 'a replay names who asks for it' using errcode = 'PT400';
  end if;
end
$$;
comment on function leadhook.refuse_replay(text) is 'Raises PT400 unless what every replay is told makes sense.';
revoke all on function leadhook.refuse_replay(text) from public, anon, authenticated;
grant execute on function leadhook.refuse_replay(text) to service_role;

create or replace function public.leadhook_replay(p_lead_ids text[], p_actor text, p_reason text default null)
returns jsonb
language plpgsql
security invoker
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_replay_id bigint;
  v_counts jsonb;
  v_leads jsonb;
begin
  if p_lead_ids is null or cardinality(p_lead_ids) = 0 or cardinality(p_lead_ids) > 1000 or array_position(p_lead_ids, null) is not null then
    raise exception 'a replay names 1 to 1000 leads' using errcode = 'PT400';
  end if;
  perform leadhook.refuse_replay(p_actor);

  -- The drain's lock: what is judged here is judged by nobody else.
  perform leadhook.lock_drain();
  perform leadhook.drain('ring');
  insert into leadhook.replays (actor, reason)
  values (left(btrim(p_actor), 200), left(p_reason, 500))
  returning id into v_replay_id;

  with asked as (
    select i.lead_id, min(i.place) as place from unnest(p_lead_ids) with ordinality as i (lead_id, place) group by i.lead_id
  ),
  queued as materialized (
    select q.lead_id, q.outcome, q.missing
    from leadhook.queue_replay(v_replay_id, array(select a.lead_id from asked as a), true) as q
  )
  select
    jsonb_agg(jsonb_strip_nulls(jsonb_build_object('lead_id', q.lead_id, 'outcome', q.outcome, 'missing', q.missing)) order by a.place),
    (select jsonb_object_agg(c.outcome, c.n) from (select q.outcome, count(*) as n from queued as q group by q.outcome) as c)
  into v_leads, v_counts
  from queued as q
  join asked as a using (lead_id);

  update leadhook.replays as r set counts = v_counts where r.id = v_replay_id;
  if v_counts ? 'queued' then
    perform leadhook.ring('replay', (v_counts ->> 'queued')::int);
  end if;
  return jsonb_build_object('replay_id', v_replay_id, 'counts', v_counts, 'leads', v_leads);
end
$$;
comment on function public.leadhook_replay(text[], text, text) is
  'Judges up to 1000 named leads again, and rings. Outcomes as those of leadhook.decide_replay; leads stand in the order of the call, each once.';
revoke all on function public.leadhook_replay(text[], text, text) from public, anon, authenticated;
grant execute on function public.leadhook_replay(text[], text, text) to service_role;
