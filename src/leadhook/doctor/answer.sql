-- pg_net's response to the doctor's webhook, once there is one, as a WebhookDelivery.
select 'doctor' as reason, n.created as sent_at, n.status_code, n.timed_out, n.error_msg as error
from net._http_response as n
where n.id = %(request_id)s
