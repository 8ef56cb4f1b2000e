-- leadhook: no transaction
-- Purpose: lets the sweep find the unsent leads among a million without reading the others.
-- Changes: public.lead_details: a partial index, built without blocking the application's writes. It is the only index that leadhook adds.
-- Undo:    drop index concurrently public.leadhook_unsent; (without `concurrently` if the table is partitioned)
-- Run:     outside a transaction. A tool that runs each file in one (the SQL editor, the Supabase CLI) needs it without `concurrently`; then the
--          application's writes to lead_details wait for the build.
-- The predicate means `sent_to_llm is not true`, written so that it fits any type, and the owner can alter a column's type. The casts
-- are to varchar because Postgres drops a cast to text while a column is text. A query must contain both conditions to use the index.
-- An index refuses entries above 2.7 kB, and with them the application's row, so leads with a very long id are excluded, as everywhere in leadhook.
-- A failed build leaves an invalid index, which `if not exists` mistakes for a valid one: undo, then run this file again. `leadhook migrate` does.
-- A partitioned table refuses `concurrently`: `leadhook migrate` builds the index on each partition and attaches it; by hand, run the statement
-- without the word.

create index concurrently if not exists leadhook_unsent on public.lead_details (lead_id)
  where sent_to_llm::varchar is distinct from 'true' and octet_length(lead_id::varchar) <= 2000;
