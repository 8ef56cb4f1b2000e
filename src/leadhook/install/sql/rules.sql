-- The rules of the table that leadhook writes answers to.
select c.relname::text as table_name, quote_ident(r.rulename) as name
from pg_catalog.pg_rewrite as r
join pg_catalog.pg_class as c on c.oid = r.ev_class
where c.relnamespace = 'public'::regnamespace and c.relname = 'llm_response' and r.rulename <> '_RETURN' and r.ev_enabled <> 'D'
  and c.relkind in ('r', 'p')
order by 1, 2
