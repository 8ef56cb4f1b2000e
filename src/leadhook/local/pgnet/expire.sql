-- Deletes old responses, as many as a batch.
with expired as (select ctid from net._http_response where created < now() - %(ttl)s::interval order by created limit %(batch)s)
delete from net._http_response r using expired where r.ctid = expired.ctid;
