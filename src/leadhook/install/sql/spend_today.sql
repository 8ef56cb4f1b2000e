-- What all users spent today, in UTC, and what leads at work may still spend.
select
  coalesce(sum(s.spent_usd), 0) as spent_usd, coalesce(sum(s.wasted_usd), 0) as wasted_usd, coalesce(sum(s.reserved_usd), 0) as reserved_usd
from leadhook.spend as s
where s.day = (now() at time zone 'UTC')::date
