-- Whether an index of ours is valid; null: it is not there. What a failed build leaves behind is not.
select (select x.indisvalid from pg_catalog.pg_index as x where x.indexrelid = to_regclass(%(index)s)) as is_valid
