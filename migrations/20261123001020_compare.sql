-- Purpose: judges leads beside the application's answers, so that a new prompt can be tried before it is let loose.
-- Touches: leadhook.comparisons, attempts and costs; reads the application's tables and never writes to them. Functions in schema
--          leadhook; public.leadhook_compare_claim, leadhook_compare_save.
-- Undo:    drop function public.leadhook_compare_claim(uuid, text, int, jsonb), public.leadhook_compare_save(text, jsonb, jsonb),
--          leadhook.sum_comparisons(bigint), leadhook.comparisons_page(bigint, text), leadhook.end_comparisons(text, jsonb, timestamptz),
--          leadhook.old_answers(text[]), leadhook.describe_comparisons(uuid), leadhook.lease_comparisons(uuid, int, timestamptz),
--          leadhook.set_aside_comparisons(uuid), leadhook.reserve_comparisons(uuid, json, json, jsonb),
--          leadhook.queue_comparisons(bigint, text[]), leadhook.comparisons_due_ms(timestamptz);
-- A lease here is not renewed: it is longer than the longest judgement, as nobody but a person waits for one that was lost in a crash.
-- Pauses and budgets hold here too: what they turn away is looked at again in five minutes.

create or replace function leadhook.comparisons_due_ms(p_now timestamptz)
returns int
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_next timestamptz := least(
    (select c.available_at from leadhook.comparisons as c where c.state = 'ready' order by c.available_at limit 1),
    (select c.lease_until from leadhook.comparisons as c where c.state = 'leased' order by c.lease_until limit 1)
  );
begin
  if exists (select from leadhook.pauses as p where p.user_id is null) then
    v_next := greatest(v_next, p_now + interval '5 minutes');
  end if;
  if v_next is not null and not exists (select from leadhook.healthy_keys()) then
    v_next := (select greatest(v_next, k.next_return_at) from leadhook.key_states() as k where k.next_return_at is not null);
  end if;
  return case when v_next is not null then greatest(0, least(86400000, ceil(extract(epoch from v_next - p_now) * 1000))) end;
end
$$;
comment on function leadhook.comparisons_due_ms(timestamptz) is
  'Milliseconds until leadhook_compare_claim could hand something out; null when nothing is due, or no key is known to come back.';
revoke all on function leadhook.comparisons_due_ms(timestamptz) from public, anon, authenticated;
grant execute on function leadhook.comparisons_due_ms(timestamptz) to service_role;

create or replace function leadhook.queue_comparisons(p_replay_id bigint, p_lead_ids text[])
returns table (lead_id text, outcome text, missing text[])
language plpgsql
security invoker
set search_path = ''
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with decided as materialized (
    select d.* from leadhook.decide_replay('compare', p_lead_ids, true) as d
  ),
  added as (
    insert into leadhook.comparisons (replay_id, lead_id, user_id, tag)
    select p_replay_id, d.lead_id, d.user_id, d.tag from decided as d where d.outcome = 'queued'
    on conflict (replay_id, lead_id) do nothing
  )
  select d.lead_id, d.outcome, d.missing from decided as d;
end
$$;
comment on function leadhook.queue_comparisons(bigint, text[]) is 'queued, not_eligible or unknown: whatever state its job is in.';
revoke all on function leadhook.queue_comparisons(bigint, text[]) from public, anon, authenticated;
grant execute on function leadhook.queue_comparisons(bigint, text[]) to service_role;

create or replace function leadhook.lease_comparisons(p_token uuid, p_limit int, p_now timestamptz)
returns void
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
declare
  v_shut record := leadhook.shut_gates(p_now);
