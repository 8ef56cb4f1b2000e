-- Purpose: the tables of leadhook: changes (outbox), the state of each lead (jobs), and what was done and paid for.
-- Changes: schema leadhook only. It is not exposed through the API; the functions public.leadhook_* are the interface.
-- Undo:    drop schema leadhook cascade (the application's tables do not depend on it).

create schema if not exists leadhook;
revoke all on schema leadhook from public;
grant usage on schema leadhook to service_role;

-- One row: limits, and positions of the sweep.
create table if not exists leadhook.controls (
  id boolean primary key default true constraint there_is_one_row check (id),
  -- hold: the first sweep round holds what it finds eligible until it is released; run: it is processed at once
  backlog text not null default 'hold' constraint backlog_is_hold_or_run check (backlog in ('hold', 'run')),
  lease_s numeric not null default 30 check (lease_s > 0),
  renew_s numeric not null default 10 check (renew_s > 0),
  start_limit_s numeric not null default 15 check (start_limit_s > 0), -- a model call starts only if its lease was confirmed less than this ago
  max_attempts int not null default 5 check (max_attempts > 0),
  max_deaths int not null default 3 check (max_deaths > 0), -- a lead whose lease expired so often in a row is dead: it may be what ends the process
  -- a lead that has failed for so long is dead, even if the cause is not known
  give_up_after_s numeric not null default 86400 check (give_up_after_s > 0),
  claim_bytes int not null default 4000000 check (claim_bytes > 0), -- a claim returns no more leads than fit, with their prompts, but one at least
  installed_at timestamptz not null default clock_timestamp(),
  first_round_finished_at timestamptz,
  sweep_phase text not null default 'leads' check (sweep_phase in ('leads', 'jobs')),
  sweep_after_lead text not null default '',
  sweep_round_started_at timestamptz,
  history text, -- server and timeline of the last claim; a restore or switch-over changes it, and fences may have been handed out that no row knows
  -- no lease ends before; under an old snapshot, the index keeps every lease that has ended, and a search starts here
  leases_from timestamptz not null default 'epoch'
);
insert into leadhook.controls default values on conflict do nothing;
-- `leadhook uninstall` sets 'infinity'; the next installation applies this file again.
update leadhook.controls as c set installed_at = clock_timestamp() where c.installed_at = 'infinity';

-- Changes that triggers append in the application's transaction, and that leadhook.apply_outbox applies to jobs. Without check constraints: each
-- would be prepared again for every statement of the application, and a refused row would be lost.
create table if not exists leadhook.outbox (
  id bigint generated always as identity primary key,
  kind text not null,
  n int not null, -- number of leads; small rows are applied first, so that three leads overtake an import
  lead_ids text[],
  user_id uuid,
  tag text,
  prompts_inserted boolean not null default false,
  -- leads: rows were deleted, or inserted after a deletion in the same transaction, which is no change in itself
  refreshed boolean not null default false,
  after_lead text not null default '', -- prompts, everything: the jobs up to this lead_id have been checked
  until_lead text, -- it joined an equal walk at this lead and ends here after going round; null: it began with the first lead
  changed_at timestamptz not null default clock_timestamp(),
  not_before timestamptz, -- returned to the outbox because another transaction held the job; null: at once
  xact xid8 not null default pg_current_xact_id() -- the transaction of the change; leadhook.webhooks.xact names the webhook of the same transaction
);
-- Compressing rows that are soon deleted would slow down the application's statement.
alter table leadhook.outbox alter column lead_ids set storage external;
create index if not exists outbox_by_size on leadhook.outbox (kind, n, id);
create index if not exists outbox_to_walk on leadhook.outbox (id) where kind <> 'leads';
-- A hash, because a tag may be too long for an index.
create index if not exists outbox_of_group on leadhook.outbox (user_id, hashtextextended(tag, 0)) where user_id is not null;

create sequence if not exists leadhook.fences;

-- The state machine: every statement that moves a job. "none" is a lead without a job; "by" is a function of this schema, or the
-- file src/leadhook/install/sql/rest.sql. tests/sql/test_job_states.py compares this table with the functions.
--
--   from                                      to                         by               when
--   none                                      waiting, ready             move_jobs        a change or the sweep finds it
--   none, waiting                             held                       move_jobs        the sweep finds it eligible, and it is backlog
--   ready, held                               waiting                    move_jobs        it is not eligible any more
--   waiting, held, done, dead                 ready                      begin_runs       it is eligible after a change or a new prompts row; replay, release of the backlog
--   none                                      ready                      queue_replay     an operator replays it
--   ready                                     waiting, held, done, dead  restore_jobs     the replay is stopped: the previous state
--   ready                                     leased                     lease_leads      a claim leases it
--   leased                                    ready                      return_leads     the same claim returns it: no budget, no key, too large a reply, or repeated with a lower limit
--   leased                                    done, waiting, dead        end_leases       saved, with or without a message; unwanted; refused, unusable, or out of attempts
--   leased                                    ready                      end_leases       returned, or tried again later
--   leased                                    ready, dead                expire_leases    its lease expired; dead after max_deaths in a row
--   none                                      waiting                    enter_on_demand  an on-demand request has answered it
--   waiting, ready, leased, held, done, dead  leased                     take_on_demand   while the on-demand request is being saved
--   none, waiting, ready, leased, held, done  dead                       quarantine       its data makes SQL raise, also in its own claim
--   waiting, ready, leased, held, done, dead  none                       erase_leads      the application deleted the lead
--   ready, leased                             held                       rest.sql         leadhook is uninstalled
create table if not exists leadhook.jobs (
  lead_id text primary key,
  user_id uuid,
  tag text,
  state text not null check (state in ('waiting', 'ready', 'leased', 'done', 'dead', 'held')),
  -- a replay or released backlog: normal priority comes first, and these use at most three quarters of the slots
  low_priority boolean not null default false,
  run int not null default 1, -- grows with every replay or new start; one result per run
  attempts int not null default 0, -- attempts spent in this run
  deaths int not null default 0, -- how often in a row its lease expired, perhaps because of the lead: with one or more it is claimed alone
  failing_since timestamptz, -- when its model calls began to fail without known cause; if older than eligible_at, it belongs to an earlier run
  decide_after timestamptz, -- ready: it waits for evidence; an answer to another lead makes it due, but not before this; null: it does not wait
  fence bigint not null default 0, -- from leadhook.fences with every lease; every later write must carry it
  claim_token uuid,
  called boolean not null default false, -- the worker has reported that a model call of this lease has begun
  worker text,
  leased_at timestamptz,
  lease_until timestamptz,
  leased_snapshot pg_snapshot, -- the snapshot of its last lease, which has seen the changes that are visible in it; null: none
  changed boolean not null default false, -- something changed that its run has not seen: if the run ends dead, another one begins
  available_at timestamptz not null default clock_timestamp(),
  eligible_at timestamptz, -- when an outbox row, the sweep, a replay or a release made it ready
  source text, -- what made it ready: webhook, sweep, start, retry, hint, replay, release, on_demand
  replay_id bigint,
  replay_after bigint, -- a replay requested while it was leased; it begins when this run ends
  checkpoint jsonb, -- paid model answers that are not saved yet; of a done job without its message: the score, for a replay
  reserved_usd numeric, -- leased: the most that this lease may spend; null: the claim named no price
  budget_id bigint, -- ready: the budget that turned it away; due on the next day, when needed_usd is left, or after the sweep
  needed_usd numeric,
  error_code text, -- why it is waiting or dead or, if it is done, has no message
  reason text,
  finished_at timestamptz,
  constraint only_a_leased_job_has_a_lease check ((state = 'leased') = (lease_until is not null)),
  constraint only_a_leased_job_has_a_token check ((state = 'leased') = (claim_token is not null)),
  constraint a_ready_job_has_a_group check (state <> 'ready' or (user_id is not null and tag is not null)),
  constraint a_dead_job_has_a_reason check (state <> 'dead' or (error_code is not null and reason is not null))
);
create index if not exists jobs_ready on leadhook.jobs (low_priority, user_id, tag, available_at, lead_id) where state = 'ready';
create index if not exists jobs_due on leadhook.jobs (low_priority, available_at) where state = 'ready';
create index if not exists jobs_leased on leadhook.jobs (lease_until) where state = 'leased';
create index if not exists jobs_claimed on leadhook.jobs (claim_token) where claim_token is not null;
create index if not exists jobs_suspected on leadhook.jobs (deaths, available_at, lead_id) where deaths > 0;
create index if not exists jobs_undecided on leadhook.jobs (decide_after) where state = 'ready' and decide_after is not null;
create index if not exists jobs_turned_away on leadhook.jobs (budget_id, needed_usd, lead_id) where state = 'ready' and budget_id is not null;
create index if not exists jobs_asleep on leadhook.jobs (user_id, tag, lead_id) where state in ('waiting', 'held', 'dead') or replay_id is not null;
create index if not exists jobs_without_message on leadhook.jobs (lead_id) where state = 'done' and error_code is not null;
create index if not exists jobs_held on leadhook.jobs (user_id, tag, lead_id) where state = 'held';
create index if not exists jobs_by_state on leadhook.jobs (state, lead_id) where state <> 'leased';
create index if not exists jobs_by_group on leadhook.jobs (user_id, tag, lead_id) where state <> 'leased';
create index if not exists jobs_by_age on leadhook.jobs (finished_at, lead_id) where finished_at is not null;
create index if not exists jobs_by_error on leadhook.jobs (error_code, state, lead_id) where error_code is not null;
create index if not exists jobs_of_low_priority on leadhook.jobs (replay_id) where low_priority and state in ('ready', 'leased');
alter table leadhook.jobs set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);
alter table leadhook.outbox set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- The groups with ready leads, see functions/ready_groups.sql.
create table if not exists leadhook.ready_groups (
  low_priority boolean,
  user_id uuid,
  tag text,
  due_at timestamptz not null, -- a lower bound with lead_id: no ready lead of the group comes before it, by (available_at, lead_id)
  lead_id text not null default '',
  shut boolean not null default false, -- a claim found the group or its user paused, or the user's budget spent; the end of that opens it again
  primary key (tag, user_id, low_priority)
);
-- Claims read groups by this index. The primary key is in another order on purpose: in this one, a claim could use it and read all shut groups.
create index if not exists ready_groups_open on leadhook.ready_groups (low_priority, user_id, tag) where not shut;
create index if not exists ready_groups_shut on leadhook.ready_groups (user_id) where shut;

