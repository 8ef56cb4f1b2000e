-- Foreign keys on a lead_id of the application's tables that is not text: both columns must be changed together.
select
  format('%%I', con.conname) as name, format('%%I.%%I', n.nspname, c.relname) as table_name, pg_get_constraintdef(con.oid) as definition,
  format('%%I', k.attname) as column_name, format_type(k.atttypid, k.atttypmod) as type,
  n.nspname = 'public' and c.relname = any (%(tables)s) and k.attname = 'lead_id' as is_ours
from pg_catalog.pg_constraint as con
join pg_catalog.pg_class as c on c.oid = con.conrelid
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
join pg_catalog.pg_class as t on t.oid = con.confrelid
cross join unnest(con.conkey, con.confkey) as p (referring, referred)
join pg_catalog.pg_attribute as k on k.attrelid = con.conrelid and k.attnum = p.referring
join pg_catalog.pg_attribute as f on f.attrelid = con.confrelid and f.attnum = p.referred
where con.contype = 'f' and con.conparentid = 0 and t.relnamespace = 'public'::regnamespace and t.relname = any (%(tables)s)
  and f.attname = 'lead_id' and f.atttypid <> 'text'::regtype
order by 2, 1
