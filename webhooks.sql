-- Purpose: record every change that can make a lead eligible in leadhook.outbox, and send the service one webhook per transaction.
-- Changes: enables the extensions pg_net and supabase_vault if they are available; revokes the right TRIGGER on pg_net's tables from
--          PUBLIC if this role may; adds triggers named leadhook_* to public.all_leads,
--          lead_details, prompts and gemini_api. Nothing else is changed or dropped.
-- Run:     after the migrations, once in each environment: `leadhook webhooks install`, or this file through psql or the SQL editor
--          (then store the webhook's URL and secret yourself, see the last lines). It can be repeated.
-- Undo:    drop trigger if exists leadhook_insert on public.all_leads;       drop trigger if exists leadhook_insert on public.lead_details;
--          drop trigger if exists leadhook_update on public.all_leads;       drop trigger if exists leadhook_update on public.lead_details;
--          drop trigger if exists leadhook_delete on public.all_leads;       drop trigger if exists leadhook_delete on public.lead_details;
--          drop trigger if exists leadhook_truncate on public.all_leads;     drop trigger if exists leadhook_truncate on public.lead_details;
--          drop trigger if exists leadhook_insert on public.prompts;         drop trigger if exists leadhook_update on public.prompts;
--          drop trigger if exists leadhook_change on public.gemini_api;
-- Each step is a separate transaction, so that no table is locked longer than creating one trigger takes.

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

-- step: take the right to add triggers to pg_net's tables from every role
do $$
begin
  if exists (select from pg_catalog.pg_class as c where c.relnamespace = to_regnamespace('net') and has_table_privilege('public', c.oid, 'trigger')) then
    revoke trigger on all tables in schema net from public;
  end if;
exception when insufficient_privilege then
  null;  -- leadhook queues no request while a foreign trigger is there
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
select leadhook.ensure_trigger('public.all_leads', 'CREATE TRIGGER leadhook_insert AFTER INSERT ON public.all_leads REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes()');

-- step: note rows updated in all_leads
select leadhook.ensure_trigger('public.all_leads', 'CREATE TRIGGER leadhook_update AFTER UPDATE ON public.all_leads REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes()');

-- step: note rows deleted from all_leads
select leadhook.ensure_trigger('public.all_leads', 'CREATE TRIGGER leadhook_delete AFTER DELETE ON public.all_leads REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes()');

-- step: note a truncate of all_leads
select leadhook.ensure_trigger('public.all_leads', 'CREATE TRIGGER leadhook_truncate AFTER TRUNCATE ON public.all_leads FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes()');

-- step: note rows inserted into lead_details
select leadhook.ensure_trigger('public.lead_details', 'CREATE TRIGGER leadhook_insert AFTER INSERT ON public.lead_details REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes()');

-- step: note rows updated in lead_details
select leadhook.ensure_trigger('public.lead_details', 'CREATE TRIGGER leadhook_update AFTER UPDATE ON public.lead_details REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes()');

-- step: note rows deleted from lead_details
select leadhook.ensure_trigger('public.lead_details', 'CREATE TRIGGER leadhook_delete AFTER DELETE ON public.lead_details REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes()');

-- step: note a truncate of lead_details
select leadhook.ensure_trigger('public.lead_details', 'CREATE TRIGGER leadhook_truncate AFTER TRUNCATE ON public.lead_details FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes()');

-- step: note rows inserted into prompts
select leadhook.ensure_trigger('public.prompts', 'CREATE TRIGGER leadhook_insert AFTER INSERT ON public.prompts REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_prompts_changes()');

-- step: note rows updated in prompts
select leadhook.ensure_trigger('public.prompts', 'CREATE TRIGGER leadhook_update AFTER UPDATE ON public.prompts REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_prompts_changes()');

-- step: send a webhook when gemini_api changes
select leadhook.ensure_trigger('public.gemini_api', 'CREATE TRIGGER leadhook_change AFTER INSERT OR UPDATE ON public.gemini_api FOR EACH STATEMENT EXECUTE FUNCTION leadhook.send_webhook_for_keys()');

-- By hand: store the service's URL and the secret that it shares with the database (WEBHOOK_SECRETS). Use the dashboard's Vault page
-- rather than a statement, which may be logged:
--   leadhook_webhook_url     https://<your service>/webhooks/leads
--   leadhook_webhook_secret  whsec_<base64 of 32 random bytes>; while you replace it, the new and the old one separated by a space
