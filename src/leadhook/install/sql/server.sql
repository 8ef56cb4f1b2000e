-- What this connection may do; read before anything is changed.
select
  current_user as role,
  current_setting('server_version_num')::int as version,
  current_setting('transaction_read_only')::boolean as read_only,
  has_database_privilege(current_database(), 'create') as may_create_schema,
  has_schema_privilege('public', 'create') as may_create_in_public,
  coalesce((
    select pg_has_role(n.nspowner, 'usage') from pg_catalog.pg_namespace as n where n.nspname = 'leadhook'
  ), true) as may_change_leadhook,
  array(
    select r.name from unnest('{anon,authenticated,service_role}'::text[]) as r (name)
    where not exists (select from pg_catalog.pg_roles as p where p.rolname = r.name)
  ) as missing_roles
