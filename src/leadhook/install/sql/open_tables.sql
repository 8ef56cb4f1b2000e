-- Tables of the application that anon or authenticated may read or write without row level security, and the statement that enables it.
select
  c.relname::text as table_name,
  r.roles,
  (select count(*) from pg_catalog.pg_policy as p where p.polrelid = c.oid) as policies,
  format('alter table public.%%I enable row level security', c.relname) as statement
from pg_catalog.pg_class as c
cross join lateral (
  select array_agg(o.role order by o.role) as roles
  from unnest('{anon,authenticated}'::text[]) as o (role)
  where has_table_privilege(o.role, c.oid, 'select, insert, update, delete')
    or has_any_column_privilege(o.role, c.oid, 'select, insert, update')
) as r
where c.relnamespace = 'public'::regnamespace and c.relname = any (%(tables)s) and not c.relrowsecurity and r.roles is not null
order by c.relname