begin
  with expired as materialized (
    select c.replay_id, c.lead_id, c.user_id, c.reserved_usd
    from leadhook.comparisons as c
    where c.state = 'leased' and c.lease_until <= p_now and c.claim_token <> p_token
    for no key update skip locked
  ),
  -- Nobody knows what its worker bought before it died: all that it might have.
  booked as materialized (
    select leadhook.book_costs(jsonb_agg(jsonb_build_object('user_id', e.user_id, 'usd', e.reserved_usd, 'wasted', true)), p_now)
    from expired as e
    where e.reserved_usd > 0
    having count(*) > 0
  )
  update leadhook.comparisons as c
  set
    state = case when c.attempts + 1 >= o.max_attempts then 'failed' else 'ready' end,
    attempts = c.attempts + 1,
    claim_token = null,
    lease_until = null,
    reserved_usd = null,
    error_code = 'lease_expired',
    reason = 'the process that judged it did not say what became of it',
    finished_at = case when c.attempts + 1 >= o.max_attempts then p_now end
  from leadhook.controls as o
  cross join expired as e
  where c.replay_id = e.replay_id and c.lead_id = e.lead_id and (select count(*) from booked as b) >= 0;

  if v_shut.everything = 'paused' then
    return;
  end if;
  if v_shut.everything is not null or v_shut.user_ids <> '{}' or v_shut.lanes <> '{}' then
    update leadhook.comparisons as c
    set available_at = p_now + interval '5 minutes'
    from (
      select r.replay_id, r.lead_id
      from leadhook.comparisons as r
      where r.state = 'ready' and r.available_at <= p_now
        and (v_shut.everything is not null or r.user_id = any (v_shut.user_ids) or r.user_id::text || ' ' || r.tag = any (v_shut.lanes))
      order by r.available_at, r.replay_id, r.lead_id
      limit 200
      for no key update skip locked
    ) as d
    where c.replay_id = d.replay_id and c.lead_id = d.lead_id;
  end if;
  update leadhook.comparisons as c
  set state = 'leased', claim_token = p_token, lease_until = p_now + interval '300 s', fence = nextval('leadhook.fences'), reserved_usd = null
  from (
    select r.replay_id, r.lead_id
    from leadhook.comparisons as r
    where r.state = 'ready' and r.available_at <= p_now and v_shut.everything is null
      and r.user_id <> all (v_shut.user_ids) and r.user_id::text || ' ' || r.tag <> all (v_shut.lanes)
    order by r.available_at, r.replay_id, r.lead_id
    limit p_limit
    for no key update skip locked
  ) as d
  where c.replay_id = d.replay_id and c.lead_id = d.lead_id;
end
$$;
comment on function leadhook.lease_comparisons(uuid, int, timestamptz) is
  'Ends leases that ran out, then leases up to p_limit; up to 200 that a pause or a budget forbids are postponed.';
revoke all on function leadhook.lease_comparisons(uuid, int, timestamptz) from public, anon, authenticated;
grant execute on function leadhook.lease_comparisons(uuid, int, timestamptz) to service_role;

create or replace function leadhook.describe_comparisons(p_token uuid)
returns table (leads json, prompts json)
language plpgsql
security invoker
set search_path = ''
set jit = off
as $$
begin
  return query
  with leased as materialized (
    select
      c.lead_id, c.user_id, c.tag, c.fence, c.attempts, c.paid, c.reserved_usd, r.prompts as given,
      dense_rank() over (order by c.user_id, c.tag, case when r.prompts is not null then r.id end) - 1 as prompts_ref,
      r.created_at
    from leadhook.comparisons as c
    join leadhook.replays as r on r.id = c.replay_id
    where c.claim_token = p_token
  ),
  asked as (
    select array_agg(l.lead_id) as lead_ids, array_agg(l.user_id) as user_ids, array_agg(l.tag) as tags
    from (select distinct l.lead_id, l.user_id, l.tag from leased as l) as l
  ),
  described as materialized (
    select d.lead_id, d.lead ->> 'tag' as tag, d.lead, d.prompts
    from asked as a
    cross join lateral leadhook.describe_leads(a.lead_ids, a.user_ids, a.tags) as d
  ),
  claimed as (
    select l.*, d.lead, d.prompts || coalesce(l.given, '{}') as prompts, row_number() over (partition by l.prompts_ref order by l.fence) = 1 as opens
    from leased as l
    join described as d on d.lead_id = l.lead_id and d.tag = l.tag
  )
  select
    coalesce(json_agg(json_build_object(
      'lead_id', c.lead_id,
      'fence', c.fence,
      'run', 0,
      'attempts', c.attempts,
      'slow', true,
      'found_by', 'compare',
      'eligible_at', c.created_at,
      'waited_ms', 0,
      'lead', c.lead,
      'prompts_ref', c.prompts_ref::text,
      'paid', c.paid,
      'reserved_usd', c.reserved_usd
    ) order by c.fence), '[]'),
    coalesce(json_object_agg(c.prompts_ref, c.prompts) filter (where c.opens), '{}')
  from claimed as c;
