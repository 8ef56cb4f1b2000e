-- The webhooks of the last hour, newest first, as a WebhookDelivery. pg_net keeps its answers for six hours; the sweep copies them.
with recent as materialized (
  select r.id, r.request_id, r.reason, r.sent_at, r.status_code, r.error
  from leadhook.webhooks as r
  where r.sent_at > clock_timestamp() - interval '1 hour'
  order by r.id desc
  limit 200
)
select
  r.reason,
  r.sent_at,
  r.request_id is not null as sent,
  coalesce(n.status_code, r.status_code) as status_code,
  coalesce(n.error, r.error) as error,
  coalesce(n.timed_out, r.error = 'timed out', false) as timed_out
from recent as r
left join leadhook.webhook_answers(array(select i.id from recent as i where i.request_id is not null)) as n on n.webhook_id = r.id
order by r.id desc
