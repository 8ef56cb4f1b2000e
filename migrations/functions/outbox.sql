-- Purpose: how a change in the application's tables is noted (outbox rows) and announced (webhook). webhooks.sql attaches the triggers.
-- The writers of the application's tables have no rights here, so the trigger functions and send_webhook() run with their owner's. So
-- search_path = pg_catalog, pg_temp throughout this file, where '' would not do: with '' Postgres looks for types in the caller's pg_temp
-- first, and a temporary domain named text with a check of its own would run that check as the owner, here or inside net.http_post().
--
-- Nothing here may abort, delay or lock the statement that fired it: what may fail sits in an exception block, every wait has an end.
-- `when assert_failure or others` leaves query_canceled alone, so a statement that is cancelled is cancelled.

set local check_function_bodies = off;

-- From sha256() of the core: pgcrypto lives in a schema of the project's own choice, or is missing.
create or replace function leadhook.hmac_sha256(p_key bytea, p_message bytea)
returns bytea
language plpgsql
immutable
strict
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key bytea := case when length(p_key) > 64 then sha256(p_key) else p_key end;
  v_inner bytea := decode(repeat('36', 64), 'hex');
  v_outer bytea := decode(repeat('5c', 64), 'hex');
begin
  for i in 0 .. length(v_key) - 1 loop
    v_inner := set_byte(v_inner, i, get_byte(v_inner, i) # get_byte(v_key, i));
    v_outer := set_byte(v_outer, i, get_byte(v_outer, i) # get_byte(v_key, i));
  end loop;
  return sha256(v_outer || sha256(v_inner || p_message));
end
$$;
revoke all on function leadhook.hmac_sha256(bytea, bytea) from public, anon, authenticated;

create or replace function leadhook.sign(p_secret text, p_id text, p_timestamp bigint, p_body text)
returns text
language plpgsql
immutable
strict
set search_path = pg_catalog, pg_temp
as $$
declare
  v_base64 text := rtrim(regexp_replace(p_secret, '^whsec_', ''), '=');
  v_key bytea;
begin
  begin
    v_key := decode(v_base64 || repeat('=', (4 - length(v_base64) % 4) % 4), 'base64');
  exception when assert_failure or others then
    -- decode()'s own words would quote a character of the secret
    raise exception 'a webhook secret is not whsec_ and base64' using errcode = 'PT400';
  end;
  if length(v_key) not between 24 and 64 then
    raise exception 'a webhook secret has % bytes, and needs 24 to 64', length(v_key) using errcode = 'PT400';
  end if;
  if p_id = '' or strpos(p_id, '.') > 0 then
    raise exception 'a webhook id is not empty and has no dot' using errcode = 'PT400';
  end if;
  return 'v1,' || translate(
    encode(leadhook.hmac_sha256(v_key, convert_to(p_id || '.' || p_timestamp || '.' || p_body, 'UTF8')), 'base64'), E'\n', ''
  );
end
$$;
comment on function leadhook.sign(text, text, bigint, text) is
  'One Standard Webhooks signature (v1, symmetric) of a body, for a secret with or without its prefix whsec_.';
revoke all on function leadhook.sign(text, text, bigint, text) from public, anon, authenticated;

create or replace function leadhook.webhook_headers(p_id text, p_timestamp bigint, p_body text, p_secrets text)
returns jsonb
language plpgsql
immutable
strict
set search_path = pg_catalog, pg_temp
as $$
begin
  return jsonb_build_object(
    'Content-Type', 'application/json',
    'webhook-id', p_id,
    'webhook-timestamp', p_timestamp::text,
    'webhook-signature', (
      select string_agg(leadhook.sign(s.secret, p_id, p_timestamp, p_body), ' ' order by s.place)
      from regexp_split_to_table(btrim(p_secrets, E' \t\r\n'), '\s+') with ordinality as s (secret, place)
    )
  );
end
$$;
comment on function leadhook.webhook_headers(text, bigint, text, text) is
  'The headers of one webhook; several secrets, separated by blanks, make several signatures, so that a secret can be changed without a gap.';
revoke all on function leadhook.webhook_headers(text, bigint, text, text) from public, anon, authenticated;

-- In a database without the extension, a role that may create schemas could offer a net.http_post() or a vault.decrypted_secrets of its own.
create or replace function leadhook.is_of_extension(p_class regclass, p_object oid, p_extension text)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select
    from pg_catalog.pg_depend as d
    join pg_catalog.pg_extension as e on e.oid = d.refobjid
    where d.classid = p_class and d.objid = p_object and d.deptype = 'e' and d.refclassid = 'pg_catalog.pg_extension'::regclass
      and e.extname = p_extension
  );
end
$$;
comment on function leadhook.is_of_extension(regclass, oid, text) is 'Whether an object belongs to this extension.';
revoke all on function leadhook.is_of_extension(regclass, oid, text) from public, anon, authenticated;
grant execute on function leadhook.is_of_extension(regclass, oid, text) to service_role;

create or replace function leadhook.has_pg_net()
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select
    from pg_catalog.pg_proc as f
    where f.pronamespace = to_regnamespace('net') and f.proname = 'http_post'
      and leadhook.is_of_extension('pg_catalog.pg_proc', f.oid, 'pg_net')
  );
