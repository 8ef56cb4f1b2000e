-- Whether a table is partitioned; if so, it takes no `create index concurrently`.
select exists (select from pg_catalog.pg_class as c where c.oid = to_regclass(%(table)s) and c.relkind = 'p')
