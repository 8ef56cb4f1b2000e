-- leadhook's objects outside its schema in the order in which they are dropped, with description and statement. A function is leadhook's if its text
-- uses the schema leadhook; one with which the application has replaced it stays.
with ours as (
  select 1 as place, format('the trigger %s on %s', t.tgname, t.tgrelid::regclass) as words,
    format('drop trigger if exists %I on %s', t.tgname, t.tgrelid::regclass) as statement
  from pg_catalog.pg_trigger as t
  join pg_catalog.pg_proc as f on f.oid = t.tgfoid
  where f.pronamespace = to_regnamespace('leadhook') and not t.tgisinternal
  union all
  select 2, format('the index %s on %s', x.indexrelid::regclass, x.indrelid::regclass),
    format('drop index %sif exists %s', case when i.relkind <> 'I' then 'concurrently ' end, x.indexrelid::regclass)
  from pg_catalog.pg_index as x
  join pg_catalog.pg_class as i on i.oid = x.indexrelid
  where x.indexrelid = to_regclass('public.leadhook_unsent') and x.indrelid = to_regclass('public.lead_details')
    -- From an interrupted build. Attached ones are dropped with the index of the partitioned table.
    or i.relname like 'leadhook\_unsent\_%' and not i.relispartition and x.indrelid in (
      select p.relid from pg_catalog.pg_partition_tree(to_regclass('public.lead_details')) as p where p.level > 0
    )
  union all
  select 3, format('the function %s', f.oid::regprocedure), format('drop function if exists %s', f.oid::regprocedure)
  from pg_catalog.pg_proc as f
  where f.pronamespace = 'public'::regnamespace and (
    f.proname like 'leadhook\_%' and f.prosrc like '%leadhook.%'
    or f.proname = 'rpc_get_eligible_llm_jobs' and f.prosrc like '%leadhook.check_eligibility%'
  )
)
select o.place = 3 as is_function, o.words, o.statement
from ours as o
order by o.place, o.words
