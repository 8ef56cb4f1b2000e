-- Objects of others that depend on leadhook's functions in public or, with purge, on its schema. Uninstall drops its triggers itself (objects.sql).
with ours as (
  select 'pg_catalog.pg_proc'::regclass as classid, f.oid
  from pg_catalog.pg_proc as f
  where f.pronamespace = 'public'::regnamespace and f.prosrc like '%%leadhook.%%'
    and (f.proname like 'leadhook\_%%' or f.proname = 'rpc_get_eligible_llm_jobs')
  union all
  select 'pg_catalog.pg_proc'::regclass, f.oid
  from pg_catalog.pg_proc as f
  where f.pronamespace = to_regnamespace('leadhook') and %(purge)s
  union all
  select 'pg_catalog.pg_class'::regclass, c.oid
  from pg_catalog.pg_class as c
  where c.relnamespace = to_regnamespace('leadhook') and %(purge)s
  union all
  select 'pg_catalog.pg_type'::regclass, t.oid
  from pg_catalog.pg_type as t
  where t.typnamespace = to_regnamespace('leadhook') and %(purge)s
),
built as (
  select distinct d.classid, d.objid
  from pg_catalog.pg_depend as d
  join ours as o on o.classid = d.refclassid and o.oid = d.refobjid
  where d.deptype = 'n'
),
places as (
  select
    b.classid, b.objid,
    case b.classid
      when 'pg_catalog.pg_class'::regclass then (select c.relnamespace from pg_catalog.pg_class as c where c.oid = b.objid)
      when 'pg_catalog.pg_proc'::regclass then (select f.pronamespace from pg_catalog.pg_proc as f where f.oid = b.objid)
      when 'pg_catalog.pg_constraint'::regclass then (select n.connamespace from pg_catalog.pg_constraint as n where n.oid = b.objid)
      when 'pg_catalog.pg_rewrite'::regclass then (
        select c.relnamespace from pg_catalog.pg_rewrite as r join pg_catalog.pg_class as c on c.oid = r.ev_class where r.oid = b.objid
      )
      when 'pg_catalog.pg_attrdef'::regclass then (
        select c.relnamespace from pg_catalog.pg_attrdef as a join pg_catalog.pg_class as c on c.oid = a.adrelid where a.oid = b.objid
      )
      when 'pg_catalog.pg_trigger'::regclass then to_regnamespace('leadhook')
    end as namespace
  from built as b
)
select pg_catalog.pg_describe_object(p.classid, p.objid, 0) as words
from places as p
where p.namespace is distinct from to_regnamespace('leadhook')
order by 1