end
$$;
revoke all on function leadhook.describe_comparisons(uuid) from public, anon, authenticated;
grant execute on function leadhook.describe_comparisons(uuid) to service_role;

create or replace function leadhook.set_aside_comparisons(p_token uuid)
returns void
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_lead record;
  v_reason text;
begin
  for v_lead in
    select c.replay_id, c.lead_id, c.user_id, c.tag from leadhook.comparisons as c where c.claim_token = p_token
  loop
    v_reason := 'the lead, its details or its prompts row are gone';
    begin
      continue when (
        select d.lead from leadhook.describe_leads(array[v_lead.lead_id], array[v_lead.user_id], array[v_lead.tag]) as d
      ) is not null;
    exception when others then
      if not leadhook.blames_the_lead(sqlstate) then
        raise;
      end if;
      v_reason := sqlerrm;
    end;
    update leadhook.comparisons as c
    set state = 'failed', claim_token = null, lease_until = null, error_code = 'evaluation_failed', reason = left(v_reason, 500),
      finished_at = clock_timestamp()
    where c.replay_id = v_lead.replay_id and c.lead_id = v_lead.lead_id;
  end loop;
end
$$;
comment on function leadhook.set_aside_comparisons(uuid) is 'Of the leads of this claim, those that can''t be described have failed.';
revoke all on function leadhook.set_aside_comparisons(uuid) from public, anon, authenticated;
grant execute on function leadhook.set_aside_comparisons(uuid) to service_role;

create or replace function leadhook.reserve_comparisons(p_token uuid, p_leads json, p_prompts json, p_price jsonb)
returns void
language plpgsql
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_lead record;
  v_fits boolean;
begin
  for v_lead in
    select
      c.replay_id, c.lead_id, c.user_id,
      (p_price ->> 'lead_usd')::numeric + (p_price ->> 'byte_usd')::numeric * (
        least(octet_length((l.item -> 'lead')::text), (p_price ->> 'most_lead_bytes')::int)
        + least(octet_length((p_prompts -> (l.item ->> 'prompts_ref'))::text), (p_price ->> 'most_prompts_bytes')::int)
      ) as usd
    from json_array_elements(p_leads) as l (item)
    join leadhook.comparisons as c on c.claim_token = p_token and c.fence = (l.item ->> 'fence')::bigint
    where c.reserved_usd is null
    order by c.fence
  loop
    v_fits := coalesce(leadhook.budget_left(v_lead.user_id) >= v_lead.usd, true);
    update leadhook.comparisons as c
    set
      reserved_usd = case when v_fits then v_lead.usd end,
      state = case when v_fits then 'leased' else 'ready' end,
      claim_token = case when v_fits then p_token end,
      lease_until = case when v_fits then c.lease_until end,
      available_at = case when v_fits then c.available_at else clock_timestamp() + interval '5 minutes' end
    where c.replay_id = v_lead.replay_id and c.lead_id = v_lead.lead_id;
  end loop;
end
$$;
comment on function leadhook.reserve_comparisons(uuid, json, json, jsonb) is
  'Reserves what each lead of this claim may cost, as far as the budgets allow; the others are postponed.';
revoke all on function leadhook.reserve_comparisons(uuid, json, json, jsonb) from public, anon, authenticated;
grant execute on function leadhook.reserve_comparisons(uuid, json, json, jsonb) to service_role;

create or replace function public.leadhook_compare_claim(p_token uuid, p_worker text, p_limit int, p_price jsonb default null)
returns json
language plpgsql
security invoker
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_has_budgets boolean := exists (select from leadhook.budgets);
  v_unpriced boolean := v_has_budgets and p_price is not null and not p_price ? 'lead_usd';
  v_now timestamptz;
  v_keys json;
  v_leads json := '[]';
  v_prompts json := '{}';
