-- The newest webhook that the doctor sent.
select r.request_id, r.message_id, r.sent_at, r.error from leadhook.webhooks as r where r.reason = 'doctor' order by r.id desc limit 1
