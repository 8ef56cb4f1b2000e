-- Functions that this version does not have: any in the schema leadhook, and in public those with the name of one of its functions and other
-- parameters. None while one of its functions is missing.
with ours as materialized (
  select o.signature, to_regprocedure(o.signature) as oid from unnest(%(ours)s::text[]) as o (signature)
)
select 'drop function ' || f.oid::regprocedure as statement, 'the function ' || f.oid::regprocedure as words
from pg_catalog.pg_proc as f
where (
    f.pronamespace = to_regnamespace('leadhook')
    or f.pronamespace = 'public'::regnamespace and f.proname in (select substring(o.signature, '^public\.(\w+)') from ours as o)
  )
  and f.oid not in (select o.oid from ours as o where o.oid is not null)
  and not exists (select from ours as o where o.oid is null)
order by 1
