-- Whether an index is valid (a failed build leaves an invalid one); null: it does not exist.
select (select x.indisvalid from pg_catalog.pg_index as x where x.indexrelid = to_regclass(%(index)s)) as is_valid
