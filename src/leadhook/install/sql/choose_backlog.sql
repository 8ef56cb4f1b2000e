-- Sets what the first sweep round does with leads that it finds eligible.
update leadhook.controls as c set backlog = %(backlog)s where c.first_round_finished_at is null
