-- Takes the next batch out of the queue; the bytes of a body are what net.http_post made of the jsonb.
with batch as (select id from net.http_request_queue order by id limit %(batch)s)
delete from net.http_request_queue q using batch where q.id = batch.id
returning q.id, q.method::text, q.url, array(select array[key, value] from jsonb_each_text(q.headers)), q.body,
  q.timeout_milliseconds;
