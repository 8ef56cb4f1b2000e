-- Functions in public that have the name of one of leadhook's and other parameters; none where one of ours is not there.
select 'drop function ' || f.oid::regprocedure as statement, 'the function ' || f.oid::regprocedure as words
from pg_catalog.pg_proc as f
where f.pronamespace = 'public'::regnamespace
  and f.proname in (select split_part(split_part(o.signature, '.', 2), '(', 1) from unnest(%(ours)s::text[]) as o (signature))
  and f.oid not in (select to_regprocedure(o.signature) from unnest(%(ours)s::text[]) as o (signature) where to_regprocedure(o.signature) is not null)
  and not exists (select from unnest(%(ours)s::text[]) as o (signature) where to_regprocedure(o.signature) is null)
order by 1
