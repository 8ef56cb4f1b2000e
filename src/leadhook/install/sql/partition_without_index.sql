-- The next partition without the index of its partitioned table, upper levels first: schema and name of the index to build, whether a failed build
-- has left an invalid one, and the index of the level above to attach it to. A name that would be too long ends in a digest.
with indexed as (
  select x.indrelid as table_id, t.relid as index_id
  from pg_catalog.pg_partition_tree(to_regclass(%(index)s)) as t
  join pg_catalog.pg_index as x on x.indexrelid = t.relid
),
lacking as (
  select
    c.oid, c.relkind = 'p' as is_partitioned, n.nspname::text as schema_name, c.relname::text as table_name, p.level, above.index_id as above_id,
    %(name)s || '_' || case when octet_length(%(name)s || '_' || c.relname) < 64 then c.relname::text else md5(c.relname) end as index_name
  from pg_catalog.pg_partition_tree(to_regclass(%(table)s)) as p
  join pg_catalog.pg_class as c on c.oid = p.relid
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  join indexed as above on above.table_id = p.parentrelid
  where c.relkind in ('r', 'p') and not exists (select from indexed as i where i.table_id = p.relid)
)
select
  l.is_partitioned, l.schema_name, l.table_name, l.index_name,
  exists (
    select
    from pg_catalog.pg_index as x
    where x.indrelid = l.oid and x.indexrelid = to_regclass(format('%%I.%%I', l.schema_name, l.index_name)) and not x.indisvalid
  ) as is_leftover,
  a.relname::text as above_name, m.nspname::text as above_schema
from lacking as l
join pg_catalog.pg_class as a on a.oid = l.above_id
join pg_catalog.pg_namespace as m on m.oid = a.relnamespace
order by l.level, l.oid
limit 1
