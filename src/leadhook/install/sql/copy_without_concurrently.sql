-- COPY FOR THE SUPABASE CLI, which runs each file in one transaction: there `concurrently` is refused, so this copy builds the index
-- without it, and the application's writes to the table wait until it is built (about a second for a million unsent leads). To spare them
-- that, run the statement in this file by hand first, with `create index concurrently`; this file then finds the index. Where
-- a transaction of the application is in the way for a second, the push ends with a lock timeout: run it again.
select pg_catalog.set_config('lock_timeout', '1s', true);

