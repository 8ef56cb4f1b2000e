-- The rows that are deleted with the schema. Counted by query_to_xml, because an unfinished installation may lack a table.
select n.noun, coalesce((
  select (xpath('/row/n/text()', query_to_xml(format('select count(*) as n from leadhook.%I', n.name), false, true, '')))[1]::text::bigint
  where to_regclass('leadhook.' || n.name) is not null
), 0) as rows
from (values (1, 'jobs', 'job'), (2, 'attempts', 'attempt'), (3, 'results', 'result'), (4, 'replays', 'replay')) as n (place, name, noun)
order by n.place
