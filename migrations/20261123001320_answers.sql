-- Purpose: the answers of the model as a person wants to read them: who was scored, how, and why, the newest first.
-- Touches: one index on leadhook.verdicts; public.leadhook_answers. Reads only.
-- Undo:    drop function public.leadhook_answers(uuid, text, int, timestamptz, int); drop index leadhook.verdicts_by_age;

create index if not exists verdicts_by_age on leadhook.verdicts (created_at desc, lead_id);

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
security invoker
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
    raise exception using errcode = 'PT400', message = 'p_limit must be 1 to 1000';
  end if;
  -- One more than is asked for: whether there are more.
  v_lead_ids := array(
    select v.lead_id
    from leadhook.verdicts as v
    join leadhook.jobs as j on j.lead_id = v.lead_id
    where (p_user_id is null or j.user_id = p_user_id)
      and (p_tag is null or j.tag = p_tag)
      and (p_min_score is null or v.score >= p_min_score)
      and (p_since is null or v.created_at >= p_since)
      and not exists (select from leadhook.verdicts as n where n.lead_id = v.lead_id and n.run > v.run)
    order by v.created_at desc, v.lead_id
    limit p_limit + 1
  );
  return (
    with known as materialized (
      select distinct a.lead_id from public.all_leads as a where a.lead_id = any (v_lead_ids)
    ),
    details as materialized (
      select distinct on (d.lead_id) d.lead_id, left(d.name::text, 200) as name
      from public.lead_details as d
      where d.lead_id = any (v_lead_ids)
      order by d.lead_id, (d.sent_to_llm is not true) desc, d::text desc
    ),
    newest as (
      select distinct on (v.lead_id)
        v.lead_id, d.name, j.user_id, j.tag, v.run, v.score, v.should_contact, v.response, v.subject, v.message, v.matched, v.missed, v.flags,
        v.model, v.prompt_version, v.written, v.created_at
      from leadhook.verdicts as v
      join leadhook.jobs as j on j.lead_id = v.lead_id
      -- Who was deleted is gone from here before the next claim has looked at it.
      join known as k on k.lead_id = v.lead_id
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
  'The newest answer of each lead, the newest first, for `leadhook answers`: score, reason, message, criteria met and missed, flags. written: '
  'whether it is in llm_response. has_more: the limit cut the list. Changes nothing.';
revoke all on function public.leadhook_answers(uuid, text, int, timestamptz, int) from public, anon, authenticated;
grant execute on function public.leadhook_answers(uuid, text, int, timestamptz, int) to service_role;
