-- The application's tables, indexes and triggers, read before and after to show what was added.
with tables as (
  select c.oid, c.relname::text as name
  from pg_catalog.pg_class as c
  where c.relnamespace = 'public'::regnamespace and c.relname = any (%(tables)s)
)
select 'table' as kind, t.name, t.name as table_name from tables as t
union all
select 'index', i.relname::text, t.name
from tables as t
join pg_catalog.pg_index as x on x.indrelid = t.oid
join pg_catalog.pg_class as i on i.oid = x.indexrelid
union all
select 'trigger', g.tgname::text, t.name
from tables as t
join pg_catalog.pg_trigger as g on g.tgrelid = t.oid and not g.tgisinternal
