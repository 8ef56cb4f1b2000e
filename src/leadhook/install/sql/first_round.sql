-- Whether the first round of the sweep is over: leads that become eligible later are new.
select c.first_round_finished_at is not null as finished from leadhook.controls as c