-- Groups of jobs that became ready since the last claim.
create table if not exists leadhook.ready_notes (
  -- not a number: a sequence that is behind its rows after a restore would refuse every change of a job
  id uuid primary key default gen_random_uuid(),
  low_priority boolean not null,
  user_id uuid not null,
  tag text not null,
  due_at timestamptz not null
);
create index if not exists ready_notes_due on leadhook.ready_notes (low_priority, due_at);

-- A lease and its result, as renew, save, release and on-demand requests pass it between functions: parsed from what the worker sends, then
-- completed. No table has a column of this type.
do $$
begin
  if to_regtype('leadhook.ending') is null then
    create type leadhook.ending as (
      lead_id text,
      fence bigint,
      token uuid,
      checkpoint jsonb,
      key_fingerprint text,
      usage jsonb,
      timing jsonb,
      cost_usd numeric,
      request_id uuid,
      called boolean,
      failing boolean, -- its calls fail, and the cause is not known yet
      decide_after_ms bigint,
      delay_ms bigint,
      age_ms bigint,
      message_failure jsonb,
      refusal jsonb,
      lead jsonb, -- on-demand request: what it gives of the lead; precedes what is stored
      lock_state text, -- locked (by this transaction), busy (by another one), past (the lease has ended), gone (no job)
      outcome text,
      error_code text,
      reason text,
      note text, -- recorded in the attempt instead of reason
      ends boolean, -- this call ends the lease
      registered boolean,
      user_id uuid,
      stored_tag text,
      tag text, -- of the prompts that it was scored with; this and the following are columns of llm_response
      name text,
      linkedin_url text,
      location text,
      score int,
      response text,
      should_contact int,
      subject text,
      message text
    );
  end if;
