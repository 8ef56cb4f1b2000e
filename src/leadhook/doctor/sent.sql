-- The ring that the doctor asked for.
select r.request_id, r.error from leadhook.rings as r where r.cause = 'doctor' order by r.id desc limit 1
