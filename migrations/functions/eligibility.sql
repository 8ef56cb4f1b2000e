-- Purpose: the one definition of "eligible", what the service reads of a lead, and the predecessor's RPC.
-- No view, %rowtype or begin atomic on the application's tables: they would make its owner's ALTER and DROP fail.

set local check_function_bodies = off;

-- The settings keep these functions correct and bounded on any tables of the application, with or without indexes:
--   plan_cache_mode  the planner sees the values, so it knows how many there are, and hashes a long list if there is no index
--   enable_nestloop, enable_material = off  no plan reads a table once per lead or group, however wrong the statistics are
--   seq_page_cost  an index is used if there is one; enable_seqscan = off, which callers set, would choose any index, even one in which
--                  lead_id is not the first column, and walk it once per lead
--   row_security = off  hidden rows raise an error; a hidden lead would look deleted

-- Returns those of these groups that have a prompts row, or with p_since, one that is not older.
create or replace function leadhook.find_groups_with_prompts(p_user_ids uuid[], p_tags text[], p_since timestamptz default null)
returns table (user_id uuid, tag text)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = on
set enable_nestloop = on
set enable_material = off
set seq_page_cost = 100
set row_security = off
as $$
#variable_conflict use_column
begin
  if cardinality(p_user_ids) = 0 then
    return;
  end if;
  return query
  select l.user_id, l.tag
  from unnest(p_user_ids, p_tags) as l (user_id, tag)
  where exists (
    select from public.prompts as p
    where p.user_id = l.user_id and p.tag = l.tag and (p_since is null or p.created_at >= p_since)
  );
end
$$;

-- Returns those of these leads that have a row in llm_response.
create or replace function leadhook.find_answered(p_lead_ids text[])
returns text[]
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = on
set seq_page_cost = 100
as $$
begin
  return array(select distinct r.lead_id from public.llm_response as r where r.lead_id = any (p_lead_ids));
end
$$;

-- Returns a row for each distinct id: known (a row in all_leads), each condition, and eligible (all conditions).
create or replace function leadhook.check_eligibility(lead_ids text[])
returns table (
  lead_id text,
  known boolean,
  user_id uuid,
  tag text,
  scrapped boolean,
  has_details boolean,
  unsent boolean,
  has_prompts boolean,
  eligible boolean
)
language plpgsql
stable
set search_path = ''
set jit = off
set plan_cache_mode = force_custom_plan
set enable_seqscan = on
set enable_nestloop = off
set seq_page_cost = 100
set row_security = off
as $$
#variable_conflict use_column
begin
  return query
  with asked as (
    select distinct i.lead_id from unnest(check_eligibility.lead_ids) as i (lead_id) where i.lead_id is not null
  ),
  details as (
    select d.lead_id, bool_or(d.sent_to_llm is not true) as unsent
    from public.lead_details as d
    where d.lead_id = any (check_eligibility.lead_ids)
    group by d.lead_id
  ),
  leads as materialized (
    select a.lead_id, (a.user_id)::uuid as user_id, (a.tag)::text as tag, a.scrapped is true as scrapped
    from public.all_leads as a
    where a.lead_id = any (check_eligibility.lead_ids)
  ),
  groups as materialized (
    select distinct l.user_id, l.tag from leads as l where l.user_id is not null and l.tag is not null
  ),
  prompted as materialized (
    select p.user_id, p.tag
    from leadhook.find_groups_with_prompts(array(select l.user_id from groups as l), array(select l.tag from groups as l)) as p
  ),
  -- Of several rows: an eligible one, then the first by user and tag; equal ones differ only in scrapped.
  chosen as (
    select distinct on (l.lead_id) l.lead_id, l.user_id, l.tag, l.scrapped, p.tag is not null as has_prompts
    from leads as l
    left join prompted as p on p.user_id = l.user_id and p.tag = l.tag
    order by l.lead_id, (l.scrapped and p.tag is not null) desc, l.user_id, l.tag, l.scrapped desc
  )
  select
    i.lead_id,
    c.lead_id is not null,
    c.user_id,
    c.tag,
    coalesce(c.scrapped, false),
    d.lead_id is not null,
    coalesce(d.unsent, false),
    coalesce(c.has_prompts, false),
    coalesce(c.scrapped and c.has_prompts and d.unsent, false)
  from asked as i
  left join chosen as c using (lead_id)
  left join details as d using (lead_id);
end
$$;

