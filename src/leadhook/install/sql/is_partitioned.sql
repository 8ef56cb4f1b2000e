-- Whether a table is partitioned, and so refuses `create index concurrently`.
select exists (select from pg_catalog.pg_class as c where c.oid = to_regclass(%(table)s) and c.relkind = 'p')
