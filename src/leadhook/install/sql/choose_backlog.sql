-- What to do with the leads that the first round finds eligible.
update leadhook.controls as c set backlog = %(backlog)s where c.first_round_finished_at is null