end
$$;

-- The groups of leads with rows in several groups: new prompts of each group concern the lead, whichever group its job has.
create table if not exists leadhook.lead_groups (
  user_id uuid,
  tag text,
  lead_id text,
  primary key (user_id, tag, lead_id)
);
create index if not exists lead_groups_by_lead on leadhook.lead_groups (lead_id);

-- The outcome of each lease. Append-only; no personal data.
create table if not exists leadhook.attempts (
  id bigint generated always as identity primary key,
  lead_id text not null,
  run int not null,
  fence bigint not null,
  request_id uuid, -- of one lead of an on-demand request, which is saved once; a failed one has run 0
  outcome text not null, -- saved, saved_without_message, unwanted, refused, retry, dead, returned, lease_expired
  error_code text,
  reason text,
  worker text,
  source text,
  replay_id bigint,
  model text,
  prompt_version text,
  key_fingerprint text,
  calls int,
  input_tokens int,
  cached_tokens int,
  output_tokens int,
  thinking_tokens int,
  cost_usd numeric, -- by the known price; of an expired lease: all that was reserved; null: the price is unknown
  wasted boolean not null default false, -- the money bought nothing: the lease expired, or the application refused the answer
  eligible_at timestamptz,
  leased_at timestamptz,
  first_call_ms int, -- from eligible_at to the first model call of this lease
  key_wait_ms int, -- part of first_call_ms: waiting for another lead's call to try a key
  model_ms int, -- spent in model calls
  finished_at timestamptz not null default clock_timestamp()
);
create index if not exists attempts_by_lead on leadhook.attempts (lead_id, id);
create index if not exists attempts_by_age on leadhook.attempts (finished_at, id);
create index if not exists attempts_by_replay on leadhook.attempts (replay_id) where replay_id is not null;

