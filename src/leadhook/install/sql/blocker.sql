-- The session that blocks the backend %(pid)s; of several, the one with the oldest transaction.
select
  a.pid,
  coalesce(nullif(a.application_name, ''), a.usename::text, a.backend_type) as who,
  coalesce(a.state, 'working') as state,
  extract(epoch from clock_timestamp() - coalesce(a.xact_start, a.query_start, a.backend_start))::float as seconds,
  coalesce(nullif(a.query, ''), '(query not visible to this role)') as query
from pg_catalog.pg_stat_activity as a
where a.pid = any (pg_catalog.pg_blocking_pids(%(pid)s))
order by a.xact_start nulls last
limit 1