begin
  if p_token is null or p_limit is null or p_limit not between 1 and 50 then
    raise exception 'p_token is wanted, and a p_limit of 1 to 50' using errcode = 'PT400';
  end if;
  if v_has_budgets then
    -- The claim's lock: what is left of a budget is counted by one at a time.
    perform leadhook.lock_claims();
  end if;
  v_now := clock_timestamp();
  v_keys := (
    select json_agg(json_build_object('fingerprint', k.fingerprint, 'api_key', k.api_key, 'tried', k.tried))
    from leadhook.healthy_keys() as k
  );
  if v_keys is not null and not v_unpriced then
    if not exists (select from leadhook.comparisons as c where c.claim_token = p_token) then
      perform leadhook.lease_comparisons(p_token, p_limit, v_now);
    end if;
    begin
      select d.leads, d.prompts into v_leads, v_prompts from leadhook.describe_comparisons(p_token) as d;
    exception when others then
      if not leadhook.blames_the_lead(sqlstate) then
        raise;
      end if;
    end;
    if json_array_length(v_leads) < (select count(*) from leadhook.comparisons as c where c.claim_token = p_token) then
      perform leadhook.set_aside_comparisons(p_token);
      select d.leads, d.prompts into v_leads, v_prompts from leadhook.describe_comparisons(p_token) as d;
    end if;
    if p_price ? 'lead_usd' then
      perform leadhook.reserve_comparisons(p_token, v_leads, v_prompts, p_price);
      select d.leads, d.prompts into v_leads, v_prompts from leadhook.describe_comparisons(p_token) as d;
    end if;
  end if;
  return json_build_object(
    'leads', v_leads,
    'prompts', v_prompts,
    'keys', coalesce(v_keys, '[]'),
    'lease_ms', 300000,
    'start_limit_ms', 150000,
    'next_due_ms', case when not v_unpriced then leadhook.comparisons_due_ms(v_now) end
  );
end
$$;
comment on function public.leadhook_compare_claim(uuid, text, int, jsonb) is
  'Leases up to p_limit comparisons with all that their judgement needs; shaped like a claim''s reply. The same token again returns the same. '
  'p_price: as in a claim.';
revoke all on function public.leadhook_compare_claim(uuid, text, int, jsonb) from public, anon, authenticated;
grant execute on function public.leadhook_compare_claim(uuid, text, int, jsonb) to service_role;

create or replace function leadhook.old_answers(p_lead_ids text[])
returns table (lead_id text, score int, subject text, prompt_version text)
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
begin
  return query
  with judged as (
    select distinct on (v.lead_id) v.lead_id, v.score, v.subject, v.prompt_version
    from leadhook.verdicts as v
    where v.lead_id = any (old_answers.p_lead_ids) and v.written
    order by v.lead_id, v.run desc
  ),
  answers as (
    select distinct on (r.lead_id)
      r.lead_id, case when r.score::text ~ '^\s*[0-9]{1,3}(\.[0-9]*)?\s*$' then r.score::text::numeric::int end as score, r.subject::text as subject
    from public.llm_response as r
    where r.lead_id = any (old_answers.p_lead_ids)
    order by r.lead_id, score desc nulls last, subject desc nulls last
  )
  select coalesce(a.lead_id, j.lead_id), coalesce(a.score, j.score), coalesce(a.subject, j.subject), j.prompt_version
  from judged as j
  full join answers as a using (lead_id);
end
$$;
comment on function leadhook.old_answers(text[]) is
  'What the application has of these leads, else our last verdict; the prompt version is the last verdict''s.';
revoke all on function leadhook.old_answers(text[]) from public, anon, authenticated;
grant execute on function leadhook.old_answers(text[]) to service_role;

