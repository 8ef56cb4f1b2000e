-- What the owner may want to know: whether a lead is found in all_leads through an index (valid, not partial, lead_id first), and
-- whether the predecessor's function is one that was there before ours.
select
  exists (
    select
    from pg_catalog.pg_index as x
    join pg_catalog.pg_attribute as a on a.attrelid = x.indrelid and a.attnum = x.indkey[0]
    where x.indrelid = to_regclass('public.all_leads') and x.indisvalid and x.indpred is null and a.attname = 'lead_id'
  ) as has_lead_index,
  exists (
    select
    from pg_catalog.pg_proc as f
    where f.pronamespace = 'public'::regnamespace and f.proname = 'rpc_get_eligible_llm_jobs'
      and f.prosrc not like '%leadhook.judge_eligibility%'
  ) as has_foreign_function
