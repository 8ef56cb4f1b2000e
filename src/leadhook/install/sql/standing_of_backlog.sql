-- How far the first round is, what of the backlog is on its way, and the marks that something else processes the same leads.
select
  c.backlog,
  c.first_round_finished_at,
  (select count(*) from leadhook.jobs as j where j.state = 'held') as held,
  (select count(*) from leadhook.jobs as j where j.state = 'ready' and j.slow) as released,
  (select count(*) from leadhook.jobs as j where j.state = 'leased' and j.slow) as leased,
  (
    select count(distinct t.lead_id)
    from leadhook.attempts as t
    where t.outcome = 'unwanted' and t.reason like '%already sent%' and t.finished_at > clock_timestamp() - interval '24 hours'
  ) as sent_under_our_hands
from leadhook.controls as c
