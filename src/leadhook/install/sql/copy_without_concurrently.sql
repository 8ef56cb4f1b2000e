-- COPY FOR THE SUPABASE CLI, which runs each file in one transaction, where `concurrently` is refused. This copy builds the index without it, so
-- the application's writes to the table wait until it is built (about a second for a million unsent leads). To avoid that, first run the
-- statement of this file by hand with `create index concurrently`; this file then finds the index. If a transaction of the application holds
-- the table for a second, the push ends with a lock timeout: run it again.
select pg_catalog.set_config('lock_timeout', '1s', true);

