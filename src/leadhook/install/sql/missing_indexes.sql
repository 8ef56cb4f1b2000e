-- Missing indexes on the application's tables, and the statement that creates each. Any valid btree that is not partial and begins with the columns,
-- in any order, will do, such as that of a primary key; an expression or another collation will not. A partitioned table refuses `concurrently`.
select
  w.table_name, w.columns, w.asked_by,
  format('create index %son public.%I (%s)', case when c.relkind <> 'p' then 'concurrently ' end, w.table_name, w.key) as statement
from (values
  ('all_leads', '{lead_id}'::text[], 'lead_id', 'each claim, save and slice of the sweep reads'),
  ('lead_details', '{lead_id}', 'lead_id', 'each claim, save and slice of the sweep reads'),
  ('prompts', '{tag,user_id}', 'user_id, tag, created_at desc', 'each claim and each save reads'),
  ('llm_response', '{lead_id}', 'lead_id', 'each save reads')
) as w (table_name, columns, key, asked_by)
join pg_catalog.pg_class as c on c.oid = to_regclass('public.' || w.table_name)
where not exists (
  select
  from pg_catalog.pg_index as x
  join pg_catalog.pg_class as i on i.oid = x.indexrelid
  join pg_catalog.pg_am as m on m.oid = i.relam
  where x.indrelid = c.oid and x.indisvalid and x.indpred is null and m.amname = 'btree' and x.indnkeyatts >= cardinality(w.columns)
    and w.columns = (
      select array_agg(a.attname::text order by a.attname::text)
      from generate_series(0, cardinality(w.columns) - 1) as k (place)
      join pg_catalog.pg_attribute as a
        on a.attrelid = x.indrelid and a.attnum = x.indkey[k.place] and a.attcollation = x.indcollation[k.place]
    )
)
