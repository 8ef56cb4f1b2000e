-- Purpose: who may execute leadhook's functions. This file is applied first; every other file ends with a call of grant_functions.

-- Grants leadhook's functions to service_role alone. Those in v_owners stay with the owner: triggers call them with its rights.
create or replace function leadhook.grant_functions()
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_owners constant text[] := array[
    'append_to_outbox', 'count_webhooks', 'ensure_trigger', 'grant_functions', 'hmac_sha256', 'note_change', 'note_lead_changes',
    'note_prompts_changes', 'post_webhooks', 'queue_webhook', 'refreshes', 'refuse_foreign_code', 'send_webhook_for_keys', 'sign',
    'wanted_webhooks', 'warn', 'webhook_body', 'webhook_headers', 'webhook_target'
  ];
  v_function record;
begin
  for v_function in
    with ours as (
      select f.oid, f.proacl, not (f.pronamespace = 'leadhook'::regnamespace and f.proname = any (v_owners)) as is_called
      from pg_catalog.pg_proc as f
      where pg_has_role(f.proowner, 'usage') and (
        f.pronamespace = 'leadhook'::regnamespace
        or f.pronamespace = 'public'::regnamespace and f.proname like 'leadhook\_%' and f.prosrc like '%leadhook.%'
      )
    )
    select o.oid::regprocedure as name, o.is_called
    from ours as o
    where o.proacl is null
      or exists (select from aclexplode(o.proacl) as a where a.grantee in (0, 'anon'::regrole, 'authenticated'::regrole))
      or has_function_privilege('service_role', o.oid, 'execute') <> o.is_called
  loop
    execute format('revoke all on function %s from public, anon, authenticated, service_role', v_function.name);
    if v_function.is_called then
      execute format('grant execute on function %s to service_role', v_function.name);
    end if;
  end loop;
end
$$;

select leadhook.grant_functions();
