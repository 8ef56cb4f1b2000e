-- Each budget, that of all users first, with what became of it today.
select
  b.user_id, b.daily_usd, b.left_usd, b.needed_usd, b.left_usd <= 0 or coalesce(b.left_usd < b.needed_usd, false) as spent,
  b.daily_usd = 0 or coalesce(b.needed_usd > b.daily_usd, false) as too_small
from leadhook.budgets_left(clock_timestamp()) as b
order by b.user_id nulls first
