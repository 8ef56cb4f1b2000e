-- Purpose: the schema leadhook: the durable events (outbox rows), the truth about each lead (jobs) and what was done and paid for.
-- Changes: schema leadhook only. It is not exposed through the API; the functions public.leadhook_* are the interface.
-- Undo:    drop schema leadhook cascade (the application's tables do not depend on it).

create schema if not exists leadhook;
revoke all on schema leadhook from public;
grant usage on schema leadhook to service_role;

-- One row, so that tests and operators change a number in one place.
create table if not exists leadhook.controls (
  id boolean primary key default true constraint there_is_one_row check (id),
  backlog text not null default 'hold' constraint backlog_is_hold_or_run check (backlog in ('hold', 'run')),
  lease_s numeric not null default 30 check (lease_s > 0),
  renew_s numeric not null default 10 check (renew_s > 0),
  start_limit_s numeric not null default 15 check (start_limit_s > 0),
  max_attempts int not null default 5 check (max_attempts > 0),
  max_deaths int not null default 3 check (max_deaths > 0),
  give_up_after_s numeric not null default 86400 check (give_up_after_s > 0),
  claim_bytes int not null default 4000000 check (claim_bytes > 0),
  installed_at timestamptz not null default clock_timestamp(),
  first_round_finished_at timestamptz,
  sweep_phase text not null default 'leads' check (sweep_phase in ('leads', 'jobs')),
  sweep_after_lead text not null default '',
  sweep_round_started_at timestamptz,
  history text,
  leases_from timestamptz not null default 'epoch'
);
comment on column leadhook.controls.backlog is 'hold: what the first sweep round finds eligible is held until it is released; run: it is processed at once';
comment on column leadhook.controls.start_limit_s is 'a model call starts only while the last confirmation of its lease is younger than this';
comment on column leadhook.controls.max_deaths is 'a lead whose worker was lost so often is dead: it may be what ends the process';
comment on column leadhook.controls.give_up_after_s is 'a lead that failed for so long is dead, however little is known about why';
comment on column leadhook.controls.history is
  'the server and timeline of the last claim: after a restore or switch-over it is another one, and fences may have been handed out that no row knows';
comment on column leadhook.controls.leases_from is
  'no lease ends before; noted when the look for the first takes long: under an old snapshot, the index keeps each lease that has ended';
comment on column leadhook.controls.claim_bytes is 'a claim hands out no more leads than fit, with their prompts, but one at least';
insert into leadhook.controls default values on conflict do nothing;
-- `leadhook uninstall` leaves 'infinity' behind, and this file is applied again after it: until leadhook is back, no one can have asked it for anything.
update leadhook.controls as c set installed_at = clock_timestamp() where c.installed_at = 'infinity';

-- Appended blindly by the triggers in the application's transaction; folded into jobs by leadhook.apply_outbox. No check constraints: each of them
-- would be prepared again for each of the application's statements, and a row that one refuses would be lost.
create table if not exists leadhook.outbox (
  id bigint generated always as identity primary key,
  kind text not null,
  n int not null,
  lead_ids text[],
  user_id uuid,
  tag text,
  prompts_inserted boolean not null default false,
  refreshed boolean not null default false,
  after_lead text not null default '',
  until_lead text,
  changed_at timestamptz not null default clock_timestamp(),
  not_before timestamptz,
  xact xid8 not null default pg_current_xact_id()
);
-- Compressing what is gone in a moment would slow the application's statement.
alter table leadhook.outbox alter column lead_ids set storage external;
comment on column leadhook.outbox.n is 'how many leads it names; small ones are applied first, so that three leads overtake an import';
comment on column leadhook.outbox.after_lead is 'prompts, everything: the jobs up to this lead_id have been looked at';
comment on column leadhook.outbox.until_lead is
  'it joined an equal walk at this lead, goes round, and ends here again; null: it began with the first lead, and ends with the last';
comment on column leadhook.outbox.xact is 'the transaction that changed it; the same in leadhook.webhooks names the webhook that announced it';
comment on column leadhook.outbox.refreshed is
  'leads: rows were deleted, or inserted after rows of the table were deleted in the same transaction: no change by itself';
comment on column leadhook.outbox.not_before is 'put back because someone else held the job; null: at once';
create index if not exists outbox_by_size on leadhook.outbox (kind, n, id);
create index if not exists outbox_to_walk on leadhook.outbox (id) where kind <> 'leads';

create sequence if not exists leadhook.fences;

-- The state machine: every statement that moves a job. "none" is a lead without a job; "by" is a function of this schema, or the
-- file src/leadhook/install/sql/rest.sql. tests/sql/test_job_states.py holds the functions to this table.
--
--   from                                      to                         by               when
--   none                                      waiting, ready             move_jobs        a change or the sweep finds it
--   none, waiting                             held                       move_jobs        the sweep finds it eligible, and it is backlog
--   ready, held                               waiting                    move_jobs        it is not eligible any more
--   waiting, held, done, dead                 ready                      begin_runs       it is eligible after a change or a new prompts row; replay, release of the backlog
--   none                                      ready                      queue_replay     an operator replays it
--   ready                                     waiting, held, done, dead  restore_jobs     the replay is stopped: the state before it
--   ready                                     leased                     lease_leads      a claim hands it out
--   leased                                    ready                      return_leads     the same claim takes it back: no budget, no key, too large a reply, or it is repeated for fewer
--   leased                                    done, waiting, dead        end_leases       saved, with or without a message; unwanted; refused, unusable, out of attempts
--   leased                                    ready                      end_leases       returned, or to be tried again
--   leased                                    ready, dead                expire_leases    its lease ran out; once too often
--   none                                      waiting                    enter_on_demand  an on-demand request brings the answer
--   waiting, ready, leased, held, done, dead  leased                     take_on_demand   while the on-demand request is being saved
--   none, waiting, ready, leased, held, done  dead                       quarantine       SQL fails on its rows, in its own claim too
--   waiting, ready, leased, held, done, dead  none                       erase_leads      the application deleted the lead
--   ready, leased                             held                       rest.sql         leadhook is uninstalled
create table if not exists leadhook.jobs (
  lead_id text primary key,
  user_id uuid,
  tag text,
  state text not null check (state in ('waiting', 'ready', 'leased', 'done', 'dead', 'held')),
  low_priority boolean not null default false,
  run int not null default 1,
  attempts int not null default 0,
  deaths int not null default 0,
  failing_since timestamptz,
  decide_after timestamptz,
  fence bigint not null default 0,
  claim_token uuid,
  called boolean not null default false,
  worker text,
  leased_at timestamptz,
  lease_until timestamptz,
  leased_snapshot pg_snapshot,
  changed boolean not null default false,
  available_at timestamptz not null default clock_timestamp(),
  eligible_at timestamptz,
  source text,
  replay_id bigint,
  replay_after bigint,
  checkpoint jsonb,
  reserved_usd numeric,
  budget_id bigint,
  needed_usd numeric,
  error_code text,
  reason text,
  finished_at timestamptz,
  constraint only_a_leased_job_has_a_lease check ((state = 'leased') = (lease_until is not null)),
  constraint only_a_leased_job_has_a_token check ((state = 'leased') = (claim_token is not null)),
  constraint a_ready_job_has_a_group check (state <> 'ready' or (user_id is not null and tag is not null)),
  constraint a_dead_job_has_a_reason check (state <> 'dead' or (error_code is not null and reason is not null))
);
comment on column leadhook.jobs.low_priority is 'a replay or backlog: fresh leads go first, and these use at most three quarters of a worker''s slots';
comment on column leadhook.jobs.run is 'grows with every replay or reopening; one result a run';
comment on column leadhook.jobs.attempts is 'attempts spent in this run';
comment on column leadhook.jobs.deaths is
  'how often in a row its lease ran out, which may have been its own doing: with one or more it is handed out alone';
comment on column leadhook.jobs.failing_since is
  'since when each of its model calls has failed without blame; what is older than eligible_at is of an earlier run';
comment on column leadhook.jobs.decide_after is
  'ready: it waits for evidence, and an answer to another lead makes it due, but not before this; null: it does not wait for one';
comment on column leadhook.jobs.called is 'its worker said that a model call of this lease had begun';
comment on column leadhook.jobs.fence is 'from leadhook.fences with every lease; every later write must carry it';
comment on column leadhook.jobs.leased_snapshot is
  'what its last lease was decided by: a change whose transaction is not visible in it is one that the lease has not seen; null: it has seen none';
comment on column leadhook.jobs.changed is 'something changed that its run has not seen: a run that ends dead then begins again';
comment on column leadhook.jobs.eligible_at is 'when the outbox row, sweep, replay or release made it ready';
comment on column leadhook.jobs.source is 'what brought it: webhook, sweep, start, retry, hint, replay, release';
comment on column leadhook.jobs.replay_after is 'a replay asked for while leased: it runs once this run ends';
comment on column leadhook.jobs.checkpoint is
  'model answers that were paid for and are not yet written; never bought twice. Of a done job whose message is missing: its score, for a replay';
comment on column leadhook.jobs.error_code is 'why it waits, is dead or, if it is done, why it has no message';
comment on column leadhook.jobs.reserved_usd is 'leased: the most that this lease may spend; null where the claim named no price';
comment on column leadhook.jobs.budget_id is
  'ready: the budget that turned it away; it is due with the next day, when the budget has needed_usd left, or when the sweep has passed';
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

-- The groups with ready leads; functions/ready_groups.sql keeps them.
create table if not exists leadhook.ready_groups (
  low_priority boolean,
  user_id uuid,
  tag text,
  due_at timestamptz not null,
  lead_id text not null default '',
  shut boolean not null default false,
  primary key (tag, user_id, low_priority)
);
comment on column leadhook.ready_groups.due_at is 'with lead_id a bound: no ready lead of the group comes before it, by (available_at, lead_id)';
comment on column leadhook.ready_groups.shut is 'a claim found it or its user paused, or the user''s budget spent; what ends that opens it again';
-- The only one in the order of the users: the primary key would lead a claim past every group that is shut.
create index if not exists ready_groups_open on leadhook.ready_groups (low_priority, user_id, tag) where not shut;
create index if not exists ready_groups_shut on leadhook.ready_groups (user_id) where shut;

create table if not exists leadhook.ready_notes (
  id uuid primary key default gen_random_uuid(),
  low_priority boolean not null,
  user_id uuid not null,
  tag text not null,
  due_at timestamptz not null
);
create index if not exists ready_notes_due on leadhook.ready_notes (low_priority, due_at);
comment on column leadhook.ready_notes.id is 'no number: a sequence that is behind its rows after a restore would refuse every change of a job';
comment on table leadhook.ready_notes is 'groups of jobs that became ready since the last claim';

-- A lease as renew, save, release and on-demand requests hand it from one function to the next: parsed once from what the worker sends, then
-- filled in. No table has a column of this type.
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
      failing boolean,
      decide_after_ms bigint,
      delay_ms bigint,
      age_ms bigint,
      message_failure jsonb,
      refusal jsonb,
      lead jsonb,
      lock_state text,
      outcome text,
      error_code text,
      reason text,
      note text,
      ends boolean,
      registered boolean,
      user_id uuid,
      stored_tag text,
      tag text,
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
comment on column leadhook.ending.lock_state is 'locked (ours until the transaction ends), busy (another transaction has the job), past (the lease has ended), gone (no job)';
comment on column leadhook.ending.ends is 'this call ends the lease';
comment on column leadhook.ending.note is 'stands in the attempt in place of reason';
comment on column leadhook.ending.failing is 'its calls fail, and why is not known yet';
comment on column leadhook.ending.lead is 'of an on-demand request: what it gives of the lead; before what is stored';
comment on column leadhook.ending.tag is 'of the prompts that it was scored with; this and the following are the columns of llm_response';

-- The groups of each lead that has rows in several: the prompts of all of them wake it, whichever its job names.
create table if not exists leadhook.lead_groups (
  user_id uuid,
  tag text,
  lead_id text,
  primary key (user_id, tag, lead_id)
);
create index if not exists lead_groups_by_lead on leadhook.lead_groups (lead_id);

-- What each lease came to. Append-only; no personal data.
create table if not exists leadhook.attempts (
  id bigint generated always as identity primary key,
  lead_id text not null,
  run int not null,
  fence bigint not null,
  request_id uuid,
  outcome text not null,
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
  cost_usd numeric,
  wasted boolean not null default false,
  eligible_at timestamptz,
  leased_at timestamptz,
  first_call_ms int,
  key_wait_ms int,
  model_ms int,
  finished_at timestamptz not null default clock_timestamp()
);
comment on column leadhook.attempts.outcome is 'saved, saved_without_message, unwanted, refused, retry, dead, returned, lease_expired';
comment on column leadhook.attempts.request_id is 'of an on-demand request, which is saved once; one that failed is beside the job, run 0';
comment on column leadhook.attempts.first_call_ms is 'from eligible_at to the first model call of this lease';
comment on column leadhook.attempts.key_wait_ms is 'of first_call_ms, spent waiting for another lead''s call to prove a key';
comment on column leadhook.attempts.cost_usd is 'by the price that the service knew; of a lease that ran out, all that was reserved; null: the price is unknown';
comment on column leadhook.attempts.wasted is 'the money bought nothing: the lease ran out, or the application refused the answer';
comment on column leadhook.attempts.model_ms is 'spent in model calls';
create index if not exists attempts_by_lead on leadhook.attempts (lead_id, id);
create index if not exists attempts_by_age on leadhook.attempts (finished_at, id);
create index if not exists attempts_by_replay on leadhook.attempts (replay_id) where replay_id is not null;

-- Every run's answer. Personal data: it goes with the lead.
create table if not exists leadhook.results (
  lead_id text not null,
  run int not null,
  score int not null check (score between 0 and 100),
  response text not null,
  should_contact boolean not null,
  matched text[] not null default '{}',
  missed text[] not null default '{}',
  flags text[] not null default '{}',
  subject text,
  message text,
  claims jsonb not null default '[]',
  model text,
  prompt_version text,
  input_version text,
  written boolean not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (lead_id, run)
);
comment on column leadhook.results.message is 'null, as is the subject: only the message failed; the attempt says why';
comment on column leadhook.results.matched is 'the criteria that are met, in the model''s words; missed: those that are not, or of which nothing is known';
comment on column leadhook.results.flags is 'codes of what in the lead''s text looks like an attempt to steer the model; see docs/model.md';
comment on column leadhook.results.claims is 'facts of the message with their sources, each {words, source, quote}; only those that were found there';
comment on column leadhook.results.written is 'false: the application refused or no longer wanted it';
create index if not exists results_by_age on leadhook.results (created_at desc, lead_id);
create index if not exists results_flagged on leadhook.results (created_at, lead_id) where flags <> '{}';

-- What Google said of a key, by the first 16 hex digits of its SHA-256; never the key.
create table if not exists leadhook.api_keys (
  fingerprint text primary key,
  state text not null check (state in ('healthy', 'cooling', 'disabled')),
  until timestamptz,
  row_version text,
  reason text,
  rests int not null default 0,
  model text,
  changed_at timestamptz not null default clock_timestamp(),
  constraint cooling_has_an_end check (state <> 'cooling' or until is not null)
);
comment on column leadhook.api_keys.rests is 'its rests in a row, without a success in between: each is longer';
comment on column leadhook.api_keys.changed_at is 'healthy: when a call last succeeded with it, to the minute; else when it was parked';
comment on column leadhook.api_keys.model is 'it rests for this model alone, and is forgotten when a service starts with another one; null: for all';
comment on column leadhook.api_keys.row_version is 'xmin of the gemini_api row that was checked: a changed row is a new chance';

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
comment on table leadhook.webhooks is 'delivery ledger; the answers come from net._http_response, which pg_net empties after six hours';
create index if not exists webhooks_by_age on leadhook.webhooks (sent_at);
create index if not exists webhooks_by_request on leadhook.webhooks (request_id);

-- Who had leads scored again, which, and why.
create table if not exists leadhook.replays (
  id bigint generated always as identity primary key,
  actor text not null,
  reason text,
  filter jsonb,
  lead_limit int check (lead_limit > 0),
  phase text not null default 'queued' check (phase in ('queueing', 'queued', 'stopping', 'stopped')),
  after_lead text not null default '',
  counts jsonb not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  request_id uuid unique
);
comment on column leadhook.replays.request_id is 'of a form that was sent, perhaps twice';
comment on column leadhook.replays.filter is 'null: its leads were named';
comment on column leadhook.replays.after_lead is 'queueing, stopping: the leads up to this lead_id have been looked at';
comment on column leadhook.replays.counts is 'what queueing its leads came to, by outcome';
create index if not exists replays_under_way on leadhook.replays (id) where phase in ('queueing', 'stopping');

create table if not exists leadhook.replay_leads (
  replay_id bigint not null,
  lead_id text not null,
  run int not null,
  outcome text not null check (outcome in ('queued', 'queued_after', 'already_queued')),
  before jsonb,
  stopped boolean not null default false,
  primary key (replay_id, lead_id)
);
comment on column leadhook.replay_leads.run is 'the run of the job that answers this replay';
comment on column leadhook.replay_leads.before is 'the job as it was, for a replay that is stopped; null: there was none';
create index if not exists replay_leads_by_lead on leadhook.replay_leads (lead_id);

-- Who released held leads, which, and why; queued in slices, as replays are.
create table if not exists leadhook.releases (
  id bigint generated always as identity primary key,
  actor text not null,
  reason text,
  user_id uuid,
  tag text,
  redo boolean not null default false,
  lead_limit int not null check (lead_limit > 0),
  groups jsonb not null,
  after_lead text not null default '',
  released int not null default 0,
  created_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  request_id uuid unique
);
comment on column leadhook.releases.request_id is 'of a form that was sent, perhaps twice';
comment on column leadhook.releases.redo is 'also leads that have a row in llm_response';
comment on column leadhook.releases.groups is 'the users and tags that are left, in their order; of the first one, the leads up to after_lead have been looked at';
comment on column leadhook.releases.ended_at is 'when all of it was queued, or it was stopped';
create index if not exists releases_under_way on leadhook.releases (id) where ended_at is null;

-- What is not to be claimed, by hand. user_id null: everything; tag null: all of the user.
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

-- How much may be spent in a day (UTC). user_id null: by all users together.
create table if not exists leadhook.budgets (
  id bigint generated always as identity primary key,
  user_id uuid,
  daily_usd numeric not null check (daily_usd >= 0),
  needed_usd numeric,
  spent_on date,
  settled_on date not null default 'epoch',
  changed_by text,
  changed_at timestamptz not null default clock_timestamp(),
  constraint a_user_has_one_budget unique nulls not distinct (user_id)
);
comment on column leadhook.budgets.daily_usd is 'Infinity: it was cleared; the row goes when all leads that it turned away are woken';
comment on column leadhook.budgets.needed_usd is
  'no more than the least needed_usd of the jobs that it turned away: once that much is left, some of them go on; null: there is none';

comment on column leadhook.budgets.spent_on is 'a claim found nothing left on this day (UTC), so that the groups of its user are shut';
comment on column leadhook.budgets.settled_on is
  'nothing can come back on this day, as no lease of its user has a reservation: claims do not look at it before the next one';
create index if not exists budgets_to_look_at on leadhook.budgets (settled_on) where spent_on is not null or needed_usd is not null;

-- Whose turn it was last among the tags of a user who has several; that of the users is the cursor of each process.
create table if not exists leadhook.turns (
  user_id uuid primary key,
  tag text not null,
  served_at timestamptz not null default clock_timestamp()
);

-- What was paid. What is reserved stands with the leased jobs; leadhook.spend shows both.
-- A row for each user and transaction, which merge_costs makes one: a row that every save updates is, under an old snapshot, a longer chain of dead
-- rows with every save.
create table if not exists leadhook.costs (
  day date,
  user_id uuid,
  xact xid8 default pg_current_xact_id(),
  spent_usd numeric not null default 0,
  wasted_usd numeric not null default 0,
  primary key (day, user_id, xact)
);
comment on column leadhook.costs.day is 'in UTC, of when the lease ended';
comment on column leadhook.costs.xact is 'the transaction that booked it, so that no two write the same row; after a restore it may be one that was, whose row is then added to';
comment on column leadhook.costs.spent_usd is 'all that was paid, and of leases that ran out all that was reserved';
comment on column leadhook.costs.wasted_usd is 'the part of spent_usd that bought nothing: leases that ran out, answers that the application refused, leads erased at work';

create table if not exists leadhook.workers (
  worker text primary key,
  claimed_at timestamptz,
  swept_at timestamptz
);
comment on table leadhook.workers is 'the last successful claim and sweep of each process, to 5 s; a process that is gone leaves it after a day';

create unlogged table if not exists leadhook.figures (
  id boolean primary key default true constraint there_is_one_row check (id),
  taken_at timestamptz not null,
  figures jsonb not null
);
comment on table leadhook.figures is 'the last count; unlogged, as it is worth nothing after a crash';

-- The overview's figures. Summed from attempts and results as they come, as a month of them is too much to read for a page.
create table if not exists leadhook.hourly_counts (
  kind text not null check (kind in ('in', 'score', 'failed', 'first_call', 'saved')),
  hour timestamptz not null,
  bucket smallint not null,
  leads int not null,
  primary key (kind, hour, bucket)
);
comment on column leadhook.hourly_counts.bucket is
  'in: 1 if only the sweep found it; score: the tens, 9 with 100; first_call and saved, counted from eligible_at: powers of 1.25 ms';

create table if not exists leadhook.counted (
  id boolean primary key default true constraint there_is_one_row check (id),
  until timestamptz not null
);
comment on column leadhook.counted.until is 'attempts that ended up to then are in hourly_counts';
insert into leadhook.counted (until) values (clock_timestamp() - interval '31 days') on conflict do nothing;

-- Who did what, and why: written by the functions that act, in their transaction. No personal data: a lead is counted, not named.
create table if not exists leadhook.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  database_user text not null default session_user,
  action text not null check (
    action in ('pause', 'resume', 'budget', 'replay', 'replay_stop', 'backlog_release', 'release_stop', 'key_unpark', 'sign_in', 'erase')
  ),
  parameters jsonb not null default '{}',
  reason text
);
comment on column leadhook.audit.actor is 'as the caller named it; application: it deleted leads';
comment on column leadhook.audit.database_user is 'whose connection it was: authenticator through the API';
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
  foreach v_table in array array[
    'controls', 'outbox', 'jobs', 'ready_groups', 'ready_notes', 'lead_groups', 'attempts', 'results', 'api_keys', 'webhooks', 'replays', 'replay_leads',
    'releases', 'pauses', 'budgets', 'turns', 'costs', 'workers', 'figures', 'hourly_counts', 'counted', 'audit', 'migrations'
  ] loop
    execute format('alter table leadhook.%I enable row level security', v_table);
    execute format('revoke all on table leadhook.%I from public, anon, authenticated', v_table);
    execute format('grant select, insert, update, delete on table leadhook.%I to service_role', v_table);
  end loop;
  revoke all on sequence leadhook.fences from public, anon, authenticated;
  grant usage on sequence leadhook.fences to service_role;
  grant select on all sequences in schema leadhook to service_role;
end
$$;

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
comment on view leadhook.spend is
  'Dollars by day (UTC) and user: spent_usd, of it wasted_usd, and what leased leads may still spend (reserved_usd, today).';
revoke all on table leadhook.spend from public, anon, authenticated;
grant select on table leadhook.spend to service_role;
