-- Whether the first sweep round has finished.
select c.first_round_finished_at is not null as finished from leadhook.controls as c
