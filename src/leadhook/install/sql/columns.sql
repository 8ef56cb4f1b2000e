-- The columns of the application's tables; a table without columns has one row.
select
  c.relname::text as table_name, c.relkind::text as kind, a.attname::text as column_name, format_type(a.atttypid, a.atttypmod) as type,
  t.typcategory::text as category, a.attidentity <> '' as is_identity,
  nullif(a.attgenerated::text, '') as generated, a.attidentity = 'a' as is_always_identity, l.collname::text as collation, l.collisdeterministic is not false as is_exact
from pg_catalog.pg_class as c
left join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_catalog.pg_type as t on t.oid = a.atttypid
left join pg_catalog.pg_collation as l on l.oid = a.attcollation
where c.relnamespace = 'public'::regnamespace and c.relname = any (%(tables)s)
