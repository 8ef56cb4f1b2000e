-- The status, and facts that only the owner of a migrated database can read.
select
  clock_timestamp() as now,
  public.leadhook_status() as status,
  coalesce((
    select json_agg(json_build_object('table', c.relname, 'name', t.tgname) order by c.relname, t.tgname)
    from pg_catalog.pg_trigger as t
    join pg_catalog.pg_class as c on c.oid = t.tgrelid
    join pg_catalog.pg_proc as f on f.oid = t.tgfoid
    where f.pronamespace = 'leadhook'::regnamespace and t.tgenabled not in ('O', 'A')
  ), '[]') as disabled_triggers,
  array(
    select format('%%s %%I on net.%%I', c.kind, c.object_name, c.table_name)
    from leadhook.find_foreign_code() as c
    where c.table_name <> 'http_request_queue'
  ) as foreign_code,
  array(
    select f.oid::regprocedure::text
    from pg_catalog.pg_proc as f
    cross join unnest('{anon,authenticated}'::text[]) as o (role)
    where (f.pronamespace = 'leadhook'::regnamespace or f.pronamespace = 'public'::regnamespace and f.proname like 'leadhook\_%%')
      and has_function_privilege(o.role, f.oid, 'execute')
    group by f.oid
    order by 1
  ) as open_functions,
  array(
    select f.oid::regprocedure::text
    from pg_catalog.pg_proc as f
    where f.pronamespace = 'public'::regnamespace and f.proname like 'leadhook\_%%' and not has_function_privilege('service_role', f.oid, 'execute')
    order by 1
  ) as closed_functions,
  array(
    select c.relname::text
    from pg_catalog.pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relname = any (%(tables)s)
      and not (
        has_table_privilege('service_role', c.oid, 'select')
        and (c.relname not in ('llm_response', 'lead_details') or has_table_privilege('service_role', c.oid, 'update'))
      )
    order by 1
  ) as closed_tables,
  not exists (
    select from pg_catalog.pg_roles as r where r.rolname = 'service_role' and (r.rolbypassrls or r.rolsuper)
  ) as service_role_under_row_security,
  coalesce((
    select x.indisvalid from pg_catalog.pg_index as x where x.indexrelid = to_regclass('public.leadhook_unsent')
  ), false) as has_unsent_index,
  array(select e.extname::text from pg_catalog.pg_extension as e where e.extname in ('pg_net', 'supabase_vault')) as extensions,
  (select e.extversion from pg_catalog.pg_extension as e where e.extname = 'pg_net') as pg_net_version,
  exists (
    select from pg_catalog.pg_stat_activity as a
    where a.datname = current_database() and (a.backend_type ilike 'pg_net%%' or a.application_name ilike 'pg_net%%')
  ) as pg_net_lives,
  extract(epoch from clock_timestamp() - c.sweep_round_started_at)::float8 as sweep_age_s
from leadhook.controls as c
