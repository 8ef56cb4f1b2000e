-- Whether public.rpc_get_eligible_llm_jobs is the application's own function and not leadhook's.
select exists (
  select
  from pg_catalog.pg_proc as f
  where f.pronamespace = 'public'::regnamespace and f.proname = 'rpc_get_eligible_llm_jobs'
    and f.prosrc not like '%leadhook.check_eligibility%'
) as has_foreign_function
