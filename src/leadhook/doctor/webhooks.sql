-- The webhooks of the last hour, newest first, at most 200, as a WebhookDelivery.
select w.reason, w.sent_at, w.sent, w.status_code, w.error, w.timed_out
from leadhook.describe_webhooks(array(
  select r.id from leadhook.webhooks as r where r.sent_at > clock_timestamp() - interval '1 hour' order by r.id desc limit 200
)) as w
order by w.id desc