-- Returns the text of a JSON value: that of a string, otherwise the JSON itself. NUL and unpaired surrogates, which no text can hold, are
-- left out, as the service leaves them out of text columns. A string that was cut keeps its quotes.
create or replace function leadhook.unquote(p_json text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  if p_json = 'null' then
    return null;
  elsif p_json not like '"%' then
    return p_json;
  end if;
  -- Pairs of backslashes and surrogate pairs are matched first and kept.
  return regexp_replace(
    p_json, '(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u0000|\\u[dD][89a-fA-F][0-9a-fA-F]{2}', '\1', 'g'
  )::jsonb #>> '{}';
exception when data_exception then
  return p_json;
end
$$;

-- Returns whether a value that is not text is too big to be read: it must be converted as a whole before it can be cut. The limit of a
-- million bytes holds for the value as it is stored and, in array[], as it is unpacked. p_most: the caller is not the service and may take
-- longer.
create or replace function leadhook.is_too_big(p_value anyelement, p_most int)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_most is not null then
    return false;
  elsif pg_column_size(p_value) > 1000000 then
    return true;
  end if;
  return pg_column_size(array[p_value]) > 1000000;
end
$$;

-- Returns a value of any type as text, cut to p_most characters, or without it to p_characters. A text is read no further than that.
-- read_value and wrap_value are called a dozen times per lead. SQL functions would be inlined at each planning, which takes longer than the
-- calls; search_path would be set at each call, so every name has its schema instead. left counts characters one by one, which is skipped
-- for a text of that few bytes.
create or replace function leadhook.read_value(p_value anyelement, p_characters int, p_most int default null)
returns text
language plpgsql
stable
as $$
begin
  if pg_catalog.pg_typeof(p_value) operator(pg_catalog.=) any ('{pg_catalog.text,pg_catalog.varchar,pg_catalog.bpchar}'::pg_catalog.regtype[]) then
    return case
      when pg_catalog.octet_length(p_value::pg_catalog.text) operator(pg_catalog.<=) coalesce(p_most, p_characters) then p_value::pg_catalog.text
      else pg_catalog.left(p_value::pg_catalog.text, coalesce(p_most, p_characters))
    end;
  elsif leadhook.is_too_big(p_value, p_most) then
    return '(too big to be read)';
  end if;
  return leadhook.unquote(pg_catalog.left(pg_catalog.to_json(p_value)::pg_catalog.text, coalesce(p_most, p_characters)));
end
$$;

-- Returns a text as read_value does, and any other value as {"json": text}: the application's JSON never becomes part of ours.
create or replace function leadhook.wrap_value(p_value anyelement, p_characters int, p_most int)
returns json
language plpgsql
stable
as $$
begin
  if pg_catalog.pg_typeof(p_value) operator(pg_catalog.=) any ('{pg_catalog.text,pg_catalog.varchar,pg_catalog.bpchar}'::pg_catalog.regtype[]) then
    return pg_catalog.to_json(leadhook.read_value(p_value, p_characters, p_most));
  elsif leadhook.is_too_big(p_value, p_most) then
    return pg_catalog.to_json('(too big to be read)'::pg_catalog.text);
  elsif p_value is not null then
    return pg_catalog.json_build_object('json', pg_catalog.left(pg_catalog.to_json(p_value)::pg_catalog.text, coalesce(p_most, p_characters)));
  end if;
  return null;
end
$$;

-- Returns the newest prompts row of each of these groups, truncated as by describe_leads; of several, the one with the greatest text.
create or replace function leadhook.newest_prompts(p_user_ids uuid[], p_tags text[], p_most_characters int)
returns table (user_id uuid, tag text, prompts json)
language plpgsql
stable
set search_path = ''
set enable_seqscan = on
set enable_nestloop = on
set enable_material = off
set seq_page_cost = 100
as $$
#variable_conflict use_column
begin
  return query
  select g.user_id, g.tag, d.prompts
  from unnest(p_user_ids, p_tags) as g (user_id, tag)
  cross join lateral (
    select json_build_object(
      'wildnet_data', d.wildnet_data,
      'scoring_criteria_and_icp', d.scoring_criteria_and_icp,
      'message_prompt', d.message_prompt
    ) as prompts
    from (
      select
        leadhook.read_value(p.wildnet_data, 100001, p_most_characters) as wildnet_data,
        leadhook.read_value(p.scoring_criteria_and_icp, 100001, p_most_characters) as scoring_criteria_and_icp,
        leadhook.read_value(p.message_prompt, 100001, p_most_characters) as message_prompt
      from public.prompts as p
      where p.user_id = g.user_id and p.tag = g.tag and p.created_at is not distinct from (
        select max(q.created_at) from public.prompts as q where q.user_id = g.user_id and q.tag = g.tag
      )
    ) as d
    order by case when count(*) over () > 1 then d::text end desc
    limit 1
  ) as d;
end
$$;

-- Returns what a score needs of each lead: the fields that a model may see, as one JSON object, and the newest prompts row. Of several
-- details rows it reads the unsent one with the greatest text. linkedin_url is that of all_leads, otherwise profile_url. Every value is cut
-- where it is read, to most_characters or to what the service can use, so that a long text is not loaded. The limits are far above what the
-- service sends, and for prompts one character above what it accepts, so that it sees that a text is too long.
create or replace function leadhook.describe_leads(lead_ids text[], user_ids uuid[], tags text[], most_characters int default null)
returns table (lead_id text, lead json, prompts json)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = auto
set enable_seqscan = on
set enable_nestloop = off
set seq_page_cost = 100
as $$
#variable_conflict use_column
begin
  return query
  with asked as (
    select i.* from unnest(describe_leads.lead_ids, describe_leads.user_ids, describe_leads.tags) as i (lead_id, user_id, tag)
  ),
  read as materialized (
    select
      d.lead_id,
      d.sent_to_llm is not true as unsent,
      leadhook.read_value(d.name, 10000, describe_leads.most_characters) as name,
      leadhook.read_value(d.title, 10000, describe_leads.most_characters) as title,
      leadhook.read_value(d.location, 10000, describe_leads.most_characters) as location,
      leadhook.read_value(d.company_name, 10000, describe_leads.most_characters) as company_name,
      leadhook.wrap_value(d.experience, 100000, describe_leads.most_characters) as experience,
      leadhook.wrap_value(d.skills, 100000, describe_leads.most_characters) as skills,
      leadhook.read_value(d.bio, 20000, describe_leads.most_characters) as bio,
      leadhook.read_value(d.profile_url, 10000, describe_leads.most_characters) as profile_url,
      leadhook.read_value(d.company_page_url, 10000, describe_leads.most_characters) as company_page_url
    from public.lead_details as d
    where d.lead_id = any (describe_leads.lead_ids)
  ),
  details as (
    select distinct on (d.lead_id) d.*
    from read as d
    order by d.lead_id, d.unsent desc, case when count(*) over (partition by d.lead_id) > 1 then d::text end desc
  ),
  urls as (
    select distinct on (d.lead_id)
      d.lead_id,
      leadhook.read_value(d.linkedin_url, 10000, describe_leads.most_characters) as linkedin_url
    from (
      select a.lead_id, a.linkedin_url, a.scrapped is true as scrapped
      from public.all_leads as a
      join asked as i on i.lead_id = a.lead_id and i.user_id = a.user_id and i.tag = a.tag
      where a.lead_id = any (describe_leads.lead_ids)
    ) as d
    order by d.lead_id, d.scrapped desc, linkedin_url
  ),
  groups as (
    select distinct i.user_id, i.tag from asked as i
  ),
  newest as materialized (
    select p.user_id, p.tag, p.prompts
    from leadhook.newest_prompts(array(select g.user_id from groups as g), array(select g.tag from groups as g), describe_leads.most_characters) as p
  )
  select
    i.lead_id,
    json_build_object(
      'lead_id', i.lead_id,
      'tag', i.tag,
      'name', d.name,
      'title', d.title,
      'location', d.location,
      'company_name', d.company_name,
      'experience', d.experience,
      'skills', d.skills,
      'bio', d.bio,
      'profile_url', d.profile_url,
      'linkedin_url', coalesce(u.linkedin_url, d.profile_url),
      'company_page_url', d.company_page_url
    ),
    n.prompts
  from asked as i
  join details as d using (lead_id)
  left join urls as u using (lead_id)
  join newest as n using (user_id, tag);
end
$$;

-- Returns name, address and location of each lead, as describe_leads does but ten times cheaper, for saved answers. Leads with several
-- details rows are left to describe_leads, which chooses one.
create or replace function leadhook.name_leads(p_lead_ids text[], p_user_ids uuid[], p_tags text[])
returns table (lead_id text, name text, linkedin_url text, location text)
language plpgsql
stable
set search_path = ''
set enable_seqscan = on
set enable_nestloop = off
set seq_page_cost = 100
as $$
#variable_conflict use_column
begin
  return query
  with asked as (
    select i.lead_id, i.user_id, i.tag from unnest(p_lead_ids, p_user_ids, p_tags) as i (lead_id, user_id, tag)
  ),
  read as materialized (
    select
      d.lead_id,
      count(*) over (partition by d.lead_id) as rows,
      leadhook.read_value(d.name, 10000) as name,
      leadhook.read_value(d.location, 10000) as location,
      leadhook.read_value(d.profile_url, 10000) as profile_url
    from public.lead_details as d
    where d.lead_id = any (p_lead_ids)
  ),
  urls as (
    select distinct on (d.lead_id)
      d.lead_id,
      leadhook.read_value(d.linkedin_url, 10000) as linkedin_url
    from (
      select a.lead_id, a.linkedin_url, a.scrapped is true as scrapped
      from public.all_leads as a
      join asked as i on i.lead_id = a.lead_id and i.user_id = a.user_id and i.tag = a.tag
      where a.lead_id = any (p_lead_ids)
    ) as d
    order by d.lead_id, d.scrapped desc, linkedin_url
  ),
  several as (
    select array_agg(i.lead_id) as lead_ids, array_agg(i.user_id) as user_ids, array_agg(i.tag) as tags
    from asked as i
    where i.lead_id in (select r.lead_id from read as r where r.rows > 1)
  )
  select r.lead_id, r.name, coalesce(u.linkedin_url, r.profile_url), r.location
  from read as r
  left join urls as u using (lead_id)
  where r.rows = 1
  union all
  select d.lead_id, d.lead ->> 'name', d.lead ->> 'linkedin_url', d.lead ->> 'location'
  from several as s
  cross join lateral leadhook.describe_leads(s.lead_ids, s.user_ids, s.tags) as d
  where s.lead_ids is not null;
end
$$;

-- The predecessor's RPC, for its callers. An existing one stays as it is, with its grants. Values are cut at a million characters, so that
-- they fit into the JSON on their way.
do $do$
begin
  if exists (
    select from pg_catalog.pg_proc as f where f.pronamespace = 'public'::regnamespace and f.proname = 'rpc_get_eligible_llm_jobs'
  ) then
    return;
  end if;

  create function public.rpc_get_eligible_llm_jobs()
  returns table (
    lead_id text, user_id uuid, tag text, name text, title text, location text, company_name text, experience text,
    skills text, bio text, profile_url text, linkedin_url text, company_page_url text, wildnet_data text,
    scoring_criteria_and_icp text, message_prompt text
  )
  language sql
  stable
  set search_path = ''
  set jit = off
  as $$
    with ready as materialized (
      select array_agg(j.lead_id) as lead_ids, array_agg(j.user_id) as user_ids, array_agg(j.tag) as tags
      from leadhook.check_eligibility(array(
        select distinct d.lead_id
        from public.lead_details as d
        where d.sent_to_llm is not true and d.sent_to_llm::varchar is distinct from 'true' and octet_length(d.lead_id::varchar) <= 2000
      )) as j
      where j.eligible
    )
    select
      x.lead_id, (x.user_id)::uuid, x.tag,
      x.lead ->> 'name', x.lead ->> 'title', x.lead ->> 'location', x.lead ->> 'company_name',
      case json_typeof(x.lead -> 'experience') when 'object' then leadhook.unquote(x.lead #>> '{experience,json}') else x.lead ->> 'experience' end,
      case json_typeof(x.lead -> 'skills') when 'object' then leadhook.unquote(x.lead #>> '{skills,json}') else x.lead ->> 'skills' end, x.lead ->> 'bio', x.lead ->> 'profile_url', x.lead ->> 'linkedin_url', x.lead ->> 'company_page_url',
      x.prompts ->> 'wildnet_data', x.prompts ->> 'scoring_criteria_and_icp', x.prompts ->> 'message_prompt'
    from (
      select s.lead_id, i.user_id, i.tag, s.lead, s.prompts
      from ready as r
      cross join lateral leadhook.describe_leads(r.lead_ids, r.user_ids, r.tags, 1000000) as s
      join unnest(r.lead_ids, r.user_ids, r.tags) as i (lead_id, user_id, tag) using (lead_id)
    ) as x
  $$;
  revoke all on function public.rpc_get_eligible_llm_jobs() from public, anon, authenticated;
  grant execute on function public.rpc_get_eligible_llm_jobs() to service_role;
end
$do$;

-- Returns the rows of check_eligibility as a JSON array. A lead whose check raises is {"lead_id", "failed": true}; the others are checked.
create or replace function leadhook.check_each(p_lead_ids text[])
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  v_middle int := cardinality(p_lead_ids) / 2;
begin
  begin
    return (select coalesce(jsonb_agg(to_jsonb(e)), '[]') from leadhook.check_eligibility(p_lead_ids) as e);
  exception when others then
    if not leadhook.blames_the_lead(sqlstate) then
      raise;
    end if;
  end;
  if v_middle = 0 then
    return jsonb_build_array(jsonb_build_object('lead_id', p_lead_ids[1], 'failed', true));
  end if;
  return leadhook.check_each(p_lead_ids[:v_middle]) || leadhook.check_each(p_lead_ids[v_middle + 1:]);
end
$$;

select leadhook.grant_functions();