end
$$;
comment on function leadhook.has_pg_net() is 'Whether the extension pg_net can be called.';
revoke all on function leadhook.has_pg_net() from public, anon, authenticated;
grant execute on function leadhook.has_pg_net() to service_role;

create or replace function leadhook.has_vault()
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select leadhook.is_of_extension('pg_catalog.pg_class', to_regclass('vault.decrypted_secrets'), 'supabase_vault')
$$;
comment on function leadhook.has_vault() is 'Whether the extension supabase_vault can be read.';
revoke all on function leadhook.has_vault() from public, anon, authenticated;
grant execute on function leadhook.has_vault() to service_role;

create or replace function leadhook.find_foreign_code()
returns table (table_name text, object_name text, kind text, function_name text, function_owner text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select c.relname, t.tgname, 'trigger', left(t.tgfoid::regprocedure::text, 200), pg_get_userbyid(f.proowner)
  from pg_catalog.pg_class as c
  join pg_catalog.pg_trigger as t on t.tgrelid = c.oid
  join pg_catalog.pg_proc as f on f.oid = t.tgfoid
  where c.relnamespace = to_regnamespace('net') and not t.tgisinternal
  union all
  select c.relname, r.rulename, 'rule', null, null
  from pg_catalog.pg_class as c
  join pg_catalog.pg_rewrite as r on r.ev_class = c.oid
  where c.relnamespace = to_regnamespace('net') and r.ev_type <> '1'
$$;
comment on function leadhook.find_foreign_code() is 'The triggers and rules on pg_net''s tables, which has none itself. Code there runs with the rights of whoever writes.';
revoke all on function leadhook.find_foreign_code() from public, anon, authenticated;
grant execute on function leadhook.find_foreign_code() to service_role;

-- pg_net 0.12 and newer let every role add triggers to the queue, which would run with our rights when a webhook is queued.
-- The lock keeps new ones away until the end of the transaction. An older snapshot than the lock does not show a trigger that was committed
-- in between, only that its row in pg_class had none yet and was changed since, or had some before.
create or replace function leadhook.refuse_foreign_code()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_queue regclass := to_regclass('net.http_request_queue');
begin
  if not has_table_privilege(v_queue, 'insert') then
    return;  -- before 0.12: http_post() runs with the extension's rights, and no other role may add a trigger
  end if;
  lock table net.http_request_queue in row exclusive mode;
  if exists (select from pg_catalog.pg_trigger as t where t.tgrelid = v_queue and not t.tgisinternal)
    or exists (select from pg_catalog.pg_rewrite as r where r.ev_class = v_queue)
    or current_setting('transaction_isolation') in ('repeatable read', 'serializable')
    and exists (select from pg_catalog.pg_class as c where c.oid = v_queue and (c.relhastriggers or c.xmax <> '0'))
  then
    raise exception 'pg_net''s queue has a trigger or rule that pg_net did not create, and that would run with the owner''s rights'
      using errcode = 'PT503';
  end if;
end
$$;
comment on function leadhook.refuse_foreign_code() is 'Raises where another role''s code would run when a request is queued.';
revoke all on function leadhook.refuse_foreign_code() from public, anon, authenticated;

create or replace function leadhook.webhook_target(out url text, out secrets text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if not leadhook.has_vault() then
    raise exception 'Vault is missing: enable the extension supabase_vault' using errcode = 'PT503';
  end if;
  if not leadhook.has_pg_net() then
    raise exception 'pg_net is missing: enable the extension pg_net' using errcode = 'PT503';
  end if;
  select
    max(btrim(s.decrypted_secret, E' \t\r\n')) filter (where s.name = 'leadhook_webhook_url'),
    max(btrim(s.decrypted_secret, E' \t\r\n')) filter (where s.name = 'leadhook_webhook_secret')
  into url, secrets
  from vault.decrypted_secrets as s
  where s.name in ('leadhook_webhook_url', 'leadhook_webhook_secret');
  if coalesce(url, '') = '' or coalesce(secrets, '') = '' then
    raise exception 'Vault holds no leadhook_webhook_url and leadhook_webhook_secret' using errcode = 'PT503';
  end if;
end
$$;
comment on function leadhook.webhook_target() is 'Where webhooks go and what signs them, by Vault. Raises when something is missing, and names it.';
revoke all on function leadhook.webhook_target() from public, anon, authenticated;

create or replace function leadhook.queue_webhook(p_url text, p_secrets text, p_id text, p_body jsonb)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform leadhook.refuse_foreign_code();
  return net.http_post(
    url := p_url,
    body := p_body,
    headers := leadhook.webhook_headers(
      p_id, floor(extract(epoch from clock_timestamp()))::bigint, p_body::text, p_secrets
    ),
    timeout_milliseconds := 5000
  );
end
$$;
comment on function leadhook.queue_webhook(text, text, text, jsonb) is
  'Queues one signed request with pg_net, to be sent after the commit; its request id. What it raises may hold the address.';
revoke all on function leadhook.queue_webhook(text, text, text, jsonb) from public, anon, authenticated;

create or replace function leadhook.post_webhook(p_id text, p_body jsonb)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_target record := leadhook.webhook_target();
begin
  return leadhook.queue_webhook(v_target.url, v_target.secrets, p_id, p_body);
exception when assert_failure or others then
  -- The address may carry a password.
  raise exception '%', replace(sqlerrm, v_target.url, 'leadhook_webhook_url') using errcode = sqlstate;
end
$$;
comment on function leadhook.post_webhook(text, jsonb) is 'As queue_webhook to the address of Vault, but what it raises does not name it.';
revoke all on function leadhook.post_webhook(text, jsonb) from public, anon, authenticated;

create or replace function leadhook.webhook_body(p_reason text, p_leads int, p_table text, p_lead_ids text[])
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select jsonb_build_object(
      'type', upper(p_reason),
      'table', p_table,
      'schema', case when p_table is not null then 'public' end,
      'record', null,
      'old_record', null,
      'records', array(select l.lead_id from unnest(p_lead_ids[1:20]) as l (lead_id) where length(l.lead_id) <= 200),
      'total', p_leads
    )
  );
end
$$;
revoke all on function leadhook.webhook_body(text, int, text, text[]) from public, anon, authenticated;

create or replace function leadhook.count_webhooks()
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select case
      when m.mark ~ ('^' || pg_current_xact_id()::text || ':[1-8]$') then split_part(m.mark, ':', 2)::int
      else 0
    end
    from current_setting('leadhook.webhook_sent', true) as m (mark)
  );
