-- Made by `make schema` from the migrations and webhooks.sql, on Postgres 17. To read, not to run: bodies of functions are in migrations/functions.

CREATE SCHEMA leadhook;

CREATE TYPE leadhook.ending AS (
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
	score integer,
	response text,
	should_contact integer,
	subject text,
	message text
);

CREATE FUNCTION leadhook.advance_fences(p_by bigint DEFAULT 0) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO ''
    AS ...;

COMMENT ON FUNCTION leadhook.advance_fences(p_by bigint) IS 'Moves the fences past those of all jobs, and p_by further. security definer: only the owner may set a sequence.';

CREATE FUNCTION leadhook.advance_ids() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS ...;

COMMENT ON FUNCTION leadhook.advance_ids() IS 'Moves id sequences that are behind their tables. security definer: only the owner may set a sequence. A concurrent insert has already taken its id from the sequence.';

CREATE FUNCTION leadhook.append_to_outbox(p_lead_ids text[], p_user_ids uuid[], p_tags text[], p_inserted boolean, p_refreshed boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.apply_changes(p_lead_ids text[], p_source text, p_mode text, p_changed_at timestamp with time zone[] DEFAULT NULL::timestamp with time zone[], p_xacts xid8[] DEFAULT NULL::xid8[]) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.apply_lead_changes(p_source text, OUT looked_at integer, OUT checked text[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.apply_outbox(p_source text, p_budget interval DEFAULT '00:00:00.1'::interval, OUT looked_at integer, OUT checked text[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET row_security TO 'off'
    SET lock_timeout TO '2s'
    AS ...;

CREATE FUNCTION leadhook.apply_walk(p_source text) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.average_usage() RETURNS TABLE(calls numeric, input_tokens numeric, cached_tokens numeric, output_tokens numeric, thinking_tokens numeric, cost_usd numeric, model_ms numeric)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.begin_postponed_replays(p_lead_ids text[], p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.begin_runs(p_leads jsonb, p_source text, p_low_priority boolean, p_replay_id bigint, p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS ...;

CREATE FUNCTION leadhook.blames_the_lead(p_sqlstate text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.book_costs(p_costs jsonb, p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.budgets_left(p_now timestamp with time zone, p_user_ids uuid[] DEFAULT NULL::uuid[]) RETURNS TABLE(id bigint, user_id uuid, daily_usd numeric, needed_usd numeric, left_usd numeric, reserved_usd numeric)
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.budgets_to_look_at(p_now timestamp with time zone) RETURNS uuid[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.check_admission_call(p_user_id uuid, p_tag text, p_actor text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.check_each(p_lead_ids text[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.check_each_result(p_results leadhook.ending[], p_busy text[]) RETURNS leadhook.ending[]
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.check_eligibility(lead_ids text[]) RETURNS TABLE(lead_id text, known boolean, user_id uuid, tag text, scrapped boolean, has_details boolean, unsent boolean, has_prompts boolean, eligible boolean)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'on'
    SET enable_nestloop TO 'off'
    SET seq_page_cost TO '100'
    SET row_security TO 'off'
    AS ...;

CREATE FUNCTION leadhook.check_results(p_results leadhook.ending[], p_busy text[]) RETURNS leadhook.ending[]
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.check_triggers() RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.choose_leads(p_limit integer, p_low_priority_limit integer, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.choose_others(p_tried text[], p_limit integer, p_low_priority_limit integer, p_now timestamp with time zone, p_user_id uuid) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.claim_batch(p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_after_user uuid, p_hints text[], p_source text, p_price jsonb, p_bare boolean, p_probe boolean) RETURNS json
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.collect_webhook_answers(p_now timestamp with time zone) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.confirm_keys(p_fingerprints text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE TABLE leadhook.ready_groups (
    low_priority boolean NOT NULL,
    user_id uuid NOT NULL,
    tag text NOT NULL,
    due_at timestamp with time zone NOT NULL,
    lead_id text DEFAULT ''::text NOT NULL,
    shut boolean DEFAULT false NOT NULL
);

CREATE FUNCTION leadhook.correct_groups(p_groups leadhook.ready_groups[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.count_attempts(p_now timestamp with time zone, p_budget interval) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.count_figures(p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.count_held_groups(p_user_id uuid DEFAULT NULL::uuid, p_tag text DEFAULT NULL::text, p_since timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(user_id uuid, tag text, asked_at timestamp with time zone, held bigint, answered bigint, sent bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.count_hours(p_since timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.count_slice(p_now timestamp with time zone, p_limit integer) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS ...;

CREATE FUNCTION leadhook.count_webhooks() RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.deal_leads(p_low_priority boolean, p_limit integer, p_each integer, p_now timestamp with time zone, p_user_ids uuid[], OUT lead_ids text[], OUT user_ids uuid[], OUT tags text[], OUT misplaced leadhook.ready_groups[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.decide_moves(p_lead_ids text[], p_changed_at timestamp with time zone[], p_mode text, p_xacts xid8[] DEFAULT NULL::xid8[]) RETURNS TABLE(lead_id text, user_id uuid, tag text, changed_at timestamp with time zone, replayable boolean, was text, becomes text)
    LANGUAGE plpgsql
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS ...;

CREATE FUNCTION leadhook.decide_on_demand(p_results leadhook.ending[], p_busy text[]) RETURNS leadhook.ending[]
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.decide_replay(p_lead_ids text[], p_named boolean) RETURNS TABLE(lead_id text, user_id uuid, tag text, outcome text, missing text[])
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.describe_admission(p_lead_id text, p_user_id uuid, p_tag text, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.describe_blocked() RETURNS jsonb
    LANGUAGE sql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.describe_claim(p_token uuid, p_now timestamp with time zone, p_keys json, p_price jsonb) RETURNS TABLE(leads json, prompts json, keys json)
    LANGUAGE plpgsql
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.describe_found(p_lead_ids text[]) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS ...;

CREATE FUNCTION leadhook.describe_history(p_lead_id text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.describe_job(p_lead_id text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.describe_keys() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.describe_leads(lead_ids text[], user_ids uuid[], tags text[], most_characters integer DEFAULT NULL::integer) RETURNS TABLE(lead_id text, lead json, prompts json)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET plan_cache_mode TO 'auto'
    SET enable_seqscan TO 'on'
    SET enable_nestloop TO 'off'
    SET seq_page_cost TO '100'
    AS ...;

CREATE FUNCTION leadhook.describe_readable(p_token uuid, p_now timestamp with time zone, p_keys json, p_price jsonb, p_source text, p_bare boolean, OUT leads json, OUT prompts json, OUT keys json) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.describe_waiting_work(p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.describe_webhooks(p_webhook_ids bigint[]) RETURNS TABLE(id bigint, reason text, leads integer, sent_at timestamp with time zone, sent boolean, queued boolean, status_code integer, error text, timed_out boolean)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.duration_bucket(p_ms numeric) RETURNS integer
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.end_leases(p_worker text, p_endings leadhook.ending[], p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS ...;

CREATE FUNCTION leadhook.ends_the_call(p_sqlstate text, p_context text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.ensure_trigger(p_table text, p_event text, p_function text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.enter_on_demand(p_results leadhook.ending[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.erase_answered(p_answers leadhook.ending[], p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.erase_leads(p_lead_ids text[]) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.estimate_end(p_waiting bigint, p_ended integer, p_since timestamp with time zone, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.existing_constraint(p_name text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.expire_leases(p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.failing_since(p_failing_since timestamp with time zone, p_eligible_at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    AS ...;

CREATE FUNCTION leadhook.filter_leads(p_lead_ids text[], p_filter jsonb, p_limit integer) RETURNS TABLE(place bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.find_answered(p_lead_ids text[]) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'on'
    SET seq_page_cost TO '100'
    AS ...;

CREATE FUNCTION leadhook.find_blocked(p_now timestamp with time zone, OUT everything text, OUT budget_spent boolean, OUT payable bigint[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.find_candidates(p_filter jsonb, p_after jsonb, p_limit integer) RETURNS TABLE(lead_id text, cursor jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS ...;

CREATE FUNCTION leadhook.find_dashboard_webhooks() RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.find_due(p_now timestamp with time zone, OUT fresh timestamp with time zone, OUT low_priority timestamp with time zone, OUT suspect timestamp with time zone) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.find_earliest_due(p_low_priority boolean, p_now timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS ...;

CREATE TABLE leadhook.outbox (
    id bigint NOT NULL,
    kind text NOT NULL,
    n integer NOT NULL,
    lead_ids text[],
    user_id uuid,
    tag text,
    prompts_inserted boolean DEFAULT false NOT NULL,
    refreshed boolean DEFAULT false NOT NULL,
    after_lead text DEFAULT ''::text NOT NULL,
    until_lead text,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    not_before timestamp with time zone,
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000');
ALTER TABLE ONLY leadhook.outbox ALTER COLUMN lead_ids SET STORAGE EXTERNAL;

CREATE FUNCTION leadhook.find_equal_walks(p_walk leadhook.outbox) RETURNS leadhook.outbox[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.find_excess_leads(p_lead_ids text[], p_groups text[], p_lead_bytes integer[], p_prompts_bytes integer[]) RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.find_flagged_leads(p_after jsonb, p_limit integer) RETURNS TABLE(lead_id text, cursor jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.find_foreign_code() RETURNS TABLE(table_name text, object_name text, kind text, function_name text, function_owner text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.find_groups_with_prompts(p_user_ids uuid[], p_tags text[], p_since timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(user_id uuid, tag text)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'on'
    SET enable_nestloop TO 'on'
    SET enable_material TO 'off'
    SET seq_page_cost TO '100'
    SET row_security TO 'off'
    AS ...;

CREATE FUNCTION leadhook.find_head(p_group leadhook.ready_groups, OUT available_at timestamp with time zone, OUT lead_id text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.find_jobs(p_step text, p_filter jsonb, p_after jsonb, p_limit integer) RETURNS TABLE(lead_id text, cursor jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.find_leads_by_name(p_text text, p_after jsonb, p_limit integer) RETURNS TABLE(lead_id text, cursor jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.find_misplaced(p_low_priority boolean, p_now timestamp with time zone, p_user_id uuid) RETURNS leadhook.ready_groups[]
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.find_outbox_guards() RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.find_pending_changes(p_lead_id text, p_user_id uuid, p_tag text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.find_place_in_queue(p_lead_id text, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.find_webhooks(p_at timestamp with time zone, p_xact xid8) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.first_due(p_low_priority boolean, p_now timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.forget_rests_for_other_models(p_model text) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.grant_functions() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.has_changes(p_now timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.has_extension(p_name text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.has_slices() RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.healthy_keys() RETURNS TABLE(fingerprint text, api_key text, tried boolean, rests integer, answered_ms bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.held_snapshot(p_longer_than interval DEFAULT '00:05:00'::interval) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

COMMENT ON FUNCTION leadhook.held_snapshot(p_longer_than interval) IS 'Returns who has held the oldest snapshot for longer than p_longer_than, which keeps Postgres from removing replaced row versions, or null. A replication slot has no start; its age in transactions counts. security definer: service_role may not see other roles'' sessions. Queries and addresses are not returned.';

CREATE FUNCTION leadhook.hmac_sha256(p_key bytea, p_message bytea) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.is_any_shut(p_user_ids uuid[], p_tags text[], p_now timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.is_news(p_xacts xid8[], p_changed_at timestamp with time zone, p_leased_snapshot pg_snapshot, p_finished_at timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.is_shut(p_user_id uuid, p_tag text, p_now timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.is_too_big(p_value anyelement, p_most integer) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.keep_results(p_results leadhook.ending[], p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.key_fingerprint(p_api_key text) RETURNS text
    LANGUAGE sql STABLE
    AS ...;

CREATE FUNCTION leadhook.key_news(p_now timestamp with time zone) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.leads_of_group(p_user_id uuid, p_tag text, p_after_lead text) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.lease_leads(p_lead_ids text[], p_checked text[], p_snapshot pg_snapshot, p_token uuid, p_worker text, p_source text, p_now timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS ...;

CREATE FUNCTION leadhook.lease_next(p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_source text, p_probe boolean, p_checked text[], p_snapshot pg_snapshot, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[], OUT all_locked boolean) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.list_answered(p_user_id uuid, p_tag text, p_min_score integer, p_since timestamp with time zone, p_most integer) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET plan_cache_mode TO 'force_custom_plan'
    AS ...;

CREATE FUNCTION leadhook.list_failed_groups() RETURNS TABLE(error_code text, state text)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.list_held_groups(p_user_id uuid, p_tag text) RETURNS TABLE(user_id uuid, tag text, asked_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS ...;

CREATE FUNCTION leadhook.list_keys() RETURNS TABLE(fingerprint text, api_key text, row_version text, state text, until timestamp with time zone, reason text, rests integer, model text, changed_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.list_ready_groups() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.list_replay_leads(p_replay_id bigint, p_lead_ids text[] DEFAULT NULL::text[]) RETURNS TABLE(lead_id text, state text, score integer, error_code text, reason text)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.list_unfinished_releases(p_waiting bigint) RETURNS TABLE(total bigint, releases jsonb)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.list_unfinished_replays() RETURNS TABLE(replay_id bigint, waiting bigint)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.lock_application_rows(p_lead_ids text[]) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'on'
    SET seq_page_cost TO '100'
    AS ...;

CREATE FUNCTION leadhook.lock_claims() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.lock_jobs(p_lead_ids text[]) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS ...;

CREATE FUNCTION leadhook.lock_leases(p_leases leadhook.ending[]) RETURNS leadhook.ending[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET row_security TO 'off'
    AS ...;

CREATE FUNCTION leadhook.lock_outbox() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.mark_spent_budgets(p_now timestamp with time zone, p_user_ids uuid[]) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.match_leads(p_filter jsonb, p_after_lead text, OUT lead_ids text[], OUT last_lead text) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.measure_held_leads(p_lead_ids text[]) RETURNS TABLE(leads bigint, score_chars bigint, message_chars bigint)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.merge_costs(p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.move_jobs(p_lead_ids text[], p_changed_at timestamp with time zone[], p_source text, p_mode text, p_xacts xid8[] DEFAULT NULL::xid8[]) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS ...;

CREATE FUNCTION leadhook.name_leads(p_lead_ids text[], p_user_ids uuid[], p_tags text[]) RETURNS TABLE(lead_id text, name text, linkedin_url text, location text)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'on'
    SET enable_nestloop TO 'off'
    SET seq_page_cost TO '100'
    AS ...;

CREATE FUNCTION leadhook.newest_prompts(p_user_ids uuid[], p_tags text[], p_most_characters integer) RETURNS TABLE(user_id uuid, tag text, prompts json)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'on'
    SET enable_nestloop TO 'on'
    SET enable_material TO 'off'
    SET seq_page_cost TO '100'
    AS ...;

CREATE FUNCTION leadhook.next_day(p_now timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.next_due_ms(p_now timestamp with time zone, p_blocked record DEFAULT NULL::record, p_due record DEFAULT NULL::record, p_has_keys boolean DEFAULT NULL::boolean) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.next_leads(p_filter jsonb, p_after_lead text, p_limit integer, OUT lead_ids text[], OUT last_lead text) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.next_suspect(p_now timestamp with time zone, OUT lead_id text, OUT available_at timestamp with time zone) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.next_unfailing(p_now timestamp with time zone) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.next_users(p_low_priority boolean, p_limit integer, p_now timestamp with time zone, p_user_id uuid, OUT user_ids uuid[], OUT first_tags text[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.next_walk() RETURNS leadhook.outbox[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.note_action(p_actor text, p_action text, p_parameters jsonb, p_reason text) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.note_attempts(p_attempts jsonb, p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.note_change(p_reason text, p_table text, p_lead_ids text[] DEFAULT NULL::text[], p_user_ids uuid[] DEFAULT NULL::uuid[], p_tags text[] DEFAULT NULL::text[], p_refreshed boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.note_failed_on_demand(p_worker text, p_results leadhook.ending[], p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.note_first_lease(p_now timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.note_lead_changes() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    SET jit TO 'off'
    AS ...;

COMMENT ON FUNCTION leadhook.note_lead_changes() IS 'Trigger on all_leads and lead_details: appends the ids of leads for which the change may matter, and sends a webhook. Reads no table. security definer: the writers of the tables have no rights in leadhook. The exception blocks only read, so their subtransactions get no number and cost other sessions nothing; they handle columns that are missing or have a type without equality, which would be slower to look up in the catalog.';

CREATE FUNCTION leadhook.note_lead_groups(p_lead_ids text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'on'
    SET enable_nestloop TO 'off'
    SET seq_page_cost TO '100'
    AS ...;

CREATE FUNCTION leadhook.note_prompts_changes() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    SET jit TO 'off'
    AS ...;

COMMENT ON FUNCTION leadhook.note_prompts_changes() IS 'Trigger on prompts: appends the users and tags that have a new or changed row, and sends a webhook. Reads no table. security definer: the writers of the table have no rights in leadhook.';

CREATE FUNCTION leadhook.note_ready_jobs() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.note_turns(p_low_priority boolean, p_users uuid[], p_first_tags text[], p_user_ids uuid[], p_tags text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.note_worker(p_worker text, p_call text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.notice_restore() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.pick_leads(p_low_priority boolean, p_limit integer, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.plan_search(p_filter jsonb) RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.post_webhooks(p_reason text, p_leads integer, p_table text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.quarantine(p_lead_id text, p_reason text, p_source text, p_changed_at timestamp with time zone, p_token uuid DEFAULT NULL::uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.quarantine_unreadable(p_token uuid, p_source text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.queue_replay(p_replay_id bigint, p_lead_ids text[], p_named boolean) RETURNS TABLE(lead_id text, outcome text, missing text[])
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.queue_slice(p_replay_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.queue_webhook(p_url text, p_secrets text, p_id text, p_body jsonb) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.read_leases(p_items jsonb) RETURNS leadhook.ending[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.read_on_demand(p_results jsonb) RETURNS leadhook.ending[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.read_results(p_results jsonb) RETURNS leadhook.ending[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.read_value(p_value anyelement, p_characters integer, p_most integer DEFAULT NULL::integer) RETURNS text
    LANGUAGE plpgsql STABLE
    AS ...;

CREATE FUNCTION leadhook.read_webhook_answers(p_webhook_ids bigint[]) RETURNS TABLE(webhook_id bigint, status_code integer, error text, timed_out boolean, queued boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS ...;

COMMENT ON FUNCTION leadhook.read_webhook_answers(p_webhook_ids bigint[]) IS 'Returns what pg_net knows about these webhooks: its answer, or that it has not been sent yet. Returns no row if pg_net is missing or different, so that explain and sweep continue. After a crash pg_net starts numbering again, so an answer belongs to the last webhook with its number before it; it dates an answer from the start of its transaction, so up to a minute earlier. security definer: before 0.12, only the owner may read pg_net''s tables.';

CREATE FUNCTION leadhook.recall_changes(p_lead_ids text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.recent_attempts(p_token uuid, p_worker text, p_now timestamp with time zone) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.recent_figures(p_now timestamp with time zone, p_max_age interval DEFAULT '00:00:10'::interval) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.refreshes(p_operation text, p_table text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.refuse_foreign_code() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.release_backlog(p_user_id uuid, p_tag text, p_after_lead text, p_limit integer, p_redo boolean, OUT last_lead text, OUT released integer, OUT answered integer, OUT unwanted integer) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET lock_timeout TO '2s'
    AS ...;

CREATE FUNCTION leadhook.reopen_groups(p_user_ids uuid[]) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.require_actor(p_actor text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.reserve_leads(p_token uuid, p_lead_ids text[], p_usd numeric[], p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS ...;

CREATE FUNCTION leadhook.resolve_endings(p_endings leadhook.ending[]) RETURNS TABLE(ending leadhook.ending, state text, comes_to text, bought jsonb, cost_usd numeric, user_id uuid, run integer, source text, replay_id bigint, eligible_at timestamp with time zone, leased_at timestamp with time zone, postponed boolean, changed boolean)
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS ...;

CREATE FUNCTION leadhook.restore_jobs(p_jobs jsonb) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.resume_claim(p_token uuid, p_limit integer, p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.return_leads(p_token uuid, p_lead_ids text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.return_to_outbox(p_lead_ids text[], p_changed_at timestamp with time zone[], p_refreshed boolean DEFAULT false) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.sample_held_leads(p_user_id uuid, p_tag text) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS ...;

CREATE FUNCTION leadhook.search_slice(p_filter jsonb, p_after jsonb, p_limit integer, OUT lead_ids text[], OUT cursors jsonb[], OUT next_cursor jsonb) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.send_webhook(p_reason text, p_leads integer DEFAULT NULL::integer, p_table text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    SET jit TO 'off'
    AS ...;

COMMENT ON FUNCTION leadhook.send_webhook(p_reason text, p_leads integer, p_table text) IS 'Notifies the service, after the commit, that there may be work: once per transaction, or up to eight times for thousands of leads, so that several processes wake up. Never raises; leadhook.webhooks has the result. security definer: the writers of the application''s tables may not read Vault or write leadhook.webhooks.';

CREATE FUNCTION leadhook.send_webhook_for_keys() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

COMMENT ON FUNCTION leadhook.send_webhook_for_keys() IS 'Trigger on gemini_api: sends a webhook, because leads may have waited for a key. security definer: the writers of the table have no rights in leadhook.';

CREATE FUNCTION leadhook.send_webhook_if_ready(p_reason text, p_user_id uuid, p_tag text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.settle_budgets(p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.shut_groups(p_now timestamp with time zone) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.sign(p_secret text, p_id text, p_timestamp bigint, p_body text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.stop_slice(p_replay_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.sum_periods(p_hours jsonb, p_unit text, p_since timestamp with time zone, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.sum_replay_usage(p_replay_id bigint) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.sum_usage(p_lead_ids text[]) RETURNS TABLE(known bigint, calls numeric, input_tokens numeric, cached_tokens numeric, output_tokens numeric, thinking_tokens numeric, cost_usd numeric, model_ms numeric)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.summarize_durations(p_since timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.sweep_jobs(p_after_lead text, OUT last_lead text, OUT looked_at integer, OUT removed integer) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.sweep_leads(p_after_lead text, OUT last_lead text, OUT looked_at integer, OUT made_ready integer, OUT held integer) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.sweep_records(p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.take_on_demand(p_worker text, p_results leadhook.ending[], p_now timestamp with time zone) RETURNS leadhook.ending[]
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.try_answer(p_answer leadhook.ending, p_until timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.try_lock_sweep() RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.turn_away(p_token uuid, p_lead_ids text[], p_budget_ids bigint[], p_usd numeric[], p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.unqueue_replay(p_replay_id bigint, p_lead_ids text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.unquote(p_json text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.wake_turned_away(p_budget_ids bigint[], p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.wake_undecided(p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS ...;

CREATE FUNCTION leadhook.wanted_webhooks(p_leads integer) RETURNS integer
    LANGUAGE sql IMMUTABLE
    AS ...;

CREATE FUNCTION leadhook.warn(p_message text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET client_min_messages TO 'error'
    AS ...;

CREATE FUNCTION leadhook.webhook_body(p_reason text, p_leads integer, p_table text) RETURNS jsonb
    LANGUAGE sql STABLE
    AS ...;

CREATE FUNCTION leadhook.webhook_headers(p_id text, p_timestamp bigint, p_body text, p_secrets text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.webhook_settings(OUT url_set boolean, OUT secret_set boolean, OUT pg_net boolean, OUT vault_error text, OUT foreign_code text[], OUT outbox_guards text[]) RETURNS record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

COMMENT ON FUNCTION leadhook.webhook_settings(OUT url_set boolean, OUT secret_set boolean, OUT pg_net boolean, OUT vault_error text, OUT foreign_code text[], OUT outbox_guards text[]) IS 'Returns what webhooks need. vault_error: the SQLSTATE if Vault could not be read. foreign_code: triggers on pg_net''s queue, because of which no webhook is sent. outbox_guards: what may refuse an outbox row. Errors of Vault or pg_net, which are optional, never hide the rest. security definer: service_role may not read Vault; it learns whether a value exists, never the value.';

CREATE FUNCTION leadhook.webhook_target(OUT url text, OUT secrets text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS ...;

CREATE FUNCTION leadhook.work_on_release(p_release_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.work_on_replay(p_replay_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION leadhook.wrap_value(p_value anyelement, p_characters integer, p_most integer) RETURNS json
    LANGUAGE plpgsql STABLE
    AS ...;

CREATE FUNCTION leadhook.write_answers(p_answers leadhook.ending[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'extensions'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'on'
    SET seq_page_cost TO '100'
    AS ...;

CREATE FUNCTION leadhook.write_each_answer(p_answers leadhook.ending[]) RETURNS TABLE(lead_id text, fence bigint, outcome text, error_code text, reason text, note text)
    LANGUAGE plpgsql
    SET search_path TO ''
    SET lock_timeout TO '50ms'
    AS ...;

CREATE FUNCTION leadhook.write_results(p_results leadhook.ending[]) RETURNS leadhook.ending[]
    LANGUAGE plpgsql
    SET search_path TO ''
    AS ...;

CREATE FUNCTION public.leadhook_admission(p_limit integer DEFAULT 1000) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_admission(p_limit integer) IS 'Returns the first p_limit pauses and budgets (null: all), those of all users first, with what is left of each budget, and today''s spending (UTC). needed_usd: the least that a lead needs of a budget that turned it away.';

CREATE FUNCTION public.leadhook_answers(p_user_id uuid DEFAULT NULL::uuid, p_tag text DEFAULT NULL::text, p_min_score integer DEFAULT NULL::integer, p_since timestamp with time zone DEFAULT NULL::timestamp with time zone, p_limit integer DEFAULT 20) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_answers(p_user_id uuid, p_tag text, p_min_score integer, p_since timestamp with time zone, p_limit integer) IS 'Returns the newest answer of each lead, newest first, for `leadhook answers`: score, reason, message, criteria met and missed, flags. written: whether it is in llm_response. has_more: the limit cut the list. Changes nothing.';

CREATE FUNCTION public.leadhook_audit(p_filter jsonb DEFAULT '{}'::jsonb, p_before bigint DEFAULT NULL::bigint, p_limit integer DEFAULT 25) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_audit(p_filter jsonb, p_before bigint, p_limit integer) IS 'Returns up to p_limit audit entries before id p_before (null: the newest) that match p_filter {action, actor, user_id, since, until}, newest first. before: p_before of the next page; null: this was the last page. Reads at most 20,000 entries per call, so a page may be short.';

CREATE FUNCTION public.leadhook_backlog(p_user_id uuid DEFAULT NULL::uuid, p_tag text DEFAULT NULL::text, p_since timestamp with time zone DEFAULT NULL::timestamp with time zone, p_redo boolean DEFAULT false) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '30s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_backlog(p_user_id uuid, p_tag text, p_since timestamp with time zone, p_redo boolean) IS 'Returns the backlog for the command: whether the first sweep round has finished, released and leased leads of low priority, leadhook.count_held_groups, the size of a release, and sent_while_leased: leads that something else marked as sent in the last 24 hours while leadhook had leased them. Counts the whole backlog, so its time limit is long.';

CREATE FUNCTION public.leadhook_begin_release(p_user_id uuid, p_tag text, p_limit integer, p_redo boolean, p_actor text, p_reason text DEFAULT NULL::text, p_request_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_begin_release(p_user_id uuid, p_tag text, p_limit integer, p_redo boolean, p_actor text, p_reason text, p_request_id uuid) IS 'Begins to release up to p_limit held leads of a user and tag, of a user, or of all users, the newest prompts row first; leadhook_replay_slice continues. A repeated call with the same p_request_id returns the same release.';

CREATE FUNCTION public.leadhook_book_evaluation(p_costs jsonb DEFAULT '[]'::jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_book_evaluation(p_costs jsonb) IS 'Adds the cost of an evaluation, [{user_id, cost_usd}], to today (UTC) and returns what may not be paid for now. A repeated call adds it again.';

CREATE FUNCTION public.leadhook_claim(p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_after_user uuid DEFAULT NULL::uuid, p_hints text[] DEFAULT '{}'::text[], p_source text DEFAULT 'retry'::text, p_price jsonb DEFAULT NULL::jsonb, p_bare boolean DEFAULT false, p_model text DEFAULT NULL::text, p_probe boolean DEFAULT false) RETURNS json
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET row_security TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_claim(p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_after_user uuid, p_hints text[], p_source text, p_price jsonb, p_bare boolean, p_model text, p_probe boolean) IS 'Leases up to p_limit eligible leads, fairly between (user_id, tag), with everything that their score needs. Repeated with the same token, it returns the same leases, and undoes those beyond p_limit. p_bare: only the leases, to find the lead whose reply fails. p_price: the maximum cost of a lead, which is reserved: lead_usd + byte_usd for each byte of lead and prompts up to most_…_bytes; {}: the price of the model is unknown, so nothing is leased while a budget is set; null: an older caller, for which nothing is reserved. p_model: what the keys are used for. p_probe: preferably a lead whose model calls do not fail. blocked_by: why nothing may be leased: paused, spent (a budget) or unpriced.';

CREATE FUNCTION public.leadhook_deliveries(p_before bigint DEFAULT NULL::bigint, p_limit integer DEFAULT 25) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_deliveries(p_before bigint, p_limit integer) IS 'Returns the webhooks before id p_before (null: the newest), newest first, with pg_net''s answers.';

CREATE FUNCTION public.leadhook_evaluation_leads(p_filter jsonb DEFAULT '{}'::jsonb, p_after_lead text DEFAULT ''::text, p_lead_ids text[] DEFAULT NULL::text[]) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_evaluation_leads(p_filter jsonb, p_after_lead text, p_lead_ids text[]) IS 'Returns answered leads for `leadhook evaluate` by lead_id, each with its newest result and cost. Without p_lead_ids: up to 250 leads that match p_filter (as for a replay) after p_after_lead, and last_lead to continue from (null: no more). With p_lead_ids (1 to 10): also the fields and prompts as in a claim, and the healthy keys. admission: what may not be paid for now. Changes nothing.';

CREATE FUNCTION public.leadhook_explain(p_lead_id text) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_explain(p_lead_id text) IS 'Returns everything known about a lead, for `leadhook explain` and GET /leads/{lead_id}: each condition of eligibility, job, outbox rows, place in the queue, keys, webhooks with pg_net''s answers, triggers, attempts, results, replays. Changes nothing.';

CREATE FUNCTION public.leadhook_failures() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_failures() IS 'Returns the leads that are dead, done without their message, or waiting for their next attempt, by error code and state: how many (up to 10,000), and of 100 of them the most frequent reasons and the newest lead. A replay with this state and error_code takes exactly these.';

CREATE FUNCTION public.leadhook_held_leads(p_user_id uuid DEFAULT NULL::uuid, p_tag text DEFAULT NULL::text, p_redo boolean DEFAULT false) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_held_leads(p_user_id uuid, p_tag text, p_redo boolean) IS 'Returns the held leads for a page: how many (up to 10,000); of a sample of looked_at leads, how many have an answer, how many something else has marked as sent, and the size of what a release would queue; groups: the first 100 with up to 1,000 leads each.';

CREATE FUNCTION public.leadhook_keys() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_keys() IS 'Returns the first 200 Gemini keys by fingerprint for the console, those that may not be used first: state (disabled, cooling, untried, healthy), until and reason.';

CREATE FUNCTION public.leadhook_lead_input(p_lead_id text) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_lead_input(p_lead_id text) IS 'Returns the fields and prompts of a lead as a claim would return them now, whatever the state of its job; empty if it has no job or no prompts row.';

CREATE FUNCTION public.leadhook_overview() RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_overview() IS 'Returns the counts of the last 48 hours and 30 days: leads in, scored, to contact and failed; typical durations; scores by tens.';

CREATE FUNCTION public.leadhook_park_keys(p_keys jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_park_keys(p_keys jsonb) IS 'Parks keys [{fingerprint, reason, for_ms, rests, model}]: for for_ms (the rests-th cooldown in a row; model: for this model only), or, if for_ms is null, until their row in gemini_api changes. If several reports concern the same row, the longest cooldown counts, in any order. Ignores keys without a row.';

CREATE FUNCTION public.leadhook_pause(p_user_id uuid DEFAULT NULL::uuid, p_tag text DEFAULT NULL::text, p_actor text DEFAULT NULL::text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_pause(p_user_id uuid, p_tag text, p_actor text, p_reason text) IS 'Stops claiming leads of this user and tag; without a tag, of the user; without both, all leads. Leased leads are finished. already: it was paused before, and that pause is unchanged.';

CREATE FUNCTION public.leadhook_progress() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_progress() IS 'Returns the unfinished replays and the release of held leads: how many leads wait, how many end per minute, and when the last one will.';

CREATE FUNCTION public.leadhook_redeem_link(p_link text, p_actor text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_redeem_link(p_link text, p_actor text) IS 'Signs an operator in with a link to the console. redeemed false: the link was used before. p_link: a fingerprint of the link.';

CREATE FUNCTION public.leadhook_release(p_worker text, p_releases jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET row_security TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_release(p_worker text, p_releases jsonb) IS 'Ends leases without a result: retry (spends an attempt), returned (spends none) or dead. Outcomes: released, dead, lease_lost, gone; busy: another transaction has locked the row, so try again soon. It may be repeated after a lost reply.';

CREATE FUNCTION public.leadhook_release_backlog(p_user_id uuid, p_tag text, p_after_lead text DEFAULT ''::text, p_limit integer DEFAULT 500, p_redo boolean DEFAULT false, p_actor text DEFAULT NULL::text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_release_backlog(p_user_id uuid, p_tag text, p_after_lead text, p_limit integer, p_redo boolean, p_actor text, p_reason text) IS 'Releases one slice of leadhook.release_backlog for the command. The audit has one entry per release of a group, not one per slice.';

CREATE FUNCTION public.leadhook_renew(p_worker text, p_leases jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET row_security TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_renew(p_worker text, p_leases jsonb) IS 'Extends leases, expired ones too unless another claim has taken them, and stores their checkpoints. called: whether a model call has begun. Outcomes: renewed, lease_lost, gone; busy: another transaction has locked the row, so this lease is not extended now.';

CREATE FUNCTION public.leadhook_replay(p_lead_ids text[], p_actor text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_replay(p_lead_ids text[], p_actor text, p_reason text) IS 'Scores up to 1,000 named leads again and sends a webhook. Outcomes: as leadhook.decide_replay; leads are returned in the order of the call, each once.';

CREATE FUNCTION public.leadhook_replay_dry_run(p_lead_ids text[], p_filter jsonb, p_limit integer, p_after_lead text DEFAULT ''::text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_replay_dry_run(p_lead_ids text[], p_filter jsonb, p_limit integer, p_after_lead text) IS 'Returns what a replay of named leads, or of one slice of a filter, would do, and what these leads cost when they were last scored. last_lead: where the next slice begins, null after the last. average: cost of a lead lately, for leads that were never scored.';

CREATE FUNCTION public.leadhook_replay_filtered(p_filter jsonb, p_limit integer, p_actor text, p_reason text DEFAULT NULL::text, p_request_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_replay_filtered(p_filter jsonb, p_limit integer, p_actor text, p_reason text, p_request_id uuid) IS 'Begins a replay of up to p_limit leads (null: all) that match a filter (leadhook.filter_leads), in the order of lead_id. phase queueing: leadhook_replay_slice continues. A repeated call with the same p_request_id returns the same replay.';

CREATE FUNCTION public.leadhook_replay_preview(p_filter jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_replay_preview(p_filter jsonb) IS 'As leadhook_replay_dry_run, for a page: checks as many matches of a filter as 60 ms allow. complete false: there may be more.';

CREATE FUNCTION public.leadhook_replay_slice() RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET row_security TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_replay_slice() IS 'Continues the oldest replay that is being queued or stopped, or else the oldest release of held leads, by one slice. left: call again after a pause.';

CREATE FUNCTION public.leadhook_replay_status(p_replay_id bigint, p_after_lead text DEFAULT ''::text, p_limit integer DEFAULT 100, p_most integer DEFAULT NULL::integer) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_replay_status(p_replay_id bigint, p_after_lead text, p_limit integer, p_most integer) IS 'Returns the progress of a replay and the next p_limit of its leads after p_after_lead. found false: there is no such replay. complete false: it has more than p_most leads, so only waiting ones are counted, up to 100,000.';

CREATE FUNCTION public.leadhook_replay_stop(p_replay_id bigint, p_actor text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_replay_stop(p_replay_id bigint, p_actor text, p_reason text) IS 'Stops a replay: leads that are not leased return to their previous state, leased ones are finished. Returns leadhook_replay_status with p_most 10,000; phase stopping: leadhook_replay_slice continues. A replay that has ended is not changed (changed false).';

CREATE FUNCTION public.leadhook_replays(p_limit integer DEFAULT 20) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_replays(p_limit integer) IS 'Returns the newest replays, up to 1,000; leadhook_replay_status reports the progress of one.';

CREATE FUNCTION public.leadhook_resume(p_user_id uuid DEFAULT NULL::uuid, p_tag text DEFAULT NULL::text, p_actor text DEFAULT NULL::text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_resume(p_user_id uuid, p_tag text, p_actor text, p_reason text) IS 'Ends the pause of exactly this user and tag (without a tag: of the user; without both: of everything) and sends a webhook. pauses: the first 20 wider or narrower pauses that still hold back some of these leads.';

CREATE FUNCTION public.leadhook_save(p_worker text, p_results jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_save(p_worker text, p_results jsonb) IS 'Writes scores and ends their leases, each by (lead_id, fence); repeatable. Outcomes: saved; saved_without_message (only the message failed, see message_failure); unwanted (not eligible any more); refused by the application''s constraint or trigger (dead, and the answer is kept for a replay); busy (retry soon: the application holds a row, or, with error_code and reason, the answer could not be written now); lease_lost; gone. A result with a refusal (code, reason) is refused without being written. An error that concerns every lead of the call is raised, and nothing is written.';

CREATE FUNCTION public.leadhook_save_on_demand(p_worker text, p_results jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_save_on_demand(p_worker text, p_results jsonb) IS 'Saves the results of on-demand requests, each lead separately and each request_id once. Outcomes: saved or saved_without_message (a worker that holds the lead loses it); refused by the application''s constraint or trigger (dead, and the answer is kept); busy (retry soon: the application holds a row, or, with error_code and reason, the answer could not be written now); gone; released (a result with the outcome retry, returned or dead: its cost is booked, and only a paid score changes its job). An error that concerns every lead of the call is raised, and nothing is written.';

CREATE FUNCTION public.leadhook_search_leads(p_filter jsonb DEFAULT '{}'::jsonb, p_after text DEFAULT NULL::text, p_limit integer DEFAULT 25) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_search_leads(p_filter jsonb, p_after text, p_limit integer) IS 'Returns the next p_limit leads that match a filter: the fields of leadhook.filter_leads, lead_id, flag (any: any flag), and q, which is part of the name or company, or the lead_id. after: p_after of the next page, null on the last. count (first page only): all matches, up to 10,000. complete false: the count or the search ran into its limit of 10,000 leads or 80 ms.';

CREATE FUNCTION public.leadhook_set_budget(p_user_id uuid DEFAULT NULL::uuid, p_daily_usd numeric DEFAULT NULL::numeric, p_actor text DEFAULT NULL::text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_set_budget(p_user_id uuid, p_daily_usd numeric, p_actor text, p_reason text) IS 'Sets the dollars that the leads of a user (null: all leads together) may cost per day (UTC), including what was spent today; null removes the budget. Sends a webhook if a lead is ready.';

CREATE FUNCTION public.leadhook_status() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_status() IS 'Returns the state of the database for /ready and `leadhook status`. Needs neither pg_net nor Vault nor the application''s tables.';

CREATE FUNCTION public.leadhook_stop_release(p_release_id bigint, p_actor text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_stop_release(p_release_id bigint, p_actor text, p_reason text) IS 'Stops a release. Leads that it has queued stay queued.';

CREATE FUNCTION public.leadhook_sweep(p_worker text, p_budget_ms integer DEFAULT 50) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET row_security TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_sweep(p_worker text, p_budget_ms integer) IS 'Runs one slice of the sweep: applies the outbox, then checks leads or jobs for at most p_budget_ms, one slice at least. busy: another process is sweeping. A call after round_finished begins the next round.';

CREATE FUNCTION public.leadhook_unpark_key(p_fingerprint text, p_actor text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS ...;

COMMENT ON FUNCTION public.leadhook_unpark_key(p_fingerprint text, p_actor text, p_reason text) IS 'Forgets that a key is cooling or disabled, so that the next call may try it, and sends a webhook. unparked false: it was not parked.';

CREATE FUNCTION public.rpc_get_eligible_llm_jobs() RETURNS TABLE(lead_id text, user_id uuid, tag text, name text, title text, location text, company_name text, experience text, skills text, bio text, profile_url text, linkedin_url text, company_page_url text, wildnet_data text, scoring_criteria_and_icp text, message_prompt text)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS ...;

CREATE TABLE leadhook.api_keys (
    fingerprint text NOT NULL,
    state text NOT NULL,
    until timestamp with time zone,
    row_version text,
    reason text,
    rests integer DEFAULT 0 NOT NULL,
    model text,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT api_keys_state_check CHECK ((state = ANY (ARRAY['healthy'::text, 'cooling'::text, 'disabled'::text]))),
    CONSTRAINT cooling_has_an_end CHECK (((state <> 'cooling'::text) OR (until IS NOT NULL)))
);

CREATE TABLE leadhook.attempts (
    id bigint NOT NULL,
    lead_id text NOT NULL,
    run integer NOT NULL,
    fence bigint NOT NULL,
    request_id uuid,
    outcome text NOT NULL,
    error_code text,
    reason text,
    worker text,
    source text,
    replay_id bigint,
    model text,
    prompt_version text,
    key_fingerprint text,
    calls integer,
    input_tokens integer,
    cached_tokens integer,
    output_tokens integer,
    thinking_tokens integer,
    cost_usd numeric,
    wasted boolean DEFAULT false NOT NULL,
    eligible_at timestamp with time zone,
    leased_at timestamp with time zone,
    first_call_ms integer,
    key_wait_ms integer,
    model_ms integer,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE leadhook.attempts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME leadhook.attempts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE leadhook.audit (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text NOT NULL,
    database_user text DEFAULT SESSION_USER NOT NULL,
    action text NOT NULL,
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    reason text,
    CONSTRAINT audit_action_check CHECK ((action = ANY (ARRAY['pause'::text, 'resume'::text, 'budget'::text, 'replay'::text, 'replay_stop'::text, 'backlog_release'::text, 'release_stop'::text, 'key_unpark'::text, 'sign_in'::text, 'erase'::text])))
);

ALTER TABLE leadhook.audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME leadhook.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE leadhook.budgets (
    id bigint NOT NULL,
    user_id uuid,
    daily_usd numeric NOT NULL,
    needed_usd numeric,
    spent_on date,
    settled_on date DEFAULT '1970-01-01'::date NOT NULL,
    CONSTRAINT budgets_daily_usd_check CHECK ((daily_usd >= (0)::numeric))
);

ALTER TABLE leadhook.budgets ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME leadhook.budgets_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE leadhook.controls (
    id boolean DEFAULT true NOT NULL,
    backlog text DEFAULT 'hold'::text NOT NULL,
    lease_s numeric DEFAULT 30 NOT NULL,
    renew_s numeric DEFAULT 10 NOT NULL,
    start_limit_s numeric DEFAULT 15 NOT NULL,
    max_attempts integer DEFAULT 5 NOT NULL,
    max_deaths integer DEFAULT 3 NOT NULL,
    give_up_after_s numeric DEFAULT 86400 NOT NULL,
    claim_bytes integer DEFAULT 4000000 NOT NULL,
    installed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    first_round_finished_at timestamp with time zone,
    sweep_phase text DEFAULT 'leads'::text NOT NULL,
    sweep_after_lead text DEFAULT ''::text NOT NULL,
    sweep_round_started_at timestamp with time zone,
    history text,
    leases_from timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    CONSTRAINT backlog_is_hold_or_run CHECK ((backlog = ANY (ARRAY['hold'::text, 'run'::text]))),
    CONSTRAINT controls_claim_bytes_check CHECK ((claim_bytes > 0)),
    CONSTRAINT controls_give_up_after_s_check CHECK ((give_up_after_s > (0)::numeric)),
    CONSTRAINT controls_lease_s_check CHECK ((lease_s > (0)::numeric)),
    CONSTRAINT controls_max_attempts_check CHECK ((max_attempts > 0)),
    CONSTRAINT controls_max_deaths_check CHECK ((max_deaths > 0)),
    CONSTRAINT controls_renew_s_check CHECK ((renew_s > (0)::numeric)),
    CONSTRAINT controls_start_limit_s_check CHECK ((start_limit_s > (0)::numeric)),
    CONSTRAINT controls_sweep_phase_check CHECK ((sweep_phase = ANY (ARRAY['leads'::text, 'jobs'::text]))),
    CONSTRAINT there_is_one_row CHECK (id)
);

CREATE TABLE leadhook.costs (
    day date NOT NULL,
    user_id uuid NOT NULL,
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    spent_usd numeric DEFAULT 0 NOT NULL,
    wasted_usd numeric DEFAULT 0 NOT NULL
);

CREATE TABLE leadhook.counted (
    id boolean DEFAULT true NOT NULL,
    until timestamp with time zone NOT NULL,
    CONSTRAINT there_is_one_row CHECK (id)
);

CREATE SEQUENCE leadhook.fences
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE UNLOGGED TABLE leadhook.figures (
    id boolean DEFAULT true NOT NULL,
    taken_at timestamp with time zone NOT NULL,
    figures jsonb NOT NULL,
    CONSTRAINT there_is_one_row CHECK (id)
);

CREATE TABLE leadhook.hourly_counts (
    kind text NOT NULL,
    hour timestamp with time zone NOT NULL,
    bucket smallint NOT NULL,
    leads integer NOT NULL,
    CONSTRAINT hourly_counts_kind_check CHECK ((kind = ANY (ARRAY['in'::text, 'score'::text, 'failed'::text, 'first_call'::text, 'saved'::text])))
);

CREATE TABLE leadhook.jobs (
    lead_id text NOT NULL,
    user_id uuid,
    tag text,
    state text NOT NULL,
    low_priority boolean DEFAULT false NOT NULL,
    run integer DEFAULT 1 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    deaths integer DEFAULT 0 NOT NULL,
    failing_since timestamp with time zone,
    decide_after timestamp with time zone,
    fence bigint DEFAULT 0 NOT NULL,
    claim_token uuid,
    called boolean DEFAULT false NOT NULL,
    worker text,
    leased_at timestamp with time zone,
    lease_until timestamp with time zone,
    leased_snapshot pg_snapshot,
    changed boolean DEFAULT false NOT NULL,
    available_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    eligible_at timestamp with time zone,
    source text,
    replay_id bigint,
    replay_after bigint,
    checkpoint jsonb,
    reserved_usd numeric,
    budget_id bigint,
    needed_usd numeric,
    error_code text,
    reason text,
    finished_at timestamp with time zone,
    CONSTRAINT a_dead_job_has_a_reason CHECK (((state <> 'dead'::text) OR ((error_code IS NOT NULL) AND (reason IS NOT NULL)))),
    CONSTRAINT a_ready_job_has_a_group CHECK (((state <> 'ready'::text) OR ((user_id IS NOT NULL) AND (tag IS NOT NULL)))),
    CONSTRAINT jobs_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'ready'::text, 'leased'::text, 'done'::text, 'dead'::text, 'held'::text]))),
    CONSTRAINT only_a_leased_job_has_a_lease CHECK (((state = 'leased'::text) = (lease_until IS NOT NULL))),
    CONSTRAINT only_a_leased_job_has_a_token CHECK (((state = 'leased'::text) = (claim_token IS NOT NULL)))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', autovacuum_analyze_scale_factor='0', autovacuum_analyze_threshold='5000');

CREATE TABLE leadhook.lead_groups (
    user_id uuid NOT NULL,
    tag text NOT NULL,
    lead_id text NOT NULL
);

CREATE TABLE leadhook.migrations (
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE leadhook.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME leadhook.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE leadhook.pauses (
    id bigint NOT NULL,
    user_id uuid,
    tag text,
    actor text NOT NULL,
    reason text,
    paused_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT a_tag_belongs_to_a_user CHECK (((tag IS NULL) OR (user_id IS NOT NULL)))
);

ALTER TABLE leadhook.pauses ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME leadhook.pauses_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE leadhook.ready_notes (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    low_priority boolean NOT NULL,
    user_id uuid NOT NULL,
    tag text NOT NULL,
    due_at timestamp with time zone NOT NULL
);

CREATE TABLE leadhook.releases (
    id bigint NOT NULL,
    actor text NOT NULL,
    reason text,
    user_id uuid,
    tag text,
    redo boolean DEFAULT false NOT NULL,
    lead_limit integer NOT NULL,
    groups jsonb NOT NULL,
    after_lead text DEFAULT ''::text NOT NULL,
    released integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    ended_at timestamp with time zone,
    request_id uuid,
    CONSTRAINT releases_lead_limit_check CHECK ((lead_limit > 0))
);

ALTER TABLE leadhook.releases ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME leadhook.releases_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE leadhook.replay_leads (
    replay_id bigint NOT NULL,
    lead_id text NOT NULL,
    run integer NOT NULL,
    outcome text NOT NULL,
    before jsonb,
    stopped boolean DEFAULT false NOT NULL,
    CONSTRAINT replay_leads_outcome_check CHECK ((outcome = ANY (ARRAY['queued'::text, 'queued_after'::text, 'already_queued'::text])))
);

CREATE TABLE leadhook.replays (
    id bigint NOT NULL,
    actor text NOT NULL,
    reason text,
    filter jsonb,
    lead_limit integer,
    phase text DEFAULT 'queued'::text NOT NULL,
    after_lead text DEFAULT ''::text NOT NULL,
    counts jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    request_id uuid,
    CONSTRAINT replays_lead_limit_check CHECK ((lead_limit > 0)),
    CONSTRAINT replays_phase_check CHECK ((phase = ANY (ARRAY['queueing'::text, 'queued'::text, 'stopping'::text, 'stopped'::text])))
);

ALTER TABLE leadhook.replays ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME leadhook.replays_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE leadhook.results (
    lead_id text NOT NULL,
    run integer NOT NULL,
    score integer NOT NULL,
    response text NOT NULL,
    should_contact boolean NOT NULL,
    matched text[] DEFAULT '{}'::text[] NOT NULL,
    missed text[] DEFAULT '{}'::text[] NOT NULL,
    flags text[] DEFAULT '{}'::text[] NOT NULL,
    subject text,
    message text,
    claims jsonb DEFAULT '[]'::jsonb NOT NULL,
    model text,
    prompt_version text,
    input_version text,
    written boolean NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT results_score_check CHECK (((score >= 0) AND (score <= 100)))
);

CREATE TABLE leadhook.settled_requests (
    request_id uuid NOT NULL,
    outcome text NOT NULL,
    settled_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE VIEW leadhook.spend WITH (security_invoker='true') AS
 SELECT day,
    user_id,
    sum(reserved_usd) AS reserved_usd,
    sum(spent_usd) AS spent_usd,
    sum(wasted_usd) AS wasted_usd
   FROM ( SELECT c.day,
            c.user_id,
            (0)::numeric AS reserved_usd,
            c.spent_usd,
            c.wasted_usd
           FROM leadhook.costs c
        UNION ALL
         SELECT ((now() AT TIME ZONE 'UTC'::text))::date AS timezone,
            j.user_id,
            j.reserved_usd,
            0,
            0
           FROM leadhook.jobs j
          WHERE ((j.state = 'leased'::text) AND (j.reserved_usd IS NOT NULL))) s
  GROUP BY day, user_id;

CREATE TABLE leadhook.turns (
    user_id uuid NOT NULL,
    tag text NOT NULL,
    served_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE leadhook.webhooks (
    id bigint NOT NULL,
    request_id bigint,
    message_id text NOT NULL,
    reason text NOT NULL,
    leads integer,
    sent_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    status_code integer,
    error text
);

ALTER TABLE leadhook.webhooks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME leadhook.webhooks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE leadhook.workers (
    worker text NOT NULL,
    claimed_at timestamp with time zone,
    swept_at timestamp with time zone
);

CREATE TABLE public.all_leads (
    lead_id text NOT NULL,
    user_id uuid NOT NULL,
    tag text NOT NULL,
    scrapped boolean DEFAULT false NOT NULL,
    linkedin_url text
);

CREATE TABLE public.gemini_api (
    id bigint NOT NULL,
    api_key text NOT NULL
);

ALTER TABLE public.gemini_api ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.gemini_api_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.lead_details (
    lead_id text NOT NULL,
    name text,
    title text,
    location text,
    company_name text,
    experience text,
    skills text,
    bio text,
    profile_url text,
    company_page_url text,
    sent_to_llm boolean DEFAULT false NOT NULL
);

CREATE TABLE public.llm_response (
    lead_id text NOT NULL,
    tag text,
    name text,
    linkedin_url text,
    location text,
    score integer,
    response text,
    should_contact integer,
    subject text,
    message text
);

CREATE TABLE public.prompts (
    id bigint NOT NULL,
    user_id uuid NOT NULL,
    tag text NOT NULL,
    wildnet_data text,
    scoring_criteria_and_icp text,
    message_prompt text,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.prompts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.prompts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY leadhook.pauses
    ADD CONSTRAINT a_pause_stands_once UNIQUE NULLS NOT DISTINCT (user_id, tag);

ALTER TABLE ONLY leadhook.budgets
    ADD CONSTRAINT a_user_has_one_budget UNIQUE NULLS NOT DISTINCT (user_id);

ALTER TABLE ONLY leadhook.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (fingerprint);

ALTER TABLE ONLY leadhook.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY leadhook.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY leadhook.budgets
    ADD CONSTRAINT budgets_pkey PRIMARY KEY (id);

ALTER TABLE ONLY leadhook.controls
    ADD CONSTRAINT controls_pkey PRIMARY KEY (id);

ALTER TABLE ONLY leadhook.costs
    ADD CONSTRAINT costs_pkey PRIMARY KEY (day, user_id, xact);

ALTER TABLE ONLY leadhook.counted
    ADD CONSTRAINT counted_pkey PRIMARY KEY (id);

ALTER TABLE ONLY leadhook.figures
    ADD CONSTRAINT figures_pkey PRIMARY KEY (id);

ALTER TABLE ONLY leadhook.hourly_counts
    ADD CONSTRAINT hourly_counts_pkey PRIMARY KEY (kind, hour, bucket);

ALTER TABLE ONLY leadhook.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (lead_id);

ALTER TABLE ONLY leadhook.lead_groups
    ADD CONSTRAINT lead_groups_pkey PRIMARY KEY (user_id, tag, lead_id);

ALTER TABLE ONLY leadhook.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY leadhook.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY leadhook.pauses
    ADD CONSTRAINT pauses_pkey PRIMARY KEY (id);

ALTER TABLE ONLY leadhook.ready_groups
    ADD CONSTRAINT ready_groups_pkey PRIMARY KEY (tag, user_id, low_priority);

ALTER TABLE ONLY leadhook.ready_notes
    ADD CONSTRAINT ready_notes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY leadhook.releases
    ADD CONSTRAINT releases_pkey PRIMARY KEY (id);

ALTER TABLE ONLY leadhook.releases
    ADD CONSTRAINT releases_request_id_key UNIQUE (request_id);

ALTER TABLE ONLY leadhook.replay_leads
    ADD CONSTRAINT replay_leads_pkey PRIMARY KEY (replay_id, lead_id);

ALTER TABLE ONLY leadhook.replays
    ADD CONSTRAINT replays_pkey PRIMARY KEY (id);

ALTER TABLE ONLY leadhook.replays
    ADD CONSTRAINT replays_request_id_key UNIQUE (request_id);

ALTER TABLE ONLY leadhook.results
    ADD CONSTRAINT results_pkey PRIMARY KEY (lead_id, run);

ALTER TABLE ONLY leadhook.settled_requests
    ADD CONSTRAINT settled_requests_pkey PRIMARY KEY (request_id);

ALTER TABLE ONLY leadhook.turns
    ADD CONSTRAINT turns_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY leadhook.webhooks
    ADD CONSTRAINT webhooks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY leadhook.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (worker);

ALTER TABLE ONLY public.all_leads
    ADD CONSTRAINT all_leads_pkey PRIMARY KEY (lead_id);

ALTER TABLE ONLY public.gemini_api
    ADD CONSTRAINT gemini_api_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.lead_details
    ADD CONSTRAINT lead_details_pkey PRIMARY KEY (lead_id);

ALTER TABLE ONLY public.llm_response
    ADD CONSTRAINT llm_response_pkey PRIMARY KEY (lead_id);

ALTER TABLE ONLY public.prompts
    ADD CONSTRAINT prompts_pkey PRIMARY KEY (id);

CREATE UNIQUE INDEX a_link_signs_in_once ON leadhook.audit USING btree (((parameters ->> 'link'::text))) WHERE (action = 'sign_in'::text);

CREATE INDEX attempts_by_age ON leadhook.attempts USING btree (finished_at, id);

CREATE INDEX attempts_by_lead ON leadhook.attempts USING btree (lead_id, id);

CREATE INDEX attempts_by_replay ON leadhook.attempts USING btree (replay_id) WHERE (replay_id IS NOT NULL);

CREATE INDEX audit_by_age ON leadhook.audit USING btree (at);

CREATE INDEX budgets_to_look_at ON leadhook.budgets USING btree (settled_on) WHERE ((spent_on IS NOT NULL) OR (needed_usd IS NOT NULL));

CREATE INDEX jobs_asleep ON leadhook.jobs USING btree (user_id, tag, lead_id) WHERE ((state = ANY (ARRAY['waiting'::text, 'held'::text, 'dead'::text])) OR (replay_id IS NOT NULL));

CREATE INDEX jobs_by_age ON leadhook.jobs USING btree (finished_at, lead_id) WHERE (finished_at IS NOT NULL);

CREATE INDEX jobs_by_error ON leadhook.jobs USING btree (error_code, state, lead_id) WHERE (error_code IS NOT NULL);

CREATE INDEX jobs_by_group ON leadhook.jobs USING btree (user_id, tag, lead_id) WHERE (state <> 'leased'::text);

CREATE INDEX jobs_by_state ON leadhook.jobs USING btree (state, lead_id) WHERE (state <> 'leased'::text);

CREATE INDEX jobs_claimed ON leadhook.jobs USING btree (claim_token) WHERE (claim_token IS NOT NULL);

CREATE INDEX jobs_due ON leadhook.jobs USING btree (low_priority, available_at) WHERE (state = 'ready'::text);

CREATE INDEX jobs_held ON leadhook.jobs USING btree (user_id, tag, lead_id) WHERE (state = 'held'::text);

CREATE INDEX jobs_leased ON leadhook.jobs USING btree (lease_until) WHERE (state = 'leased'::text);

CREATE INDEX jobs_of_low_priority ON leadhook.jobs USING btree (replay_id) WHERE (low_priority AND (state = ANY (ARRAY['ready'::text, 'leased'::text])));

CREATE INDEX jobs_ready ON leadhook.jobs USING btree (low_priority, user_id, tag, available_at, lead_id) WHERE (state = 'ready'::text);

CREATE INDEX jobs_suspected ON leadhook.jobs USING btree (deaths, available_at, lead_id) WHERE (deaths > 0);

CREATE INDEX jobs_turned_away ON leadhook.jobs USING btree (budget_id, needed_usd, lead_id) WHERE ((state = 'ready'::text) AND (budget_id IS NOT NULL));

CREATE INDEX jobs_undecided ON leadhook.jobs USING btree (decide_after) WHERE ((state = 'ready'::text) AND (decide_after IS NOT NULL));

CREATE INDEX jobs_without_message ON leadhook.jobs USING btree (lead_id) WHERE ((state = 'done'::text) AND (error_code IS NOT NULL));

CREATE INDEX lead_groups_by_lead ON leadhook.lead_groups USING btree (lead_id);

CREATE INDEX outbox_by_size ON leadhook.outbox USING btree (kind, n, id);

CREATE INDEX outbox_of_group ON leadhook.outbox USING btree (user_id, hashtextextended(tag, (0)::bigint)) WHERE (user_id IS NOT NULL);

CREATE INDEX outbox_to_walk ON leadhook.outbox USING btree (id) WHERE (kind <> 'leads'::text);

CREATE INDEX ready_groups_open ON leadhook.ready_groups USING btree (low_priority, user_id, tag) WHERE (NOT shut);

CREATE INDEX ready_groups_shut ON leadhook.ready_groups USING btree (user_id) WHERE shut;

CREATE INDEX ready_notes_due ON leadhook.ready_notes USING btree (low_priority, due_at);

CREATE INDEX releases_under_way ON leadhook.releases USING btree (id) WHERE (ended_at IS NULL);

CREATE INDEX replay_leads_by_lead ON leadhook.replay_leads USING btree (lead_id);

CREATE INDEX replays_under_way ON leadhook.replays USING btree (id) WHERE (phase = ANY (ARRAY['queueing'::text, 'stopping'::text]));

CREATE INDEX results_by_age ON leadhook.results USING btree (created_at DESC, lead_id);

CREATE INDEX results_flagged ON leadhook.results USING btree (created_at, lead_id) WHERE (flags <> '{}'::text[]);

CREATE INDEX settled_requests_by_age ON leadhook.settled_requests USING btree (settled_at);

CREATE INDEX webhooks_by_age ON leadhook.webhooks USING btree (sent_at);

CREATE INDEX webhooks_by_request ON leadhook.webhooks USING btree (request_id);

CREATE INDEX leadhook_unsent ON public.lead_details USING btree (lead_id) WHERE ((((sent_to_llm)::character varying)::text IS DISTINCT FROM 'true'::text) AND (octet_length(((lead_id)::character varying)::text) <= 2000));

CREATE INDEX prompts_by_user_and_tag ON public.prompts USING btree (user_id, tag, created_at DESC);

CREATE TRIGGER note_inserted AFTER INSERT ON leadhook.jobs REFERENCING NEW TABLE AS new_jobs FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_ready_jobs();

ALTER TABLE leadhook.jobs ENABLE ALWAYS TRIGGER note_inserted;

CREATE TRIGGER note_updated AFTER UPDATE ON leadhook.jobs REFERENCING NEW TABLE AS new_jobs FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_ready_jobs();

ALTER TABLE leadhook.jobs ENABLE ALWAYS TRIGGER note_updated;

CREATE TRIGGER leadhook_change AFTER INSERT OR UPDATE ON public.gemini_api FOR EACH STATEMENT EXECUTE FUNCTION leadhook.send_webhook_for_keys();

CREATE TRIGGER leadhook_delete AFTER DELETE ON public.all_leads REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes();

CREATE TRIGGER leadhook_delete AFTER DELETE ON public.lead_details REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes();

CREATE TRIGGER leadhook_insert AFTER INSERT ON public.all_leads REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes();

CREATE TRIGGER leadhook_insert AFTER INSERT ON public.lead_details REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes();

CREATE TRIGGER leadhook_insert AFTER INSERT ON public.prompts REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_prompts_changes();

CREATE TRIGGER leadhook_truncate AFTER TRUNCATE ON public.all_leads FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes();

CREATE TRIGGER leadhook_truncate AFTER TRUNCATE ON public.lead_details FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes();

CREATE TRIGGER leadhook_update AFTER UPDATE ON public.all_leads REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes();

CREATE TRIGGER leadhook_update AFTER UPDATE ON public.lead_details REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_lead_changes();

CREATE TRIGGER leadhook_update AFTER UPDATE ON public.prompts REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION leadhook.note_prompts_changes();

ALTER TABLE leadhook.api_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.attempts ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.audit ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.budgets ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.controls ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.costs ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.counted ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.figures ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.hourly_counts ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.jobs ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.lead_groups ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.migrations ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.outbox ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.pauses ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.ready_groups ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.ready_notes ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.releases ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.replay_leads ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.replays ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.results ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.settled_requests ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.turns ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.webhooks ENABLE ROW LEVEL SECURITY;

ALTER TABLE leadhook.workers ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.all_leads ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.gemini_api ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.lead_details ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.llm_response ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.prompts ENABLE ROW LEVEL SECURITY;

GRANT USAGE ON SCHEMA leadhook TO service_role;

REVOKE ALL ON FUNCTION leadhook.advance_fences(p_by bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.advance_fences(p_by bigint) TO service_role;

REVOKE ALL ON FUNCTION leadhook.advance_ids() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.advance_ids() TO service_role;

REVOKE ALL ON FUNCTION leadhook.append_to_outbox(p_lead_ids text[], p_user_ids uuid[], p_tags text[], p_inserted boolean, p_refreshed boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.apply_changes(p_lead_ids text[], p_source text, p_mode text, p_changed_at timestamp with time zone[], p_xacts xid8[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.apply_changes(p_lead_ids text[], p_source text, p_mode text, p_changed_at timestamp with time zone[], p_xacts xid8[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.apply_lead_changes(p_source text, OUT looked_at integer, OUT checked text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.apply_lead_changes(p_source text, OUT looked_at integer, OUT checked text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.apply_outbox(p_source text, p_budget interval, OUT looked_at integer, OUT checked text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.apply_outbox(p_source text, p_budget interval, OUT looked_at integer, OUT checked text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.apply_walk(p_source text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.apply_walk(p_source text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.average_usage() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.average_usage() TO service_role;

REVOKE ALL ON FUNCTION leadhook.begin_postponed_replays(p_lead_ids text[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.begin_postponed_replays(p_lead_ids text[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.begin_runs(p_leads jsonb, p_source text, p_low_priority boolean, p_replay_id bigint, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.begin_runs(p_leads jsonb, p_source text, p_low_priority boolean, p_replay_id bigint, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.blames_the_lead(p_sqlstate text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.blames_the_lead(p_sqlstate text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.book_costs(p_costs jsonb, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.book_costs(p_costs jsonb, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.budgets_left(p_now timestamp with time zone, p_user_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.budgets_left(p_now timestamp with time zone, p_user_ids uuid[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.budgets_to_look_at(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.budgets_to_look_at(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.check_admission_call(p_user_id uuid, p_tag text, p_actor text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.check_admission_call(p_user_id uuid, p_tag text, p_actor text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.check_each(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.check_each(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.check_each_result(p_results leadhook.ending[], p_busy text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.check_each_result(p_results leadhook.ending[], p_busy text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.check_eligibility(lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.check_eligibility(lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.check_results(p_results leadhook.ending[], p_busy text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.check_results(p_results leadhook.ending[], p_busy text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.check_triggers() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.check_triggers() TO service_role;

REVOKE ALL ON FUNCTION leadhook.choose_leads(p_limit integer, p_low_priority_limit integer, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.choose_leads(p_limit integer, p_low_priority_limit integer, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.choose_others(p_tried text[], p_limit integer, p_low_priority_limit integer, p_now timestamp with time zone, p_user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.choose_others(p_tried text[], p_limit integer, p_low_priority_limit integer, p_now timestamp with time zone, p_user_id uuid) TO service_role;

REVOKE ALL ON FUNCTION leadhook.claim_batch(p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_after_user uuid, p_hints text[], p_source text, p_price jsonb, p_bare boolean, p_probe boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.claim_batch(p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_after_user uuid, p_hints text[], p_source text, p_price jsonb, p_bare boolean, p_probe boolean) TO service_role;

REVOKE ALL ON FUNCTION leadhook.collect_webhook_answers(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.collect_webhook_answers(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.confirm_keys(p_fingerprints text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.confirm_keys(p_fingerprints text[]) TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.ready_groups TO service_role;

REVOKE ALL ON FUNCTION leadhook.correct_groups(p_groups leadhook.ready_groups[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.correct_groups(p_groups leadhook.ready_groups[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.count_attempts(p_now timestamp with time zone, p_budget interval) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.count_attempts(p_now timestamp with time zone, p_budget interval) TO service_role;

REVOKE ALL ON FUNCTION leadhook.count_figures(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.count_figures(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.count_held_groups(p_user_id uuid, p_tag text, p_since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.count_held_groups(p_user_id uuid, p_tag text, p_since timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.count_hours(p_since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.count_hours(p_since timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.count_slice(p_now timestamp with time zone, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.count_slice(p_now timestamp with time zone, p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.count_webhooks() FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.deal_leads(p_low_priority boolean, p_limit integer, p_each integer, p_now timestamp with time zone, p_user_ids uuid[], OUT lead_ids text[], OUT user_ids uuid[], OUT tags text[], OUT misplaced leadhook.ready_groups[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.deal_leads(p_low_priority boolean, p_limit integer, p_each integer, p_now timestamp with time zone, p_user_ids uuid[], OUT lead_ids text[], OUT user_ids uuid[], OUT tags text[], OUT misplaced leadhook.ready_groups[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.decide_moves(p_lead_ids text[], p_changed_at timestamp with time zone[], p_mode text, p_xacts xid8[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.decide_moves(p_lead_ids text[], p_changed_at timestamp with time zone[], p_mode text, p_xacts xid8[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.decide_on_demand(p_results leadhook.ending[], p_busy text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.decide_on_demand(p_results leadhook.ending[], p_busy text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.decide_replay(p_lead_ids text[], p_named boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.decide_replay(p_lead_ids text[], p_named boolean) TO service_role;

REVOKE ALL ON FUNCTION leadhook.describe_admission(p_lead_id text, p_user_id uuid, p_tag text, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.describe_admission(p_lead_id text, p_user_id uuid, p_tag text, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.describe_blocked() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.describe_blocked() TO service_role;

REVOKE ALL ON FUNCTION leadhook.describe_claim(p_token uuid, p_now timestamp with time zone, p_keys json, p_price jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.describe_claim(p_token uuid, p_now timestamp with time zone, p_keys json, p_price jsonb) TO service_role;

REVOKE ALL ON FUNCTION leadhook.describe_found(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.describe_found(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.describe_history(p_lead_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.describe_history(p_lead_id text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.describe_job(p_lead_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.describe_job(p_lead_id text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.describe_keys() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.describe_keys() TO service_role;

REVOKE ALL ON FUNCTION leadhook.describe_leads(lead_ids text[], user_ids uuid[], tags text[], most_characters integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.describe_leads(lead_ids text[], user_ids uuid[], tags text[], most_characters integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.describe_readable(p_token uuid, p_now timestamp with time zone, p_keys json, p_price jsonb, p_source text, p_bare boolean, OUT leads json, OUT prompts json, OUT keys json) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.describe_readable(p_token uuid, p_now timestamp with time zone, p_keys json, p_price jsonb, p_source text, p_bare boolean, OUT leads json, OUT prompts json, OUT keys json) TO service_role;

REVOKE ALL ON FUNCTION leadhook.describe_waiting_work(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.describe_waiting_work(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.describe_webhooks(p_webhook_ids bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.describe_webhooks(p_webhook_ids bigint[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.duration_bucket(p_ms numeric) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.duration_bucket(p_ms numeric) TO service_role;

REVOKE ALL ON FUNCTION leadhook.end_leases(p_worker text, p_endings leadhook.ending[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.end_leases(p_worker text, p_endings leadhook.ending[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.ends_the_call(p_sqlstate text, p_context text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.ends_the_call(p_sqlstate text, p_context text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.ensure_trigger(p_table text, p_event text, p_function text) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.enter_on_demand(p_results leadhook.ending[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.enter_on_demand(p_results leadhook.ending[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.erase_answered(p_answers leadhook.ending[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.erase_answered(p_answers leadhook.ending[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.erase_leads(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.erase_leads(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.estimate_end(p_waiting bigint, p_ended integer, p_since timestamp with time zone, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.estimate_end(p_waiting bigint, p_ended integer, p_since timestamp with time zone, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.existing_constraint(p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.existing_constraint(p_name text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.expire_leases(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.expire_leases(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.failing_since(p_failing_since timestamp with time zone, p_eligible_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.failing_since(p_failing_since timestamp with time zone, p_eligible_at timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.filter_leads(p_lead_ids text[], p_filter jsonb, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.filter_leads(p_lead_ids text[], p_filter jsonb, p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_answered(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_answered(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_blocked(p_now timestamp with time zone, OUT everything text, OUT budget_spent boolean, OUT payable bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_blocked(p_now timestamp with time zone, OUT everything text, OUT budget_spent boolean, OUT payable bigint[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_candidates(p_filter jsonb, p_after jsonb, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_candidates(p_filter jsonb, p_after jsonb, p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_dashboard_webhooks() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_dashboard_webhooks() TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_due(p_now timestamp with time zone, OUT fresh timestamp with time zone, OUT low_priority timestamp with time zone, OUT suspect timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_due(p_now timestamp with time zone, OUT fresh timestamp with time zone, OUT low_priority timestamp with time zone, OUT suspect timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_earliest_due(p_low_priority boolean, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_earliest_due(p_low_priority boolean, p_now timestamp with time zone) TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.outbox TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_equal_walks(p_walk leadhook.outbox) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_equal_walks(p_walk leadhook.outbox) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_excess_leads(p_lead_ids text[], p_groups text[], p_lead_bytes integer[], p_prompts_bytes integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_excess_leads(p_lead_ids text[], p_groups text[], p_lead_bytes integer[], p_prompts_bytes integer[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_flagged_leads(p_after jsonb, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_flagged_leads(p_after jsonb, p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_foreign_code() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_foreign_code() TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_groups_with_prompts(p_user_ids uuid[], p_tags text[], p_since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_groups_with_prompts(p_user_ids uuid[], p_tags text[], p_since timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_head(p_group leadhook.ready_groups, OUT available_at timestamp with time zone, OUT lead_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_head(p_group leadhook.ready_groups, OUT available_at timestamp with time zone, OUT lead_id text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_jobs(p_step text, p_filter jsonb, p_after jsonb, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_jobs(p_step text, p_filter jsonb, p_after jsonb, p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_leads_by_name(p_text text, p_after jsonb, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_leads_by_name(p_text text, p_after jsonb, p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_misplaced(p_low_priority boolean, p_now timestamp with time zone, p_user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_misplaced(p_low_priority boolean, p_now timestamp with time zone, p_user_id uuid) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_outbox_guards() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_outbox_guards() TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_pending_changes(p_lead_id text, p_user_id uuid, p_tag text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_pending_changes(p_lead_id text, p_user_id uuid, p_tag text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_place_in_queue(p_lead_id text, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_place_in_queue(p_lead_id text, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_webhooks(p_at timestamp with time zone, p_xact xid8) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_webhooks(p_at timestamp with time zone, p_xact xid8) TO service_role;

REVOKE ALL ON FUNCTION leadhook.first_due(p_low_priority boolean, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.first_due(p_low_priority boolean, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.forget_rests_for_other_models(p_model text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.forget_rests_for_other_models(p_model text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.grant_functions() FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.has_changes(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.has_changes(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.has_extension(p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.has_extension(p_name text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.has_slices() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.has_slices() TO service_role;

REVOKE ALL ON FUNCTION leadhook.healthy_keys() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.healthy_keys() TO service_role;

REVOKE ALL ON FUNCTION leadhook.held_snapshot(p_longer_than interval) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.held_snapshot(p_longer_than interval) TO service_role;

REVOKE ALL ON FUNCTION leadhook.hmac_sha256(p_key bytea, p_message bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.is_any_shut(p_user_ids uuid[], p_tags text[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.is_any_shut(p_user_ids uuid[], p_tags text[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.is_news(p_xacts xid8[], p_changed_at timestamp with time zone, p_leased_snapshot pg_snapshot, p_finished_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.is_news(p_xacts xid8[], p_changed_at timestamp with time zone, p_leased_snapshot pg_snapshot, p_finished_at timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.is_shut(p_user_id uuid, p_tag text, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.is_shut(p_user_id uuid, p_tag text, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.is_too_big(p_value anyelement, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.is_too_big(p_value anyelement, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.keep_results(p_results leadhook.ending[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.keep_results(p_results leadhook.ending[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.key_fingerprint(p_api_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.key_fingerprint(p_api_key text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.key_news(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.key_news(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.leads_of_group(p_user_id uuid, p_tag text, p_after_lead text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.leads_of_group(p_user_id uuid, p_tag text, p_after_lead text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.lease_leads(p_lead_ids text[], p_checked text[], p_snapshot pg_snapshot, p_token uuid, p_worker text, p_source text, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.lease_leads(p_lead_ids text[], p_checked text[], p_snapshot pg_snapshot, p_token uuid, p_worker text, p_source text, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.lease_next(p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_source text, p_probe boolean, p_checked text[], p_snapshot pg_snapshot, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[], OUT all_locked boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.lease_next(p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_source text, p_probe boolean, p_checked text[], p_snapshot pg_snapshot, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[], OUT all_locked boolean) TO service_role;

REVOKE ALL ON FUNCTION leadhook.list_answered(p_user_id uuid, p_tag text, p_min_score integer, p_since timestamp with time zone, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.list_answered(p_user_id uuid, p_tag text, p_min_score integer, p_since timestamp with time zone, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.list_failed_groups() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.list_failed_groups() TO service_role;

REVOKE ALL ON FUNCTION leadhook.list_held_groups(p_user_id uuid, p_tag text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.list_held_groups(p_user_id uuid, p_tag text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.list_keys() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.list_keys() TO service_role;

REVOKE ALL ON FUNCTION leadhook.list_ready_groups() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.list_ready_groups() TO service_role;

REVOKE ALL ON FUNCTION leadhook.list_replay_leads(p_replay_id bigint, p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.list_replay_leads(p_replay_id bigint, p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.list_unfinished_releases(p_waiting bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.list_unfinished_releases(p_waiting bigint) TO service_role;

REVOKE ALL ON FUNCTION leadhook.list_unfinished_replays() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.list_unfinished_replays() TO service_role;

REVOKE ALL ON FUNCTION leadhook.lock_application_rows(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.lock_application_rows(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.lock_claims() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.lock_claims() TO service_role;

REVOKE ALL ON FUNCTION leadhook.lock_jobs(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.lock_jobs(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.lock_leases(p_leases leadhook.ending[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.lock_leases(p_leases leadhook.ending[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.lock_outbox() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.lock_outbox() TO service_role;

REVOKE ALL ON FUNCTION leadhook.mark_spent_budgets(p_now timestamp with time zone, p_user_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.mark_spent_budgets(p_now timestamp with time zone, p_user_ids uuid[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.match_leads(p_filter jsonb, p_after_lead text, OUT lead_ids text[], OUT last_lead text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.match_leads(p_filter jsonb, p_after_lead text, OUT lead_ids text[], OUT last_lead text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.measure_held_leads(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.measure_held_leads(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.merge_costs(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.merge_costs(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.move_jobs(p_lead_ids text[], p_changed_at timestamp with time zone[], p_source text, p_mode text, p_xacts xid8[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.move_jobs(p_lead_ids text[], p_changed_at timestamp with time zone[], p_source text, p_mode text, p_xacts xid8[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.name_leads(p_lead_ids text[], p_user_ids uuid[], p_tags text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.name_leads(p_lead_ids text[], p_user_ids uuid[], p_tags text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.newest_prompts(p_user_ids uuid[], p_tags text[], p_most_characters integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.newest_prompts(p_user_ids uuid[], p_tags text[], p_most_characters integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.next_day(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.next_day(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.next_due_ms(p_now timestamp with time zone, p_blocked record, p_due record, p_has_keys boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.next_due_ms(p_now timestamp with time zone, p_blocked record, p_due record, p_has_keys boolean) TO service_role;

REVOKE ALL ON FUNCTION leadhook.next_leads(p_filter jsonb, p_after_lead text, p_limit integer, OUT lead_ids text[], OUT last_lead text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.next_leads(p_filter jsonb, p_after_lead text, p_limit integer, OUT lead_ids text[], OUT last_lead text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.next_suspect(p_now timestamp with time zone, OUT lead_id text, OUT available_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.next_suspect(p_now timestamp with time zone, OUT lead_id text, OUT available_at timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.next_unfailing(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.next_unfailing(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.next_users(p_low_priority boolean, p_limit integer, p_now timestamp with time zone, p_user_id uuid, OUT user_ids uuid[], OUT first_tags text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.next_users(p_low_priority boolean, p_limit integer, p_now timestamp with time zone, p_user_id uuid, OUT user_ids uuid[], OUT first_tags text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.next_walk() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.next_walk() TO service_role;

REVOKE ALL ON FUNCTION leadhook.note_action(p_actor text, p_action text, p_parameters jsonb, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.note_action(p_actor text, p_action text, p_parameters jsonb, p_reason text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.note_attempts(p_attempts jsonb, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.note_attempts(p_attempts jsonb, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.note_change(p_reason text, p_table text, p_lead_ids text[], p_user_ids uuid[], p_tags text[], p_refreshed boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.note_failed_on_demand(p_worker text, p_results leadhook.ending[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.note_failed_on_demand(p_worker text, p_results leadhook.ending[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.note_first_lease(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.note_first_lease(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.note_lead_changes() FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.note_lead_groups(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.note_lead_groups(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.note_prompts_changes() FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.note_ready_jobs() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.note_ready_jobs() TO service_role;

REVOKE ALL ON FUNCTION leadhook.note_turns(p_low_priority boolean, p_users uuid[], p_first_tags text[], p_user_ids uuid[], p_tags text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.note_turns(p_low_priority boolean, p_users uuid[], p_first_tags text[], p_user_ids uuid[], p_tags text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.note_worker(p_worker text, p_call text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.note_worker(p_worker text, p_call text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.notice_restore() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.notice_restore() TO service_role;

REVOKE ALL ON FUNCTION leadhook.pick_leads(p_low_priority boolean, p_limit integer, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.pick_leads(p_low_priority boolean, p_limit integer, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.plan_search(p_filter jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.plan_search(p_filter jsonb) TO service_role;

REVOKE ALL ON FUNCTION leadhook.post_webhooks(p_reason text, p_leads integer, p_table text) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.quarantine(p_lead_id text, p_reason text, p_source text, p_changed_at timestamp with time zone, p_token uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.quarantine(p_lead_id text, p_reason text, p_source text, p_changed_at timestamp with time zone, p_token uuid) TO service_role;

REVOKE ALL ON FUNCTION leadhook.quarantine_unreadable(p_token uuid, p_source text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.quarantine_unreadable(p_token uuid, p_source text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.queue_replay(p_replay_id bigint, p_lead_ids text[], p_named boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.queue_replay(p_replay_id bigint, p_lead_ids text[], p_named boolean) TO service_role;

REVOKE ALL ON FUNCTION leadhook.queue_slice(p_replay_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.queue_slice(p_replay_id bigint) TO service_role;

REVOKE ALL ON FUNCTION leadhook.queue_webhook(p_url text, p_secrets text, p_id text, p_body jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.read_leases(p_items jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.read_leases(p_items jsonb) TO service_role;

REVOKE ALL ON FUNCTION leadhook.read_on_demand(p_results jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.read_on_demand(p_results jsonb) TO service_role;

REVOKE ALL ON FUNCTION leadhook.read_results(p_results jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.read_results(p_results jsonb) TO service_role;

REVOKE ALL ON FUNCTION leadhook.read_value(p_value anyelement, p_characters integer, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.read_value(p_value anyelement, p_characters integer, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.read_webhook_answers(p_webhook_ids bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.read_webhook_answers(p_webhook_ids bigint[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.recall_changes(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.recall_changes(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.recent_attempts(p_token uuid, p_worker text, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.recent_attempts(p_token uuid, p_worker text, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.recent_figures(p_now timestamp with time zone, p_max_age interval) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.recent_figures(p_now timestamp with time zone, p_max_age interval) TO service_role;

REVOKE ALL ON FUNCTION leadhook.refreshes(p_operation text, p_table text) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.refuse_foreign_code() FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.release_backlog(p_user_id uuid, p_tag text, p_after_lead text, p_limit integer, p_redo boolean, OUT last_lead text, OUT released integer, OUT answered integer, OUT unwanted integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.release_backlog(p_user_id uuid, p_tag text, p_after_lead text, p_limit integer, p_redo boolean, OUT last_lead text, OUT released integer, OUT answered integer, OUT unwanted integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.reopen_groups(p_user_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.reopen_groups(p_user_ids uuid[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.require_actor(p_actor text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.require_actor(p_actor text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.reserve_leads(p_token uuid, p_lead_ids text[], p_usd numeric[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.reserve_leads(p_token uuid, p_lead_ids text[], p_usd numeric[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.resolve_endings(p_endings leadhook.ending[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.resolve_endings(p_endings leadhook.ending[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.restore_jobs(p_jobs jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.restore_jobs(p_jobs jsonb) TO service_role;

REVOKE ALL ON FUNCTION leadhook.resume_claim(p_token uuid, p_limit integer, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.resume_claim(p_token uuid, p_limit integer, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.return_leads(p_token uuid, p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.return_leads(p_token uuid, p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.return_to_outbox(p_lead_ids text[], p_changed_at timestamp with time zone[], p_refreshed boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.return_to_outbox(p_lead_ids text[], p_changed_at timestamp with time zone[], p_refreshed boolean) TO service_role;

REVOKE ALL ON FUNCTION leadhook.sample_held_leads(p_user_id uuid, p_tag text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.sample_held_leads(p_user_id uuid, p_tag text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.search_slice(p_filter jsonb, p_after jsonb, p_limit integer, OUT lead_ids text[], OUT cursors jsonb[], OUT next_cursor jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.search_slice(p_filter jsonb, p_after jsonb, p_limit integer, OUT lead_ids text[], OUT cursors jsonb[], OUT next_cursor jsonb) TO service_role;

REVOKE ALL ON FUNCTION leadhook.send_webhook(p_reason text, p_leads integer, p_table text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.send_webhook(p_reason text, p_leads integer, p_table text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.send_webhook_for_keys() FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.send_webhook_if_ready(p_reason text, p_user_id uuid, p_tag text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.send_webhook_if_ready(p_reason text, p_user_id uuid, p_tag text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.settle_budgets(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.settle_budgets(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.shut_groups(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.shut_groups(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.sign(p_secret text, p_id text, p_timestamp bigint, p_body text) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.stop_slice(p_replay_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.stop_slice(p_replay_id bigint) TO service_role;

REVOKE ALL ON FUNCTION leadhook.sum_periods(p_hours jsonb, p_unit text, p_since timestamp with time zone, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.sum_periods(p_hours jsonb, p_unit text, p_since timestamp with time zone, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.sum_replay_usage(p_replay_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.sum_replay_usage(p_replay_id bigint) TO service_role;

REVOKE ALL ON FUNCTION leadhook.sum_usage(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.sum_usage(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.summarize_durations(p_since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.summarize_durations(p_since timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.sweep_jobs(p_after_lead text, OUT last_lead text, OUT looked_at integer, OUT removed integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.sweep_jobs(p_after_lead text, OUT last_lead text, OUT looked_at integer, OUT removed integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.sweep_leads(p_after_lead text, OUT last_lead text, OUT looked_at integer, OUT made_ready integer, OUT held integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.sweep_leads(p_after_lead text, OUT last_lead text, OUT looked_at integer, OUT made_ready integer, OUT held integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.sweep_records(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.sweep_records(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.take_on_demand(p_worker text, p_results leadhook.ending[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.take_on_demand(p_worker text, p_results leadhook.ending[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.try_answer(p_answer leadhook.ending, p_until timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.try_answer(p_answer leadhook.ending, p_until timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.try_lock_sweep() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.try_lock_sweep() TO service_role;

REVOKE ALL ON FUNCTION leadhook.turn_away(p_token uuid, p_lead_ids text[], p_budget_ids bigint[], p_usd numeric[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.turn_away(p_token uuid, p_lead_ids text[], p_budget_ids bigint[], p_usd numeric[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.unqueue_replay(p_replay_id bigint, p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.unqueue_replay(p_replay_id bigint, p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.unquote(p_json text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.unquote(p_json text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.wake_turned_away(p_budget_ids bigint[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.wake_turned_away(p_budget_ids bigint[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.wake_undecided(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.wake_undecided(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.wanted_webhooks(p_leads integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.warn(p_message text) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.webhook_body(p_reason text, p_leads integer, p_table text) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.webhook_headers(p_id text, p_timestamp bigint, p_body text, p_secrets text) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.webhook_settings(OUT url_set boolean, OUT secret_set boolean, OUT pg_net boolean, OUT vault_error text, OUT foreign_code text[], OUT outbox_guards text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.webhook_settings(OUT url_set boolean, OUT secret_set boolean, OUT pg_net boolean, OUT vault_error text, OUT foreign_code text[], OUT outbox_guards text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.webhook_target(OUT url text, OUT secrets text) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.work_on_release(p_release_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.work_on_release(p_release_id bigint) TO service_role;

REVOKE ALL ON FUNCTION leadhook.work_on_replay(p_replay_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.work_on_replay(p_replay_id bigint) TO service_role;

REVOKE ALL ON FUNCTION leadhook.wrap_value(p_value anyelement, p_characters integer, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.wrap_value(p_value anyelement, p_characters integer, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.write_answers(p_answers leadhook.ending[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.write_answers(p_answers leadhook.ending[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.write_each_answer(p_answers leadhook.ending[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.write_each_answer(p_answers leadhook.ending[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.write_results(p_results leadhook.ending[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.write_results(p_results leadhook.ending[]) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_admission(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_admission(p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_answers(p_user_id uuid, p_tag text, p_min_score integer, p_since timestamp with time zone, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_answers(p_user_id uuid, p_tag text, p_min_score integer, p_since timestamp with time zone, p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_audit(p_filter jsonb, p_before bigint, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_audit(p_filter jsonb, p_before bigint, p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_backlog(p_user_id uuid, p_tag text, p_since timestamp with time zone, p_redo boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_backlog(p_user_id uuid, p_tag text, p_since timestamp with time zone, p_redo boolean) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_begin_release(p_user_id uuid, p_tag text, p_limit integer, p_redo boolean, p_actor text, p_reason text, p_request_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_begin_release(p_user_id uuid, p_tag text, p_limit integer, p_redo boolean, p_actor text, p_reason text, p_request_id uuid) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_book_evaluation(p_costs jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_book_evaluation(p_costs jsonb) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_claim(p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_after_user uuid, p_hints text[], p_source text, p_price jsonb, p_bare boolean, p_model text, p_probe boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_claim(p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_after_user uuid, p_hints text[], p_source text, p_price jsonb, p_bare boolean, p_model text, p_probe boolean) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_deliveries(p_before bigint, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_deliveries(p_before bigint, p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_evaluation_leads(p_filter jsonb, p_after_lead text, p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_evaluation_leads(p_filter jsonb, p_after_lead text, p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_explain(p_lead_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_explain(p_lead_id text) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_failures() FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_failures() TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_held_leads(p_user_id uuid, p_tag text, p_redo boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_held_leads(p_user_id uuid, p_tag text, p_redo boolean) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_keys() FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_keys() TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_lead_input(p_lead_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_lead_input(p_lead_id text) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_overview() FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_overview() TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_park_keys(p_keys jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_park_keys(p_keys jsonb) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_pause(p_user_id uuid, p_tag text, p_actor text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_pause(p_user_id uuid, p_tag text, p_actor text, p_reason text) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_progress() FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_progress() TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_redeem_link(p_link text, p_actor text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_redeem_link(p_link text, p_actor text) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_release(p_worker text, p_releases jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_release(p_worker text, p_releases jsonb) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_release_backlog(p_user_id uuid, p_tag text, p_after_lead text, p_limit integer, p_redo boolean, p_actor text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_release_backlog(p_user_id uuid, p_tag text, p_after_lead text, p_limit integer, p_redo boolean, p_actor text, p_reason text) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_renew(p_worker text, p_leases jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_renew(p_worker text, p_leases jsonb) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_replay(p_lead_ids text[], p_actor text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_replay(p_lead_ids text[], p_actor text, p_reason text) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_replay_dry_run(p_lead_ids text[], p_filter jsonb, p_limit integer, p_after_lead text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_replay_dry_run(p_lead_ids text[], p_filter jsonb, p_limit integer, p_after_lead text) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_replay_filtered(p_filter jsonb, p_limit integer, p_actor text, p_reason text, p_request_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_replay_filtered(p_filter jsonb, p_limit integer, p_actor text, p_reason text, p_request_id uuid) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_replay_preview(p_filter jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_replay_preview(p_filter jsonb) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_replay_slice() FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_replay_slice() TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_replay_status(p_replay_id bigint, p_after_lead text, p_limit integer, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_replay_status(p_replay_id bigint, p_after_lead text, p_limit integer, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_replay_stop(p_replay_id bigint, p_actor text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_replay_stop(p_replay_id bigint, p_actor text, p_reason text) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_replays(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_replays(p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_resume(p_user_id uuid, p_tag text, p_actor text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_resume(p_user_id uuid, p_tag text, p_actor text, p_reason text) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_save(p_worker text, p_results jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_save(p_worker text, p_results jsonb) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_save_on_demand(p_worker text, p_results jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_save_on_demand(p_worker text, p_results jsonb) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_search_leads(p_filter jsonb, p_after text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_search_leads(p_filter jsonb, p_after text, p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_set_budget(p_user_id uuid, p_daily_usd numeric, p_actor text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_set_budget(p_user_id uuid, p_daily_usd numeric, p_actor text, p_reason text) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_status() FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_status() TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_stop_release(p_release_id bigint, p_actor text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_stop_release(p_release_id bigint, p_actor text, p_reason text) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_sweep(p_worker text, p_budget_ms integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_sweep(p_worker text, p_budget_ms integer) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_unpark_key(p_fingerprint text, p_actor text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_unpark_key(p_fingerprint text, p_actor text, p_reason text) TO service_role;

REVOKE ALL ON FUNCTION public.rpc_get_eligible_llm_jobs() FROM PUBLIC;
GRANT ALL ON FUNCTION public.rpc_get_eligible_llm_jobs() TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.api_keys TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.attempts TO service_role;

GRANT SELECT ON SEQUENCE leadhook.attempts_id_seq TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.audit TO service_role;

GRANT SELECT ON SEQUENCE leadhook.audit_id_seq TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.budgets TO service_role;

GRANT SELECT ON SEQUENCE leadhook.budgets_id_seq TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.controls TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.costs TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.counted TO service_role;

GRANT SELECT,USAGE ON SEQUENCE leadhook.fences TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.figures TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.hourly_counts TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.jobs TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.lead_groups TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.migrations TO service_role;

GRANT SELECT ON SEQUENCE leadhook.outbox_id_seq TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.pauses TO service_role;

GRANT SELECT ON SEQUENCE leadhook.pauses_id_seq TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.ready_notes TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.releases TO service_role;

GRANT SELECT ON SEQUENCE leadhook.releases_id_seq TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.replay_leads TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.replays TO service_role;

GRANT SELECT ON SEQUENCE leadhook.replays_id_seq TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.results TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.settled_requests TO service_role;

GRANT SELECT ON TABLE leadhook.spend TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.turns TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.webhooks TO service_role;

GRANT SELECT ON SEQUENCE leadhook.webhooks_id_seq TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.workers TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.all_leads TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.gemini_api TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.lead_details TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.llm_response TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.prompts TO service_role;
