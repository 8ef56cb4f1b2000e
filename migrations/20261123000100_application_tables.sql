-- Purpose: the five tables of the application, for projects that do not have them yet.
-- Changes: creates public.all_leads, lead_details, prompts, gemini_api and llm_response if they are missing; never changes an existing table.
-- Undo:    drop the tables that this file created.
-- New tables are closed to anon and authenticated: row level security without a policy, grants to service_role alone.

do $$
declare
  v_table text;
  v_definition text;
begin
  for v_table, v_definition in values
    ('all_leads', $t$
      lead_id text primary key,
      user_id uuid not null,
      tag text not null,
      scrapped boolean not null default false,
      linkedin_url text$t$),
    ('lead_details', $t$
      lead_id text primary key,
      name text,
      title text,
      location text,
      company_name text,
      experience text,
      skills text,
      bio text,
      profile_url text,
      company_page_url text,
      sent_to_llm boolean not null default false$t$),
    ('prompts', $t$
      id bigint generated always as identity primary key,
      user_id uuid not null,
      tag text not null,
      wildnet_data text,
      scoring_criteria_and_icp text,
      message_prompt text,
      created_at timestamptz not null default now()$t$),
    ('gemini_api', $t$
      id bigint generated always as identity primary key,
      api_key text not null$t$),
    ('llm_response', $t$
      lead_id text primary key,
      tag text,
      name text,
      linkedin_url text,
      location text,
      score int,
      response text,
      should_contact int,
      subject text,
      message text$t$)
  loop
    if to_regclass('public.' || v_table) is null then
      execute format('create table public.%I (%s)', v_table, v_definition);
      execute format('alter table public.%I enable row level security', v_table);
      execute format('revoke all on table public.%I from public, anon, authenticated', v_table);
      execute format('grant select, insert, update, delete on table public.%I to service_role', v_table);
      if v_table in ('prompts', 'gemini_api') then
        execute format('revoke all on sequence %s from public, anon, authenticated', pg_get_serial_sequence('public.' || v_table, 'id'));
      end if;
      if v_table = 'prompts' then
        create index prompts_by_user_and_tag on public.prompts (user_id, tag, created_at desc);
      end if;
    end if;
  end loop;
end
$$;
