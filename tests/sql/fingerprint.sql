-- Everything that DDL of ours could change in public and leadhook, as kind, name and text.
select 'relation', c.oid::regclass::text, concat_ws(' ', c.relkind, c.relacl::text, c.relrowsecurity, c.reloptions::text)
from pg_catalog.pg_class as c
where c.relnamespace::regnamespace::text in ('public', 'leadhook')
union all
select 'column', a.attrelid::regclass || '.' || a.attname,
  concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attnum, pg_get_expr(d.adbin, d.adrelid))
from pg_catalog.pg_attribute as a
join pg_catalog.pg_class as c on c.oid = a.attrelid and c.relkind in ('r', 'v')
left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where c.relnamespace::regnamespace::text in ('public', 'leadhook') and a.attnum > 0
union all
select 'index', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
from pg_catalog.pg_index as i join pg_catalog.pg_class as c on c.oid = i.indexrelid
where c.relnamespace::regnamespace::text in ('public', 'leadhook')
union all
select 'constraint', n.conrelid::regclass || '.' || n.conname, pg_get_constraintdef(n.oid)
from pg_catalog.pg_constraint as n
where n.connamespace::regnamespace::text in ('public', 'leadhook')
union all
select 'function', f.oid::regprocedure::text, concat_ws(' ', pg_get_functiondef(f.oid), f.proacl::text, obj_description(f.oid, 'pg_proc'))
from pg_catalog.pg_proc as f
where f.pronamespace::regnamespace::text in ('public', 'leadhook')
union all
select 'policy', p.polrelid::regclass || '.' || p.polname, pg_get_expr(p.polqual, p.polrelid) from pg_catalog.pg_policy as p
union all
select 'trigger', t.tgrelid::regclass || '.' || t.tgname, concat_ws(' ', t.oid, t.xmin, t.tgenabled, pg_get_triggerdef(t.oid))
from pg_catalog.pg_trigger as t where not t.tgisinternal
