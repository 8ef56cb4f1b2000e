-- Whether every role may add triggers to pg_net's tables, as since pg_net 0.12.
select exists (
  select from pg_catalog.pg_class as c where c.relnamespace = to_regnamespace('net') and has_table_privilege('public', c.oid, 'trigger')
) as is_open
