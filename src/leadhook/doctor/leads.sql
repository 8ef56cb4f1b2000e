-- Up to 1,000 unsent leads, counted by the condition of eligibility that they lack.
select
  count(*) as unsent,
  count(*) filter (where e.eligible) as eligible,
  count(*) filter (where not e.known) as unknown,
  count(*) filter (where e.known and not e.scrapped) as not_scrapped,
  count(*) filter (where e.known and e.scrapped and not e.has_prompts) as without_prompts
from leadhook.check_eligibility(array(select d.lead_id from public.lead_details as d where d.sent_to_llm is not true limit 1000)) as e
