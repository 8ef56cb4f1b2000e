-- The id sequences of leadhook's tables and, last, of the application's.
select
  s.oid::regclass::text as sequence,
  format('%%I.%%I', n.nspname, t.relname) as table_name,
  quote_ident(a.attname) as column_name,
  n.nspname = 'leadhook' as ours
from pg_catalog.pg_class as s
join pg_catalog.pg_depend as d
  on d.objid = s.oid and d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
    and d.deptype in ('a', 'i') and d.refobjsubid > 0
join pg_catalog.pg_class as t on t.oid = d.refobjid
join pg_catalog.pg_namespace as n on n.oid = t.relnamespace
join pg_catalog.pg_attribute as a on a.attrelid = t.oid and a.attnum = d.refobjsubid
where s.relkind = 'S' and (n.nspname = 'leadhook' or n.nspname = 'public' and t.relname = any (%(tables)s))
order by ours desc, 1
