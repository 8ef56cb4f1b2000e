-- STAND-IN for supabase/pg_net 0.20.4: its SQL surface, written again in SQL alone. The requests are sent by a process of the
-- local stack (leadhook.local.pgnet) that listens on the channel pg_net, because a background worker needs C.
-- Privileges are those of hosted projects since pg_net 0.12: security invoker, everything open to PUBLIC.

create schema if not exists net;

create domain net.http_method as text check (lower(value) in ('get', 'post', 'delete'));

create unlogged table net.http_request_queue (
  id bigserial,
  method net.http_method not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds int not null
);

create unlogged table net._http_response (
  id bigint,
  status_code integer,
  content_type text,
  headers jsonb,
  content text,
  timed_out bool,
  error_msg text,
  created timestamptz not null default now()
);
create index on net._http_response (created);

-- A notification is delivered at commit, never after a rollback, and once a transaction, as the real wake is.
create function net.wake() returns void language sql as $$
  select pg_catalog.pg_notify('pg_net', '');
$$;

create function net.worker_restart() returns bool language sql as $$
  select pg_catalog.pg_notify('pg_net', '');
  select true;
$$;

create function net.check_worker_is_up() returns void language plpgsql as $$
begin
  if not exists (
    select from pg_catalog.pg_stat_activity where application_name like 'pg_net %' and datname = pg_catalog.current_database()
  ) then
    raise exception 'the pg_net background worker is not up'
      using detail = 'STAND-IN: leadhook local pgnet does not run on this database';
  end if;
end
$$;

create function net.wait_until_running() returns void language plpgsql as $$
begin
  loop
    perform pg_catalog.pg_stat_clear_snapshot();
    exit when exists (
      select from pg_catalog.pg_stat_activity where application_name like 'pg_net %' and datname = pg_catalog.current_database()
    );
    perform pg_catalog.pg_sleep(0.05);
  end loop;
end
$$;

create function net._urlencode_string(string varchar) returns text language sql immutable strict as $$
  select coalesce(pg_catalog.string_agg(
    case when c ~ '[A-Za-z0-9._~-]' then c
         else pg_catalog.regexp_replace(pg_catalog.upper(pg_catalog.encode(pg_catalog.convert_to(c, 'UTF8'), 'hex')), '(..)', '%\1', 'g')
    end, '' order by n), '')
  from pg_catalog.regexp_split_to_table(string, '') with ordinality as characters (c, n)
$$;

create function net._encode_url_with_params_array(url text, params_array text[]) returns text language plpgsql immutable strict as $$
declare
  v_query text := pg_catalog.array_to_string(params_array, '&');
begin
  if url !~* '^https?://' then
    raise exception 'invalid URL "%": %', url, case when url ~ '^[A-Za-z][A-Za-z0-9+.-]*://' then 'Unsupported URL scheme' else 'Bad scheme' end;
  end if;
  if v_query = '' then
    return url;
  end if;
  return url || case when pg_catalog.strpos(url, '?') > 0 then '&' else '?' end || v_query;
end
$$;

create function net._queue_request(
  method text, url text, params jsonb, headers jsonb, body jsonb, timeout_milliseconds int
) returns bigint language plpgsql as $$
declare
  request_id bigint;
begin
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  select method,
    net._encode_url_with_params_array(
      url, coalesce(pg_catalog.array_agg(net._urlencode_string(key) || '=' || net._urlencode_string(value)), '{}')
    ),
    headers, pg_catalog.convert_to(body::text, 'UTF8'), timeout_milliseconds
  from pg_catalog.jsonb_each_text(params)
  returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create function net.http_get(
  url text, params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds int default 5000
) returns bigint language sql as $$
  select net._queue_request('GET', url, params, headers, null, timeout_milliseconds)
$$;

create function net.http_post(
  url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{"Content-Type": "application/json"}',
  timeout_milliseconds int default 5000
) returns bigint language plpgsql as $$
declare
  content_type text := (
    select value from pg_catalog.jsonb_each_text(coalesce(headers, '{}')) where pg_catalog.lower(key) = 'content-type' limit 1
  );
begin
  if content_type is null then
    headers := headers || '{"Content-Type": "application/json"}';
  elsif content_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;
  return net._queue_request('POST', url, params, headers, body, timeout_milliseconds);
end
$$;

create function net.http_delete(
  url text, params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds int default 5000, body jsonb default null
) returns bigint language sql as $$
  select net._queue_request('DELETE', url, params, headers, body, timeout_milliseconds)
$$;

grant usage on schema net to public, anon, authenticated, service_role, postgres;
grant all on all sequences in schema net to public;
grant all on all tables in schema net to public;
