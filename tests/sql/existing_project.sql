-- A project whose tables have other columns, keys, rights and triggers than ours would, and an RPC of its own.
create table public.all_leads (no serial, lead_id text, user_id uuid, tag text, scrapped boolean, linkedin_url text, mine jsonb);
create table public.lead_details (lead_id text, name text, title text, location text, company_name text, experience jsonb,
  skills jsonb, bio text, profile_url text, company_page_url text, sent_to_llm boolean);
create table public.prompts (user_id uuid, tag text, wildnet_data text, scoring_criteria_and_icp text, message_prompt text,
  created_at timestamptz);
create table public.gemini_api (api_key text);
create table public.llm_response (lead_id text, tag text, name text, linkedin_url text, location text, score int, response text,
  should_contact int, subject text, message text);
create policy theirs on public.all_leads using (true);
grant select on public.all_leads, public.prompts to anon, authenticated;
create function public.theirs() returns trigger language plpgsql as 'begin return new; end';
create trigger theirs before update on public.all_leads for each row execute function public.theirs();
create function public.rpc_get_eligible_llm_jobs() returns text language sql return 'theirs';
grant execute on function public.rpc_get_eligible_llm_jobs() to anon;
insert into public.all_leads (lead_id, user_id, tag, scrapped) values ('a', gen_random_uuid(), 't', true), ('a', null, null, null);
insert into public.lead_details (lead_id) values ('a'), (null);
