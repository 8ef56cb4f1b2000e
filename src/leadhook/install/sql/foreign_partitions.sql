-- Foreign tables among the partitions and children of the application's tables, at any depth.
with recursive parts as (
  select c.oid, c.relname::text as above
  from pg_catalog.pg_class as c
  where c.relnamespace = 'public'::regnamespace and c.relname = any (%(tables)s)
  union
  select i.inhrelid, p.above
  from parts as p
  join pg_catalog.pg_inherits as i on i.inhparent = p.oid
)
select p.above as table_name, format('%%I.%%I', n.nspname, c.relname) as name, c.relispartition as is_partition
from parts as p
join pg_catalog.pg_class as c using (oid)
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind = 'f' and c.relname <> p.above
order by 1, 2