-- On-demand requests whose attempt is not kept, because their lead was erased or has no job: a call that is repeated after a lost reply finds its
-- outcome here. Kept for a day; names no lead.
create table if not exists leadhook.settled_requests (
  request_id uuid primary key,
  outcome text not null,
  settled_at timestamptz not null default clock_timestamp()
);
create index if not exists settled_requests_by_age on leadhook.settled_requests (settled_at);

-- The answer of each run. Personal data, erased with the lead.
create table if not exists leadhook.results (
  lead_id text not null,
  run int not null,
  score int not null check (score between 0 and 100),
  response text not null,
  should_contact boolean not null,
  matched text[] not null default '{}', -- criteria that are met, in the model's words; missed: those that are not met or not known
  missed text[] not null default '{}',
  flags text[] not null default '{}', -- codes of what in the lead's text looks like an attempt to steer the model; see docs/model.md
  subject text,
  message text, -- null, as is the subject: only the message failed; the attempt has the reason
  claims jsonb not null default '[]', -- facts of the message with their sources, each {words, source, quote}; only those that were found there
  model text,
  prompt_version text,
  input_version text,
  written boolean not null, -- false: the application refused it or no longer wanted it
  created_at timestamptz not null default clock_timestamp(),
  primary key (lead_id, run)
);
create index if not exists results_by_age on leadhook.results (created_at desc, lead_id);
create index if not exists results_flagged on leadhook.results (created_at, lead_id) where flags <> '{}';

-- What Google reported about a key, which is named by leadhook.key_fingerprint.
create table if not exists leadhook.api_keys (
  fingerprint text primary key,
  state text not null check (state in ('healthy', 'cooling', 'disabled')),
  until timestamptz,
  row_version text, -- xmin of the gemini_api row: a changed row is tried again
  reason text,
  rests int not null default 0, -- cooldowns in a row without a success in between; each is longer
  model text, -- it cools down for this model only, until a service starts with another one; null: for all models
  changed_at timestamptz not null default clock_timestamp(), -- healthy: the last success, to the minute; otherwise when it was parked
  constraint cooling_has_an_end check (state <> 'cooling' or until is not null)
);

