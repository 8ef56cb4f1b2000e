-- Purpose: triggers that record every change that can make a lead eligible in leadhook.outbox, and send the service one webhook per transaction.
-- Changes: enables the extensions pg_net and supabase_vault if they are available; revokes the right TRIGGER on pg_net's tables from PUBLIC if this
--          role may; adds triggers named leadhook_* to public.all_leads, lead_details, prompts and gemini_api. Changes and drops nothing else.
-- Run:     after the migrations, once in each environment, by `leadhook webhooks install`, or as a script in psql or the SQL editor (then store the
--          webhook's URL and secret as the last lines say). It can be repeated.
-- Undo:    drop trigger if exists leadhook_insert on public.all_leads;       drop trigger if exists leadhook_insert on public.lead_details;
--          drop trigger if exists leadhook_update on public.all_leads;       drop trigger if exists leadhook_update on public.lead_details;
--          drop trigger if exists leadhook_delete on public.all_leads;       drop trigger if exists leadhook_delete on public.lead_details;
--          drop trigger if exists leadhook_truncate on public.all_leads;     drop trigger if exists leadhook_truncate on public.lead_details;
--          drop trigger if exists leadhook_insert on public.prompts;         drop trigger if exists leadhook_update on public.prompts;
--          drop trigger if exists leadhook_change on public.gemini_api;
-- Each step is a transaction, so no table is locked longer than it takes to create one trigger.

-- step: enable pg_net, which sends the webhook
do $$
begin
  if exists (select from pg_catalog.pg_available_extensions as e where e.name = 'pg_net' and e.installed_version is null) then
    create schema if not exists extensions;
    create extension if not exists pg_net with schema extensions;
  end if;
exception when insufficient_privilege then
  raise notice 'pg_net can''t be enabled by this role: enable it in the dashboard; until then leads wait for the sweep';
end
$$;

-- step: revoke the right to add triggers to pg_net's tables from every role
do $$
begin
  if exists (
    select from pg_catalog.pg_class as c where c.relnamespace = to_regnamespace('net') and has_table_privilege('public', c.oid, 'trigger')
  ) then
    revoke trigger on all tables in schema net from public;
  end if;
exception when insufficient_privilege then
  null; -- leadhook queues no request while a foreign trigger exists
end
$$;

-- step: enable Vault, which stores the webhook's URL and secret
do $$
begin
  if exists (select from pg_catalog.pg_available_extensions as e where e.name = 'supabase_vault' and e.installed_version is null) then
    create schema if not exists vault;
    create extension if not exists supabase_vault with schema vault;
  end if;
exception when insufficient_privilege then
  raise notice 'Vault can''t be enabled by this role: enable it in the dashboard; until then leads wait for the sweep';
end
$$;

-- step: note rows inserted into all_leads
select leadhook.ensure_trigger('all_leads', 'INSERT', 'note_lead_changes');

-- step: note rows updated in all_leads
select leadhook.ensure_trigger('all_leads', 'UPDATE', 'note_lead_changes');

-- step: note rows deleted from all_leads
select leadhook.ensure_trigger('all_leads', 'DELETE', 'note_lead_changes');

-- step: note a truncate of all_leads
select leadhook.ensure_trigger('all_leads', 'TRUNCATE', 'note_lead_changes');

-- step: note rows inserted into lead_details
select leadhook.ensure_trigger('lead_details', 'INSERT', 'note_lead_changes');

-- step: note rows updated in lead_details
select leadhook.ensure_trigger('lead_details', 'UPDATE', 'note_lead_changes');

-- step: note rows deleted from lead_details
select leadhook.ensure_trigger('lead_details', 'DELETE', 'note_lead_changes');

-- step: note a truncate of lead_details
select leadhook.ensure_trigger('lead_details', 'TRUNCATE', 'note_lead_changes');

-- step: note rows inserted into prompts
select leadhook.ensure_trigger('prompts', 'INSERT', 'note_prompts_changes');

-- step: note rows updated in prompts
select leadhook.ensure_trigger('prompts', 'UPDATE', 'note_prompts_changes');

-- step: send a webhook when gemini_api changes
select leadhook.ensure_trigger('gemini_api', 'INSERT OR UPDATE', 'send_webhook_for_keys');

-- By hand: store the service's URL and the secret that it shares with the database (WEBHOOK_SECRETS) in the dashboard's Vault page. A statement
-- might be logged.
--   leadhook_webhook_url     https://<your service>/webhooks/leads
--   leadhook_webhook_secret  whsec_<base64 of 32 random bytes>; while you replace it, the new and the old one separated by a space