create or replace function leadhook.end_comparisons(p_worker text, p_endings jsonb, p_now timestamptz)
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
      e.*, c.replay_id, c.user_id,
      coalesce(e.cost_usd, c.reserved_usd) as cost,
      coalesce(e.paid, c.paid) as bought,
      c.attempts + (e.outcome = 'retry')::int as attempts,
      case
        when e.outcome = 'done' then 'done'
        when r.phase in ('stopping', 'stopped') then 'stopped'
        when e.outcome = 'returned' or e.outcome = 'retry' and c.attempts + 1 < o.max_attempts then 'ready'
        else 'failed'
      end as state
    from jsonb_to_recordset(p_endings) as e (
      lead_id text, fence bigint, outcome text, error_code text, reason text, delay_ms bigint, paid jsonb, key_fingerprint text, usage jsonb,
      cost_usd numeric, timing jsonb
    )
    join leadhook.comparisons as c on c.lead_id = e.lead_id and c.fence = e.fence and c.state = 'leased'
    join leadhook.replays as r on r.id = c.replay_id
    cross join leadhook.controls as o
  ),
  recorded as (
    insert into leadhook.attempts (
      lead_id, run, fence, outcome, error_code, reason, worker, found_by, replay_id, model, prompt_version, key_fingerprint,
      calls, input_tokens, cached_tokens, output_tokens, thinking_tokens, cost_usd, model_ms, finished_at
    )
    select
      e.lead_id, 0, e.fence, 'compared', e.error_code, left(e.reason, 500), p_worker, 'compare', e.replay_id,
      e.bought ->> 'model', e.bought ->> 'prompt_version', e.key_fingerprint,
      (e.usage ->> 'calls')::int, (e.usage ->> 'input_tokens')::int, (e.usage ->> 'cached_tokens')::int,
      (e.usage ->> 'output_tokens')::int, (e.usage ->> 'thinking_tokens')::int, e.cost, (e.timing ->> 'model_ms')::int, p_now
    from endings as e
  ),
  booked as materialized (
    select leadhook.book_costs(jsonb_agg(jsonb_build_object('user_id', e.user_id, 'usd', e.cost, 'wasted', false)), p_now)
    from endings as e
    where e.cost > 0
    having count(*) > 0
  ),
  old as materialized (
    select a.* from leadhook.old_answers(array(select e.lead_id from endings as e)) as a
  ),
  ended as (
    update leadhook.comparisons as c
    set
      state = e.state,
      attempts = e.attempts,
      claim_token = null,
      lease_until = null,
      reserved_usd = null,
      available_at = p_now + make_interval(secs => least(greatest(coalesce(e.delay_ms, 0), 0), 86400000) / 1000.0),
      paid = case when e.state = 'ready' then e.bought end,
      old_score = o.score,
      old_subject = o.subject,
      old_prompt_version = o.prompt_version,
      new_score = n.score,
      new_subject = case when n.score < 50 then 'ineligible' else e.bought #>> '{message,subject}' end,
      new_should_contact = case when n.score is not null then (e.bought #>> '{score,should_contact}')::boolean end,
      new_prompt_version = case when n.score is not null then e.bought ->> 'prompt_version' end,
      error_code = case when e.state <> 'done' then e.error_code end,
      reason = case when e.state <> 'done' then left(e.reason, 500) end,
      finished_at = case when e.state <> 'ready' then p_now end
    from endings as e
    left join old as o on o.lead_id = e.lead_id
    cross join lateral (select case when e.state = 'done' then (e.bought #>> '{score,score}')::int end) as n (score)
    where c.replay_id = e.replay_id and c.lead_id = e.lead_id and (select count(*) from booked as b) >= 0
  )
  select e.lead_id, e.fence, case e.state when 'done' then 'saved' when 'failed' then 'dead' else 'released' end from endings as e;
end
$$;
comment on function leadhook.end_comparisons(text, jsonb, timestamptz) is
  'Ends leases of comparisons: done, retry (an attempt is spent), returned or dead; what was bought is kept until it is done.';
revoke all on function leadhook.end_comparisons(text, jsonb, timestamptz) from public, anon, authenticated;
grant execute on function leadhook.end_comparisons(text, jsonb, timestamptz) to service_role;

create or replace function public.leadhook_compare_save(p_worker text, p_results jsonb, p_releases jsonb default '[]')
returns jsonb
language plpgsql
security invoker
set search_path = ''
set jit = off
set row_security = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_items jsonb;
  v_ended jsonb;
  v_now timestamptz;
begin
  perform leadhook.read_results(p_results);
  perform leadhook.require_leases(p_releases);
  if exists (
    select from jsonb_array_elements(p_releases) as i (item)
    where (i.item ->> 'outcome') is null or (i.item ->> 'outcome') not in ('retry', 'returned', 'dead')
  ) then
    raise exception 'the outcome of a release is retry, returned or dead' using errcode = 'PT400';
  end if;
  v_items := p_releases || (select coalesce(jsonb_agg(i.item || '{"outcome": "done"}'), '[]') from jsonb_array_elements(p_results) as i (item));

  perform
  from leadhook.comparisons as c
  join jsonb_to_recordset(v_items) as i (lead_id text, fence bigint) on i.lead_id = c.lead_id and i.fence = c.fence
  order by c.replay_id, c.lead_id
  for no key update of c;
  v_now := clock_timestamp();
  v_ended := (select jsonb_agg(to_jsonb(e)) from leadhook.end_comparisons(p_worker, v_items, v_now) as e);

  return jsonb_build_object(
    'leases', (
      select coalesce(jsonb_agg(jsonb_build_object('lead_id', i.lead_id, 'fence', i.fence, 'outcome', coalesce(
        e.outcome, case when c.lead_id is null then 'gone' when c.state = 'done' and c.fence = i.fence then 'saved' else 'lease_lost' end
      ))), '[]')
      from (select distinct i.lead_id, i.fence from jsonb_to_recordset(v_items) as i (lead_id text, fence bigint)) as i
      left join jsonb_to_recordset(v_ended) as e (lead_id text, fence bigint, outcome text) using (lead_id, fence)
      left join lateral (
        select c.lead_id, c.state, c.fence from leadhook.comparisons as c where c.lead_id = i.lead_id order by c.fence = i.fence desc limit 1
      ) as c on true
    ),
    'next_due_ms', leadhook.comparisons_due_ms(v_now)
  );
end
$$;
comment on function public.leadhook_compare_save(text, jsonb, jsonb) is
  'Keeps finished comparisons, and takes back the others. Outcomes: saved, released, dead, lease_lost, gone. Writes nothing to the '
  'application''s tables.';
revoke all on function public.leadhook_compare_save(text, jsonb, jsonb) from public, anon, authenticated;
grant execute on function public.leadhook_compare_save(text, jsonb, jsonb) to service_role;

create or replace function leadhook.comparisons_page(p_replay_id bigint, p_after_lead text)
returns jsonb
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
    'lead_id', p.lead_id,
    'state', case p.state when 'ready' then 'waiting' else p.state end,
    'old_score', p.old_score,
    'new_score', p.new_score,
    'crosses', case when p.old_score < 50 and p.new_score >= 50 then 'up' when p.old_score >= 50 and p.new_score < 50 then 'down' end,
    'old_subject', p.old_subject,
    'new_subject', p.new_subject,
    'new_should_contact', p.new_should_contact,
    'old_prompt_version', p.old_prompt_version,
    'new_prompt_version', p.new_prompt_version,
    'error_code', p.error_code,
    'reason', p.reason
  )) order by p.lead_id), '[]')
  from (
    select c.*
    from leadhook.comparisons as c
    where c.replay_id = comparisons_page.p_replay_id and c.lead_id > comparisons_page.p_after_lead
    order by c.lead_id
    limit 1001
  ) as p
