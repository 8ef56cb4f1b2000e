-- pg_net's response to the doctor's webhook, once there is one, as a WebhookDelivery, with the service's receipt.
select 'doctor' as reason, n.created as sent_at, n.status_code, n.timed_out, n.error_msg as error,
  (select h.value from jsonb_each_text(n.headers) as h where lower(h.key) = 'webhook-receipt') as receipts
from net._http_response as n
where n.id = %(request_id)s and n.created >= %(sent_at)s - interval '1 minute'
