-- A project without a single key or constraint, and with duplicates in every table that can have them.
create table public.all_leads (lead_id text, user_id uuid, tag text, scrapped boolean, linkedin_url text);
create table public.lead_details (
  lead_id text, name text, title text, location text, company_name text, experience text, skills text, bio text, profile_url text,
  company_page_url text, sent_to_llm boolean
);
create table public.prompts (
  user_id uuid, tag text, wildnet_data text, scoring_criteria_and_icp text, message_prompt text, created_at timestamptz default now()
);
create table public.gemini_api (api_key text);
create table public.llm_response (
  lead_id text, tag text, name text, linkedin_url text, location text, score int, response text, should_contact int, subject text, message text
);
grant all on public.all_leads, public.lead_details, public.prompts, public.gemini_api, public.llm_response to anon, authenticated, service_role;
insert into public.all_leads (lead_id, user_id, tag, scrapped)
select 'twice', '00000000-0000-4000-8000-000000000009', 'old', s from unnest('{true,true,false}'::boolean[]) as s;
insert into public.lead_details (lead_id, name, sent_to_llm) values ('twice', 'A', null), ('twice', 'B', false), (null, null, null);
insert into public.llm_response (lead_id, tag, score) values ('twice', 'old', 1), ('twice', 'old', 2);
