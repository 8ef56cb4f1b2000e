insert into public.all_leads (lead_id, user_id, tag, scrapped, linkedin_url)
select given.lead_id, given.user_id, given.tag, given.scrapped, given.linkedin_url
from jsonb_to_recordset(%(rows)s) as given (lead_id text, user_id uuid, tag text, scrapped boolean, linkedin_url text)
where not exists (select from public.all_leads as known where known.lead_id = given.lead_id);
