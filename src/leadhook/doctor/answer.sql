-- What pg_net heard of one request, once it has heard anything; in the shape of webhooks.sql.
select null as not_sent, n.status_code, n.timed_out, n.error_msg from net._http_response as n where n.id = %(request_id)s
