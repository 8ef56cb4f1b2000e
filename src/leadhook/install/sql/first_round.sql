-- Whether the first round of the sweep is over; leads that are eligible later were not there when leadhook came.
select c.first_round_finished_at is not null as finished from leadhook.controls as c
