-- Whether an index of ours is a leftover of a build that failed.
select exists (
  select
  from pg_catalog.pg_index as x
  where x.indexrelid = to_regclass(%(index)s) and not x.indisvalid
)
