-- Leaves the history of each lead behind, in a state that starts nothing by itself when leadhook comes back: what was to be done is held, what
-- was noted and not yet looked at is left to the next first round, and the migrations are to be applied again, as their functions are gone.
delete from leadhook.migrations;
delete from leadhook.outbox;
update leadhook.jobs
set state = 'held', low_priority = true, claim_token = null, lease_until = null, replay_id = null, replay_after = null
where state in ('ready', 'leased');
update leadhook.controls
set backlog = 'hold', installed_at = 'infinity', first_round_finished_at = null,
  sweep_phase = 'leads', sweep_after_lead = '', sweep_round_started_at = null
where id;
