-- The same as webhooks.sql where pg_net's own table can't be read: what the sweep has noted.
select
  case when r.request_id is null then coalesce(r.error, 'no reason is known') end as not_sent,
  r.status_code,
  false as timed_out,
  r.error as error_msg
from leadhook.webhooks as r
where r.sent_at > clock_timestamp() - interval '1 hour'
order by r.id desc
limit 200
