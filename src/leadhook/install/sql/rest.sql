-- Uninstalls but keeps the history of each lead, so that a later installation starts nothing by itself: unfinished leads are held, the outbox is left to
-- the next first sweep round, and all migrations are applied again, because their functions are dropped.
delete from leadhook.migrations;
delete from leadhook.outbox;
update leadhook.jobs
set state = 'held', low_priority = true, claim_token = null, lease_until = null, replay_id = null, replay_after = null
where state in ('ready', 'leased');
update leadhook.controls
set backlog = 'hold', installed_at = 'infinity', first_round_finished_at = null,
  sweep_phase = 'leads', sweep_after_lead = '', sweep_round_started_at = null
where id;