$$;
comment on function leadhook.comparisons_page(bigint, text) is 'The next 1001 leads of a comparison behind p_after_lead.';
revoke all on function leadhook.comparisons_page(bigint, text) from public, anon, authenticated;
grant execute on function leadhook.comparisons_page(bigint, text) to service_role;

create or replace function leadhook.sum_comparisons(p_replay_id bigint)
returns jsonb
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  select jsonb_build_object(
    'compared', count(*) filter (where c.old_score is not null),
    'without_old_score', count(*) filter (where c.old_score is null),
    'old_mean', round(avg(c.old_score), 2),
    'new_mean', round(avg(c.new_score) filter (where c.old_score is not null), 2),
    'mean_change', round(avg(c.new_score - c.old_score), 2),
    'up', count(*) filter (where c.old_score < 50 and c.new_score >= 50),
    'down', count(*) filter (where c.old_score >= 50 and c.new_score < 50)
  )
  from leadhook.comparisons as c
  where c.replay_id = sum_comparisons.p_replay_id and c.state = 'done'
$$;
comment on function leadhook.sum_comparisons(bigint) is
  'Of what is compared so far: means, and how many cross 50 upwards and downwards; new_mean is of those with an old score.';
revoke all on function leadhook.sum_comparisons(bigint) from public, anon, authenticated;
grant execute on function leadhook.sum_comparisons(bigint) to service_role;
