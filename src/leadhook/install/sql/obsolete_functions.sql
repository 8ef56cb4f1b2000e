-- Functions to drop: those in the schema leadhook that this version does not have, and those in public with the name of one of its functions but other
-- parameters. None if a function of this version is missing. Before the first migration: all in public with such a name; the signatures are not
-- looked up then, because Postgres 15 raises an error for types that do not exist yet.
with ours as materialized (
  select o.signature, case when %(is_installed)s then to_regprocedure(o.signature) end as oid from unnest(%(ours)s::text[]) as o (signature)
),
named_alike as (
  select f.oid
  from pg_catalog.pg_proc as f
  where f.pronamespace = 'public'::regnamespace and f.proname in (select substring(o.signature, '^public\.(\w+)') from ours as o)
)
select 'drop routine ' || f.oid::regprocedure as statement, 'the function ' || f.oid::regprocedure as words
from pg_catalog.pg_proc as f
where case
    when %(is_installed)s then
      (f.pronamespace = to_regnamespace('leadhook') or f.oid in (select a.oid from named_alike as a))
      and f.oid not in (select o.oid from ours as o where o.oid is not null)
      and not exists (select from ours as o where o.oid is null)
    else f.oid in (select a.oid from named_alike as a)
  end
order by 1