-- Webhooks and their answers, which the sweep copies from net._http_response; pg_net deletes them there after six hours.
create table if not exists leadhook.webhooks (
  id bigint generated always as identity primary key,
  request_id bigint,
  message_id text not null,
  reason text not null,
  leads int,
  sent_at timestamptz not null default clock_timestamp(),
  xact xid8 not null default pg_current_xact_id(),
  status_code int,
  error text
);
create index if not exists webhooks_by_age on leadhook.webhooks (sent_at);
create index if not exists webhooks_by_request on leadhook.webhooks (request_id);

-- Replays: who had which leads scored again, and why.
create table if not exists leadhook.replays (
  id bigint generated always as identity primary key,
  actor text not null,
  reason text,
  filter jsonb, -- null: its leads were named
  lead_limit int check (lead_limit > 0),
  phase text not null default 'queued' check (phase in ('queueing', 'queued', 'stopping', 'stopped')),
  after_lead text not null default '', -- queueing, stopping: the leads up to this lead_id are finished
  counts jsonb not null default '{}', -- its leads by outcome of queueing
  created_at timestamptz not null default clock_timestamp(),
  request_id uuid unique -- of a form, which may be sent twice
);
create index if not exists replays_under_way on leadhook.replays (id) where phase in ('queueing', 'stopping');

create table if not exists leadhook.replay_leads (
  replay_id bigint not null,
  lead_id text not null,
  run int not null, -- the run of the job that answers this replay
  outcome text not null check (outcome in ('queued', 'queued_after', 'already_queued')),
  before jsonb, -- the job before the replay, to restore it; null: there was none
  stopped boolean not null default false,
  primary key (replay_id, lead_id)
);
create index if not exists replay_leads_by_lead on leadhook.replay_leads (lead_id);

-- Releases of held leads by the console, queued in slices as replays are.
create table if not exists leadhook.releases (
  id bigint generated always as identity primary key,
  actor text not null,
  reason text,
  user_id uuid,
  tag text,
  redo boolean not null default false, -- also leads that have a row in llm_response
  lead_limit int not null check (lead_limit > 0),
  groups jsonb not null, -- the groups that are left, in order; after_lead belongs to the first one
  after_lead text not null default '',
  released int not null default 0,
  created_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz, -- when all was queued, or it was stopped
  request_id uuid unique -- of a form, which may be sent twice
);
create index if not exists releases_under_way on leadhook.releases (id) where ended_at is null;

-- What operators have paused. user_id null: everything; tag null: all leads of the user.
create table if not exists leadhook.pauses (
  id bigint generated always as identity primary key,
  user_id uuid,
  tag text,
  actor text not null,
  reason text,
  paused_at timestamptz not null default clock_timestamp(),
  constraint a_pause_stands_once unique nulls not distinct (user_id, tag),
  constraint a_tag_belongs_to_a_user check (tag is null or user_id is not null)
);

-- How much may be spent per day (UTC). user_id null: by all users together.
create table if not exists leadhook.budgets (
  id bigint generated always as identity primary key,
  user_id uuid,
  daily_usd numeric not null check (daily_usd >= 0), -- Infinity: removed; the row is deleted when all leads that it turned away are due again
  needed_usd numeric, -- at most the smallest needed_usd of the jobs that it turned away; null: there are none
  spent_on date, -- a claim found nothing left on this day (UTC), so the groups of its user are shut
  -- nothing can be returned on this day, because no lease of its user has a reservation: claims skip it until the next day
  settled_on date not null default 'epoch',
  constraint a_user_has_one_budget unique nulls not distinct (user_id)
);
create index if not exists budgets_to_look_at on leadhook.budgets (settled_on) where spent_on is not null or needed_usd is not null;

-- The tag that had the last turn, of users with several tags. Each process keeps the last user itself.
create table if not exists leadhook.turns (
  user_id uuid primary key,
  tag text not null,
  served_at timestamptz not null default clock_timestamp()
);

