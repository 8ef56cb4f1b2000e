-- The first 1,000 Gemini keys by fingerprint.
select
  leadhook.key_fingerprint(g.api_key) as fingerprint,
  btrim(g.api_key, E' \t\r\n') as api_key,
  count(*) as rows
from public.gemini_api as g
group by 1, 2
order by 1
limit 1000
