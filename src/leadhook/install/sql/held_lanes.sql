-- The backlog, a row for each user and tag, in the order in which it is released.
select l.user_id, l.tag, l.asked_at, l.held, l.answered, l.sent
from leadhook.held_lanes(%(user)s::uuid, %(tag)s::text, %(since)s::timestamptz) as l
