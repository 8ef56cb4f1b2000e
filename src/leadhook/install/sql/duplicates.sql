-- The number of leads with several rows, for each table that should have one per lead.
select 'all_leads' as table_name, count(*) as leads
from (select from public.all_leads as a group by a.lead_id having count(*) > 1) as a
union all
select 'lead_details', count(*)
from (select from public.lead_details as d group by d.lead_id having count(*) > 1) as d
union all
select 'llm_response', count(*)
from (select from public.llm_response as r group by r.lead_id having count(*) > 1) as r
