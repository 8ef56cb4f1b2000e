-- leadhook: no transaction
-- Purpose: the sweep finds the unsent leads among a million without reading the others.
-- Changes: public.lead_details: one partial index, built while the application goes on writing. It is the only index that we add.
-- Undo:    drop index concurrently public.leadhook_unsent; (without `concurrently` where the table is partitioned)
-- Run:     outside of a transaction. A tool that wraps each file in one (the SQL editor, the Supabase CLI) needs it without `concurrently`, and
--          then the application's writes to lead_details wait for the build.
-- The predicate means `sent_to_llm is not true`, spelt so that it fits any type: the owner's ALTER of the column's type must not fail because
-- of it. A query that is to use the index says both.
-- An index takes no entry above 2.7 kB, and would refuse the application's row: such a lead is left out, as it is everywhere else in leadhook.
-- A build that failed half-way leaves an invalid index of this name behind, which `if not exists` takes for the real one: undo, then
-- run this file again. `leadhook migrate` does so by itself.
-- A partitioned table takes no `concurrently`: `leadhook migrate` builds the index on each partition and attaches it; by hand, run the statement
-- without the word, or build them so yourself.

create index concurrently if not exists leadhook_unsent on public.lead_details (lead_id)
  where sent_to_llm::text is distinct from 'true' and octet_length(lead_id) <= 2000;
