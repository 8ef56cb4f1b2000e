-- Purpose: the leads that `leadhook evaluate` scores again in its own process, and the costs it reports.

set local check_function_bodies = off;

create or replace function public.leadhook_evaluation_leads(
  p_filter jsonb default '{}', p_after_lead text default '', p_lead_ids text[] default null
)
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set enable_seqscan = off
set plan_cache_mode = force_custom_plan
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_found record;
  v_leads jsonb;
  v_described jsonb := jsonb '{}';
  v_keys jsonb := jsonb '[]';
begin
  if jsonb_typeof(p_filter) is distinct from 'object' or p_after_lead is null then
    raise exception 'p_filter must be an object, and p_after_lead must not be null' using errcode = 'PT400';
  end if;
  if cardinality(p_lead_ids) not between 1 and 10 then
    raise exception 'p_lead_ids must name 1 to 10 leads' using errcode = 'PT400';
  end if;
  if p_lead_ids is null then
    v_found := leadhook.match_leads(p_filter, p_after_lead);
  else
    select p_lead_ids as lead_ids, null::text as last_lead into v_found;
    v_described := (
      select coalesce(jsonb_object_agg(d.lead_id, jsonb_build_object('lead', d.lead, 'prompts', d.prompts)), '{}')
      from (
        select array_agg(j.lead_id) as lead_ids, array_agg(j.user_id) as user_ids, array_agg(j.tag) as tags
        from leadhook.jobs as j
        where j.lead_id = any (p_lead_ids)
      ) as a
      cross join lateral leadhook.describe_leads(a.lead_ids, a.user_ids, a.tags) as d
    );
    v_keys := (select coalesce(jsonb_agg(to_jsonb(k)), '[]') from leadhook.healthy_keys() as k);
  end if;
  v_leads := (
    with newest as materialized (
      select distinct on (v.lead_id)
        v.lead_id, v.run, v.score, v.should_contact, v.subject, v.model, v.prompt_version
      from leadhook.results as v
      where v.lead_id = any (v_found.lead_ids)
      order by v.lead_id, v.run desc
    ),
    usage as materialized (
      select
        t.lead_id, 1 as known, sum(t.calls) as calls, sum(t.input_tokens) as input_tokens, sum(t.cached_tokens) as cached_tokens,
        sum(t.output_tokens) as output_tokens, sum(t.thinking_tokens) as thinking_tokens, sum(t.cost_usd) as cost_usd,
        sum(t.model_ms) as model_ms
      from leadhook.attempts as t
      join newest as n on n.lead_id = t.lead_id and n.run = t.run
      where t.lead_id = any (v_found.lead_ids) and t.calls > 0
      group by t.lead_id
    )
    select coalesce(jsonb_agg(jsonb_build_object(
      'lead_id', j.lead_id,
      'user_id', j.user_id,
      'tag', j.tag,
      'saved', to_jsonb(n) - '{lead_id,run}'::text[],
      'saved_usage', coalesce(to_jsonb(u) - 'lead_id', '{}')
    ) || coalesce(v_described -> j.lead_id, '{}') order by j.lead_id), '[]')
    from leadhook.jobs as j
    join newest as n using (lead_id)
    left join usage as u using (lead_id)
    where j.lead_id = any (v_found.lead_ids) and (p_lead_ids is null or v_described ? j.lead_id)
  );
  return jsonb_build_object(
    'leads', v_leads, 'last_lead', v_found.last_lead, 'keys', v_keys,
    'admission', leadhook.describe_blocked()
  );
end
$$;
comment on function public.leadhook_evaluation_leads(jsonb, text, text[]) is
  'Returns answered leads for `leadhook evaluate` by lead_id, each with its newest result and cost. Without p_lead_ids: up to 250 leads '
  'that match p_filter (as for a replay) after p_after_lead, and last_lead to continue from (null: no more). With p_lead_ids (1 to 10): '
  'also the fields and prompts as in a claim, and the healthy keys. admission: what may not be paid for now. Changes nothing.';

-- Returns what may not be paid for now: the pauses and budgets, the paused groups, and the users who are paused or over budget.
create or replace function leadhook.describe_blocked()
returns jsonb
language sql
set search_path = ''
as $$
  select to_jsonb(b) || public.leadhook_admission(null) || jsonb_build_object(
    'groups', (select coalesce(jsonb_agg(p.user_id::text || ' ' || p.tag), '[]') from leadhook.pauses as p where p.tag is not null),
    'user_ids', (
      select coalesce(jsonb_agg(s.user_id), '[]')
      from (
        select p.user_id from leadhook.pauses as p where p.tag is null and p.user_id is not null
        union all
        select l.user_id from leadhook.budgets_left(clock_timestamp()) as l where l.user_id is not null and l.left_usd <= 0
      ) as s
    )
  )
  from leadhook.find_blocked(clock_timestamp()) as b
$$;

create or replace function public.leadhook_book_evaluation(p_costs jsonb default '[]')
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
begin
  if jsonb_typeof(p_costs) is distinct from 'array' then
    raise exception 'p_costs must be an array' using errcode = 'PT400';
  end if;
  if exists (
    select from jsonb_array_elements(p_costs) as c (item)
    where jsonb_typeof(c.item -> 'cost_usd') is distinct from 'number' or (c.item ->> 'cost_usd')::numeric not between 0 and 1000000
  ) then
    raise exception 'cost_usd must be a number from 0 to 1000000' using errcode = 'PT400';
  end if;
  perform leadhook.book_costs(p_costs, clock_timestamp());
  return leadhook.describe_blocked();
end
$$;
comment on function public.leadhook_book_evaluation(jsonb) is
  'Adds the cost of an evaluation, [{user_id, cost_usd}], to today (UTC) and returns what may not be paid for now. A repeated call adds it again.';

select leadhook.grant_functions();
