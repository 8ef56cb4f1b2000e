-- Whether an index is valid; null: there is none. A failed build leaves an invalid one behind.
select (select x.indisvalid from pg_catalog.pg_index as x where x.indexrelid = to_regclass(%(index)s)) as is_valid
