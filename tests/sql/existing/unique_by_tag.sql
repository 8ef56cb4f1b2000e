-- A project whose answers are unique by lead and tag, with experience and skills as jsonb, and indexes of its own.
create table public.all_leads (lead_id text not null, user_id uuid, tag text, scrapped boolean, linkedin_url text, unique (lead_id, tag));
create table public.lead_details (
  lead_id text primary key, name text, title text, location text, company_name text, experience jsonb, skills jsonb, bio text,
  profile_url text, company_page_url text, sent_to_llm boolean default false
);
create table public.prompts (
  user_id uuid, tag text, wildnet_data text, scoring_criteria_and_icp text, message_prompt text, created_at timestamptz
);
create table public.gemini_api (api_key text primary key);
create table public.llm_response (
  lead_id text, tag text, name text, linkedin_url text, location text, score int, response text, should_contact int, subject text, message text,
  unique (lead_id, tag)
);
create index all_leads_by_user on public.all_leads (user_id) where scrapped;
grant select, insert, update, delete on public.all_leads, public.lead_details, public.prompts, public.gemini_api, public.llm_response
  to service_role;
insert into public.lead_details (lead_id, experience) values ('with json', '[{"firm": "A", "years": [1, 2]}]');