-- Costs by day and user; reservations are in the leased jobs, and leadhook.spend shows both. Each transaction adds a row, and merge_costs merges
-- them: under an old snapshot, a row that every save updates would become a growing chain of dead rows.
create table if not exists leadhook.costs (
  day date, -- in UTC, when the lease ended
  user_id uuid,
  -- the transaction that booked it, so that no two write the same row; after a restore the number may occur again, and is added to
  xact xid8 default pg_current_xact_id(),
  spent_usd numeric not null default 0, -- all that was paid and, of expired leases, all that was reserved
  wasted_usd numeric not null default 0, -- part of spent_usd that bought nothing: expired leases, refused answers, leads erased while leased
  primary key (day, user_id, xact)
);

-- The last successful claim and sweep of each process, to 5 s; deleted a day after the process ended.
create table if not exists leadhook.workers (
  worker text primary key,
  claimed_at timestamptz,
  swept_at timestamptz
);

-- The last figures for metrics. Unlogged: they are worth nothing after a crash.
create unlogged table if not exists leadhook.figures (
  id boolean primary key default true constraint there_is_one_row check (id),
  taken_at timestamptz not null,
  figures jsonb not null
);

-- Counts for the console's overview, added up from attempts and results.
create table if not exists leadhook.hourly_counts (
  kind text not null check (kind in ('in', 'score', 'failed', 'first_call', 'saved')),
  hour timestamptz not null,
  -- in: 1 if only the sweep found it; score: the tens, 9 includes 100; first_call and saved, from eligible_at: powers of 1.25 ms
  bucket smallint not null,
  leads int not null,
  primary key (kind, hour, bucket)
);

create table if not exists leadhook.counted (
  id boolean primary key default true constraint there_is_one_row check (id),
  until timestamptz not null -- attempts that ended before this are in hourly_counts
);
insert into leadhook.counted (until) values (clock_timestamp() - interval '31 days') on conflict do nothing;

-- Who did what, and why. No personal data: leads are counted, not named.
create table if not exists leadhook.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  actor text not null, -- as the caller named it; application: it deleted leads
  database_user text not null default session_user, -- the role of the connection: authenticator through the API
  action text not null check (
    action in ('pause', 'resume', 'budget', 'replay', 'replay_stop', 'backlog_release', 'release_stop', 'key_unpark', 'sign_in', 'erase')
  ),
  parameters jsonb not null default '{}',
  reason text
);
create unique index if not exists a_link_signs_in_once on leadhook.audit ((parameters ->> 'link')) where action = 'sign_in';
create index if not exists audit_by_age on leadhook.audit (at);

create table if not exists leadhook.migrations (
  name text primary key,
  sha256 text not null,
  applied_at timestamptz not null default clock_timestamp()
);

do $$
declare
  v_table text;
begin
  for v_table in select c.relname from pg_catalog.pg_class as c where c.relnamespace = 'leadhook'::regnamespace and c.relkind = 'r' loop
    execute format('alter table leadhook.%I enable row level security', v_table);
    execute format('revoke all on table leadhook.%I from public, anon, authenticated', v_table);
    execute format('grant select, insert, update, delete on table leadhook.%I to service_role', v_table);
  end loop;
  revoke all on sequence leadhook.fences from public, anon, authenticated;
  grant usage on sequence leadhook.fences to service_role;
  grant select on all sequences in schema leadhook to service_role;
end
$$;

-- Dollars by day (UTC) and user: spent, of that wasted, and, for today, reserved by leased leads.
create or replace view leadhook.spend with (security_invoker = true) as
select s.day, s.user_id, sum(s.reserved_usd) as reserved_usd, sum(s.spent_usd) as spent_usd, sum(s.wasted_usd) as wasted_usd
from (
  select c.day, c.user_id, 0::numeric as reserved_usd, c.spent_usd, c.wasted_usd from leadhook.costs as c
  union all
  select (now() at time zone 'UTC')::date, j.user_id, j.reserved_usd, 0, 0
  from leadhook.jobs as j
  where j.state = 'leased' and j.reserved_usd is not null
) as s
group by s.day, s.user_id;
revoke all on table leadhook.spend from public, anon, authenticated;
grant select on table leadhook.spend to service_role;
