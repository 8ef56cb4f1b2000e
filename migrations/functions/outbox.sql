-- Purpose: records a change of the application's tables in the outbox, and sends a webhook. webhooks.sql attaches the triggers.
-- The writers of the application's tables have no rights in leadhook, so the trigger functions and send_webhook run with the rights of
-- their owner. Therefore search_path = pg_catalog, pg_temp in this file: with '', Postgres looks for types in the caller's pg_temp first,
-- and a temporary domain named text would run its check as the owner.
-- Nothing here may abort, delay or block the statement that fired a trigger: whatever may fail is in an exception block, and every wait is
-- limited. `when assert_failure or others` does not catch query_canceled, so a cancelled statement is cancelled.

set local check_function_bodies = off;

-- Returns the HMAC-SHA-256, computed with sha256() of Postgres itself: pgcrypto may be missing or in any schema.
create or replace function leadhook.hmac_sha256(p_key bytea, p_message bytea)
returns bytea
language plpgsql
immutable
strict
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key bit(512) := ('x' || rpad(encode(case when length(p_key) > 64 then sha256(p_key) else p_key end, 'hex'), 128, '0'))::bit(512);
begin
  -- bit_send() returns four bytes of length before the bits.
  return sha256(
    substr(bit_send(v_key # ('x' || repeat('5c', 64))::bit(512)), 5)
    || sha256(substr(bit_send(v_key # ('x' || repeat('36', 64))::bit(512)), 5) || p_message)
  );
end
$$;

-- Returns a Standard Webhooks signature (v1, symmetric) of a body, for a secret with or without its prefix whsec_. Raises PT400 if the
-- secret or the id is invalid.
create or replace function leadhook.sign(p_secret text, p_id text, p_timestamp bigint, p_body text)
returns text
language plpgsql
immutable
strict
set search_path = pg_catalog, pg_temp
as $$
declare
  v_base64 text := rtrim(regexp_replace(p_secret, '^whsec_', ''), '=');
begin
  -- Before decode(), whose error message would quote a character of the secret.
  if v_base64 !~ '^[A-Za-z0-9+/]*$' or length(v_base64) % 4 = 1 then
    raise exception 'a webhook secret must be whsec_ and base64' using errcode = 'PT400';
  elsif length(v_base64) not between 32 and 86 then
    raise exception 'a webhook secret must have 24 to 64 bytes, not %', length(v_base64) * 3 / 4 using errcode = 'PT400';
  elsif p_id = '' or strpos(p_id, '.') > 0 then
    raise exception 'a webhook id must not be empty or contain a dot' using errcode = 'PT400';
  end if;
  return 'v1,' || translate(encode(leadhook.hmac_sha256(
    decode(rpad(v_base64, (length(v_base64) + 3) / 4 * 4, '='), 'base64'),
    convert_to(concat_ws('.', p_id, p_timestamp, p_body), 'UTF8')
  ), 'base64'), E'\n', '');
end
$$;

-- Returns the headers of a webhook. Each of the secrets, which are separated by spaces, adds a signature, so that a secret can be replaced
-- without a gap.
create or replace function leadhook.webhook_headers(p_id text, p_timestamp bigint, p_body text, p_secrets text)
returns jsonb
language plpgsql
immutable
strict
set search_path = pg_catalog, pg_temp
as $$
declare
  v_secret text;
  v_signatures text;
begin
  foreach v_secret in array regexp_split_to_array(btrim(p_secrets, E' \t\r\n'), '\s+') loop
    v_signatures := concat_ws(' ', v_signatures, leadhook.sign(v_secret, p_id, p_timestamp, p_body));
  end loop;
  return jsonb_build_object(
    'Content-Type', 'application/json',
    'webhook-id', p_id,
    'webhook-timestamp', p_timestamp::text,
    'webhook-signature', v_signatures
  );
end
$$;

-- Returns whether pg_net can be called, or Vault read. An object of the same name may be another role's, if the extension is missing.
create or replace function leadhook.has_extension(p_name text)
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
    where d.deptype = 'e' and d.refclassid = 'pg_catalog.pg_extension'::regclass and e.extname = p_name and (d.classid, d.objid) = case p_name
      when 'pg_net' then ('pg_catalog.pg_proc'::regclass::oid, to_regproc('net.http_post')::oid)
      when 'supabase_vault' then ('pg_catalog.pg_class'::regclass::oid, to_regclass('vault.decrypted_secrets')::oid)
    end
  );
end
$$;

-- Returns the triggers and rules on pg_net's tables, which has none itself. They run with the rights of the role that writes to the tables.
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

-- Raises PT503 if queueing a request would run another role's code, or if an older snapshot could hide such code.
create or replace function leadhook.refuse_foreign_code()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('transaction_isolation') in ('repeatable read', 'serializable')
    or exists (select from leadhook.find_foreign_code() as c where c.table_name = 'http_request_queue')
  then
    raise exception 'pg_net''s queue has a trigger or rule that pg_net did not create and that would run with the owner''s rights'
      using errcode = 'PT503';
  end if;
end
$$;

-- Returns the URL and secrets of the webhooks from Vault. Raises PT503 if something is missing, or if queueing a request would run another
-- role's code.
-- Since pg_net 0.12, every role may add triggers to its queue, and they would run with our rights. (Before, http_post() ran with the
-- extension's rights, and no other role could add a trigger.) The table lock prevents new triggers until the end of the transaction. A
-- snapshot older than the lock may miss a trigger, but the row in pg_class shows that it was changed. pg_class may also report triggers
-- after the last one was dropped; refuse_foreign_code checks that.
-- One query for all conditions instead of has_extension, because the application's transaction waits for it.
create or replace function leadhook.webhook_target(out url text, out secrets text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_has_vault boolean;
  v_has_pg_net boolean;
  v_suspected boolean;
  v_may_insert boolean := has_table_privilege(to_regclass('net.http_request_queue'), 'insert');
begin
  if v_may_insert then
    lock table net.http_request_queue in row exclusive mode;
  end if;
  -- No variable in the query, because a variable would cause it to be planned for each call.
  select
    (
      select d.refobjid
      from pg_catalog.pg_depend as d
      where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = to_regclass('vault.decrypted_secrets')
        and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
    ) = (select e.oid from pg_catalog.pg_extension as e where e.extname = 'supabase_vault'),
    (
      select d.refobjid
      from pg_catalog.pg_depend as d
      where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = to_regproc('net.http_post')
        and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
    ) = (select e.oid from pg_catalog.pg_extension as e where e.extname = 'pg_net'),
    (
      select c.relhastriggers or c.relhasrules
        or c.xmax <> '0' and current_setting('transaction_isolation') in ('repeatable read', 'serializable')
      from pg_catalog.pg_class as c
      where c.oid = to_regclass('net.http_request_queue')
    )
  into v_has_vault, v_has_pg_net, v_suspected;
  if v_has_vault is not true then
    raise exception 'Vault is missing: enable the extension supabase_vault' using errcode = 'PT503';
  elsif v_has_pg_net is not true then
    raise exception 'pg_net is missing: enable the extension pg_net' using errcode = 'PT503';
  elsif v_suspected and v_may_insert then
    perform leadhook.refuse_foreign_code();
  end if;
  select
    (select btrim(s.decrypted_secret, E' \t\r\n') from vault.decrypted_secrets as s where s.name = 'leadhook_webhook_url'),
    (select btrim(s.decrypted_secret, E' \t\r\n') from vault.decrypted_secrets as s where s.name = 'leadhook_webhook_secret')
  into url, secrets;
  if coalesce(url, '') = '' or coalesce(secrets, '') = '' then
    raise exception 'Vault holds no leadhook_webhook_url and leadhook_webhook_secret' using errcode = 'PT503';
  end if;
end
$$;

-- Signs a request and queues it with pg_net, which sends it after the commit. Returns the id of the request. An error may contain the URL.
create or replace function leadhook.queue_webhook(p_url text, p_secrets text, p_id text, p_body jsonb)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
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

-- Returns the body of a webhook: Supabase's format with empty records. It names no lead, because every role can read pg_net's queue; the
-- outbox has the ids.
-- Without search_path, which would prevent inlining.
create or replace function leadhook.webhook_body(p_reason text, p_leads int, p_table text)
returns jsonb
language sql
stable
as $$
  select pg_catalog.jsonb_build_object(
    'type', pg_catalog.upper(p_reason),
    'table', p_table,
    'schema', case when p_table is not null then 'public' end,
    'records', '[]'::pg_catalog.jsonb,
    'total', p_leads
  )
$$;

-- Returns how many webhooks this transaction has sent or tried to send.
create or replace function leadhook.count_webhooks()
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mark text := current_setting('leadhook.webhook_sent', true);
begin
  if v_mark ~ '^\d+:[1-8]$' and split_part(v_mark, ':', 1) = pg_current_xact_id()::text then
    return right(v_mark, 1)::int;
  end if;
  return 0;
end
$$;

-- Returns how many webhooks a transaction sends for a statement that changed this many leads.
create or replace function leadhook.wanted_webhooks(p_leads int)
returns int
language sql
immutable
as $$
  select greatest(1, least(8, coalesce(p_leads, 0) / 1000))
$$;

-- As send_webhook, but raises if a webhook cannot be queued.
create or replace function leadhook.post_webhooks(p_reason text, p_leads int, p_table text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_target record := leadhook.webhook_target();
  v_id text;
begin
  for i in leadhook.count_webhooks() + 1 .. leadhook.wanted_webhooks(p_leads) loop
    v_id := 'msg_' || replace(gen_random_uuid()::text, '-', '');
    insert into leadhook.webhooks (message_id, reason, leads, request_id)
    values (
      v_id, concat_ws(' ', lower(p_reason), p_table), p_leads,
      leadhook.queue_webhook(v_target.url, v_target.secrets, v_id, leadhook.webhook_body(p_reason, p_leads, p_table))
    );
    perform set_config('leadhook.webhook_sent', pg_current_xact_id()::text || ':' || i, true);
  end loop;
end
$$;

create or replace function leadhook.send_webhook(p_reason text, p_leads int default null, p_table text default null)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
set jit = off
as $$
declare
  v_id text := 'msg_' || replace(gen_random_uuid()::text, '-', '');
  v_url text;
  v_secrets text;
  v_request bigint;
  v_error text;
begin
  if leadhook.count_webhooks() >= leadhook.wanted_webhooks(p_leads) then
    return;
  end if;
  begin
    perform leadhook.post_webhooks(p_reason, p_leads, p_table);
    return;
  exception when assert_failure or others then
    null;
  end;
  -- One webhook; queueing and recording it fail separately. The mark is set outside of the blocks, so that a failure is not repeated by each of
  -- 5,000 statements. A rollback to a savepoint reverts the mark together with the webhook.
  perform set_config('leadhook.webhook_sent', pg_current_xact_id()::text || ':8', true);
  begin
    select t.url, t.secrets into v_url, v_secrets from leadhook.webhook_target() as t;
    v_request := leadhook.queue_webhook(v_url, v_secrets, v_id, leadhook.webhook_body(p_reason, p_leads, p_table));
  exception when assert_failure or others then
    v_error := coalesce(replace(sqlerrm, v_url, 'leadhook_webhook_url'), sqlerrm);  -- the URL may contain a password
  end;
  begin
    insert into leadhook.webhooks (request_id, message_id, reason, leads, error)
    values (v_request, v_id, concat_ws(' ', lower(p_reason), p_table), p_leads, v_error);
  exception when assert_failure or others then
    perform leadhook.warn('a webhook could not be recorded: ' || sqlerrm);
  end;
end
$$;
comment on function leadhook.send_webhook(text, int, text) is
  'Notifies the service, after the commit, that there may be work: once per transaction, or up to eight times for thousands of leads, so '
  'that several processes wake up. Never raises; leadhook.webhooks has the result. security definer: the writers of the application''s '
  'tables may not read Vault or write leadhook.webhooks.';

-- Appends changed leads to the outbox, 500 per row; or the groups whose prompts changed; or, if both are null, a row for any lead. `on conflict do
-- nothing`: an id sequence behind its rows after a restore must not abort the application's statement; the sweep finds the change.
create or replace function leadhook.append_to_outbox(p_lead_ids text[], p_user_ids uuid[], p_tags text[], p_inserted boolean, p_refreshed boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_lead_ids text[];
  v_slice text[];
begin
  if cardinality(p_lead_ids) <= 500 then
    insert into leadhook.outbox (kind, n, lead_ids, refreshed) values ('leads', cardinality(p_lead_ids), p_lead_ids, p_refreshed) on conflict do nothing;
  elsif p_lead_ids is not null then
    -- A slice of an array is searched from its start, so a million ids are cut in two levels.
    for i in 0 .. (cardinality(p_lead_ids) - 1) / 10000 loop
      v_lead_ids := p_lead_ids[10000 * i + 1 : 10000 * i + 10000];
      for j in 0 .. (cardinality(v_lead_ids) - 1) / 500 loop
        v_slice := v_lead_ids[500 * j + 1 : 500 * j + 500];
        insert into leadhook.outbox (kind, n, lead_ids, refreshed) values ('leads', cardinality(v_slice), v_slice, p_refreshed) on conflict do nothing;
      end loop;
    end loop;
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

-- Returns constraints, unique indexes, triggers and rules that someone added to leadhook.outbox and that may refuse a row. leadhook adds none.
create or replace function leadhook.find_outbox_guards()
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array(
    select 'constraint ' || quote_ident(c.conname)
    from pg_catalog.pg_constraint as c
    where c.conrelid = 'leadhook.outbox'::regclass and c.contype not in ('p', 'n')
    union all
    select 'unique index ' || i.indexrelid::regclass::text
    from pg_catalog.pg_index as i
    where i.indrelid = 'leadhook.outbox'::regclass and i.indisunique and not i.indisprimary
      and not exists (select from pg_catalog.pg_constraint as c where c.conindid = i.indexrelid)
    union all
    select 'trigger ' || quote_ident(t.tgname)
    from pg_catalog.pg_trigger as t
    where t.tgrelid = 'leadhook.outbox'::regclass and not t.tgisinternal
    union all
    select 'rule ' || quote_ident(r.rulename)
    from pg_catalog.pg_rewrite as r
    where r.ev_class = 'leadhook.outbox'::regclass
    order by 1
  )
$$;

-- Appends a change as append_to_outbox and sends a webhook. Never raises.
-- Only the first change of a transaction runs in a subtransaction, because more than 64 of them slow down every other session. After it, the
-- transaction holds a lock on the outbox, so appending can neither wait nor fail, unless someone added a constraint, trigger or rule; the second
-- change checks that, and then every change gets a subtransaction. If the lock was not available, the rest of the transaction is left to the sweep.
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
  v_leads int := cardinality(p_lead_ids);
begin
  if v_mark = v_xact || ':closed' then
    return;
  end if;
  if v_mark = v_xact || ':first' then
    if not (select c.relchecks > 0 or c.relhastriggers or c.relhasrules from pg_catalog.pg_class as c where c.oid = 'leadhook.outbox'::regclass) then
      v_mark := set_config('leadhook.outbox', v_xact || ':open', true);
    end if;
  end if;
  if v_mark = v_xact || ':open' then
    perform leadhook.append_to_outbox(p_lead_ids, p_user_ids, p_tags, p_reason = 'INSERT', p_refreshed);
    if leadhook.wanted_webhooks(v_leads) > 1 then
      perform leadhook.send_webhook(p_reason, v_leads, p_table);
    end if;
    return;
  end if;
  begin
    perform leadhook.append_to_outbox(p_lead_ids, p_user_ids, p_tags, p_reason = 'INSERT', p_refreshed);
    v_mark := ':noted';
    perform leadhook.post_webhooks(p_reason, v_leads, p_table);
    perform set_config('leadhook.outbox', v_xact || ':first', true);
    return;
  exception when assert_failure or others then
    if v_mark is distinct from ':noted' then
      perform leadhook.warn('a change is left to the sweep: ' || sqlerrm);
      perform set_config('leadhook.outbox', v_xact || ':closed', true) where sqlstate = '55P03';
    end if;
  end;
  if v_mark = ':noted' then
    begin
      perform leadhook.append_to_outbox(p_lead_ids, p_user_ids, p_tags, p_reason = 'INSERT', p_refreshed);
      perform set_config('leadhook.outbox', v_xact || ':first', true);
    exception when assert_failure or others then
      perform leadhook.warn('a change is left to the sweep: ' || sqlerrm);
    end;
  end if;
  perform leadhook.send_webhook(p_reason, v_leads, p_table);
end
$$;

-- Returns whether a statement deletes rows, or inserts rows after others of the table were deleted in this transaction: they may be the same rows
-- again. The deletion is remembered until the end of the transaction; a rollback to a savepoint forgets it together with the deletion.
create or replace function leadhook.refreshes(p_operation text, p_table text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mark text := nullif(current_setting('leadhook.deleted_from', true), '');
  v_transaction text;
  v_deleted_from text := '';
begin
  if p_operation = 'UPDATE' or p_operation = 'INSERT' and v_mark is null then
    return false;
  end if;
  v_transaction := pg_current_xact_id();
  if split_part(v_mark, ':', 1) = v_transaction then
    v_deleted_from := split_part(v_mark, ':', 2);
  end if;
  if strpos(v_deleted_from, p_table || ',') > 0 then
    return p_operation in ('INSERT', 'DELETE');
  end if;
  if p_operation in ('DELETE', 'TRUNCATE') then
    perform set_config('leadhook.deleted_from', v_transaction || ':' || v_deleted_from || p_table || ',', true);
  end if;
  return p_operation = 'DELETE';
end
$$;

create or replace function leadhook.note_lead_changes()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
set jit = off
as $$
declare
  v_lead_ids text[];
  v_read boolean := false;
  v_refreshed boolean := false;
begin
  begin
    if tg_op = 'INSERT' then
      select array_agg(n.lead_id::text) into v_lead_ids from new_rows as n where n.lead_id is not null;
    elsif tg_op = 'DELETE' then
      select array_agg(o.lead_id::text) into v_lead_ids from old_rows as o where o.lead_id is not null;
    elsif tg_op = 'UPDATE' and tg_table_name = 'all_leads' then
      -- The table may have no key, so old and new rows are compared as multisets.
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
    elsif tg_op = 'UPDATE' then
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
    end if;
    v_read := tg_op <> 'TRUNCATE';
  exception when assert_failure or others then
    null;
  end;
  if not v_read and tg_op = 'UPDATE' then
    begin
      select array_agg(c.lead_id) into v_lead_ids
      from (
        select n.lead_id::text from new_rows as n where n.lead_id is not null
        union
        select o.lead_id::text from old_rows as o where o.lead_id is not null
      ) as c (lead_id);
      v_read := true;
    exception when assert_failure or others then
      null;
    end;
  end if;
  if tg_op in ('DELETE', 'TRUNCATE') or tg_op = 'INSERT' and current_setting('leadhook.deleted_from', true) <> '' then
    v_refreshed := leadhook.refreshes(tg_op, tg_table_name);
  end if;
  if cardinality(v_lead_ids) <= 500 and current_setting('leadhook.outbox', true) = pg_current_xact_id()::text || ':open' then
    -- As note_change, without its overhead: a transaction may have thousands of such statements.
    insert into leadhook.outbox (kind, n, lead_ids, refreshed) values ('leads', cardinality(v_lead_ids), v_lead_ids, v_refreshed) on conflict do nothing;
  elsif v_lead_ids is not null then
    perform leadhook.note_change(tg_op, tg_table_name, v_lead_ids, p_refreshed := v_refreshed);
  elsif not v_read then
    perform leadhook.note_change(tg_op, tg_table_name);
  end if;
  return null;
end
$$;
comment on function leadhook.note_lead_changes() is
  'Trigger on all_leads and lead_details: appends the ids of leads for which the change may matter, and sends a webhook. Reads no table. security '
  'definer: the writers of the tables have no rights in leadhook. The exception blocks only read, so their subtransactions get no number and cost '
  'other sessions nothing; they handle columns that are missing or have a type without equality, which would be slower to look up in the catalog.';

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
  v_read boolean := false;
begin
  begin
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
    v_read := true;
  exception when assert_failure or others then
    null;
  end;
  if v_user_ids is not null then
    perform leadhook.note_change(tg_op, tg_table_name, null, v_user_ids, v_tags);
  elsif not v_read then
    perform leadhook.note_change(tg_op, tg_table_name);
  end if;
  return null;
end
$$;
comment on function leadhook.note_prompts_changes() is
  'Trigger on prompts: appends the users and tags that have a new or changed row, and sends a webhook. Reads no table. security definer: '
  'the writers of the table have no rights in leadhook.';

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
comment on function leadhook.send_webhook_for_keys() is
  'Trigger on gemini_api: sends a webhook, because leads may have waited for a key. security definer: the writers of the table have no '
  'rights in leadhook.';

-- Creates or replaces a statement trigger of webhooks.sql unless it exists unchanged and enabled: `create or replace trigger` always locks the
-- table against writes. The definition is spelled as pg_get_triggerdef() spells it.
create or replace function leadhook.ensure_trigger(p_table text, p_event text, p_function text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_definition text := format(
    'CREATE TRIGGER leadhook_%s AFTER %s ON public.%s %sFOR EACH STATEMENT EXECUTE FUNCTION leadhook.%s()',
    case when p_event like '% OR %' then 'change' else lower(p_event) end, p_event, p_table,
    case p_event
      when 'INSERT' then 'REFERENCING NEW TABLE AS new_rows '
      when 'UPDATE' then 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows '
      when 'DELETE' then 'REFERENCING OLD TABLE AS old_rows '
    end,
    p_function
  );
begin
  if not exists (
    select
    from pg_catalog.pg_trigger as t
    where t.tgrelid = ('public.' || p_table)::regclass and t.tgenabled in ('O', 'A') and pg_catalog.pg_get_triggerdef(t.oid) = v_definition
  ) then
    execute regexp_replace(v_definition, '^CREATE TRIGGER', 'CREATE OR REPLACE TRIGGER');
  end if;
end
$$;

select leadhook.grant_functions();
