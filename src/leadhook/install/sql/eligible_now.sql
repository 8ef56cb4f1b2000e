-- Before the first migration: how many leads are eligible, how many of them have an answer, and the characters of both requests. 1100 and 800 are
-- their fixed parts: the instructions and the names of a lead's fields.
with unsent as materialized (
  select d.lead_id, max(length(concat(
    d.name, d.title, d.location, d.company_name, d.experience, d.skills, d.bio, d.profile_url, d.company_page_url
  ))) as chars
  from public.lead_details as d
  where d.sent_to_llm is not true
  group by d.lead_id
),
newest as materialized (
  select distinct on (p.user_id, p.tag) p.user_id, p.tag,
    length(concat(p.wildnet_data, p.scoring_criteria_and_icp)) as score_chars,
    length(concat(p.wildnet_data, p.message_prompt)) as message_chars
  from public.prompts as p
  order by p.user_id, p.tag, p.created_at desc nulls last
),
eligible as (
  select distinct on (u.lead_id) u.lead_id, u.chars, n.score_chars, n.message_chars
  from unsent as u
  join public.all_leads as a on a.lead_id = u.lead_id and a.scrapped
  join newest as n on n.user_id = a.user_id and n.tag = a.tag
  order by u.lead_id, a.user_id, a.tag
)
select
  count(*) as leads,
  count(*) filter (where r.lead_id is not null) as answered,
  coalesce(sum(e.chars + e.score_chars + 1100), 0)::bigint as score_chars,
  coalesce(sum(e.chars + e.message_chars + 800), 0)::bigint as message_chars
from eligible as e
left join (select distinct l.lead_id from public.llm_response as l) as r on r.lead_id = e.lead_id
