-- A project with more columns than leadhook knows, checks, foreign keys, policies, grants and triggers of its own.
create table public.accounts (id uuid primary key);
insert into public.accounts values ('00000000-0000-4000-8000-000000000001');
create table public.all_leads (
  no bigint generated always as identity, lead_id text primary key check (length(lead_id) < 100),
  user_id uuid not null references public.accounts (id), tag text not null, scrapped boolean not null default false, linkedin_url text,
  mine jsonb default '{}', seen_at timestamptz default now()
);
create table public.lead_details (
  lead_id text primary key references public.all_leads (lead_id) on delete cascade, name text, title text, location text, company_name text,
  experience text, skills text, bio text, profile_url text, company_page_url text, sent_to_llm boolean not null default false,
  email text check (email like '%@%')
);
create table public.prompts (
  id serial primary key, user_id uuid not null, tag text not null, wildnet_data text, scoring_criteria_and_icp text, message_prompt text,
  created_at timestamptz not null default now()
);
create table public.gemini_api (id serial primary key, api_key text not null unique);
create table public.llm_response (
  lead_id text primary key references public.all_leads (lead_id) on delete cascade, tag text not null, name text, linkedin_url text,
  location text, score int check (score between 0 and 100), response text, should_contact int check (should_contact in (0, 1)), subject text,
  message text, changed_at timestamptz
);
alter table public.all_leads enable row level security;
alter table public.lead_details enable row level security;
create policy "own leads" on public.all_leads for select to authenticated using (user_id::text = current_setting('request.jwt.claim.sub', true));
create policy "own details" on public.lead_details to authenticated using (
  exists (select from public.all_leads as a where a.lead_id = lead_details.lead_id)
);
grant select on public.all_leads, public.lead_details to authenticated;
grant select, update (message) on public.llm_response to authenticated;
grant select, insert, update, delete on public.all_leads, public.lead_details, public.prompts, public.gemini_api, public.llm_response
  to service_role;
create function public.note_change() returns trigger language plpgsql as 'begin new.changed_at := now(); return new; end';
create trigger note_change before insert or update on public.llm_response for each row execute function public.note_change();
comment on table public.all_leads is 'theirs';
