-- Purpose: saves a score: the answer in llm_response, sent_to_llm, and the end of the lease, in one transaction.
-- Locks: first the application's rows, without waiting (busy), then the jobs, waiting. No advisory lock.
-- Planner flags: as in check_eligibility for the application's tables. The application's triggers run under them too, and they disable none
-- of its indexes.

set local check_function_bodies = off;

-- Parses the results, each lease once, and adds the columns of llm_response that come from the model. Below 50, subject and message are
-- 'ineligible'; if only the message failed, they are null. Raises PT400 unless each result names a lease and has a complete score.
create or replace function leadhook.read_results(p_results jsonb)
returns leadhook.ending[]
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_results leadhook.ending[];
begin
  v_results := array(
    select jsonb_populate_record(r, jsonb_build_object(
      'score', s.score,
      'response', r.checkpoint #>> '{score,response}',
      'should_contact', ((r.checkpoint #>> '{score,should_contact}')::boolean)::int,
      'subject', case when s.score < 50 then 'ineligible' else r.checkpoint #>> '{message,subject}' end,
      'message', case when s.score < 50 then 'ineligible' else r.checkpoint #>> '{message,message}' end
    ))
    from unnest(leadhook.read_leases(p_results)) as r
    cross join lateral (select (r.checkpoint #>> '{score,score}')::int) as s (score)
  );
  if exists (
    select from unnest(v_results) as r
    where (
      r.score between 0 and 100 and r.response is not null and r.should_contact is not null
      and (r.subject is not null and r.message is not null or r.message_failure ->> 'code' is not null and r.message_failure ->> 'reason' is not null)
    ) is not true
  ) then
    raise exception 'a result must have a score from 0 to 100 with response and should_contact, and from 50 up subject and message, or a message_failure'
      using errcode = 'PT400';
  end if;
  return v_results;
end
$$;

-- Locks the details and answers of these leads without waiting. Returns the leads of which the application holds a row.
create or replace function leadhook.lock_application_rows(p_lead_ids text[])
returns text[]
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = on
set seq_page_cost = 100
as $$
begin
  return (
    with details as materialized (
      select d.lead_id from public.lead_details as d where d.lead_id = any (p_lead_ids) order by d.lead_id for no key update skip locked
    ),
    answers as materialized (
      select l.lead_id from public.llm_response as l where l.lead_id = any (p_lead_ids) order by l.lead_id for no key update skip locked
    ),
    seen as (
      select d.lead_id, 1 as rows from public.lead_details as d where d.lead_id = any (p_lead_ids)
      union all
      select l.lead_id, 1 from public.llm_response as l where l.lead_id = any (p_lead_ids)
      union all
      select d.lead_id, -1 from details as d
      union all
      select l.lead_id, -1 from answers as l
    ),
    missed as (
      select s.lead_id from seen as s group by s.lead_id having sum(s.rows) > 0
    )
    select coalesce(array_agg(m.lead_id), '{}') from missed as m
  );
end
$$;

-- Returns the results with their outcomes, checked after the locks, and ends: whether this call ends the lease. A replay ignores that the
-- lead was already sent. tag is that of the prompts that the lead was scored with.
create or replace function leadhook.check_results(p_results leadhook.ending[], p_busy text[])
returns leadhook.ending[]
language plpgsql
set search_path = ''
as $$
declare
  v_lead_ids text[] := array(select r.lead_id from unnest(p_results) as r where r.lock_state = 'locked');
begin
  return (
    with decided as materialized (
      select
        r as result, r.lead_id, j.tag as scored_tag, e.user_id, e.tag, r.lock_state = 'locked' and r.lead_id <> all (p_busy) as ends,
        case
          when r.lock_state in ('gone', 'busy') then r.lock_state
          when r.lock_state = 'past' and r.outcome in ('saved', 'saved_without_message', 'unwanted', 'refused') then r.outcome
          when r.lock_state = 'past' then 'lease_lost'
          when r.lead_id = any (p_busy) then 'busy'
          when not (e.known and e.has_details) then 'gone'
          when not (e.scrapped and e.has_prompts and (e.unsent or j.replay_id is not null)) then 'unwanted'
          when r.refusal ->> 'reason' is not null then 'refused'
          when r.message is null then 'saved_without_message'
          else 'saved'
        end as outcome,
        case when r.lock_state = 'past' then r.reason when r.lock_state = 'locked' then nullif(concat_ws(', ',
          case when not e.scrapped then 'not scrapped' end,
          case when not e.has_prompts then 'no prompts' end,
          case when not e.unsent and j.replay_id is null then 'already sent' end
        ), '') end as reason
      from unnest(p_results) as r
      left join leadhook.check_eligibility(v_lead_ids) as e on e.lead_id = r.lead_id and r.lock_state = 'locked'
      left join leadhook.jobs as j on j.lead_id = any (v_lead_ids) and j.lead_id = r.lead_id
    ),
    named as materialized (
      select n.lead_id, n.name, n.linkedin_url, n.location
      from (
        select array_agg(d.lead_id) as lead_ids, array_agg(d.user_id) as user_ids, array_agg(d.tag) as tags
        from decided as d
        where d.ends and d.outcome in ('saved', 'saved_without_message')
      ) as w
      cross join lateral leadhook.name_leads(w.lead_ids, w.user_ids, w.tags) as n
    )
    select coalesce(array_agg(jsonb_populate_record(d.result, jsonb_build_object(
      'outcome', d.outcome,
      -- The service has found out, over several calls, which answer can't be written.
      'error_code', case when r.refused then 'refused' when r.unwritten then (d.result).message_failure ->> 'code' end,
      'reason', case
        when r.refused then left((d.result).refusal ->> 'reason', 500)
        when r.unwritten then left((d.result).message_failure ->> 'reason', 500)
        else d.reason
      end,
      'note', case when r.refused then concat_ws(' ', 'SQLSTATE', (d.result).refusal ->> 'code') end,
      'ends', d.ends,
      'tag', d.scored_tag,
      'name', n.name,
      'linkedin_url', n.linkedin_url,
      'location', n.location
    ))), '{}')
    from decided as d
    left join named as n using (lead_id)
    cross join lateral (select d.ends and d.outcome = 'refused', d.ends and d.outcome = 'saved_without_message') as r (refused, unwritten)
  );
end
$$;

-- Writes answers to llm_response and marks their leads as sent: all, or none with an error. An answer replaces the rows of its lead and
-- tag; if there are none, the only row of its lead; otherwise it is added.
-- Raises if the application's constraint or trigger refuses, discards or reverts a row: a lead that stays unsent would be scored and paid
-- for again and again. Deferred constraints are checked here, while the lead at fault can still be found. search_path is PostgREST's,
-- because many triggers name their tables without a schema.
create or replace function leadhook.write_answers(p_answers leadhook.ending[])
returns void
language plpgsql
set search_path = public, extensions
set plan_cache_mode = force_custom_plan
set enable_seqscan = on
set seq_page_cost = 100
as $$
declare
  v_lead_ids text[] := array(select a.lead_id from unnest(p_answers) as a);
  v_written int;
begin
  with answers as materialized (
    select a.lead_id, a.tag, a.name, a.linkedin_url, a.location, a.score, a.response, a.should_contact, a.subject, a.message
    from unnest(p_answers) as a
  ),
  present as materialized (
    select l.lead_id, count(*) as rows, count(*) filter (where l.tag is not distinct from a.tag) as rows_of_tag
    from public.llm_response as l
    join answers as a on a.lead_id = l.lead_id
    where l.lead_id = any (v_lead_ids)
    group by l.lead_id
  ),
  replaced as (
    update public.llm_response as l
    set tag = a.tag, name = a.name, linkedin_url = a.linkedin_url, location = a.location, score = a.score, response = a.response,
      should_contact = a.should_contact, subject = a.subject, message = a.message
    from answers as a
    where l.lead_id = any (v_lead_ids) and l.lead_id = a.lead_id
      -- A subquery instead of a join: with wrong statistics, llm_response would be read once for each row of present.
      and (
        select case when p.rows_of_tag > 0 then l.tag is not distinct from a.tag else p.rows = 1 end
        from present as p
        where p.lead_id = a.lead_id
      )
    returning a.lead_id
  ),
  added as (
    insert into public.llm_response (lead_id, tag, name, linkedin_url, location, score, response, should_contact, subject, message)
    select a.lead_id, a.tag, a.name, a.linkedin_url, a.location, a.score, a.response, a.should_contact, a.subject, a.message
    from answers as a
    left join present as p on p.lead_id = a.lead_id
    where coalesce(p.rows, 0) <> 1 and coalesce(p.rows_of_tag, 0) = 0
    returning lead_id
  )
  select count(distinct w.lead_id) into v_written from (select r.lead_id from replaced as r union all select a.lead_id from added as a) as w;
  if v_written < cardinality(v_lead_ids) then
    raise exception 'a trigger on llm_response discards the row';
  end if;

  -- For leadhook's triggers this is no change, because the lead is no longer unsent.
  update public.lead_details as d set sent_to_llm = true where d.lead_id = any (v_lead_ids) and d.sent_to_llm is not true;
  set constraints all immediate;
  if exists (select from public.lead_details as d where d.lead_id = any (v_lead_ids) and d.sent_to_llm is not true) then
    raise exception 'sent_to_llm does not stay true: a trigger on lead_details discards the update or takes it back';
  end if;
end
$$;

-- Returns p_name if a constraint or index has it: a trigger may raise an error that names anything, for example a person.
create or replace function leadhook.existing_constraint(p_name text)
returns text
language sql
stable
set search_path = ''
as $$
  select c.conname::text from pg_catalog.pg_constraint as c where c.conname = existing_constraint.p_name
  union
  select c.relname::text
  from pg_catalog.pg_index as i
  join pg_catalog.pg_class as c on c.oid = i.indexrelid
  where c.relname = existing_constraint.p_name
$$;

-- Writes one answer, and returns what happened: outcome (saved, refused, busy or failed) with the SQLSTATE, its text as reason, whether a RAISE of a
-- trigger is its source, and a note without the text, which may be personal. After p_until nothing is tried: busy with out_of_time.
create or replace function leadhook.try_answer(p_answer leadhook.ending, p_until timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_outcome text := 'saved';
  v_sqlstate text;
  v_reason text;
  v_raised boolean := false;
  v_constraint text;
  v_context text;
begin
  begin
    if clock_timestamp() > p_until then
      v_outcome := 'busy';
      v_sqlstate := 'out_of_time';
    else
      perform leadhook.write_answers(array[p_answer]);
    end if;
  exception when query_canceled or assert_failure or others then
    get stacked diagnostics v_constraint = constraint_name, v_context = pg_exception_context;
    if leadhook.ends_the_call(sqlstate, v_context) then
      raise;
    end if;
    v_sqlstate := sqlstate;
    v_reason := left(coalesce(nullif(sqlerrm, ''), 'SQLSTATE ' || sqlstate), 500);
    v_raised := v_context ~ '^[^\n]* RAISE(\n|$)';
    v_outcome := case
      when sqlstate = '55P03' or left(sqlstate, 2) = '40' then 'busy'
      when leadhook.blames_the_lead(sqlstate) then 'refused'
      else 'failed'
    end;
  end;
  return jsonb_build_object(
    'lead_id', p_answer.lead_id, 'fence', p_answer.fence, 'outcome', v_outcome, 'sqlstate', v_sqlstate,
    'reason', v_reason, 'raised', v_raised, 'note', concat_ws(' ', 'SQLSTATE', v_sqlstate, leadhook.existing_constraint(v_constraint))
  );
end
$$;

-- Writes each answer separately. Outcomes: saved; refused, with the error as reason and, without its text, as note; busy, with the SQLSTATE as
-- error_code: a row is locked, or the error may pass (out_of_time: not tried in this call). Raises if every lead failed with an error
-- that does not concern a lead, and PT409 if every lead, at least three in a row, was refused in the same way.
-- With lock_timeout 50 ms, 50 leads that all wait end within the statement timeout of 5 s.
create or replace function leadhook.write_each_answer(p_answers leadhook.ending[])
returns table (lead_id text, fence bigint, outcome text, error_code text, reason text, note text)
language plpgsql
set search_path = ''
set lock_timeout = '50ms'
as $$
#variable_conflict use_column
declare
  v_until timestamptz := least(clock_timestamp() + interval '3 s', statement_timestamp() + interval '4 s');
  v_answers leadhook.ending[] := p_answers;
  v_answer leadhook.ending;
  v_failed leadhook.ending[] := array[]::leadhook.ending[];
  v_try jsonb;
  v_tried jsonb := jsonb '[]';
  v_all record;
begin
  while cardinality(v_answers) > 0 loop
    v_answer := v_answers[1];
    v_answers := v_answers[2:];
    v_try := leadhook.try_answer(v_answer, v_until);
    -- What failed before the first answer is written may have failed for all, until a moment ago: it is tried once more.
    if v_try ->> 'outcome' in ('refused', 'failed') and not jsonb_path_exists(v_tried, '$[*] ? (@.outcome == "saved")') then
      v_failed := v_failed || v_answer;
    elsif v_try ->> 'outcome' = 'saved' and cardinality(v_failed) > 0 then
      v_tried := coalesce((select jsonb_agg(t) from jsonb_array_elements(v_tried) as t where t ->> 'outcome' not in ('refused', 'failed')), '[]');
      v_answers := v_failed || v_answers;
      v_failed := array[]::leadhook.ending[];
    end if;
    v_tried := v_tried || v_try;
  end loop;

  select
    count(*) as tried, bool_or(t.outcome = 'saved') as any_saved, bool_and(t.outcome = 'failed') as failed,
    bool_and(t.outcome = 'refused') and count(distinct t.note) = 1 as refused_alike, min(t.note) as note
  into v_all
  from jsonb_to_recordset(v_tried) as t (outcome text, sqlstate text, note text)
  where t.sqlstate is distinct from 'out_of_time';
  -- An error of every lead is a fault of the installation, and so is the same refusal of three leads in a row: a column, constraint or trigger that
  -- no answer passes. The service retries until it is fixed. An error of one lead, while others are written, concerns that lead, unless it may pass.
  if v_all.failed then
    raise exception using errcode = v_tried #>> '{0,sqlstate}', message = v_tried #>> '{0,reason}';
  elsif v_all.refused_alike and v_all.tried + (
    select count(*) from (select a.outcome, a.reason from leadhook.attempts as a order by a.id desc limit 2) as last
    where last.outcome = 'refused' and last.reason = v_all.note
  ) >= 3 then
    raise exception using errcode = 'PT409', message = format('every answer is refused with %s', v_all.note);
  end if;
  return query
  select
    t.lead_id, t.fence, o.outcome,
    case o.outcome when 'refused' then 'refused' when 'busy' then t.sqlstate end,
    t.reason,
    case when o.outcome = 'refused' then t.note end
  from jsonb_to_recordset(v_tried) as t (lead_id text, fence bigint, outcome text, sqlstate text, reason text, raised boolean, note text)
  cross join lateral (
    select case
      when t.outcome <> 'failed' then t.outcome
      when v_all.any_saved is not true then 'busy'
      when left(t.sqlstate, 2) in ('08', '53', '55', '57', '58') and not t.raised then 'busy'
      else 'refused'
    end
  ) as o (outcome);
end
$$;

-- As check_results, each lead separately: a lead whose check raises is refused, and the others continue.
create or replace function leadhook.check_each_result(p_results leadhook.ending[], p_busy text[])
returns leadhook.ending[]
language plpgsql
set search_path = ''
as $$
declare
  v_result leadhook.ending;
  v_checked leadhook.ending[] := array[]::leadhook.ending[];
begin
  foreach v_result in array p_results loop
    begin
      v_checked := v_checked || leadhook.check_results(array[v_result], p_busy);
    exception when others then
      if not leadhook.blames_the_lead(sqlstate) then
        raise;
      end if;
      v_result.outcome := 'refused';
      v_result.error_code := 'evaluation_failed';
      v_result.reason := left(sqlerrm, 500);
      v_result.note := 'SQLSTATE ' || sqlstate;
      v_result.ends := v_result.lead_id <> all (p_busy);
      v_checked := v_checked || v_result;
    end;
  end loop;
  return v_checked;
end
$$;

-- Stores the answer of each run in leadhook.results, whether or not it was written to the application.
create or replace function leadhook.keep_results(p_results leadhook.ending[], p_now timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into leadhook.results (
    lead_id, run, score, response, should_contact, matched, missed, flags, subject, message, claims, model, prompt_version, input_version,
    written, created_at
  )
  select
    r.lead_id, j.run, r.score, r.response, r.should_contact = 1, coalesce(s.matched, '{}'), coalesce(s.missed, '{}'), coalesce(s.flags, '{}'), r.subject,
    r.message,
    case when r.score >= 50 and jsonb_typeof(r.checkpoint #> '{message,claims}') = 'array' then r.checkpoint #> '{message,claims}' else '[]' end,
    r.checkpoint ->> 'model', r.checkpoint ->> 'prompt_version', r.checkpoint ->> 'input_version', r.outcome in ('saved', 'saved_without_message'), p_now
  from unnest(p_results) as r
  join leadhook.jobs as j on j.lead_id = r.lead_id and j.fence = r.fence
  cross join lateral jsonb_to_record((
    select coalesce(jsonb_object_agg(l.key, l.value), '{}')
    from jsonb_each(r.checkpoint -> 'score') as l
    where jsonb_typeof(l.value) = 'array'
  )) as s (matched text[], missed text[], flags text[])
  on conflict (lead_id, run) do update
  set score = excluded.score, response = excluded.response, should_contact = excluded.should_contact, matched = excluded.matched,
    missed = excluded.missed, flags = excluded.flags, subject = excluded.subject, message = excluded.message, claims = excluded.claims,
    model = excluded.model, prompt_version = excluded.prompt_version, input_version = excluded.input_version, written = excluded.written,
    created_at = excluded.created_at;
end
$$;

-- Writes the answers of results that are saved, with or without a message, and end their lease: all at once with a short lock timeout or,
-- if that raises, each separately. Returns all results with their outcomes.
create or replace function leadhook.write_results(p_results leadhook.ending[])
returns leadhook.ending[]
language plpgsql
set search_path = ''
as $$
declare
  v_wanted leadhook.ending[] := array(select r from unnest(p_results) as r where r.ends and r.outcome in ('saved', 'saved_without_message'));
  v_failed jsonb;
  v_context text;
begin
  if v_wanted <> '{}' then
    begin
      perform set_config('lock_timeout', '500ms', true);
      perform leadhook.write_answers(v_wanted);
    exception when query_canceled or assert_failure or others then
      get stacked diagnostics v_context = pg_exception_context;
      if leadhook.ends_the_call(sqlstate, v_context) then
        raise;
      end if;
      v_failed := (select jsonb_agg(to_jsonb(w)) from leadhook.write_each_answer(v_wanted) as w where w.outcome <> 'saved');
      return array(
        select jsonb_populate_record(r, coalesce(to_jsonb(w), '{}'))
        from unnest(p_results) as r
        left join jsonb_to_recordset(v_failed) as w (lead_id text, fence bigint, outcome text, error_code text, reason text, note text)
          on w.lead_id = r.lead_id and w.fence = r.fence
      );
    end;
  end if;
  return p_results;
end
$$;

create or replace function public.leadhook_save(p_worker text, p_results jsonb)
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set row_security = off
set enable_seqscan = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_results leadhook.ending[] := leadhook.read_results(p_results);
  v_busy text[];
  v_ended leadhook.ending[];
  v_now timestamptz;
begin
  v_busy := leadhook.lock_application_rows(array(select r.lead_id from unnest(v_results) as r));
  v_results := leadhook.lock_leases(v_results);
  v_now := clock_timestamp();
  begin
    v_results := leadhook.check_results(v_results, v_busy);
  exception when others then
    if not leadhook.blames_the_lead(sqlstate) then
      raise;
    end if;
    v_results := leadhook.check_each_result(v_results, v_busy);
  end;

  v_results := leadhook.write_results(v_results);
  v_ended := array(select r from unnest(v_results) as r where r.ends and r.outcome in ('saved', 'saved_without_message', 'unwanted', 'refused'));
  perform leadhook.keep_results(v_ended, v_now);
  perform leadhook.end_leases(p_worker, v_ended, v_now);
  perform leadhook.wake_undecided(v_now) where exists (select from unnest(v_ended) as r where r.outcome = 'saved');
  perform leadhook.confirm_keys(array(
    select distinct r.key_fingerprint from unnest(v_ended) as r where r.key_fingerprint is not null
  ));

  perform leadhook.erase_answered(array(select r from unnest(v_results) as r where r.ends and r.outcome = 'gone'), v_now);
  return jsonb_build_object(
    'leases', (
      select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
        'lead_id', r.lead_id, 'fence', r.fence, 'outcome', r.outcome, 'reason', coalesce(r.note, r.reason),
        'error_code', case when r.outcome = 'busy' then r.error_code end
      ))), '[]')
      from unnest(v_results) as r
    ),
    'key_news', leadhook.key_news(v_now),
    'next_due_ms', leadhook.next_due_ms(v_now)
  );
end
$$;
comment on function public.leadhook_save(text, jsonb) is
  'Writes scores and ends their leases, each by (lead_id, fence); repeatable. Outcomes: saved; saved_without_message (only the message '
  'failed, see message_failure); unwanted (not eligible any more); refused by the application''s constraint or trigger (dead, and the '
  'answer is kept for a replay); busy (retry soon: the application holds a row, or, with error_code and reason, the answer could not be '
  'written now); lease_lost; gone. A result with a refusal (code, reason) is refused without being written. An error that concerns every '
  'lead of the call is raised, and nothing is written.';

select leadhook.grant_functions();
