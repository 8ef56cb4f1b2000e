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
  v_key bit(512) := ('x' || rpad(encode(case when length(p_key) > 64 then sha256(p_key) else p_key end, 'hex'), 128, '0'))::bit(512);
begin
  -- bit_send() puts four bytes of length before the bits.
  return sha256(
    substr(bit_send(v_key # ('x' || repeat('5c', 64))::bit(512)), 5)
    || sha256(substr(bit_send(v_key # ('x' || repeat('36', 64))::bit(512)), 5) || p_message)
  );
end
$$;

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
  -- Asked before decode(), whose words would quote a character of the secret.
  if v_base64 !~ '^[A-Za-z0-9+/]*$' or length(v_base64) % 4 = 1 then
    raise exception 'a webhook secret is not whsec_ and base64' using errcode = 'PT400';
  elsif length(v_base64) not between 32 and 86 then
    raise exception 'a webhook secret has % bytes, and needs 24 to 64', length(v_base64) * 3 / 4 using errcode = 'PT400';
  elsif p_id = '' or strpos(p_id, '.') > 0 then
    raise exception 'a webhook id is not empty and has no dot' using errcode = 'PT400';
  end if;
  return 'v1,' || translate(encode(leadhook.hmac_sha256(
    decode(rpad(v_base64, (length(v_base64) + 3) / 4 * 4, '='), 'base64'),
    convert_to(concat_ws('.', p_id, p_timestamp, p_body), 'UTF8')
  ), 'base64'), E'\n', '');
end
$$;
comment on function leadhook.sign(text, text, bigint, text) is
  'One Standard Webhooks signature (v1, symmetric) of a body, for a secret with or without its prefix whsec_.';

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
comment on function leadhook.webhook_headers(text, bigint, text, text) is
  'The headers of one webhook; several secrets, separated by blanks, make several signatures, so that a secret can be changed without a gap.';

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

create or replace function leadhook.has_pg_net()
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return leadhook.is_of_extension('pg_catalog.pg_proc', to_regproc('net.http_post'), 'pg_net');
end
$$;
comment on function leadhook.has_pg_net() is 'Whether the extension pg_net can be called.';

create or replace function leadhook.has_vault()
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return leadhook.is_of_extension('pg_catalog.pg_class', to_regclass('vault.decrypted_secrets'), 'supabase_vault');
end
$$;
comment on function leadhook.has_vault() is 'Whether the extension supabase_vault can be read.';

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

create or replace function leadhook.refuse_foreign_code()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('transaction_isolation') in ('repeatable read', 'serializable')
    or exists (select from pg_catalog.pg_trigger as t where t.tgrelid = 'net.http_request_queue'::regclass and not t.tgisinternal)
    or exists (select from pg_catalog.pg_rewrite as r where r.ev_class = 'net.http_request_queue'::regclass)
  then
    raise exception 'pg_net''s queue has a trigger or rule that pg_net did not create, and that would run with the owner''s rights'
      using errcode = 'PT503';
  end if;
end
$$;
comment on function leadhook.refuse_foreign_code() is
  'Raises where another role''s code would run when a request is queued, or where an older snapshot does not show whether it would.';

-- pg_net 0.12 and newer let every role add triggers to the queue, which would run with our rights when a webhook is queued. (Before, http_post() ran
-- with the extension's rights, we may not insert, and no other role may add a trigger.) The lock keeps new ones away until the end of the transaction.
-- An older snapshot than the lock does not show a trigger that was committed in between, only that its row in pg_class had none yet and was changed
-- since, or had some before. pg_class is a cheap way to see that there are none; it may say that there are some after the last one is dropped.
-- All is asked in one query, not by has_vault() and so on: the application's transaction waits for it.
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
  -- Without a variable, whose value would be planned for again and again.
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
comment on function leadhook.webhook_target() is
  'Where webhooks go and what signs them, by Vault. Raises when something is missing, and names it; and where queueing a request would run '
  'another role''s code.';

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
comment on function leadhook.queue_webhook(text, text, text, jsonb) is
  'Queues one signed request with pg_net, to be sent after the commit; its request id. What it raises may hold the address.';

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

-- No lead's id: every role can read pg_net's queue, and what was changed is in the outbox. No search_path, which would keep it from being inlined.
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
comment on function leadhook.count_webhooks() is 'How many webhooks this transaction has sent, or tried to.';

create or replace function leadhook.wanted_webhooks(p_leads int)
returns int
language sql
immutable
as $$
  select greatest(1, least(8, coalesce(p_leads, 0) / 1000))
$$;
comment on function leadhook.wanted_webhooks(int) is 'How many webhooks a transaction sends whose largest statement names so many leads.';

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
comment on function leadhook.post_webhooks(text, int, text) is 'As send_webhook, but raises when it can''t.';

-- security definer: whoever writes to the application's tables may neither read Vault nor write leadhook.webhooks.
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
  -- One webhook, and either half of it by itself. The mark is set outside of the blocks: what fails is not tried again by each of 5,000 statements.
  -- A rollback to a savepoint takes back the mark together with the webhook.
  perform set_config('leadhook.webhook_sent', pg_current_xact_id()::text || ':8', true);
  begin
    v_request := leadhook.post_webhook(v_id, leadhook.webhook_body(p_reason, p_leads, p_table));
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
comment on function leadhook.send_webhook(text, int, text) is
  'Signals the service, after the commit, that there may be work: once a transaction, up to eight times where thousands of leads are named, so '
  'that several machines wake. Never raises; leadhook.webhooks says what became of it. The body is Supabase''s with `records`, which is empty, '
  'and `total`.';

-- `on conflict`: a sequence that a restore has left behind its rows must not abort the application's statement; the sweep finds what was changed.
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
    -- A slice is sought from the start of its array, so a million ids are cut twice.
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
comment on function leadhook.append_to_outbox(text[], uuid[], text[], boolean, boolean) is
  'Notes that these leads changed, 500 to a row, or the prompts of these users and tags; where both are null, that any lead may have changed.';

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
comment on function leadhook.find_outbox_guards() is
  'What someone added to leadhook.outbox that may refuse a row; what is in it is left to the sweep. leadhook itself adds nothing of the kind.';

-- The only subtransaction that a healthy transaction of the application gets from us is that of the first change: more than 64 in one transaction
-- slow every other session down. After it, this transaction holds the lock on the outbox, so that nothing is left to wait for or to fail, unless someone
-- added a constraint, trigger or rule to it, which the second change looks for: then each change gets a subtransaction. Where the lock could not be had, the rest of the transaction does not ask again, and the sweep finds what was changed.
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
comment on function leadhook.note_change(text, text, text[], uuid[], text[], boolean) is
  'Appends what a statement changed, as append_to_outbox, and sends a webhook. Never raises.';

-- Remembered until the transaction ends; a rollback to a savepoint takes it back together with the deleted rows.
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
comment on function leadhook.refreshes(text, text) is
  'Whether rows are deleted, or inserted after others of the table were deleted in this transaction: then they may be the same ones again.';

-- security definer: the writers of all_leads and lead_details have no rights in leadhook.
-- The exception blocks read only, so their subtransactions get no number and cost no other session anything. They are for a column that is missing or
-- whose type has no equality; asking the catalog instead would cost more than all else here.
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
    -- As note_change() would: each of thousands of statements in one transaction waits for it.
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
  'After a statement on all_leads or lead_details: appends the ids of the leads for which it can matter, and sends a webhook. Reads no table.';

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
  'After a statement on prompts: appends the users and tags that have a new or changed row, and sends a webhook. Reads no table.';

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

select leadhook.grant_functions();
