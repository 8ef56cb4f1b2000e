-- Purpose: the one definition of "eligible", asked by the outbox, claim, save, sweep, replay and explain, and the predecessor's RPC on top of it.
-- No view, no %rowtype, no begin atomic on the application's tables: they would make its owner's ALTER and DROP fail.

set local check_function_bodies = off;

-- Correct and bounded on any table of the application, with its indexes or without.
-- Planned with the values each time: the planner then knows how many ids and groups there are, and hashes a long list where it has no index.
-- enable_nestloop = off, enable_material = off: no plan reads a table once for each lead or group, however wrong the statistics are.
-- seq_page_cost: an index is used where there is one. enable_seqscan = off, which callers set, would choose any index over a scan, even one in
-- which lead_id is not the first column and which is walked once for each id.
-- row_security = off: an error where rows would be hidden from us. A hidden lead would look as if it were deleted.

-- Those of these groups that have a prompts row, or with p_since one that is not older.
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

-- Those of these leads that have a row in llm_response.
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

-- A row for each distinct id asked for: known (a row in all_leads), each condition, and eligible (all of them).
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
  -- Of several rows: an eligible one, then the first by user and tag. Rows that are equal so far differ in scrapped alone.
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

-- The text of a JSON value: what a string holds, else the JSON itself. A json column may hold what no text can, NUL and half a surrogate pair: they
-- are left out, as the service leaves them out of a text column's JSON. What was cut in its middle keeps its quotes.
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
  -- A pair of backslashes and a whole surrogate pair are matched first and kept.
  return regexp_replace(
    p_json, '(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u0000|\\u[dD][89a-fA-F][0-9a-fA-F]{2}', '\1', 'g'
  )::jsonb #>> '{}';
exception when data_exception then
  return p_json;
end
$$;

-- Of any type but text, the whole value must be converted before it can be cut. So a value of more than a million bytes is not read, neither as it is
-- stored nor as it is unpacked, which array[] does. p_most: a caller other than the service, which may take longer.
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

-- A value of any type as text, cut to p_most characters, or without it to p_characters. A text is read no further than that.
-- read_value and wrap_value are called a dozen times per lead. In SQL, each call would be inlined whenever the query is planned, which takes longer
-- than the call; a search_path would be set with each call. So every name has its schema.
-- left counts characters one by one; a text of no more bytes than that is spared it.
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

-- A text as read_value reads it; any other value as {"json": text}: the application's JSON is never part of ours.
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

-- The newest prompts row of each of these groups, cut as describe_leads cuts; of several the one with the greatest text.
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

-- What the service needs of each lead, every value cut: to most_characters, or to what the service can use.
-- What a score needs of a lead: the fields that may be sent to the model, as one JSON object, and the newest prompts row.
-- The details row: the unsent one with the greatest text of what is read of it. linkedin_url: that of all_leads, else profile_url.
-- Each value is cut where it is read, so that a long text stays where it is stored, in duplicates too. The cuts lie far
-- above what the service sends, and one character above what it takes of a prompts row, which it must see to be too long.
-- experience and skills go by wrap_value.
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

-- Name, address and location of each lead, as describe_leads has them.
-- What a saved answer has beside it, by the same rows and cuts as describe_leads, which reads ten times as much. A lead with several rows in
-- lead_details is left to describe_leads: it alone says which one counts.
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

-- The predecessor's RPC, for its callers. An existing one is theirs: it stays, with its own grants. Values are cut at a million characters, so that
-- all of them fit into the JSON that they pass through.
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

-- check_eligibility as a JSON array; a lead whose evaluation raises is {"lead_id", "failed": true}, and the others are checked.
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