end
$$;
comment on function leadhook.count_webhooks() is 'How many webhooks this transaction has sent, or tried to.';
revoke all on function leadhook.count_webhooks() from public, anon, authenticated;

create or replace function leadhook.post_webhooks(p_reason text, p_leads int, p_table text, p_lead_ids text[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_wanted int := greatest(1, least(8, coalesce(p_leads, 0) / 1000));
  v_target record := leadhook.webhook_target();
  v_id text;
  v_request bigint;
begin
  for i in leadhook.count_webhooks() + 1 .. v_wanted loop
    v_id := 'msg_' || replace(gen_random_uuid()::text, '-', '');
    v_request := leadhook.queue_webhook(v_target.url, v_target.secrets, v_id, leadhook.webhook_body(p_reason, p_leads, p_table, p_lead_ids));
    insert into leadhook.webhooks (request_id, message_id, reason, leads) values (v_request, v_id, concat_ws(' ', lower(p_reason), p_table), p_leads);
    perform set_config('leadhook.webhook_sent', pg_current_xact_id()::text || ':' || i, true);
  end loop;
end
$$;
comment on function leadhook.post_webhooks(text, int, text, text[]) is 'As send_webhook, but raises when it can''t.';
revoke all on function leadhook.post_webhooks(text, int, text, text[]) from public, anon, authenticated;

-- security definer: whoever writes to the application's tables may neither read Vault nor write leadhook.webhooks.
create or replace function leadhook.send_webhook(p_reason text, p_leads int default null, p_table text default null, p_lead_ids text[] default null)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
set jit = off
as $$
declare
  v_sent int := leadhook.count_webhooks();
  v_id text := 'msg_' || replace(gen_random_uuid()::text, '-', '');
  v_request bigint;
  v_error text;
begin
  if v_sent >= greatest(1, least(8, coalesce(p_leads, 0) / 1000)) then
    return;
  end if;
  begin
    perform leadhook.post_webhooks(p_reason, p_leads, p_table, p_lead_ids);
    return;
  exception when assert_failure or others then
    null;
  end;
  -- One webhook, and either half of it by itself. The mark is set outside of the blocks: what fails is not tried again by each of 5,000 statements.
  -- A rollback to a savepoint takes back the mark together with the webhook.
  perform set_config('leadhook.webhook_sent', pg_current_xact_id()::text || ':8', true);
  begin
    v_request := leadhook.post_webhook(v_id, leadhook.webhook_body(p_reason, p_leads, p_table, p_lead_ids));
  exception when assert_failure or others then
    v_error := sqlerrm;
  end;
  begin
    insert into leadhook.webhooks (request_id, message_id, reason, leads, error)
    values (v_request, v_id, concat_ws(' ', lower(p_reason), p_table), p_leads, v_error);
  exception when assert_failure or others then
    perform leadhook.warn('a webhook could not be recorded: ' || sqlerrm);
  end;
end
$$;
comment on function leadhook.send_webhook(text, int, text, text[]) is
  'Signals the service, after the commit, that there may be work: once a transaction, up to eight times where thousands of leads are named, so '
  'that several machines wake. Never raises; leadhook.webhooks says what became of it. The body is Supabase''s with `records` (up to 20 lead ids) '
  'and `total`.';
revoke all on function leadhook.send_webhook(text, int, text, text[]) from public, anon, authenticated;
grant execute on function leadhook.send_webhook(text, int, text, text[]) to service_role;

-- `on conflict`: a sequence that a restore has left behind its rows must not abort the application's statement; the sweep finds what was changed.
create or replace function leadhook.append_to_outbox(p_lead_ids text[], p_user_ids uuid[], p_tags text[], p_inserted boolean, p_refreshed boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if cardinality(p_lead_ids) <= 500 then
    insert into leadhook.outbox (kind, n, lead_ids, refreshed) values ('leads', cardinality(p_lead_ids), p_lead_ids, p_refreshed) on conflict do nothing;
  elsif p_lead_ids is not null then
    insert into leadhook.outbox (kind, n, lead_ids, refreshed)
    select 'leads', count(*), array_agg(l.lead_id), p_refreshed
    from unnest(p_lead_ids) with ordinality as l (lead_id, place)
    group by (l.place - 1) / 500
    on conflict do nothing;
  elsif p_user_ids is not null then
    insert into leadhook.outbox (kind, n, user_id, tag, prompts_inserted)
    select 'prompts', 0, g.user_id, g.tag, p_inserted
    from unnest(p_user_ids, p_tags) as g (user_id, tag)
    on conflict do nothing;
  else
    insert into leadhook.outbox (kind, n) values ('everything', 0) on conflict do nothing;
  end if;
end
$$;
comment on function leadhook.append_to_outbox(text[], uuid[], text[], boolean, boolean) is
  'Notes that these leads changed, 500 to a row, or the prompts of these users and tags; where both are null, that any lead may have changed.';
revoke all on function leadhook.append_to_outbox(text[], uuid[], text[], boolean, boolean) from public, anon, authenticated;

-- The only subtransaction that a healthy transaction of the application gets from us is that of the first change: more than 64 in one transaction
-- slow every other session down. After it, this transaction holds the lock on the outbox, so that nothing is left to wait for or to fail. Where it could
-- not be had, the rest of the transaction does not ask again, and the sweep finds what was changed.
create or replace function leadhook.note_change(
  p_reason text, p_table text, p_lead_ids text[] default null, p_user_ids uuid[] default null, p_tags text[] default null,
  p_refreshed boolean default false
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_xact text := pg_current_xact_id();
  v_mark text := current_setting('leadhook.outbox', true);
begin
  if v_mark = v_xact || ':closed' then
    return;
  end if;
  if v_mark = v_xact || ':open' then
    perform leadhook.append_to_outbox(p_lead_ids, p_user_ids, p_tags, p_reason = 'INSERT', p_refreshed);
    perform leadhook.send_webhook(p_reason, cardinality(p_lead_ids), p_table, p_lead_ids[1:20]);
    return;
  end if;
  begin
    perform leadhook.append_to_outbox(p_lead_ids, p_user_ids, p_tags, p_reason = 'INSERT', p_refreshed);
    v_mark := ':open';
    perform leadhook.post_webhooks(p_reason, cardinality(p_lead_ids), p_table, p_lead_ids[1:20]);
    perform set_config('leadhook.outbox', v_xact || ':open', true);
    return;
  exception when assert_failure or others then
    if v_mark is distinct from ':open' then
      perform leadhook.warn('a change is left to the sweep: ' || sqlerrm);
      perform set_config('leadhook.outbox', v_xact || ':closed', true);
    end if;
  end;
  if v_mark = ':open' then
    begin
      perform leadhook.append_to_outbox(p_lead_ids, p_user_ids, p_tags, p_reason = 'INSERT', p_refreshed);
      perform set_config('leadhook.outbox', v_xact || ':open', true);
    exception when assert_failure or others then
      perform leadhook.warn('a change is left to the sweep: ' || sqlerrm);
    end;
  end if;
  perform leadhook.send_webhook(p_reason, cardinality(p_lead_ids), p_table, p_lead_ids[1:20]);
end
$$;
comment on function leadhook.note_change(text, text, text[], uuid[], text[], boolean) is
  'Appends what a statement changed, as append_to_outbox, and sends a webhook. Never raises.';
revoke all on function leadhook.note_change(text, text, text[], uuid[], text[], boolean) from public, anon, authenticated;

-- Read from the catalog, because a column that is missing, or whose type has no equality, would make the statement raise.
create or replace function leadhook.comparable_columns(p_table regclass)
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select array_agg(a.attname::text)
    from pg_catalog.pg_attribute as a
    join pg_catalog.pg_type as t on t.oid = a.atttypid
    where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped and case a.attname
      when 'lead_id' then t.typcategory in ('S', 'N') or t.oid = 'uuid'::regtype
      when 'user_id' then t.oid = 'uuid'::regtype
      when 'tag' then t.typcategory in ('S', 'N', 'E')
      when 'scrapped' then t.typcategory in ('S', 'N', 'B', 'E')
      when 'sent_to_llm' then t.typcategory = 'B'
    end
  );
end
$$;
comment on function leadhook.comparable_columns(regclass) is 'Those columns of an application''s table that count and are of a type that we can read.';
revoke all on function leadhook.comparable_columns(regclass) from public, anon, authenticated;

-- Remembered until the transaction ends; a rollback to a savepoint takes it back together with the deleted rows.
create or replace function leadhook.refreshes(p_operation text, p_table text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_transaction text := pg_current_xact_id();
  v_deleted_from text := coalesce(substring(current_setting('leadhook.deleted_from', true) from '^' || v_transaction || ':(.*)$'), '');
  v_again boolean := strpos(v_deleted_from, p_table || ',') > 0;
begin
  if p_operation in ('DELETE', 'TRUNCATE') and not v_again then
    perform set_config('leadhook.deleted_from', v_transaction || ':' || v_deleted_from || p_table || ',', true);
  end if;
  return p_operation = 'DELETE' or p_operation = 'INSERT' and v_again;
end
$$;
comment on function leadhook.refreshes(text, text) is
  'Whether rows are deleted, or inserted after others of the table were deleted in this transaction: then they may be the same ones again.';
revoke all on function leadhook.refreshes(text, text) from public, anon, authenticated;

-- security definer: the writers of all_leads and lead_details have no rights in leadhook.
create or replace function leadhook.note_lead_changes()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
set jit = off
as $$
declare
  v_refreshed boolean := leadhook.refreshes(tg_op, tg_table_name);
  v_columns text[] := leadhook.comparable_columns(tg_relid);
  v_lead_ids text[];
begin
  if tg_op = 'TRUNCATE' or 'lead_id' = any (v_columns) is not true then
    perform leadhook.note_change(tg_op, tg_table_name);
    return null;
  end if;

  if tg_op = 'INSERT' then
    select array_agg(c.lead_id) into v_lead_ids
    from (select distinct n.lead_id::text from new_rows as n where n.lead_id is not null) as c (lead_id);
  elsif tg_op = 'DELETE' then
    select array_agg(c.lead_id) into v_lead_ids
    from (select distinct o.lead_id::text from old_rows as o where o.lead_id is not null) as c (lead_id);
  elsif tg_table_name = 'all_leads' and v_columns @> '{user_id,tag,scrapped}' then
    -- A multiset comparison, as the table may have no key: what both sides hold equally often did not change.
    select array_agg(distinct c.lead_id) into v_lead_ids
    from (
      select r.lead_id::text
      from (
        select n.lead_id, n.user_id, n.tag, n.scrapped, 1 from new_rows as n
        union all
        select o.lead_id, o.user_id, o.tag, o.scrapped, -1 from old_rows as o
      ) as r (lead_id, user_id, tag, scrapped, side)
      where r.lead_id is not null
      group by r.lead_id, r.user_id, r.tag, r.scrapped
      having sum(r.side) <> 0
    ) as c (lead_id);
  elsif tg_table_name = 'lead_details' and 'sent_to_llm' = any (v_columns) then
    select array_agg(c.lead_id) into v_lead_ids
    from (
      select r.lead_id::text
      from (
        select n.lead_id, n.sent_to_llm is not true, 1 from new_rows as n
        union all
        select o.lead_id, o.sent_to_llm is not true, -1 from old_rows as o
      ) as r (lead_id, unsent, side)
      where r.lead_id is not null
      group by r.lead_id
      having sum(r.side) <> 0 or sum(r.side) filter (where r.unsent) > 0
    ) as c (lead_id);
  else
    select array_agg(c.lead_id) into v_lead_ids
    from (
      select n.lead_id::text from new_rows as n where n.lead_id is not null
      union
      select o.lead_id::text from old_rows as o where o.lead_id is not null
    ) as c (lead_id);
  end if;
  if v_lead_ids is not null then
    perform leadhook.note_change(tg_op, tg_table_name, v_lead_ids, p_refreshed := v_refreshed);
  end if;
  return null;
end
$$;
comment on function leadhook.note_lead_changes() is
  'After a statement on all_leads or lead_details: appends the ids of the leads for which it can matter, and sends a webhook. Reads no table.';
revoke all on function leadhook.note_lead_changes() from public, anon, authenticated;

-- security definer: the writers of prompts have no rights in leadhook.
create or replace function leadhook.note_prompts_changes()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
set jit = off
as $$
declare
  v_user_ids uuid[];
  v_tags text[];
begin
  if leadhook.comparable_columns(tg_relid) @> '{user_id,tag}' is not true then
    perform leadhook.note_change(tg_op, tg_table_name);
    return null;
  end if;
  if tg_op = 'INSERT' then
    select array_agg(g.user_id), array_agg(g.tag) into v_user_ids, v_tags
    from (select distinct n.user_id, n.tag from new_rows as n where n.user_id is not null and n.tag is not null) as g;
  else
    select array_agg(g.user_id), array_agg(g.tag) into v_user_ids, v_tags
    from (
      select distinct r.user_id, r.tag
      from (
        select n.user_id, n.tag, n::text, 1 from new_rows as n
        union all
        select o.user_id, o.tag, o::text, -1 from old_rows as o
      ) as r (user_id, tag, row_text, side)
      where r.user_id is not null and r.tag is not null
      group by r.user_id, r.tag, r.row_text
      having sum(r.side) > 0
    ) as g;
  end if;
  if v_user_ids is not null then
    perform leadhook.note_change(tg_op, tg_table_name, null, v_user_ids, v_tags);
  end if;
  return null;
end
$$;
comment on function leadhook.note_prompts_changes() is
  'After a statement on prompts: appends the users and tags that have a new or changed row, and sends a webhook. Reads no table.';
revoke all on function leadhook.note_prompts_changes() from public, anon, authenticated;

-- security definer: the writers of gemini_api have no rights in leadhook.
create or replace function leadhook.send_webhook_for_keys()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform leadhook.send_webhook(tg_op, null, tg_table_name);
  return null;
end
$$;
comment on function leadhook.send_webhook_for_keys() is 'After a statement on gemini_api: sends a webhook, since leads may have waited for a key.';
revoke all on function leadhook.send_webhook_for_keys() from public, anon, authenticated;

-- `create or replace trigger` locks the table against writers even when nothing changes.
create or replace function leadhook.ensure_trigger(p_table regclass, p_definition text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select
    from pg_catalog.pg_trigger as t
    where t.tgrelid = p_table and t.tgenabled in ('O', 'A') and pg_catalog.pg_get_triggerdef(t.oid) = p_definition
  ) then
    execute regexp_replace(p_definition, '^CREATE TRIGGER', 'CREATE OR REPLACE TRIGGER');
  end if;
end
$$;
comment on function leadhook.ensure_trigger(regclass, text) is
  'Creates or replaces a trigger unless it is there, enabled and the same. The definition is spelt as pg_get_triggerdef() spells it.';
revoke all on function leadhook.ensure_trigger(regclass, text) from public, anon, authenticated;
