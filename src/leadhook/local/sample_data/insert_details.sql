insert into public.lead_details
  (lead_id, name, title, location, company_name, experience, skills, bio, profile_url, company_page_url, sent_to_llm)
select given.lead_id, given.name, given.title, given.location, given.company_name, given.experience, given.skills,
  given.bio, given.profile_url, given.company_page_url, false
from jsonb_to_recordset(%(rows)s) as given (lead_id text, name text, title text, location text, company_name text,
  experience text, skills text, bio text, profile_url text, company_page_url text)
where not exists (select from public.lead_details as known where known.lead_id = given.lead_id);
