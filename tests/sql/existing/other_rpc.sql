-- A project whose rpc_get_eligible_llm_jobs() answers other columns than the predecessor's, and is granted to everybody.
create table public.all_leads (lead_id text primary key, user_id uuid, tag text, scrapped boolean, linkedin_url text);
create table public.lead_details (
  lead_id text primary key, name text, title text, location text, company_name text, experience text, skills text, bio text,
  profile_url text, company_page_url text, sent_to_llm boolean
);
create table public.prompts (
  user_id uuid, tag text, wildnet_data text, scoring_criteria_and_icp text, message_prompt text, created_at timestamptz default now()
);
create table public.gemini_api (api_key text);
create table public.llm_response (
  lead_id text primary key, tag text, name text, linkedin_url text, location text, score int, response text, should_contact int,
  subject text, message text
);
grant select, insert, update, delete on public.all_leads, public.lead_details, public.prompts, public.gemini_api, public.llm_response
  to service_role;
create function public.rpc_get_eligible_llm_jobs() returns table (lead_id text, prompt text) language sql stable as
  'select d.lead_id, p.message_prompt from public.lead_details as d join public.all_leads as a using (lead_id)
   join public.prompts as p using (user_id, tag) where a.scrapped and not d.sent_to_llm';
grant execute on function public.rpc_get_eligible_llm_jobs() to anon;
