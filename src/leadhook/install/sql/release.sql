-- One slice of the backlog is let go.
select r.last_lead, r.released, r.answered, r.unwanted
from leadhook.release_backlog(%(user)s::uuid, %(tag)s::text, %(after)s::text, %(limit)s::int, %(redo)s::boolean) as r
