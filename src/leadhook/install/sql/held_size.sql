-- What eligible_now.sql asks of all leads, asked of those that a release would let go.
with held as materialized (
  select j.lead_id, j.user_id, j.tag
  from leadhook.jobs as j
  where j.state = 'held' and (%(user)s::uuid is null or j.user_id = %(user)s) and (%(tag)s::text is null or j.tag = %(tag)s)
    and (%(redo)s or not exists (select from public.llm_response as r where r.lead_id = j.lead_id))
),
details as materialized (
  select d.lead_id, max(length(concat(
    d.name, d.title, d.location, d.company_name, d.experience, d.skills, d.bio, d.profile_url, d.company_page_url
  ))) as chars
  from public.lead_details as d
  where d.sent_to_llm is not true
  group by d.lead_id
),
newest as materialized (
  select distinct on (p.user_id, p.tag) p.user_id, p.tag, p.created_at,
    length(concat(p.wildnet_data, p.scoring_criteria_and_icp)) as score_chars,
    length(concat(p.wildnet_data, p.message_prompt)) as message_chars
  from public.prompts as p
  order by p.user_id, p.tag, p.created_at desc nulls last
)
select
  count(*) as leads,
  coalesce(sum(d.chars + n.score_chars + 1100), 0)::bigint as score_chars,
  coalesce(sum(d.chars + n.message_chars + 800), 0)::bigint as message_chars
from held as h
join details as d on d.lead_id = h.lead_id
join newest as n on n.user_id = h.user_id and n.tag = h.tag
where %(since)s::timestamptz is null or n.created_at >= %(since)s
