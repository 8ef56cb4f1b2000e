-- What became of the webhooks of the last hour; newest first. pg_net keeps its answers for six hours, the sweep notes them in ours.
select
  case when r.request_id is null then coalesce(r.error, 'no reason is known') end as not_sent,
  coalesce(n.status_code, r.status_code) as status_code,
  coalesce(n.timed_out, false) as timed_out,
  coalesce(n.error_msg, r.error) as error_msg
from leadhook.webhooks as r
left join net._http_response as n on n.id = r.request_id
where r.sent_at > clock_timestamp() - interval '1 hour'
order by r.id desc
limit 200
