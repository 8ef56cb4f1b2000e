-- Made by `make schema` from the migrations and webhooks.sql, on Postgres 17. To read, not to run.

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

COMMENT ON COLUMN leadhook.ending.failing IS 'its calls fail, and why is not known yet';

COMMENT ON COLUMN leadhook.ending.lead IS 'of an on-demand request: what it gives of the lead; before what is stored';

COMMENT ON COLUMN leadhook.ending.lock_state IS 'locked (ours until the transaction ends), busy (another transaction has the job), past (the lease has ended), gone (no job)';

COMMENT ON COLUMN leadhook.ending.note IS 'stands in the attempt in place of reason';

COMMENT ON COLUMN leadhook.ending.ends IS 'this call ends the lease';

COMMENT ON COLUMN leadhook.ending.tag IS 'of the prompts that it was scored with; this and the following are the columns of llm_response';

CREATE FUNCTION leadhook.advance_fences(p_by bigint DEFAULT 0) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO ''
    AS $$
  select pg_catalog.setval('leadhook.fences', greatest((select max(j.fence) from leadhook.jobs as j), (select f.last_value from leadhook.fences as f)) + advance_fences.p_by)
$$;

COMMENT ON FUNCTION leadhook.advance_fences(p_by bigint) IS 'Moves the fences beyond those of all jobs, and by so many more.';

CREATE FUNCTION leadhook.advance_ids() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $_$
declare
  v_table text;
begin
  foreach v_table in array array['outbox', 'attempts', 'webhooks', 'replays', 'releases', 'pauses', 'budgets', 'audit'] loop
    execute format(
      'select pg_catalog.setval(%1$L, greatest(m.id, s.last_value)) from (select max(t.id) as id from leadhook.%2$I as t) as m cross join %1$s as s '
      'where s.last_value + s.is_called::int <= m.id', format('leadhook.%I', v_table || '_id_seq'), v_table
    );
  end loop;
end
$_$;

COMMENT ON FUNCTION leadhook.advance_ids() IS 'Moves the sequences of leadhook''s tables that are behind their rows.';

CREATE FUNCTION leadhook.append_to_outbox(p_lead_ids text[], p_user_ids uuid[], p_tags text[], p_inserted boolean, p_refreshed boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  v_lead_ids text[];
  v_slice text[];
begin
  if cardinality(p_lead_ids) <= 500 then
    insert into leadhook.outbox (kind, n, lead_ids, refreshed) values ('leads', cardinality(p_lead_ids), p_lead_ids, p_refreshed) on conflict do nothing;
  elsif p_lead_ids is not null then
    -- A slice is sought from the start of its array, so a million ids are cut twice.
    for i in 0 .. (cardinality(p_lead_ids) - 1) / 10000 loop
      v_lead_ids := p_lead_ids[10000 * i + 1 : 10000 * i + 10000];
      for j in 0 .. (cardinality(v_lead_ids) - 1) / 500 loop
        v_slice := v_lead_ids[500 * j + 1 : 500 * j + 500];
        insert into leadhook.outbox (kind, n, lead_ids, refreshed) values ('leads', cardinality(v_slice), v_slice, p_refreshed) on conflict do nothing;
      end loop;
    end loop;
  elsif p_user_ids is not null then
    insert into leadhook.outbox (kind, n, user_id, tag, prompts_inserted)
    select 'prompts', 0, g.user_id, g.tag, p_inserted
    from unnest(p_user_ids, p_tags) as g (user_id, tag)
    on conflict do nothing;
  else
    insert into leadhook.outbox (kind, n) values ('everything', 0) on conflict do nothing;
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.append_to_outbox(p_lead_ids text[], p_user_ids uuid[], p_tags text[], p_inserted boolean, p_refreshed boolean) IS 'Notes that these leads changed, 500 to a row, or the prompts of these users and tags; where both are null, that any lead may have changed.';

CREATE FUNCTION leadhook.apply_changes(p_lead_ids text[], p_source text, p_mode text, p_changed_at timestamp with time zone[] DEFAULT NULL::timestamp with time zone[], p_xacts xid8[] DEFAULT NULL::xid8[]) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_middle int := cardinality(p_lead_ids) / 2;
  v_reason text;
begin
  if cardinality(p_lead_ids) = 0 then
    return array[]::text[];
  end if;
  begin
    return leadhook.move_jobs(p_lead_ids, p_changed_at, p_source, p_mode, p_xacts);
  exception
    when others then
      if not leadhook.blames_the_lead(sqlstate) then
        raise;
      end if;
      v_reason := sqlerrm;
  end;
  if v_middle > 0 then
    return leadhook.apply_changes(p_lead_ids[:v_middle], p_source, p_mode, p_changed_at[:v_middle], p_xacts[:v_middle])
      || leadhook.apply_changes(p_lead_ids[v_middle + 1:], p_source, p_mode, p_changed_at[v_middle + 1:], p_xacts[v_middle + 1:]);
  end if;
  perform leadhook.quarantine(p_lead_ids[1], v_reason, p_source, p_changed_at[1]);
  return array[]::text[];
end
$$;

COMMENT ON FUNCTION leadhook.apply_changes(p_lead_ids text[], p_source text, p_mode text, p_changed_at timestamp with time zone[], p_xacts xid8[]) IS 'Brings the jobs of these leads in line with the application''s tables. p_changed_at, p_xacts: when and by which transaction each changed; null: now.';

CREATE FUNCTION leadhook.apply_lead_changes(p_source text) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
  v_outbox int;
  v_lead_ids text[];
  v_changed_at timestamptz[];
  v_xacts xid8[];
  v_refreshed boolean;
begin
  with smallest as (
    select t.id, t.n, t.refreshed
    from leadhook.outbox as t
    where t.kind = 'leads' and (t.not_before is null or t.not_before <= clock_timestamp())
    order by t.n, t.id
    limit 500
  ),
  fitting as (
    select s.id
    from (
      select s.id, sum(s.n) over by_size as total, row_number() over by_size as place
      from smallest as s
      where s.refreshed = (select f.refreshed from smallest as f order by f.n, f.id limit 1)
      window by_size as (order by s.n, s.id)
    ) as s
    where s.total <= 500 or s.place = 1
  ),
  taken as (
    delete from leadhook.outbox as t where t.id = any (array(select f.id from fitting as f)) returning t.lead_ids, t.changed_at, t.xact, t.refreshed
  ),
  named as (
    select i.lead_id, t.xact, max(t.changed_at) as changed_at
    from taken as t
    cross join lateral unnest(t.lead_ids) as i (lead_id)
    where i.lead_id is not null
    group by i.lead_id, t.xact
  )
  select (select count(*) from taken), coalesce(array_agg(n.lead_id), '{}'), coalesce(array_agg(n.changed_at), '{}'), array_agg(n.xact), (select bool_or(t.refreshed) from taken as t)
  into v_outbox, v_lead_ids, v_changed_at, v_xacts, v_refreshed
  from named as n;

  if v_outbox = 0 then
    return null;
  end if;
  perform leadhook.return_to_outbox(
    leadhook.apply_changes(v_lead_ids, p_source, case when v_refreshed then 'refresh' else 'change' end, v_changed_at, v_xacts),
    v_changed_at, v_refreshed
  );
  return (select count(distinct i) from unnest(v_lead_ids) as i);
end
$$;

CREATE FUNCTION leadhook.apply_outbox(p_source text, p_budget interval DEFAULT '00:00:00.1'::interval) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET row_security TO 'off'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_deadline timestamptz;
  v_looked_at int;
  v_slice int;
begin
  if not exists (select from leadhook.outbox) then
    return 0;
  end if;
  perform leadhook.lock_outbox();
  v_deadline := clock_timestamp() + p_budget;
  v_looked_at := coalesce(leadhook.apply_walk(p_source), 0);
  loop
    v_slice := leadhook.apply_lead_changes(p_source);
    if v_slice is null and clock_timestamp() < v_deadline then
      v_slice := leadhook.apply_walk(p_source);
    end if;
    exit when v_slice is null;
    v_looked_at := v_looked_at + v_slice;
    exit when clock_timestamp() >= v_deadline;
  end loop;
  return v_looked_at;
end
$$;

COMMENT ON FUNCTION leadhook.apply_outbox(p_source text, p_budget interval) IS 'Folds outbox rows into jobs until the budget of clock time is used up, at least one slice of each kind. Returns how many leads were looked at.';

CREATE FUNCTION leadhook.apply_walk(p_source text) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
declare
  v_walks leadhook.outbox[] := leadhook.next_walk();
  v_walk leadhook.outbox := v_walks[1];
  v_slice text[];
  v_lead_ids text[];
  v_changed_at timestamptz[];
  v_xacts xid8[];
begin
  if v_walk.id is null then
    return null;
  end if;

  if v_walk.kind = 'prompts' then
    v_slice := leadhook.leads_of_group(v_walk.user_id, v_walk.tag, v_walk.after_lead);
  else
    v_slice := array(
      select j.lead_id from leadhook.jobs as j where j.lead_id > v_walk.after_lead order by j.lead_id limit 500
    );
  end if;

  delete from leadhook.outbox as t
  where t.id in (select w.id from unnest(v_walks) as w) and case
    when t.until_lead is null then v_slice[500] is null
    else t.after_lead < t.until_lead and (v_slice[500] is null or v_slice[500] >= t.until_lead)
  end;
  -- A new id: the next turn is that of the others.
  update leadhook.outbox as t
  set id = default, after_lead = coalesce(v_slice[500], '')
  where t.id in (select w.id from unnest(v_walks) as w);

  -- Only where dead leads may be woken does it matter when each of the equal changes was made.
  select coalesce(array_agg(s.lead_id), '{}'), array_agg(w.changed_at), array_agg(w.xact)
  into v_lead_ids, v_changed_at, v_xacts
  from unnest(v_slice) as s (lead_id)
  cross join unnest(v_walks) as w
  where v_walk.prompts_inserted or w.id = v_walk.id;
  perform leadhook.return_to_outbox(
    leadhook.apply_changes(
      v_lead_ids, p_source,
      case when v_walk.kind = 'everything' then 'check' when v_walk.prompts_inserted then 'wake_all' else 'wake' end, v_changed_at, v_xacts
    ),
    v_changed_at
  );
  return cardinality(v_slice);
end
$$;

CREATE FUNCTION leadhook.average_usage() RETURNS TABLE(calls numeric, input_tokens numeric, cached_tokens numeric, output_tokens numeric, thinking_tokens numeric, cost_usd numeric, model_ms numeric)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
  select
    avg(t.calls), avg(t.input_tokens), avg(t.cached_tokens), avg(t.output_tokens), avg(t.thinking_tokens),
    avg(t.cost_usd), avg(t.model_ms)
  from (
    select r.* from (select a.* from leadhook.attempts as a order by a.id desc limit 5000) as r
    where r.outcome = 'saved' and r.calls > 0
    limit 1000
  ) as t
$$;

COMMENT ON FUNCTION leadhook.average_usage() IS 'Of one of the last 1000 leads that were scored; nulls where none was lately.';

CREATE FUNCTION leadhook.begin_postponed_replays(p_lead_ids text[], p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
  v_leads jsonb := (
    select jsonb_agg(jsonb_build_object('lead_id', j.lead_id, 'user_id', j.user_id, 'tag', j.tag))
    from leadhook.jobs as j
    where j.lead_id = any (p_lead_ids) and j.replay_after is not null and j.state in ('waiting', 'done', 'dead')
  );
begin
  if v_leads is not null then
    perform leadhook.begin_runs(v_leads, 'replay', true, null, p_now);
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.begin_postponed_replays(p_lead_ids text[], p_now timestamp with time zone) IS 'Begins the replays that were requested while these leads were leased, where their run is over.';

CREATE FUNCTION leadhook.begin_runs(p_leads jsonb, p_source text, p_low_priority boolean, p_replay_id bigint, p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS $$
declare
  v_lead_ids text[] := array(select l.lead_id from jsonb_to_recordset(p_leads) as l (lead_id text));
begin
  if v_lead_ids = '{}' then
    return;
  end if;
  update leadhook.jobs as j
  set
    state = 'ready',
    user_id = l.user_id,
    tag = l.tag,
    low_priority = p_low_priority,
    run = j.run + (j.state in ('done', 'dead') or j.replay_after is not null)::int,
    attempts = 0,
    available_at = p_now,
    eligible_at = coalesce(l.eligible_at, p_now),
    source = p_source,
    replay_id = coalesce(p_replay_id, j.replay_after),
    replay_after = null,
    changed = false,
    budget_id = null,
    needed_usd = null,
    checkpoint = case when j.state <> 'done' or j.error_code is not null then j.checkpoint end,
    error_code = null,
    reason = null,
    finished_at = null
  from jsonb_to_recordset(p_leads) as l (lead_id text, user_id uuid, tag text, eligible_at timestamptz)
  where j.lead_id = any (v_lead_ids) and j.lead_id = l.lead_id;
end
$$;

COMMENT ON FUNCTION leadhook.begin_runs(p_leads jsonb, p_source text, p_low_priority boolean, p_replay_id bigint, p_now timestamp with time zone) IS 'Makes the jobs of these leads [{lead_id, user_id, tag, eligible_at}] ready, locked by the caller and not leased. After done and dead it is a new run. What was paid for is kept unless it is saved: of a job that is done with an error_code, the message is still missing.';

CREATE FUNCTION leadhook.blames_the_lead(p_sqlstate text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select left(p_sqlstate, 2) not in ('08', '0A', '25', '28', '3D', '3F', '40', '42', '53', '55', '57', '58') and p_sqlstate <> 'XX000'
$$;

CREATE FUNCTION leadhook.book_costs(p_costs jsonb, p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
begin
  insert into leadhook.costs as c (day, user_id, spent_usd, wasted_usd)
  select
    (p_now at time zone 'UTC')::date,
    coalesce(b.user_id, '00000000-0000-0000-0000-000000000000'),
    sum(b.cost_usd),
    coalesce(sum(b.cost_usd) filter (where b.wasted), 0)
  from jsonb_to_recordset(p_costs) as b (user_id uuid, cost_usd numeric, wasted boolean)
  where b.cost_usd > 0
  group by 2
  on conflict (day, user_id, xact) do update
  set spent_usd = c.spent_usd + excluded.spent_usd, wasted_usd = c.wasted_usd + excluded.wasted_usd;
end
$$;

COMMENT ON FUNCTION leadhook.book_costs(p_costs jsonb, p_now timestamp with time zone) IS 'Adds costs [{user_id, cost_usd, wasted}] to the day.';

CREATE FUNCTION leadhook.budgets_left(p_now timestamp with time zone, p_user_ids uuid[] DEFAULT NULL::uuid[]) RETURNS TABLE(id bigint, user_id uuid, daily_usd numeric, needed_usd numeric, left_usd numeric, reserved_usd numeric)
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
  return query
  with reserved as materialized (
    select j.user_id, sum(j.reserved_usd) as usd
    from leadhook.jobs as j
    where j.state = 'leased' and j.lease_until >= (select c.leases_from from leadhook.controls as c) and j.reserved_usd > 0
    group by j.user_id
  )
  select b.id, b.user_id, b.daily_usd, b.needed_usd, b.daily_usd - coalesce(c.spent_usd, 0) - coalesce(r.usd, 0), coalesce(r.usd, 0)
  from leadhook.budgets as b
  left join (
    select o.user_id, sum(o.spent_usd) as spent_usd from leadhook.costs as o where o.day = (p_now at time zone 'UTC')::date group by o.user_id
  ) as c on c.user_id = b.user_id
  left join reserved as r on r.user_id = b.user_id
  where p_user_ids is null and b.user_id is not null
  union all
  select
    b.id, b.user_id, b.daily_usd, b.needed_usd,
    b.daily_usd - coalesce((
      select sum(c.spent_usd) from leadhook.costs as c where c.day = (p_now at time zone 'UTC')::date and c.user_id = b.user_id
    ), 0) - coalesce((select sum(r.usd) from reserved as r where r.user_id = b.user_id), 0),
    coalesce((select sum(r.usd) from reserved as r where r.user_id = b.user_id), 0)
  from (select distinct i.user_id from unnest(p_user_ids) as i (user_id)) as i
  join leadhook.budgets as b on b.user_id = i.user_id
  union all
  select
    b.id, b.user_id, b.daily_usd, b.needed_usd,
    b.daily_usd - coalesce((
      select sum(c.spent_usd) from leadhook.costs as c where c.day = (p_now at time zone 'UTC')::date
    ), 0) - coalesce((select sum(r.usd) from reserved as r), 0),
    coalesce((select sum(r.usd) from reserved as r), 0)
  from leadhook.budgets as b
  where b.user_id is null;
end
$$;

COMMENT ON FUNCTION leadhook.budgets_left(p_now timestamp with time zone, p_user_ids uuid[]) IS 'The budget of all users together (user_id null) and those of these users (null: of each), with what is left today: neither spent nor reserved by leased leads. Infinity: the budget was cleared, and leads that it turned away are still to be woken.';

CREATE FUNCTION leadhook.budgets_to_look_at(p_now timestamp with time zone) RETURNS uuid[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
begin
  return array(
    select b.user_id
    from leadhook.budgets as b
    where b.user_id is not null and (b.spent_on is not null or b.needed_usd is not null) and b.settled_on < (p_now at time zone 'UTC')::date
  );
end
$$;

COMMENT ON FUNCTION leadhook.budgets_to_look_at(p_now timestamp with time zone) IS 'The users whose budget holds something back and may not do so any more: the day or the budget changed, or money may have come back.';

CREATE FUNCTION leadhook.check_admission_call(p_user_id uuid, p_tag text, p_actor text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  perform leadhook.require_actor(p_actor);
  if p_tag is not null and p_user_id is null then
    raise exception 'a tag belongs to a user, who is missing' using errcode = 'PT400';
  end if;
  -- The claim's lock: once this has returned, no claim hands out what it forbids.
  perform leadhook.lock_claims();
end
$$;

CREATE FUNCTION leadhook.check_each(p_lead_ids text[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_middle int := cardinality(p_lead_ids) / 2;
begin
  begin
    return (select coalesce(jsonb_agg(to_jsonb(e)), '[]') from leadhook.check_eligibility(p_lead_ids) as e);
  exception when others then
    if not leadhook.blames_the_lead(sqlstate) then
      raise;
    end if;
  end;
  if v_middle = 0 then
    return jsonb_build_array(jsonb_build_object('lead_id', p_lead_ids[1], 'failed', true));
  end if;
  return leadhook.check_each(p_lead_ids[:v_middle]) || leadhook.check_each(p_lead_ids[v_middle + 1:]);
end
$$;

COMMENT ON FUNCTION leadhook.check_each(p_lead_ids text[]) IS 'check_eligibility as a JSON array; a lead whose evaluation raises is {"lead_id", "failed": true}, and the others are checked.';

CREATE FUNCTION leadhook.check_each_result(p_results leadhook.ending[], p_busy text[]) RETURNS leadhook.ending[]
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_result leadhook.ending;
  v_checked leadhook.ending[] := array[]::leadhook.ending[];
begin
  foreach v_result in array p_results loop
    begin
      v_checked := v_checked || leadhook.check_results(array[v_result], p_busy);
    exception when others then
      if not leadhook.blames_the_lead(sqlstate) then
        raise;
      end if;
      v_result.outcome := 'refused';
      v_result.error_code := 'evaluation_failed';
      v_result.reason := left(sqlerrm, 500);
      v_result.note := 'SQLSTATE ' || sqlstate;
      v_result.ends := v_result.lead_id <> all (p_busy);
      v_checked := v_checked || v_result;
    end;
  end loop;
  return v_checked;
end
$$;

COMMENT ON FUNCTION leadhook.check_each_result(p_results leadhook.ending[], p_busy text[]) IS 'As check_results, each lead for itself: one whose evaluation raises is refused, and the others go on.';

CREATE FUNCTION leadhook.check_eligibility(lead_ids text[]) RETURNS TABLE(lead_id text, known boolean, user_id uuid, tag text, scrapped boolean, has_details boolean, unsent boolean, has_prompts boolean, eligible boolean)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'on'
    SET enable_nestloop TO 'off'
    SET seq_page_cost TO '100'
    SET row_security TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  with asked as (
    select distinct i.lead_id from unnest(check_eligibility.lead_ids) as i (lead_id) where i.lead_id is not null
  ),
  details as (
    select d.lead_id, bool_or(d.sent_to_llm is not true) as unsent
    from public.lead_details as d
    where d.lead_id = any (check_eligibility.lead_ids)
    group by d.lead_id
  ),
  leads as materialized (
    select a.lead_id, (a.user_id)::uuid as user_id, (a.tag)::text as tag, a.scrapped is true as scrapped
    from public.all_leads as a
    where a.lead_id = any (check_eligibility.lead_ids)
  ),
  groups as materialized (
    select distinct l.user_id, l.tag from leads as l where l.user_id is not null and l.tag is not null
  ),
  prompted as materialized (
    select p.user_id, p.tag
    from leadhook.find_groups_with_prompts(array(select l.user_id from groups as l), array(select l.tag from groups as l)) as p
  ),
  -- Of several rows: an eligible one, then the first by user and tag. Rows that are equal so far differ in scrapped alone.
  chosen as (
    select distinct on (l.lead_id) l.lead_id, l.user_id, l.tag, l.scrapped, p.tag is not null as has_prompts
    from leads as l
    left join prompted as p on p.user_id = l.user_id and p.tag = l.tag
    order by l.lead_id, (l.scrapped and p.tag is not null) desc, l.user_id, l.tag, l.scrapped desc
  )
  select
    i.lead_id,
    c.lead_id is not null,
    c.user_id,
    c.tag,
    coalesce(c.scrapped, false),
    d.lead_id is not null,
    coalesce(d.unsent, false),
    coalesce(c.has_prompts, false),
    coalesce(c.scrapped and c.has_prompts and d.unsent, false)
  from asked as i
  left join chosen as c using (lead_id)
  left join details as d using (lead_id);
end
$$;

COMMENT ON FUNCTION leadhook.check_eligibility(lead_ids text[]) IS 'A row for each distinct id asked for: known (a row in all_leads), each condition, and eligible (all of them).';

CREATE FUNCTION leadhook.check_results(p_results leadhook.ending[], p_busy text[]) RETURNS leadhook.ending[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
declare
  v_lead_ids text[] := array(select r.lead_id from unnest(p_results) as r where r.lock_state = 'locked');
begin
  return (
    with decided as materialized (
      select
        r as result, r.lead_id, j.tag as scored_tag, e.user_id, e.tag, r.lock_state = 'locked' and r.lead_id <> all (p_busy) as ends,
        case
          when r.lock_state in ('gone', 'busy') then r.lock_state
          when r.lock_state = 'past' then case when r.outcome in ('saved', 'saved_without_message', 'unwanted', 'refused') then r.outcome else 'lease_lost' end
          when r.lead_id = any (p_busy) then 'busy'
          when not (e.known and e.has_details) then 'gone'
          when not (e.scrapped and e.has_prompts and (e.unsent or j.replay_id is not null)) then 'unwanted'
          when r.refusal ->> 'reason' is not null then 'refused'
          when r.message is null then 'saved_without_message'
          else 'saved'
        end as outcome,
        case when r.lock_state = 'past' then r.reason when r.lock_state = 'locked' then nullif(concat_ws(', ',
          case when not e.scrapped then 'not scrapped' end,
          case when not e.has_prompts then 'no prompts' end,
          case when not e.unsent and j.replay_id is null then 'already sent' end
        ), '') end as reason
      from unnest(p_results) as r
      left join leadhook.check_eligibility(v_lead_ids) as e on e.lead_id = r.lead_id and r.lock_state = 'locked'
      left join leadhook.jobs as j on j.lead_id = any (v_lead_ids) and j.lead_id = r.lead_id
    ),
    named as materialized (
      select n.lead_id, n.name, n.linkedin_url, n.location
      from (
        select array_agg(d.lead_id) as lead_ids, array_agg(d.user_id) as user_ids, array_agg(d.tag) as tags
        from decided as d
        where d.ends and d.outcome in ('saved', 'saved_without_message')
      ) as w
      cross join lateral leadhook.name_leads(w.lead_ids, w.user_ids, w.tags) as n
    )
    select coalesce(array_agg(jsonb_populate_record(d.result, jsonb_build_object(
      'outcome', d.outcome,
      -- The service has found out, over several calls, which one can't be written: it is not tried again.
      'error_code', case when r.refused then 'refused' when r.unwritten then (d.result).message_failure ->> 'code' end,
      'reason', case
        when r.refused then left((d.result).refusal ->> 'reason', 500)
        when r.unwritten then left((d.result).message_failure ->> 'reason', 500)
        else d.reason
      end,
      'note', case when r.refused then concat_ws(' ', 'SQLSTATE', (d.result).refusal ->> 'code') end,
      'ends', d.ends,
      'tag', d.scored_tag,
      'name', n.name,
      'linkedin_url', n.linkedin_url,
      'location', n.location
    ))), '{}')
    from decided as d
    left join named as n using (lead_id)
    cross join lateral (select d.ends and d.outcome = 'refused', d.ends and d.outcome = 'saved_without_message') as r (refused, unwritten)
  );
end
$$;

COMMENT ON FUNCTION leadhook.check_results(p_results leadhook.ending[], p_busy text[]) IS 'The results with what becomes of each, checked after the locks; a replay ignores that the lead was sent before. ends: this call ends the lease. The tag is that of the prompts which it was checked by.';

CREATE FUNCTION leadhook.choose_leads(p_limit integer, p_low_priority_limit integer, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
  v_suspect text := (
    select s.lead_id
    from leadhook.next_suspect(p_now) as s
    where s.available_at <= p_now and leadhook.lock_jobs(array[s.lead_id]) = '{}'
  );
  v_fresh record;
  v_last record;
begin
  if v_suspect is not null then
    lead_ids := array[v_suspect];
    return;
  end if;
  v_fresh := leadhook.pick_leads(false, p_limit, p_now, p_user_id);
  -- Both go on behind the same user: the low-priority ones would else be dealt from wherever the last fresh one came.
  v_last := leadhook.pick_leads(true, least(p_low_priority_limit, p_limit - cardinality(v_fresh.lead_ids)), p_now, p_user_id);
  lead_ids := v_fresh.lead_ids || v_last.lead_ids;
  if v_last.lead_ids = '{}' then
    v_last := v_fresh;
  end if;
  if v_last.lead_ids <> '{}' then
    p_user_id := v_last.p_user_id;
  end if;
end
$$;

CREATE FUNCTION leadhook.claim_batch(p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_after_user uuid, p_hints text[], p_source text, p_price jsonb, p_bare boolean, p_probe boolean) RETURNS json
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
  v_user_id uuid := p_after_user;
  v_now timestamptz;
  v_keys json;
  v_blocked record;
  v_spent record;
  v_blocked_by text;
  v_unfailing text;
  v_lead_ids text[];
  v_chosen record;
  v_batch record;
  v_locked boolean := false;
  v_has_more boolean;
begin
  perform leadhook.apply_outbox(p_source);
  perform leadhook.apply_changes(p_hints, 'hint', 'hint');
  v_now := clock_timestamp();
  v_keys := (select json_agg(k) from leadhook.healthy_keys() as k);

  v_blocked := leadhook.find_blocked(v_now);
  if exists (select from leadhook.jobs as j where j.claim_token = p_token) then
    perform leadhook.resume_claim(p_token, p_limit, v_now);
  else
    perform leadhook.expire_leases(v_now);
    perform leadhook.settle_budgets(v_now);
    perform leadhook.wake_turned_away(v_blocked.payable, v_now) where v_blocked.everything is null and v_blocked.payable <> '{}';
    perform leadhook.list_ready_groups();
    -- A service that names no price at all is older than the budgets, and shares the work with its successor for the time of a deploy.
    v_blocked_by := case
      when p_price is not null and not p_price ? 'lead_usd' and exists (select from leadhook.budgets as b where b.daily_usd < 'Infinity') then 'unpriced' else v_blocked.everything
    end;
    if v_keys is not null and v_blocked_by is null then
      v_unfailing := case when p_probe then leadhook.next_unfailing(v_now) end;
      v_chosen := leadhook.choose_leads(p_limit, p_low_priority_limit, v_now, v_user_id);
      v_lead_ids := case when v_unfailing is null then v_chosen.lead_ids else array[v_unfailing] end;
      v_user_id := v_chosen.p_user_id;
      if not leadhook.lease_leads(v_lead_ids, p_token, p_worker, p_source, v_now) then
        v_locked := leadhook.lease_others(v_lead_ids, p_token, p_worker, p_limit, p_low_priority_limit, p_source, v_now, v_user_id);
      end if;
    end if;
  end if;
  if v_keys is null then
    perform leadhook.return_leads(p_token, null);
  end if;
  v_batch := leadhook.describe_readable(p_token, v_now, v_keys, p_price, p_source, p_bare);
  perform leadhook.note_worker(p_worker, 'claim');
  perform leadhook.mark_spent_budgets(v_now, array(select j.user_id from leadhook.jobs as j where j.claim_token = p_token));
  v_spent := leadhook.find_blocked(v_now);
  v_has_more := leadhook.has_changes(v_now) or v_keys is not null and not v_locked and v_blocked_by is distinct from 'unpriced'
    and v_spent.everything is null
    and leadhook.has_due(p_low_priority_limit > 0, v_now)
    -- There is no haste to look at more where a budget turned away all that was chosen.
    and not (v_batch.leads::text = '[]' and exists (
      select from leadhook.jobs as j where j.lead_id = any (v_lead_ids) and j.state = 'ready' and j.budget_id is not null
    ));
  return (
    select json_build_object(
      'busy', false,
      'has_more', v_has_more,
      'leads', v_batch.leads,
      'prompts', v_batch.prompts,
      'keys', v_batch.keys,
      'attempts', leadhook.recent_attempts(p_token, p_worker, v_now),
      'blocked_by', coalesce(v_blocked_by, v_spent.everything),
      'last_user', v_user_id,
      'figures', leadhook.recent_figures(v_now),
      'next_due_ms', case when v_has_more then 0 when v_locked then 1000 when v_blocked_by = 'unpriced' then null else leadhook.next_due_ms(v_now, v_spent) end,
      'replays_wait', leadhook.has_slices(),
      'lease_ms', round(c.lease_s * 1000)::int,
      'renew_ms', round(c.renew_s * 1000)::int,
      'start_limit_ms', round(c.start_limit_s * 1000)::int,
      'give_up_after_ms', round(c.give_up_after_s * 1000)::bigint,
      'max_attempts', c.max_attempts
    )
    from leadhook.controls as c
  );
end
$$;

CREATE FUNCTION leadhook.collect_webhook_answers(p_now timestamp with time zone) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
  update leadhook.webhooks as r
  set status_code = h.status_code,
    error = left(coalesce(h.error, case when h.timed_out then 'timed out' end), 500)
  from leadhook.webhook_answers(array(
    select w.id from leadhook.webhooks as w
    where w.sent_at > p_now - interval '7 hours' and w.status_code is null and w.error is null and w.request_id is not null
  )) as h
  where h.webhook_id = r.id and (h.status_code is not null or h.error is not null or h.timed_out)
$$;

COMMENT ON FUNCTION leadhook.collect_webhook_answers(p_now timestamp with time zone) IS 'Notes what became of each webhook, before pg_net forgets it.';

CREATE FUNCTION leadhook.confirm_keys(p_fingerprints text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
begin
  insert into leadhook.api_keys as k (fingerprint, state, row_version, changed_at)
  select g.fingerprint, 'healthy', g.row_version, clock_timestamp()
  from (
    select
      leadhook.key_fingerprint(r.api_key) as fingerprint,
      max(r.xmin::text) as row_version,
      array_agg(r.xmin::text) as row_versions
    from public.gemini_api as r
    group by 1
  ) as g
  where g.fingerprint = any (p_fingerprints) and not exists (
    select from leadhook.api_keys as s
    where s.fingerprint = g.fingerprint and (s.row_version is null or s.row_version = any (g.row_versions)) and case s.state
      when 'healthy' then s.changed_at > clock_timestamp() - interval '1 min' when 'cooling' then s.until > clock_timestamp() else true
    end
  )
  order by g.fingerprint
  on conflict (fingerprint) do update
  set state = excluded.state, until = null, row_version = excluded.row_version, reason = null, rests = 0, model = null,
    changed_at = excluded.changed_at
  where k.row_version is distinct from excluded.row_version and k.row_version is not null
    or k.state = 'cooling' and k.until <= clock_timestamp() or k.state = 'healthy';
end
$$;

COMMENT ON FUNCTION leadhook.confirm_keys(p_fingerprints text[]) IS 'Marks keys as healthy that a call has succeeded with; those that rest or are disabled stay so. A success is noted once a minute.';

CREATE TABLE leadhook.ready_groups (
    low_priority boolean NOT NULL,
    user_id uuid NOT NULL,
    tag text NOT NULL,
    due_at timestamp with time zone NOT NULL,
    lead_id text DEFAULT ''::text NOT NULL,
    shut boolean DEFAULT false NOT NULL
);

COMMENT ON COLUMN leadhook.ready_groups.due_at IS 'with lead_id a bound: no ready lead of the group comes before it, by (available_at, lead_id)';

COMMENT ON COLUMN leadhook.ready_groups.shut IS 'a claim found it or its user paused, or the user''s budget spent; what ends that opens it again';

CREATE FUNCTION leadhook.correct_groups(p_groups leadhook.ready_groups[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  delete from leadhook.ready_groups as g
  using unnest(p_groups) as n
  where n.lead_id is null and g.tag = n.tag and g.user_id = n.user_id and g.low_priority = n.low_priority;
  update leadhook.ready_groups as g
  set due_at = n.due_at, lead_id = n.lead_id
  from unnest(p_groups) as n
  where n.lead_id is not null and g.tag = n.tag and g.user_id = n.user_id and g.low_priority = n.low_priority;
end
$$;

COMMENT ON FUNCTION leadhook.correct_groups(p_groups leadhook.ready_groups[]) IS 'Sets the places of groups, each that of its first ready lead, or, where lead_id is null, removes the group. Under the claim lock.';

CREATE FUNCTION leadhook.count_attempts(p_now timestamp with time zone, p_budget interval) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_deadline timestamptz := clock_timestamp() + p_budget;
begin
  while leadhook.count_slice(p_now, 250) and clock_timestamp() < v_deadline loop
    null;
  end loop;
end
$$;

COMMENT ON FUNCTION leadhook.count_attempts(p_now timestamp with time zone, p_budget interval) IS 'Counts attempts for about so long, one slice at least.';

CREATE FUNCTION leadhook.count_figures(p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
  v_keys jsonb;
begin
  begin
    v_keys := (
      select jsonb_build_object('healthy', k.healthy, 'cooling', k.cooling, 'disabled', k.disabled) from leadhook.key_states() as k
    );
  exception when undefined_table or undefined_column or insufficient_privilege then
    v_keys := '{"healthy": 0, "cooling": 0, "disabled": 0}';
  end;
  return jsonb_build_object(
    'jobs', jsonb_build_object(
      'waiting', (select count(*) from (select from leadhook.jobs as j where j.state = 'waiting' limit 10000) as n),
      'held', (select count(*) from (select from leadhook.jobs as j where j.state = 'held' limit 10000) as n),
      'dead', (select count(*) from (select from leadhook.jobs as j where j.state = 'dead' limit 10000) as n),
      'leased', (select count(*) from (select from leadhook.jobs as j where j.state = 'leased' limit 10000) as n),
      'ready', (select count(*) from (select from leadhook.jobs as j where j.state = 'ready' limit 10000) as n)
    ),
    'oldest_ready_ms', (
      select jsonb_object_agg(o.priority, coalesce(greatest(0, floor(extract(epoch from p_now - o.since) * 1000)), 0)::bigint)
      from (values
        ('normal', (select min(j.available_at) from leadhook.jobs as j where j.state = 'ready' and not j.low_priority and isfinite(j.available_at))),
        ('low', (select min(j.available_at) from leadhook.jobs as j where j.state = 'ready' and j.low_priority and isfinite(j.available_at)))
      ) as o (priority, since)
    ),
    'outbox', (select count(*) from (select from leadhook.outbox as t limit 10000) as n),
    'keys', v_keys
  );
end
$$;

COMMENT ON FUNCTION leadhook.count_figures(p_now timestamp with time zone) IS 'Counts what operators watch; some milliseconds.';

CREATE FUNCTION leadhook.count_hours(p_since timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
  with counts as (
    select h.hour, h.kind, h.bucket, h.leads
    from leadhook.hourly_counts as h
    where h.kind in ('in', 'score', 'failed') and h.hour >= count_hours.p_since
    union all
    select date_trunc('hour', w.eligible_at, 'UTC'), 'in', (w.source = 'sweep')::int, 1
    from (
      select j.eligible_at, j.leased_at, j.source from leadhook.jobs as j where j.state = 'ready' and not j.low_priority order by j.available_at limit 5000
    ) as w
    where w.eligible_at >= count_hours.p_since and (w.leased_at is null or w.leased_at < w.eligible_at)
  )
  select coalesce(jsonb_agg(to_jsonb(s)), '[]')
  from (
    select
      c.hour,
      coalesce(sum(c.leads) filter (where c.kind = 'in'), 0) as leads_in,
      coalesce(sum(c.leads) filter (where c.kind = 'in' and c.bucket = 1), 0) as by_sweep,
      coalesce(sum(c.leads) filter (where c.kind = 'score'), 0) as scored,
      coalesce(sum(c.leads) filter (where c.kind = 'score' and c.bucket >= 5), 0) as contact,
      coalesce(sum(c.leads) filter (where c.kind = 'failed'), 0) as failed
    from counts as c
    group by c.hour
  ) as s
$$;

COMMENT ON FUNCTION leadhook.count_hours(p_since timestamp with time zone) IS 'The figures of each hour since p_since that has any.';

CREATE FUNCTION leadhook.count_slice(p_now timestamp with time zone, p_most integer) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
declare
  v_after timestamptz := (select c.until from leadhook.counted as c for no key update skip locked);
  v_until timestamptz := p_now - interval '10 seconds';
begin
  if v_after is null or v_after >= v_until then
    return false;
  end if;
  v_after := greatest(v_after, p_now - interval '31 days');
  v_until := least(v_until, (
    select t.finished_at from leadhook.attempts as t where t.finished_at > v_after order by t.finished_at, t.id offset p_most limit 1
  ));
  with ended as materialized (
    select
      t.finished_at, t.eligible_at, t.source, t.first_call_ms, r.score,
      t.outcome in ('dead', 'refused') or t.error_code = 'worker_lost' as failed,
      t.eligible_at is not null and t.replay_id is null and t.source not in ('replay', 'release') as fresh,
      not exists (select from leadhook.attempts as e where e.lead_id = t.lead_id and e.run = t.run and e.id < t.id) as first
    from leadhook.attempts as t
    left join leadhook.results as r on t.outcome in ('saved', 'saved_without_message') and r.lead_id = t.lead_id and r.run = t.run
    where t.finished_at > v_after and t.finished_at <= v_until
  )
  insert into leadhook.hourly_counts as h (kind, hour, bucket, leads)
  select c.kind, date_trunc('hour', c.at, 'UTC'), c.bucket, count(*)
  from ended as e
  cross join lateral (values
    ('in', e.eligible_at, (e.source = 'sweep')::int, e.fresh and e.first),
    ('score', e.finished_at, least(e.score / 10, 9), e.score is not null),
    ('failed', e.finished_at, 0, e.failed),
    ('first_call', e.finished_at, leadhook.duration_bucket(e.first_call_ms), e.fresh and e.first and e.first_call_ms is not null),
    ('saved', e.finished_at, leadhook.duration_bucket(extract(epoch from e.finished_at - e.eligible_at) * 1000), e.fresh and e.score is not null)
  ) as c (kind, at, bucket, applies)
  where c.applies
  group by 1, 2, 3
  on conflict (kind, hour, bucket) do update set leads = h.leads + excluded.leads;
  update leadhook.counted as c set until = v_until where c.id;
  return v_until < p_now - interval '10 seconds';
end
$$;

COMMENT ON FUNCTION leadhook.count_slice(p_now timestamp with time zone, p_most integer) IS 'Adds the next p_most attempts to leadhook.hourly_counts, and returns whether there are more; nothing while another call does so.';

CREATE FUNCTION leadhook.count_webhooks() RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  v_mark text := current_setting('leadhook.webhook_sent', true);
begin
  if v_mark ~ '^\d+:[1-8]$' and split_part(v_mark, ':', 1) = pg_current_xact_id()::text then
    return right(v_mark, 1)::int;
  end if;
  return 0;
end
$_$;

COMMENT ON FUNCTION leadhook.count_webhooks() IS 'How many webhooks this transaction has sent, or tried to.';

CREATE FUNCTION leadhook.dashboard_webhooks() RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select coalesce(array_agg(distinct c.relname::text order by c.relname::text), '{}')
  from pg_catalog.pg_trigger as t
  join pg_catalog.pg_class as c on c.oid = t.tgrelid
  join pg_catalog.pg_proc as f on f.oid = t.tgfoid
  join pg_catalog.pg_namespace as s on s.oid = f.pronamespace
  where c.relnamespace = 'public'::regnamespace and c.relname in ('all_leads', 'lead_details', 'prompts')
    and t.tgenabled in ('O', 'A') and s.nspname = 'supabase_functions' and f.proname = 'http_request'
$$;

COMMENT ON FUNCTION leadhook.dashboard_webhooks() IS 'The watched tables that have a plain webhook from Supabase''s dashboard.';

CREATE FUNCTION leadhook.deal_leads(p_low_priority boolean, p_limit integer, p_each integer, p_now timestamp with time zone, p_user_ids uuid[], OUT lead_ids text[], OUT user_ids uuid[], OUT tags text[], OUT misplaced leadhook.ready_groups[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  with groups as materialized (
    select u.place, g.tag <= last.tag as wrapped, g.*
    from unnest(p_user_ids) with ordinality as u (user_id, place)
    cross join lateral (select coalesce((select t.tag from leadhook.turns as t where t.user_id = u.user_id), '') as tag) as last
    cross join lateral (
      (
        select g.*
        from leadhook.ready_groups as g
        where g.low_priority = p_low_priority and not g.shut and g.due_at <= p_now and g.user_id = u.user_id and g.tag > last.tag
        order by g.tag
        limit p_each
      )
      union all
      (
        select g.*
        from leadhook.ready_groups as g
        where g.low_priority = p_low_priority and not g.shut and g.due_at <= p_now and g.user_id = u.user_id and g.tag <= last.tag
        order by g.tag
        limit p_each
      )
      limit p_each
    ) as g
  ),
  heads as materialized (
    select g.place, g.wrapped, g.user_id, g.tag, g.due_at, g.lead_id as from_lead, w.lead_id, w.available_at, coalesce(w.nth, 1) as nth
    from groups as g
    left join lateral (
      select w.lead_id, w.available_at, row_number() over (order by w.available_at, w.lead_id) as nth
      from (
        select j.lead_id, j.available_at
        from leadhook.jobs as j
        where j.state = 'ready' and j.deaths = 0 and j.low_priority = p_low_priority and j.user_id = g.user_id and j.tag = g.tag
          and (j.available_at, j.lead_id) >= (g.due_at, g.lead_id)
        order by j.available_at, j.lead_id
        limit p_each
      ) as w
    ) as w on true
  ),
  dealt as (
    select h.*, row_number() over (order by h.round, h.place) as slot
    from (
      select h.user_id, h.tag, h.lead_id, h.place, row_number() over (partition by h.place order by h.nth, h.wrapped, h.tag) as round
      from heads as h
      where h.available_at <= p_now
    ) as h
    where h.round <= p_each
  )
  select coalesce(array_agg(d.lead_id order by d.slot), '{}'), array_agg(d.user_id order by d.slot), array_agg(d.tag order by d.slot), (
    select coalesce(array_agg((p_low_priority, h.user_id, h.tag, h.available_at, h.lead_id, false)::leadhook.ready_groups), '{}')
    from heads as h
    where h.nth = 1 and (
      (h.available_at <= p_now) is not true or (h.available_at, h.lead_id) > (h.due_at, h.from_lead) and random() < 0.03
    )
  )
  into lead_ids, user_ids, tags, misplaced
  from dealt as d
  where d.slot <= p_limit;
end
$$;

COMMENT ON FUNCTION leadhook.deal_leads(p_low_priority boolean, p_limit integer, p_each integer, p_now timestamp with time zone, p_user_ids uuid[], OUT lead_ids text[], OUT user_ids uuid[], OUT tags text[], OUT misplaced leadhook.ready_groups[]) IS 'Up to p_limit due leads of these users, one by one to the users, up to p_each for each, and to a user from one of its tags after the other; misplaced: groups that were looked at, with the places that they should have.';

CREATE FUNCTION leadhook.decide_moves(p_lead_ids text[], p_changed_at timestamp with time zone[], p_mode text, p_xacts xid8[] DEFAULT NULL::xid8[]) RETURNS TABLE(lead_id text, user_id uuid, tag text, changed_at timestamp with time zone, replayable boolean, was text, becomes text)
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  with asked as materialized (
    select i.lead_id, max(i.changed_at) as changed_at, array_agg(i.xact) as xacts
    from unnest(p_lead_ids, p_changed_at, p_xacts) as i (lead_id, changed_at, xact)
    group by i.lead_id
  ),
  checked as materialized (
    select e.*, e.known and e.has_details as registered, e.scrapped and e.has_prompts and e.has_details as replayable
    from leadhook.check_eligibility(p_lead_ids) as e
  ),
  groups as (
    select distinct e.user_id, e.tag from checked as e where p_mode = 'hold' and e.eligible
  ),
  -- Whose leads are no backlog: someone asked for them after the installation.
  asked_for as materialized (
    select g.user_id, g.tag
    from leadhook.find_groups_with_prompts(
      array(select l.user_id from groups as l), array(select l.tag from groups as l), (select c.installed_at from leadhook.controls as c)
    ) as g
  )
  select
    e.lead_id, e.user_id, e.tag, a.changed_at, e.replayable, j.state,
    case
      when not e.registered then case when p_mode not in ('hint', 'sweep', 'hold') then 'erased' end
      when j.state = 'leased' then case when p_mode in ('change', 'refresh', 'wake_all') and n.is_news then 'changed' end
      when e.eligible and (
        j.state is null
        or j.state = 'waiting'
        or j.state = 'done' and p_mode in ('change', 'refresh', 'sweep', 'hold')
        or j.state = 'held' and (
          p_mode = 'change' or p_mode = 'wake_all' and e.lead_id <> all ((select leadhook.find_answered(p_lead_ids))::text[])
        )
        or j.state = 'dead' and p_mode in ('change', 'wake_all') and n.is_news
        or j.state in ('held', 'dead') and p_mode = 'refresh' and n.is_news
      ) then case when p_mode = 'hold' and j.state is distinct from 'done' and not exists (
        select from asked_for as f where f.user_id = e.user_id and f.tag = e.tag
      ) then 'held' else 'ready' end
      when j.state is null then 'waiting'
      when j.state in ('ready', 'held') and p_mode in ('change', 'refresh', 'check')
        and not (e.eligible or e.replayable and j.replay_id is not null) then 'waiting'
      when p_mode <> 'hint' and (j.user_id, j.tag) is distinct from (e.user_id, e.tag) then j.state
      when j.state = 'ready' and j.replay_id is not null and p_mode in ('change', 'wake_all') then 'changed'
      when j.state = 'dead' and not e.eligible and p_mode in ('change', 'refresh') and n.is_news then 'changed'
    end
  from checked as e
  join asked as a on a.lead_id = e.lead_id
  left join (select k.* from leadhook.jobs as k where k.lead_id = any (p_lead_ids)) as j on j.lead_id = e.lead_id
  left join lateral (
    select case
      when p_mode = 'refresh' and e.eligible
        then j.changed or j.error_code = 'evaluation_failed' or (j.user_id, j.tag) is distinct from (e.user_id, e.tag)
      else leadhook.is_news(a.xacts, a.changed_at, j.leased_snapshot, j.finished_at)
    end as is_news
    where j.state in ('leased', 'held', 'dead')
  ) as n on true;
end
$$;

COMMENT ON FUNCTION leadhook.decide_moves(p_lead_ids text[], p_changed_at timestamp with time zone[], p_mode text, p_xacts xid8[]) IS 'What becomes of the job of each lead: a state (the same as before: only its user and tag change), changed (that is noted), erased, or null: nothing. A lead may stand in the list once for each transaction that changed it.';

CREATE FUNCTION leadhook.decide_on_demand(p_results leadhook.ending[], p_busy text[]) RETURNS leadhook.ending[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
declare
  v_lead_ids text[] := array(select r.lead_id from unnest(p_results) as r);
begin
  return (
    with stored as (
      select distinct on (f.lead_id) f.lead_id, jsonb_build_object('name', f.name, 'linkedin_url', f.profile_url, 'location', f.location) as lead
      from public.lead_details as f
      where f.lead_id = any (v_lead_ids)
      order by f.lead_id, (f.sent_to_llm is not true) desc, case when count(*) over (partition by f.lead_id) > 1 then f::text end desc
    )
    select coalesce(array_agg(jsonb_populate_record(
      r,
      jsonb_build_object('tag', j.tag) || coalesce(s.lead, '{}') || coalesce(jsonb_strip_nulls(r.lead), '{}') || jsonb_build_object(
        'registered', coalesce(e.known and e.has_details, false), 'user_id', e.user_id, 'stored_tag', e.tag,
        'outcome', o.outcome, 'error_code', case when o.unwritten then r.message_failure ->> 'code' end,
        'reason', case when o.unwritten then left(r.message_failure ->> 'reason', 500) else p.reason end, 'note', null,
        'ends', p.outcome is null and o.outcome <> 'busy'
      )
    )), '{}')
    from unnest(p_results) as r
    join leadhook.jobs as j using (lead_id)
    left join jsonb_to_recordset(leadhook.check_each(v_lead_ids)) as e (lead_id text, user_id uuid, tag text, known boolean, has_details boolean)
      using (lead_id)
    left join stored as s using (lead_id)
    left join lateral (
      select t.outcome, t.reason
      from leadhook.attempts as t
      where t.lead_id = r.lead_id and t.request_id = r.request_id
      limit 1
    ) as p on true
    cross join lateral (
      select case
        when p.outcome is not null then p.outcome
        when r.lead_id = any (p_busy) then 'busy'
        when (j.user_id is not null or j.tag is not null) and e.known is not null and not (e.known and e.has_details) then 'gone'
        when r.message is null then 'saved_without_message'
        else 'saved'
      end
    ) as d (outcome)
    cross join lateral (select d.outcome, p.outcome is null and d.outcome = 'saved_without_message') as o (outcome, unwritten)
  );
end
$$;

COMMENT ON FUNCTION leadhook.decide_on_demand(p_results leadhook.ending[], p_busy text[]) IS 'The results with what becomes of each, decided after the locks: saved, saved_without_message, busy, gone (the application has deleted the lead), or what an earlier call with this request came to. What the request gives of a lead goes before what is stored.';

CREATE FUNCTION leadhook.decide_replay(p_lead_ids text[], p_named boolean) RETURNS TABLE(lead_id text, user_id uuid, tag text, outcome text, missing text[])
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  select
    e.lead_id, e.user_id, e.tag, d.outcome, case when d.outcome = 'not_eligible' then m.missing end
  from jsonb_to_recordset(leadhook.check_each(p_lead_ids)) as e (
    lead_id text, known boolean, user_id uuid, tag text, scrapped boolean, has_details boolean, has_prompts boolean, failed boolean
  )
  cross join lateral (
    select array_remove(array[
      case when e.failed then 'evaluation' end,
      case when not e.scrapped then 'scrapped' end,
      case when not e.has_details then 'details' end,
      case when not e.has_prompts then 'prompts' end
    ], null)
  ) as m (missing)
  left join leadhook.jobs as j on j.lead_id = e.lead_id
  cross join lateral (
    select case
      when j.state = 'leased' then 'queued_after'
      when e.known is false then 'unknown'
      when m.missing <> '{}' then 'not_eligible'
      when j.state = 'ready' then 'already_queued'
      when j.state = 'held' and not p_named then 'held'
      else 'queued'
    end
  ) as d (outcome);
end
$$;

COMMENT ON FUNCTION leadhook.decide_replay(p_lead_ids text[], p_named boolean) IS 'What a replay of these leads would come to, each once: queued (run again), queued_after (once its lease ends), already_queued, held (unless it is named), not_eligible (missing: scrapped, details, prompts, or evaluation where scoring it fails) or unknown.';

CREATE FUNCTION leadhook.describe_admission(p_lead_id text, p_user_id uuid, p_tag text, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
  select jsonb_build_object(
    'pauses', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'user_id', p.user_id, 'tag', p.tag, 'actor', p.actor, 'reason', p.reason, 'paused_at', p.paused_at
      ) order by p.user_id nulls first, p.tag nulls first), '[]')
      from leadhook.pauses as p
      where p.user_id is null or p.user_id = describe_admission.p_user_id and (p.tag is null or p.tag = describe_admission.p_tag)
    ),
    'budgets', (
      select coalesce(jsonb_agg(to_jsonb(b) || jsonb_build_object('needed_usd', j.needed_usd) order by b.user_id nulls first), '[]')
      from leadhook.budgets_left(describe_admission.p_now, array[describe_admission.p_user_id]) as b
      left join leadhook.jobs as j on j.lead_id = describe_admission.p_lead_id and j.budget_id = b.id
      where b.daily_usd < 'Infinity'
    )
  )
$$;

COMMENT ON FUNCTION leadhook.describe_admission(p_lead_id text, p_user_id uuid, p_tag text, p_now timestamp with time zone) IS 'The pauses and budgets that hold for a lead of this user and tag, those of everything first. needed_usd: what it needs of a budget that turned it away.';

CREATE FUNCTION leadhook.describe_blocked() RETURNS jsonb
    LANGUAGE sql
    SET search_path TO ''
    AS $$
  select to_jsonb(b) || public.leadhook_admission(null) || jsonb_build_object(
    'groups', (select coalesce(jsonb_agg(p.user_id::text || ' ' || p.tag), '[]') from leadhook.pauses as p where p.tag is not null),
    'user_ids', (
      select coalesce(jsonb_agg(s.user_id), '[]')
      from (
        select p.user_id from leadhook.pauses as p where p.tag is null and p.user_id is not null
        union all
        select l.user_id from leadhook.budgets_left(clock_timestamp()) as l where l.user_id is not null and l.left_usd <= 0
      ) as s
    )
  )
  from leadhook.find_blocked(clock_timestamp()) as b
$$;

CREATE FUNCTION leadhook.describe_claim(p_token uuid, p_now timestamp with time zone, p_keys json, p_price jsonb) RETURNS TABLE(leads json, prompts json, keys json)
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $_$
declare
  v_lead_ids text[];
  v_groups text[];
  v_leads json[];
  v_prompts json[];
  v_lead_bytes int[];
  v_prompts_bytes int[];
  v_too_many text[];
begin
  with leased as materialized (
    select array_agg(j.lead_id) as lead_ids, array_agg(j.user_id) as user_ids, array_agg(j.tag) as tags, array_agg(j.fence) as fences
    from leadhook.jobs as j
    where j.claim_token = p_token
  ),
  described as (
    select d.lead_id, i.fence, i.user_id::text || ' ' || i.tag as group_key, d.lead, d.prompts
    from leased as l
    cross join lateral leadhook.describe_leads(l.lead_ids, l.user_ids, l.tags) as d
    join unnest(l.lead_ids, l.user_ids, l.tags, l.fences) as i (lead_id, user_id, tag, fence) using (lead_id)
  )
  select
    array_agg(d.lead_id), array_agg(d.group_key), array_agg(d.lead), array_agg(d.prompts), array_agg(octet_length(d.lead::text)),
    array_agg(octet_length(d.prompts::text))
  into v_lead_ids, v_groups, v_leads, v_prompts, v_lead_bytes, v_prompts_bytes
  from (select * from described as d order by d.fence) as d;

  -- What does not fit goes back as it came, and is the next claim's.
  if (select sum(b.bytes) from unnest(v_lead_bytes || v_prompts_bytes) as b (bytes)) > (select c.claim_bytes from leadhook.controls as c) then
    v_too_many := leadhook.find_excess_leads(v_lead_ids, v_groups, v_lead_bytes, v_prompts_bytes);
    perform leadhook.return_leads(p_token, v_too_many);
  end if;

  if p_price ? 'lead_usd' and v_lead_ids is not null then
    perform leadhook.reserve_leads(p_token, v_lead_ids, array(
      select (p_price ->> 'lead_usd')::numeric + (p_price ->> 'byte_usd')::numeric * (
        least(l.lead_bytes, (p_price ->> 'most_lead_bytes')::int) + least(l.prompts_bytes, (p_price ->> 'most_prompts_bytes')::int)
      )
      from unnest(v_lead_bytes, v_prompts_bytes) with ordinality as l (lead_bytes, prompts_bytes, place)
      order by l.place
    ), p_now);
  end if;

  return query
  with leased as materialized (
    select
      j.lead_id, j.fence, j.run, j.attempts, j.low_priority, j.source, j.checkpoint, j.reserved_usd,
      leadhook.failing_since(j.failing_since, j.eligible_at) as failing_since, j.error_code,
      coalesce(j.eligible_at, j.available_at) as eligible_at,
      dense_rank() over (order by j.user_id, j.tag) - 1 as prompts_ref
    from leadhook.jobs as j
    where j.claim_token = p_token
  ),
  claimed as (
    select l.*, d.lead, d.prompts, row_number() over (partition by l.prompts_ref order by l.fence) = 1 as opens_group
    from leased as l
    join unnest(v_lead_ids, v_leads, v_prompts) as d (lead_id, lead, prompts) using (lead_id)
  )
  select
    coalesce(json_agg(json_build_object(
      'lead_id', c.lead_id,
      'fence', c.fence,
      'token', p_token,
      'run', c.run,
      'attempts', c.attempts,
      'low_priority', c.low_priority,
      'source', c.source,
      'eligible_at', c.eligible_at,
      'waited_ms', greatest(0, floor(extract(epoch from p_now - c.eligible_at) * 1000))::bigint,
      'failing_ms', floor(extract(epoch from p_now - c.failing_since) * 1000)::bigint,
      'error_code', c.error_code,
      'lead', c.lead,
      'prompts_ref', c.prompts_ref::text,
      'checkpoint', c.checkpoint,
      'reserved_usd', c.reserved_usd
    ) order by c.fence), '[]'),
    coalesce(json_object_agg(c.prompts_ref, c.prompts) filter (where c.opens_group), '{}'),
    case when count(*) > 0 or p_keys::jsonb @? '$[*] ? (@.tried == false && @.rests == 0)' then p_keys else '[]' end
  from claimed as c;
end
$_$;

CREATE FUNCTION leadhook.describe_found(p_lead_ids text[]) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
  with details as materialized (
    select distinct on (d.lead_id) d.lead_id, left(d.name::text, 200) as name, left(d.company_name::text, 200) as company
    from public.lead_details as d
    where d.lead_id = any (describe_found.p_lead_ids)
    order by d.lead_id, (d.sent_to_llm is not true) desc, d::text desc
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'lead_id', j.lead_id, 'name', d.name, 'company', d.company, 'user_id', j.user_id, 'tag', j.tag, 'state', j.state,
    'low_priority', j.low_priority, 'run', j.run, 'attempts', j.attempts, 'error_code', j.error_code, 'reason', j.reason,
    'eligible_at', j.eligible_at, 'available_at', j.available_at, 'finished_at', j.finished_at, 'score', v.score,
    'should_contact', v.should_contact, 'flags', coalesce(to_jsonb(v.flags), '[]'), 'prompt_version', v.prompt_version
  ) order by i.place), '[]')
  from unnest(describe_found.p_lead_ids) with ordinality as i (lead_id, place)
  join leadhook.jobs as j on j.lead_id = i.lead_id
  left join details as d on d.lead_id = i.lead_id
  left join lateral (
    select r.score, r.should_contact, r.flags, r.prompt_version from leadhook.results as r where r.lead_id = i.lead_id order by r.run desc limit 1
  ) as v on true
$$;

COMMENT ON FUNCTION leadhook.describe_found(p_lead_ids text[]) IS 'These leads in their order: the job, the last result, and the name and company as they are now.';

CREATE FUNCTION leadhook.describe_history(p_lead_id text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
  with attempts as materialized (
    select
      t.id, t.run, t.outcome, t.error_code, t.reason, t.worker, t.source, t.replay_id, t.model, t.prompt_version, t.calls,
      t.input_tokens, t.cached_tokens, t.output_tokens, t.thinking_tokens, t.cost_usd, t.wasted, t.eligible_at, t.leased_at,
      t.first_call_ms, t.key_wait_ms, t.model_ms, t.key_fingerprint, t.finished_at
    from leadhook.attempts as t
    where t.lead_id = describe_history.p_lead_id
    order by t.id desc
    limit 20
  ),
  results as (
    select
      v.run, v.score, v.should_contact, v.response, v.subject, v.message, v.claims, v.matched, v.missed, v.flags, v.model, v.prompt_version,
      v.input_version, v.written, v.created_at
    from leadhook.results as v
    where v.lead_id = describe_history.p_lead_id
    order by v.run desc
    limit 20
  ),
  replays as (
    select r.id, r.actor, r.reason, r.created_at
    from leadhook.replays as r
    where r.id in (
      select a.replay_id from attempts as a
      union all
      select unnest(array[j.replay_id, j.replay_after]) from leadhook.jobs as j where j.lead_id = describe_history.p_lead_id
    )
  )
  select jsonb_build_object(
    'attempts', (select coalesce(jsonb_agg(to_jsonb(a) - 'id' order by a.id desc), '[]') from attempts as a),
    'results', (select coalesce(jsonb_agg(to_jsonb(v) order by v.run desc), '[]') from results as v),
    'replays', (select coalesce(jsonb_agg(to_jsonb(r) order by r.id desc), '[]') from replays as r)
  )
$$;

COMMENT ON FUNCTION leadhook.describe_history(p_lead_id text) IS 'The last 20 attempts and results of a lead, newest first, and the replays that it belongs to.';

CREATE FUNCTION leadhook.describe_job(p_lead_id text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
  select jsonb_build_object(
    'state', j.state, 'low_priority', j.low_priority, 'run', j.run, 'attempts', j.attempts, 'worker', j.worker, 'leased_at', j.leased_at,
    'lease_until', j.lease_until, 'available_at', j.available_at, 'decide_after', j.decide_after, 'eligible_at', j.eligible_at, 'source', j.source,
    'replay_id', j.replay_id, 'replay_after', j.replay_after, 'checkpoint', j.checkpoint is not null, 'error_code', j.error_code,
    'reason', j.reason, 'finished_at', j.finished_at
  )
  from leadhook.jobs as j
  where j.lead_id = describe_job.p_lead_id
$$;

COMMENT ON FUNCTION leadhook.describe_job(p_lead_id text) IS 'The lead''s job without its claim token; null where there is none.';

CREATE FUNCTION leadhook.describe_leads(lead_ids text[], user_ids uuid[], tags text[], most_characters integer DEFAULT NULL::integer) RETURNS TABLE(lead_id text, lead json, prompts json)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'auto'
    SET enable_seqscan TO 'on'
    SET enable_nestloop TO 'off'
    SET seq_page_cost TO '100'
    AS $$
#variable_conflict use_column
begin
  return query
  with asked as (
    select i.* from unnest(describe_leads.lead_ids, describe_leads.user_ids, describe_leads.tags) as i (lead_id, user_id, tag)
  ),
  read as materialized (
    select
      d.lead_id,
      d.sent_to_llm is not true as unsent,
      leadhook.read_value(d.name, 10000, describe_leads.most_characters) as name,
      leadhook.read_value(d.title, 10000, describe_leads.most_characters) as title,
      leadhook.read_value(d.location, 10000, describe_leads.most_characters) as location,
      leadhook.read_value(d.company_name, 10000, describe_leads.most_characters) as company_name,
      leadhook.wrap_value(d.experience, 100000, describe_leads.most_characters) as experience,
      leadhook.wrap_value(d.skills, 100000, describe_leads.most_characters) as skills,
      leadhook.read_value(d.bio, 20000, describe_leads.most_characters) as bio,
      leadhook.read_value(d.profile_url, 10000, describe_leads.most_characters) as profile_url,
      leadhook.read_value(d.company_page_url, 10000, describe_leads.most_characters) as company_page_url
    from public.lead_details as d
    where d.lead_id = any (describe_leads.lead_ids)
  ),
  details as (
    select distinct on (d.lead_id) d.*
    from read as d
    order by d.lead_id, d.unsent desc, case when count(*) over (partition by d.lead_id) > 1 then d::text end desc
  ),
  urls as (
    select distinct on (d.lead_id)
      d.lead_id,
      leadhook.read_value(d.linkedin_url, 10000, describe_leads.most_characters) as linkedin_url
    from (
      select a.lead_id, a.linkedin_url, a.scrapped is true as scrapped
      from public.all_leads as a
      join asked as i on i.lead_id = a.lead_id and i.user_id = a.user_id and i.tag = a.tag
      where a.lead_id = any (describe_leads.lead_ids)
    ) as d
    order by d.lead_id, d.scrapped desc, linkedin_url
  ),
  groups as (
    select distinct i.user_id, i.tag from asked as i
  ),
  newest as materialized (
    select p.user_id, p.tag, p.prompts
    from leadhook.newest_prompts(array(select g.user_id from groups as g), array(select g.tag from groups as g), describe_leads.most_characters) as p
  )
  select
    i.lead_id,
    json_build_object(
      'lead_id', i.lead_id,
      'tag', i.tag,
      'name', d.name,
      'title', d.title,
      'location', d.location,
      'company_name', d.company_name,
      'experience', d.experience,
      'skills', d.skills,
      'bio', d.bio,
      'profile_url', d.profile_url,
      'linkedin_url', coalesce(u.linkedin_url, d.profile_url),
      'company_page_url', d.company_page_url
    ),
    n.prompts
  from asked as i
  join details as d using (lead_id)
  left join urls as u using (lead_id)
  join newest as n using (user_id, tag);
end
$$;

COMMENT ON FUNCTION leadhook.describe_leads(lead_ids text[], user_ids uuid[], tags text[], most_characters integer) IS 'What the service needs of each lead, every value cut: to most_characters, or to what the service can use.';

CREATE FUNCTION leadhook.describe_readable(p_token uuid, p_now timestamp with time zone, p_keys json, p_price jsonb, p_source text, p_bare boolean, OUT leads json, OUT prompts json, OUT keys json) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
  if p_bare then
    leads := (
      select coalesce(json_agg(json_build_object('lead_id', j.lead_id, 'fence', j.fence) order by j.fence), '[]')
      from leadhook.jobs as j
      where j.claim_token = p_token
    );
    prompts := '{}';
    keys := '[]';
    return;
  end if;
  begin
    select d.leads, d.prompts, d.keys into leads, prompts, keys from leadhook.describe_claim(p_token, p_now, p_keys, p_price) as d;
  exception
    when others then
      if not leadhook.blames_the_lead(sqlstate) then
        raise;
      end if;
      perform leadhook.quarantine_unreadable(p_token, p_source);
      select d.leads, d.prompts, d.keys into leads, prompts, keys from leadhook.describe_claim(p_token, p_now, p_keys, p_price) as d;
  end;
end
$$;

CREATE FUNCTION leadhook.duration_bucket(p_ms numeric) RETURNS integer
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select floor(ln(greatest(p_ms, 1)::float8) / ln(1.25::float8))::int
$$;

COMMENT ON FUNCTION leadhook.duration_bucket(p_ms numeric) IS 'The power of 1.25 below a number of milliseconds.';

CREATE FUNCTION leadhook.earliest_due(p_low_priority boolean, p_now timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
declare
  v_first timestamptz;
  v_group leadhook.ready_groups;
  v_count int := 0;
begin
  for v_group in
    select g.low_priority, g.user_id, g.tag, g.due_at, g.lead_id, g.shut
    from leadhook.ready_groups as g
    where g.low_priority = p_low_priority and not g.shut
    union all
    select n.low_priority, n.user_id, n.tag, n.due_at, '', false from leadhook.ready_notes as n where n.low_priority = p_low_priority
    order by due_at
  loop
    exit when v_first <= v_group.due_at;
    if v_count >= 200 then
      return least(v_first, v_group.due_at);
    end if;
    v_count := v_count + 1;
    if not leadhook.is_shut(v_group.user_id, v_group.tag, p_now) then
      v_first := least(v_first, (leadhook.find_head(v_group)).available_at);
    end if;
  end loop;
  return v_first;
end
$$;

COMMENT ON FUNCTION leadhook.earliest_due(p_low_priority boolean, p_now timestamp with time zone) IS 'When the first ready lead of a group that is not shut is due; null: there is none. It may be named too early, never too late.';

CREATE FUNCTION leadhook.end_leases(p_worker text, p_endings leadhook.ending[], p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS $$
declare
  v_lead_ids text[] := array(select e.lead_id from unnest(p_endings) as e);
  v_outcomes jsonb;
  v_costs jsonb;
  v_replayed text[];
  v_changed text[];
begin
  with endings as materialized (
    select (r.ending).*, r.state, r.comes_to, r.bought, r.cost_usd as cost, r.user_id as owner_id, r.run, r.source, r.replay_id, r.eligible_at,
      r.leased_at, r.postponed, r.changed
    from leadhook.resolve_endings(p_endings) as r
  ),
  ended as (
    update leadhook.jobs as j
    set
      state = e.state,
      claim_token = null,
      lease_until = null,
      deaths = 0,
      reserved_usd = null,
      low_priority = j.low_priority and e.state = 'ready',
      attempts = j.attempts + (e.outcome in ('retry', 'dead'))::int,
      available_at = p_now + case
        when e.state = 'ready' then make_interval(secs => least(greatest(e.delay_ms, 0), 86400000) / 1000.0) else '0'
      end,
      replay_id = case when e.state = 'ready' then j.replay_id end,
      replay_after = case when e.state = 'ready' or j.user_id is not null and j.tag is not null then j.replay_after end,
      failing_since = case
        when e.state <> 'ready' then null
        when e.failing then coalesce(leadhook.failing_since(j.failing_since, j.eligible_at), p_now)
        else j.failing_since
      end,
      decide_after = case when e.state = 'ready' then p_now + make_interval(secs => e.decide_after_ms / 1000.0) end,
      checkpoint = case when e.outcome <> 'saved' then e.bought end,
      error_code = case
        when e.outcome = 'saved' then null
        when e.comes_to <> e.outcome then 'attempts_exhausted'
        else coalesce(e.error_code, e.outcome)
      end,
      reason = case
        when e.outcome = 'saved' then null
        when e.comes_to <> e.outcome then left(concat_ws(': ', e.error_code, e.reason), 500)
        else left(coalesce(e.reason, e.error_code, e.outcome), 500)
      end,
      finished_at = case when e.state in ('done', 'dead') then p_now else j.finished_at end
    from endings as e
    where j.lead_id = any (v_lead_ids) and j.lead_id = e.lead_id
  ),
  noted as (
    insert into leadhook.attempts (
      lead_id, run, fence, request_id, outcome, error_code, reason, worker, source, replay_id, model, prompt_version, key_fingerprint, calls,
      input_tokens, cached_tokens, output_tokens, thinking_tokens, cost_usd, wasted, eligible_at, leased_at, first_call_ms, key_wait_ms,
      model_ms, finished_at
    )
    select
      e.lead_id, e.run, e.fence, e.request_id, e.comes_to, e.error_code, left(coalesce(e.note, e.reason), 500), p_worker, e.source, e.replay_id,
      e.bought ->> 'model', e.bought ->> 'prompt_version', e.key_fingerprint, (e.usage ->> 'calls')::int, (e.usage ->> 'input_tokens')::int,
      (e.usage ->> 'cached_tokens')::int, (e.usage ->> 'output_tokens')::int, (e.usage ->> 'thinking_tokens')::int, e.cost,
      coalesce(e.outcome = 'refused' and e.cost > 0, false), e.eligible_at, e.leased_at, (e.timing ->> 'first_call_ms')::int,
      (e.timing ->> 'key_wait_ms')::int, (e.timing ->> 'model_ms')::int, p_now
    from endings as e
  )
  select
    coalesce(jsonb_object_agg(e.lead_id, e.comes_to), '{}'),
    jsonb_agg(jsonb_build_object('user_id', e.owner_id, 'cost_usd', e.cost, 'wasted', e.outcome = 'refused')) filter (where e.cost > 0),
    array_agg(e.lead_id) filter (where e.postponed),
    array_agg(e.lead_id) filter (where e.changed)
  into v_outcomes, v_costs, v_replayed, v_changed
  from endings as e;

  if v_costs is not null then
    perform leadhook.book_costs(v_costs, p_now);
  end if;
  if v_replayed is not null then
    perform leadhook.begin_postponed_replays(v_replayed, p_now);
  end if;
  perform leadhook.recall_changes(v_changed) where v_changed is not null;
  return v_outcomes;
end
$$;

COMMENT ON FUNCTION leadhook.end_leases(p_worker text, p_endings leadhook.ending[], p_now timestamp with time zone) IS 'Ends leases that this transaction has locked: notes the attempt with its cost (cost_usd, else what was reserved) and moves the job on. outcome: saved, saved_without_message (the score stays in the checkpoint), unwanted, refused, retry, returned, dead. Returns the outcome of each attempt by lead_id.';

CREATE FUNCTION leadhook.ends_the_call(p_sqlstate text, p_context text, p_schema text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $_$
  select p_schema = 'leadhook' or p_sqlstate = '57014' and p_context !~ '^[^\n]* RAISE(\n|$)'
$_$;

COMMENT ON FUNCTION leadhook.ends_the_call(p_sqlstate text, p_context text, p_schema text) IS 'Whether an error, with its context and schema, is about the whole call and no lead: the statement was stopped (and 57014 not raised by code of the application), or a table of leadhook refuses a row.';

CREATE FUNCTION leadhook.ensure_trigger(p_table regclass, p_definition text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if not exists (
    select
    from pg_catalog.pg_trigger as t
    where t.tgrelid = p_table and t.tgenabled in ('O', 'A') and pg_catalog.pg_get_triggerdef(t.oid) = p_definition
  ) then
    execute regexp_replace(p_definition, '^CREATE TRIGGER', 'CREATE OR REPLACE TRIGGER');
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.ensure_trigger(p_table regclass, p_definition text) IS 'Creates or replaces a trigger unless it is there, enabled and the same. The definition is spelt as pg_get_triggerdef() spells it.';

CREATE FUNCTION leadhook.enter_on_demand(p_answered text[], p_lead_ids text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
begin
  insert into leadhook.jobs (lead_id, state, source)
  select i.lead_id, 'waiting', 'on_demand' from unnest(p_answered) as i (lead_id) order by i.lead_id
  on conflict (lead_id) do nothing;
  perform from leadhook.jobs as j where j.lead_id = any (p_lead_ids) order by j.lead_id for no key update;
end
$$;

COMMENT ON FUNCTION leadhook.enter_on_demand(p_answered text[], p_lead_ids text[]) IS 'Makes the jobs of the answered leads that are missing, and locks the jobs of all leads of the call.';

CREATE FUNCTION leadhook.erase_leads(p_lead_ids text[]) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
declare
  v_erased int;
  v_costs jsonb;
begin
  delete from leadhook.attempts as t where t.lead_id = any (p_lead_ids);
  delete from leadhook.results as r where r.lead_id = any (p_lead_ids);
  delete from leadhook.replay_leads as m where m.lead_id = any (p_lead_ids);
  delete from leadhook.lead_groups as o where o.lead_id = any (p_lead_ids);
  with jobs as (
    delete from leadhook.jobs as j where j.lead_id = any (p_lead_ids) returning j.user_id, j.reserved_usd
  )
  select count(*), jsonb_agg(jsonb_build_object('user_id', j.user_id, 'cost_usd', j.reserved_usd, 'wasted', true))
  into v_erased, v_costs
  from jobs as j;
  perform leadhook.book_costs(coalesce(v_costs, '[]'), clock_timestamp());
  perform leadhook.note_action('application', 'erase', jsonb_build_object('leads', v_erased), null) where v_erased > 0;
  return v_erased;
end
$$;

COMMENT ON FUNCTION leadhook.erase_leads(p_lead_ids text[]) IS 'Deletes all that is kept of leads that the application has deleted, and returns the number of jobs. What a lease had reserved is booked as wasted.';

CREATE FUNCTION leadhook.existing_constraint(p_name text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select c.conname::text from pg_catalog.pg_constraint as c where c.conname = existing_constraint.p_name
  union
  select c.relname::text
  from pg_catalog.pg_index as i
  join pg_catalog.pg_class as c on c.oid = i.indexrelid
  where c.relname = existing_constraint.p_name
$$;

COMMENT ON FUNCTION leadhook.existing_constraint(p_name text) IS 'The name, if a constraint or an index has it: a trigger may raise an error that names anything, such as a person.';

CREATE FUNCTION leadhook.expire_leases(p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
declare
  v_max_deaths int := (select c.max_deaths from leadhook.controls as c);
  v_from timestamptz := leadhook.note_first_lease(p_now);
  v_attempts jsonb;
begin
  with leased as materialized (
    select j.lead_id, j.worker, j.leased_at, j.fence, j.deaths from leadhook.jobs as j where j.state = 'leased' and j.lease_until >= v_from
  ),
  workers as materialized (
    select l.worker, max(l.leased_at) as claimed_at, max(l.fence) filter (where l.deaths > 0) as suspect from leased as l group by l.worker
  ),
  expired as materialized (
    select
      j.lead_id, j.user_id, j.run, j.fence, j.worker, j.source, j.replay_id, j.eligible_at, j.leased_at, j.called, j.reserved_usd, j.deaths
    from leadhook.jobs as j
    where j.state = 'leased' and j.lease_until between v_from and p_now
    order by j.lease_until
    limit 500
    for no key update skip locked
  ),
  blamed as materialized (
    select
      e.*,
      e.deaths + (w.suspect is null or w.suspect = e.fence)::int as total_deaths,
      case when e.called or w.claimed_at > e.leased_at then e.reserved_usd when e.reserved_usd is not null then 0 end as cost_usd
    from expired as e
    join workers as w on w.worker is not distinct from e.worker
  ),
  explained as materialized (
    select
      b.*,
      b.total_deaths >= v_max_deaths as is_last,
      case when b.total_deaths >= v_max_deaths then 'worker_lost' else 'lease_expired' end as error_code,
      format('the lease of worker %s ran out', coalesce(b.worker, 'unknown')) || case
        when b.total_deaths >= v_max_deaths then format(
          ', as %s leases of this lead did in a row: it may be what ends the process; look at the service''s log, then correct the row or replay it',
          b.total_deaths
        )
        else '; no attempt is spent'
      end as reason
    from blamed as b
  ),
  ended as (
    update leadhook.jobs as j
    set
      state = case when x.is_last then 'dead' else 'ready' end,
      deaths = case when x.is_last then 0 else x.total_deaths end,
      replay_id = case when not x.is_last then j.replay_id end,
      error_code = x.error_code,
      reason = x.reason,
      finished_at = case when x.is_last then p_now end,
      claim_token = null,
      lease_until = null,
      reserved_usd = null
    from explained as x
    where j.lead_id = any (array(select e.lead_id from expired as e)) and j.lead_id = x.lead_id
  )
  select jsonb_agg(to_jsonb(x) || '{"outcome": "lease_expired", "wasted": true}') into v_attempts from explained as x;

  if v_attempts is not null then
    perform leadhook.note_attempts(v_attempts, p_now);
    perform leadhook.begin_postponed_replays(array(select a.lead_id from jsonb_to_recordset(v_attempts) as a (lead_id text)), p_now);
    perform leadhook.recall_changes(array(select a.lead_id from jsonb_to_recordset(v_attempts) as a (lead_id text)));
  end if;
end
$$;

CREATE FUNCTION leadhook.failed_groups() RETURNS TABLE(error_code text, state text)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
  with recursive groups as (
    (select j.error_code, j.state from leadhook.jobs as j where j.error_code is not null order by j.error_code, j.state limit 1)
    union all
    select n.error_code, n.state
    from groups as g
    cross join lateral (
      select j.error_code, j.state
      from leadhook.jobs as j
      where j.error_code is not null and (j.error_code, j.state) > (g.error_code, g.state)
      order by j.error_code, j.state
      limit 1
    ) as n
  )
  select g.error_code, g.state from groups as g where g.state in ('dead', 'done', 'ready') limit 100
$$;

COMMENT ON FUNCTION leadhook.failed_groups() IS 'The first 100 pairs of error code and state that a job has which failed or waits for its next attempt.';

CREATE FUNCTION leadhook.failing_since(p_failing_since timestamp with time zone, p_eligible_at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    AS $$
  select case when failing_since.p_eligible_at is null or failing_since.p_failing_since >= failing_since.p_eligible_at then failing_since.p_failing_since end
$$;

COMMENT ON FUNCTION leadhook.failing_since(p_failing_since timestamp with time zone, p_eligible_at timestamp with time zone) IS 'Since when a job fails in this run: whatever begins a run sets eligible_at, and leaves failing_since behind.';

CREATE FUNCTION leadhook.find_answered(p_lead_ids text[]) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'on'
    SET seq_page_cost TO '100'
    AS $$
begin
  return array(select distinct r.lead_id from public.llm_response as r where r.lead_id = any (p_lead_ids));
end
$$;

COMMENT ON FUNCTION leadhook.find_answered(p_lead_ids text[]) IS 'Those of these leads that have a row in llm_response.';

CREATE FUNCTION leadhook.find_blocked(p_now timestamp with time zone, OUT everything text, OUT budget_spent boolean, OUT payable bigint[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
  v_user_ids uuid[] := leadhook.budgets_to_look_at(p_now);
begin
  everything := case when exists (select from leadhook.pauses as p where p.user_id is null) then 'paused' end;
  budget_spent := exists (select from leadhook.budgets as b where b.spent_on = (p_now at time zone 'UTC')::date);
  payable := '{}';
  if v_user_ids <> '{}' or exists (select from leadhook.budgets as b where b.user_id is null) then
    select
      coalesce(everything, case when bool_or(l.user_id is null and l.left_usd <= 0) then 'spent' end),
      budget_spent or coalesce(bool_or(l.left_usd <= 0), false),
      coalesce(array_agg(l.id) filter (where l.left_usd >= l.needed_usd or l.left_usd > 0 and b.spent_on is not null), '{}')
    into everything, budget_spent, payable
    from leadhook.budgets_left(p_now, v_user_ids) as l
    join leadhook.budgets as b on b.id = l.id;
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.find_blocked(p_now timestamp with time zone, OUT everything text, OUT budget_spent boolean, OUT payable bigint[]) IS 'What a claim may not hand out besides groups that are shut: everything (why: paused or spent; null: not everything). budget_spent: some of it only until the next day in UTC. payable: budgets that have enough now for a lead that they held back.';

CREATE FUNCTION leadhook.find_candidates(p_filter jsonb, p_after jsonb, p_most integer) RETURNS TABLE(lead_id text, cursor jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
#variable_conflict use_column
declare
  v_steps text[] := leadhook.search_steps(p_filter);
  v_step text := case when p_after is null then v_steps[1] else coalesce(p_after ->> 0, '') end;
  v_next text := v_steps[array_position(v_steps, v_step) + 1];
  v_found int;
begin
  if v_step is null then
    return;
  elsif v_step <> all (v_steps) then
    raise exception 'no step of this search: %', v_step using errcode = 'invalid_parameter_value';
  end if;
  case v_step
    when 'id' then return query select coalesce(p_filter ->> 'lead_id', p_filter ->> 'q'), '["id"]'::jsonb where p_after is null;
    when 'name' then return query select c.* from leadhook.leads_by_name(p_filter ->> 'q', p_after, p_most) as c;
    when 'flag' then return query select c.* from leadhook.flagged_leads(p_after, p_most) as c;
    else return query select c.* from leadhook.jobs_of_step(v_step, p_filter, p_after, p_most) as c;
  end case;
  get diagnostics v_found = row_count;
  if v_found < p_most and v_next is not null then
    return query select null::text, jsonb_build_array(v_next);
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.find_candidates(p_filter jsonb, p_after jsonb, p_most integer) IS 'The next leads behind a cursor (null: the first) that may match a filter. A cursor names the step and the last candidate. As many as p_most, or a row without a lead: there are more.';

CREATE FUNCTION leadhook.find_excess_leads(p_lead_ids text[], p_groups text[], p_lead_bytes integer[], p_prompts_bytes integer[]) RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select coalesce(array_agg(s.lead_id), '{}')
  from (
    select d.lead_id, d.place, sum(d.bytes) over (order by d.place) as bytes
    from (
      select l.lead_id, l.place, l.lead_bytes + case when row_number() over (partition by l.group_key order by l.place) = 1 then l.prompts_bytes else 0 end as bytes
      from unnest(find_excess_leads.p_lead_ids, find_excess_leads.p_groups, find_excess_leads.p_lead_bytes, find_excess_leads.p_prompts_bytes)
        with ordinality as l (lead_id, group_key, lead_bytes, prompts_bytes, place)
    ) as d
  ) as s
  where s.place > 1 and s.bytes > (select c.claim_bytes from leadhook.controls as c)
$$;

CREATE FUNCTION leadhook.find_foreign_code() RETURNS TABLE(table_name text, object_name text, kind text, function_name text, function_owner text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select c.relname, t.tgname, 'trigger', left(t.tgfoid::regprocedure::text, 200), pg_get_userbyid(f.proowner)
  from pg_catalog.pg_class as c
  join pg_catalog.pg_trigger as t on t.tgrelid = c.oid
  join pg_catalog.pg_proc as f on f.oid = t.tgfoid
  where c.relnamespace = to_regnamespace('net') and not t.tgisinternal
  union all
  select c.relname, r.rulename, 'rule', null, null
  from pg_catalog.pg_class as c
  join pg_catalog.pg_rewrite as r on r.ev_class = c.oid
  where c.relnamespace = to_regnamespace('net') and r.ev_type <> '1'
$$;

COMMENT ON FUNCTION leadhook.find_foreign_code() IS 'The triggers and rules on pg_net''s tables, which has none itself. Code there runs with the rights of whoever writes.';

CREATE FUNCTION leadhook.find_group(p_low_priority boolean, p_now timestamp with time zone, p_user_id uuid, p_tag text) RETURNS leadhook.ready_groups
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_group leadhook.ready_groups;
begin
  if p_user_id is null then
    select * into v_group
    from leadhook.ready_groups as g
    where g.low_priority = p_low_priority and not g.shut and g.due_at <= p_now
    order by g.user_id, g.tag
    limit 1;
  else
    select * into v_group
    from leadhook.ready_groups as g
    where g.low_priority = p_low_priority and not g.shut and g.due_at <= p_now and (g.user_id, g.tag) > (p_user_id, p_tag)
    order by g.user_id, g.tag
    limit 1;
  end if;
  return v_group;
end
$$;

COMMENT ON FUNCTION leadhook.find_group(p_low_priority boolean, p_now timestamp with time zone, p_user_id uuid, p_tag text) IS 'The next group that is not known to be shut or asleep: behind this one, or where p_user_id is null the first.';

CREATE FUNCTION leadhook.find_groups_with_prompts(p_user_ids uuid[], p_tags text[], p_since timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(user_id uuid, tag text)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'on'
    SET enable_nestloop TO 'on'
    SET enable_material TO 'off'
    SET seq_page_cost TO '100'
    SET row_security TO 'off'
    AS $$
#variable_conflict use_column
begin
  if cardinality(p_user_ids) = 0 then
    return;
  end if;
  return query
  select l.user_id, l.tag
  from unnest(p_user_ids, p_tags) as l (user_id, tag)
  where exists (
    select from public.prompts as p
    where p.user_id = l.user_id and p.tag = l.tag and (p_since is null or p.created_at >= p_since)
  );
end
$$;

COMMENT ON FUNCTION leadhook.find_groups_with_prompts(p_user_ids uuid[], p_tags text[], p_since timestamp with time zone) IS 'Those of these groups that have a prompts row, or with p_since one that is not older.';

CREATE FUNCTION leadhook.find_head(p_group leadhook.ready_groups, OUT available_at timestamp with time zone, OUT lead_id text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  select j.available_at, j.lead_id into available_at, lead_id
  from leadhook.jobs as j
  where j.state = 'ready' and j.deaths = 0 and j.low_priority = p_group.low_priority and j.user_id = p_group.user_id and j.tag = p_group.tag
    and (j.available_at, j.lead_id) >= (p_group.due_at, p_group.lead_id)
  order by j.available_at, j.lead_id
  limit 1;
end
$$;

COMMENT ON FUNCTION leadhook.find_head(p_group leadhook.ready_groups, OUT available_at timestamp with time zone, OUT lead_id text) IS 'The first ready lead of a group; null: there is none.';

CREATE FUNCTION leadhook.find_misplaced(p_low_priority boolean, p_now timestamp with time zone, p_user_id uuid) RETURNS leadhook.ready_groups[]
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  return array(
    select (g.low_priority, g.user_id, g.tag, h.available_at, h.lead_id, false)::leadhook.ready_groups
    from (
      select g.*
      from leadhook.ready_groups as g
      where g.low_priority = p_low_priority and not g.shut and g.due_at <= p_now and g.user_id >= p_user_id
      order by g.user_id, g.tag
      limit 1000
    ) as g
    cross join lateral leadhook.find_head(g::leadhook.ready_groups) as h
    where (h.available_at <= p_now) is not true
  );
end
$$;

COMMENT ON FUNCTION leadhook.find_misplaced(p_low_priority boolean, p_now timestamp with time zone, p_user_id uuid) IS 'Those of the next 1,000 groups, from this user on, that have no due lead, with the places that they should have.';

CREATE FUNCTION leadhook.find_webhooks(p_at timestamp with time zone, p_xact xid8) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
  with near as materialized (
    select r.id, r.request_id, r.reason, r.leads, r.sent_at, r.status_code, r.error
    from leadhook.webhooks as r
    where case
      when find_webhooks.p_xact is not null then r.xact = find_webhooks.p_xact
      else r.sent_at > find_webhooks.p_at - interval '5 s'
    end and r.sent_at between find_webhooks.p_at - interval '1 hour' and find_webhooks.p_at + interval '5 s'
    order by abs(extract(epoch from r.sent_at - find_webhooks.p_at)), r.id
    limit 5
  )
  select coalesce(jsonb_agg(
    jsonb_build_object(
      'reason', n.reason,
      'leads', n.leads,
      'sent_at', n.sent_at,
      'sent', n.request_id is not null,
      'status_code', coalesce(n.status_code, h.status_code),
      'error', coalesce(n.error, h.error),
      'timed_out', coalesce(h.timed_out, n.error = 'timed out', false),
      'queued', coalesce(h.queued, false)
    )
    order by abs(extract(epoch from n.sent_at - find_webhooks.p_at)), n.id
  ), '[]')
  from near as n
  left join leadhook.webhook_answers(array(select i.id from near as i where i.request_id is not null)) as h on h.webhook_id = n.id
$$;

COMMENT ON FUNCTION leadhook.find_webhooks(p_at timestamp with time zone, p_xact xid8) IS 'Up to five webhooks of a transaction, or where that is null of the 5 s around a moment, the nearest first, and what pg_net answered.';

CREATE FUNCTION leadhook.first_due(p_low_priority boolean, p_now timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
declare
  v_group leadhook.ready_groups;
  v_due_at timestamptz;
begin
  for v_count in 1..20 loop
    v_group := leadhook.find_group(p_low_priority, p_now, v_group.user_id, v_group.tag);
    exit when v_group.user_id is null;
    v_due_at := (leadhook.find_head(v_group)).available_at;
    if v_due_at <= p_now and not leadhook.is_shut(v_group.user_id, v_group.tag, p_now) then
      return v_due_at;
    end if;
  end loop;
  return leadhook.earliest_due(p_low_priority, p_now);
end
$$;

COMMENT ON FUNCTION leadhook.first_due(p_low_priority boolean, p_now timestamp with time zone) IS 'As earliest_due; where something is due now, any time that has passed.';

CREATE FUNCTION leadhook.flagged_leads(p_after jsonb, p_most integer) RETURNS TABLE(lead_id text, cursor jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
#variable_conflict use_column
begin
  return query
  select case when n.run is null then r.lead_id end, jsonb_build_array('flag', r.created_at, r.lead_id)
  from leadhook.results as r
  left join lateral (select n.run from leadhook.results as n where n.lead_id = r.lead_id and n.run > r.run limit 1) as n on true
  where r.flags <> '{}' and (r.created_at, r.lead_id) < (coalesce(p_after ->> 1, 'infinity')::timestamptz, coalesce(p_after ->> 2, ''))
  order by r.created_at desc, r.lead_id desc
  limit p_most;
end
$$;

COMMENT ON FUNCTION leadhook.flagged_leads(p_after jsonb, p_most integer) IS 'The next leads whose last result has a flag, newest first; without a lead: there was a later result.';

CREATE FUNCTION leadhook.forget_rests_for_other_models(p_model text) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS $$
  delete from leadhook.api_keys as k where k.model <> forget_rests_for_other_models.p_model
$$;

COMMENT ON FUNCTION leadhook.forget_rests_for_other_models(p_model text) IS 'A quota holds for one model: a service that starts with another one tries the key again.';

CREATE FUNCTION leadhook.has_changes(p_now timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
begin
  -- Ordered, so that it goes by the index: the table's first pages may hold nothing but what was applied.
  return exists (
    select from (
      select from leadhook.outbox as t where t.not_before is null or t.not_before <= p_now order by t.id limit 1
    ) as t
  );
end
$$;

CREATE FUNCTION leadhook.has_due(p_low_priority boolean, p_now timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
  return (
    leadhook.first_due(false, p_now) <= p_now
    or p_low_priority and leadhook.first_due(true, p_now) <= p_now
    or (select s.available_at from leadhook.next_suspect(p_now) as s) <= p_now
  ) is true;
end
$$;

CREATE FUNCTION leadhook.has_pg_net() RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return leadhook.is_of_extension('pg_catalog.pg_proc', to_regproc('net.http_post'), 'pg_net');
end
$$;

COMMENT ON FUNCTION leadhook.has_pg_net() IS 'Whether the extension pg_net can be called.';

CREATE FUNCTION leadhook.has_slices() RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select exists (select from leadhook.replays as r where r.phase in ('queueing', 'stopping'))
    or exists (select from leadhook.releases as b where b.ended_at is null)
$$;

COMMENT ON FUNCTION leadhook.has_slices() IS 'Whether leadhook_replay_slice has something to do.';

CREATE FUNCTION leadhook.has_vault() RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return leadhook.is_of_extension('pg_catalog.pg_class', to_regclass('vault.decrypted_secrets'), 'supabase_vault');
end
$$;

COMMENT ON FUNCTION leadhook.has_vault() IS 'Whether the extension supabase_vault can be read.';

CREATE FUNCTION leadhook.healthy_keys() RETURNS TABLE(fingerprint text, api_key text, tried boolean, rests integer, answered_ms bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  with keys as (
    select
      leadhook.key_fingerprint(g.api_key) as fingerprint,
      btrim(g.api_key, E' \t\r\n') as api_key,
      g.xmin::text as row_version
    from public.gemini_api as g
    where btrim(g.api_key, E' \t\r\n') <> ''
  )
  select
    k.fingerprint, min(k.api_key), coalesce(bool_or(s.state = 'healthy'), false), coalesce(max(s.rests), 0),
    floor(extract(epoch from clock_timestamp() - max(s.changed_at) filter (where s.state = 'healthy')) * 1000)::bigint
  from keys as k
  left join leadhook.api_keys as s
    on s.fingerprint = k.fingerprint and (s.row_version is null or s.row_version = k.row_version)
  group by k.fingerprint
  having bool_or(s.state = 'disabled' or s.state = 'cooling' and s.until > clock_timestamp()) is not true;
end
$$;

COMMENT ON FUNCTION leadhook.healthy_keys() IS 'Every key of gemini_api, once, that is neither blank nor disabled nor cooling. tried: a call with it succeeded since it was added, changed or rested; one that is not tried may be bad, so that no more than one call at a time is risked. rests: in a row, without a success in between. answered_ms: age of the last success; null: not tried.';

CREATE FUNCTION leadhook.held_groups(p_user_id uuid DEFAULT NULL::uuid, p_tag text DEFAULT NULL::text, p_since timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(user_id uuid, tag text, asked_at timestamp with time zone, held bigint, answered bigint, sent bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  with jobs as materialized (
    select j.lead_id, j.user_id, j.tag
    from leadhook.jobs as j
    where j.state = 'held' and (p_user_id is null or j.user_id = p_user_id) and (p_tag is null or j.tag = p_tag)
  ),
  answers as materialized (
    select distinct r.lead_id from public.llm_response as r
  ),
  unsent as materialized (
    select distinct d.lead_id
    from public.lead_details as d
    where d.sent_to_llm is not true and d.sent_to_llm::text is distinct from 'true' and octet_length(d.lead_id) <= 2000
  ),
  groups as materialized (
    select
      j.user_id, j.tag,
      count(*) as held,
      count(*) filter (where r.lead_id is not null and u.lead_id is not null) as answered,
      count(*) filter (where u.lead_id is null) as sent
    from jobs as j
    left join answers as r on r.lead_id = j.lead_id
    left join unsent as u on u.lead_id = j.lead_id
    group by j.user_id, j.tag
  ),
  asked as (
    select l.user_id, l.tag, max(p.created_at) as asked_at
    from groups as l
    left join public.prompts as p on p.user_id = l.user_id and p.tag = l.tag
    group by l.user_id, l.tag
  )
  select l.user_id, l.tag, a.asked_at, l.held, l.answered, l.sent
  from groups as l
  join asked as a on a.user_id = l.user_id and a.tag = l.tag
  where p_since is null or a.asked_at >= p_since
  order by a.asked_at desc nulls last, l.user_id, l.tag;
end
$$;

COMMENT ON FUNCTION leadhook.held_groups(p_user_id uuid, p_tag text, p_since timestamp with time zone) IS 'The users and tags with held leads, those with the newest prompts row first: how many are held, how many of them have an answer already, and how many were marked as sent by something else since. p_since: only those whose newest prompts row is not older.';

CREATE FUNCTION leadhook.held_sample(p_user_id uuid, p_tag text) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
begin
  if p_user_id is null then
    return array(select j.lead_id from leadhook.jobs as j where j.state = 'held' order by j.lead_id limit 500);
  elsif p_tag is null then
    return array(
      select j.lead_id from leadhook.jobs as j where j.state = 'held' and j.user_id = p_user_id order by j.tag, j.lead_id limit 500
    );
  end if;
  return array(
    select j.lead_id from leadhook.jobs as j where j.state = 'held' and j.user_id = p_user_id and j.tag = p_tag order by j.lead_id limit 500
  );
end
$$;

COMMENT ON FUNCTION leadhook.held_sample(p_user_id uuid, p_tag text) IS 'Up to 500 held leads of a user and tag, of a user, or of all.';

CREATE FUNCTION leadhook.held_scopes(p_user_id uuid, p_tag text) RETURNS TABLE(user_id uuid, tag text, asked_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
#variable_conflict use_column
begin
  return query
  with recursive known as (
    (
      select j.user_id, j.tag from leadhook.jobs as j
      where j.state = 'held' and (p_user_id is null or j.user_id = p_user_id) and (p_tag is null or j.tag = p_tag)
      order by j.user_id, j.tag
      limit 1
    )
    union all
    select n.user_id, n.tag
    from known as k
    cross join lateral (
      select j.user_id, j.tag from leadhook.jobs as j
      where j.state = 'held' and (p_user_id is null or j.user_id = p_user_id) and (p_tag is null or j.tag = p_tag)
        and (j.user_id, j.tag) > (k.user_id, k.tag)
      order by j.user_id, j.tag
      limit 1
    ) as n
  ),
  groups as materialized (
    select k.user_id, k.tag from known as k limit 1000
  )
  select g.user_id, g.tag, max(p.created_at)
  from groups as g
  left join public.prompts as p on p.user_id = g.user_id and p.tag = g.tag
  group by g.user_id, g.tag
  order by max(p.created_at) desc nulls last, g.user_id, g.tag;
end
$$;

COMMENT ON FUNCTION leadhook.held_scopes(p_user_id uuid, p_tag text) IS 'The users and tags with held leads, up to 1,000, those with the newest prompts row first.';

CREATE FUNCTION leadhook.held_size(p_lead_ids text[]) RETURNS TABLE(leads bigint, score_chars bigint, message_chars bigint)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
  with held as materialized (
    select j.lead_id, j.user_id, j.tag from leadhook.jobs as j where j.lead_id = any (held_size.p_lead_ids)
  ),
  details as materialized (
    select d.lead_id, max(length(concat(
      d.name, d.title, d.location, d.company_name, d.experience, d.skills, d.bio, d.profile_url, d.company_page_url
    ))) as chars
    from public.lead_details as d
    where d.lead_id = any (held_size.p_lead_ids) and d.sent_to_llm is not true
    group by d.lead_id
  ),
  newest as materialized (
    select distinct on (p.user_id, p.tag) p.user_id, p.tag,
      length(concat(p.wildnet_data, p.scoring_criteria_and_icp)) as score_chars,
      length(concat(p.wildnet_data, p.message_prompt)) as message_chars
    from public.prompts as p
    where (p.user_id, p.tag) in (select h.user_id, h.tag from held as h)
    order by p.user_id, p.tag, p.created_at desc nulls last
  )
  select
    count(*), coalesce(sum(d.chars + n.score_chars + 1100), 0)::bigint, coalesce(sum(d.chars + n.message_chars + 800), 0)::bigint
  from held as h
  join details as d on d.lead_id = h.lead_id
  join newest as n on n.user_id = h.user_id and n.tag = h.tag
$$;

COMMENT ON FUNCTION leadhook.held_size(p_lead_ids text[]) IS 'How many of these held leads have all that is sent to the model, and how many characters that is.';

CREATE FUNCTION leadhook.held_snapshot(p_longer_than interval DEFAULT '00:05:00'::interval) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return (
    select jsonb_build_object(
      'held_by', h.held_by, 'pid', h.pid, 'name', h.name, 'role', h.role, 'state', h.state,
      'held_ms', floor(extract(epoch from clock_timestamp() - h.since) * 1000)::bigint
    )
    from (
      select 'session' as held_by, a.pid, nullif(left(a.application_name, 100), '') as name, a.usename::text as role, a.state, a.xact_start as since, a.backend_xmin as xmin
      from pg_stat_activity as a
      where a.datname = current_database() and a.backend_xmin is not null and a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
        and a.xact_start < clock_timestamp() - p_longer_than
      union all
      select 'prepared transaction', null, left(p.gid, 100), p.owner::text, null, p.prepared, p.transaction
      from pg_prepared_xacts as p
      where p.database = current_database() and p.prepared < clock_timestamp() - p_longer_than
      union all
      select 'replication slot', s.active_pid, s.slot_name::text, null, case when s.active then 'active' else 'inactive' end, null, s.xmin
      from pg_replication_slots as s
      where age(s.xmin) > 100000
    ) as h
    order by age(h.xmin) desc
    limit 1
  );
exception when assert_failure or others then
  return null;
end
$$;

COMMENT ON FUNCTION leadhook.held_snapshot(p_longer_than interval) IS 'Who has held the oldest snapshot for so long, so that Postgres keeps every row version that was replaced since; null: no one.';

CREATE FUNCTION leadhook.hmac_sha256(p_key bytea, p_message bytea) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  v_key bit(512) := ('x' || rpad(encode(case when length(p_key) > 64 then sha256(p_key) else p_key end, 'hex'), 128, '0'))::bit(512);
begin
  -- bit_send() puts four bytes of length before the bits.
  return sha256(
    substr(bit_send(v_key # ('x' || repeat('5c', 64))::bit(512)), 5)
    || sha256(substr(bit_send(v_key # ('x' || repeat('36', 64))::bit(512)), 5) || p_message)
  );
end
$$;

CREATE FUNCTION leadhook.is_any_shut(p_user_ids uuid[], p_tags text[], p_now timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  return exists (
    select from unnest(p_user_ids, p_tags) as g (user_id, tag) join leadhook.pauses as p on p.user_id = g.user_id and p.tag = g.tag
  )
    or exists (select from leadhook.pauses as p where p.user_id = any (p_user_ids) and p.tag is null)
    or exists (
      select from leadhook.budgets as b where b.user_id = any (p_user_ids) and b.spent_on is not distinct from (p_now at time zone 'UTC')::date
    );
end
$$;

COMMENT ON FUNCTION leadhook.is_any_shut(p_user_ids uuid[], p_tags text[], p_now timestamp with time zone) IS 'Whether one of these groups, or its user, is paused or the user''s budget is spent; find_blocked knows what shuts everything.';

CREATE FUNCTION leadhook.is_news(p_xacts xid8[], p_changed_at timestamp with time zone, p_leased_snapshot pg_snapshot, p_finished_at timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
  if p_leased_snapshot is null or p_changed_at > p_finished_at then
    return true;
  end if;
  return (
    select bool_or(x.xact is null or not pg_catalog.pg_visible_in_snapshot(x.xact, p_leased_snapshot)) from unnest(p_xacts) as x (xact)
  );
end
$$;

COMMENT ON FUNCTION leadhook.is_news(p_xacts xid8[], p_changed_at timestamp with time zone, p_leased_snapshot pg_snapshot, p_finished_at timestamp with time zone) IS 'Whether the last lease of a job can''t have seen what one of these transactions changed.';

CREATE FUNCTION leadhook.is_of_extension(p_class regclass, p_object oid, p_extension text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return exists (
    select
    from pg_catalog.pg_depend as d
    join pg_catalog.pg_extension as e on e.oid = d.refobjid
    where d.classid = p_class and d.objid = p_object and d.deptype = 'e' and d.refclassid = 'pg_catalog.pg_extension'::regclass
      and e.extname = p_extension
  );
end
$$;

COMMENT ON FUNCTION leadhook.is_of_extension(p_class regclass, p_object oid, p_extension text) IS 'Whether an object belongs to this extension.';

CREATE FUNCTION leadhook.is_shut(p_user_id uuid, p_tag text, p_now timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  return leadhook.is_any_shut(array[p_user_id], array[p_tag], p_now);
end
$$;

COMMENT ON FUNCTION leadhook.is_shut(p_user_id uuid, p_tag text, p_now timestamp with time zone) IS 'The same of one group.';

CREATE FUNCTION leadhook.is_too_big(p_value anyelement, p_most integer) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  if p_most is not null then
    return false;
  elsif pg_column_size(p_value) > 1000000 then
    return true;
  end if;
  return pg_column_size(array[p_value]) > 1000000;
end
$$;

CREATE FUNCTION leadhook.jobs_of_step(p_step text, p_filter jsonb, p_after jsonb, p_most integer) RETURNS TABLE(lead_id text, cursor jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
#variable_conflict use_column
declare
  v_user_id uuid := (p_filter ->> 'user_id')::uuid;
  v_tag text := p_filter ->> 'tag';
  v_state text := p_filter ->> 'state';
  v_first text := coalesce(p_after ->> 1, '');
  v_lead text := coalesce(p_after ->> 2, '');
begin
  if p_step = 'leased' then
    return query
    with leased as materialized (select j.lead_id from leadhook.jobs as j where j.state = 'leased')
    select l.lead_id, jsonb_build_array('leased', '', l.lead_id) from leased as l where l.lead_id > v_lead order by l.lead_id limit p_most;
  elsif p_step = 'code' then
    return query
    select j.lead_id, jsonb_build_array('code', j.state, j.lead_id)
    from leadhook.jobs as j
    where j.error_code = p_filter ->> 'error_code' and j.state <> 'leased' and (j.state, j.lead_id) > (v_first, v_lead)
      and (v_state is null or j.state = v_state)
    order by j.state, j.lead_id
    limit p_most;
  elsif p_step = 'user' then
    return query
    select j.lead_id, jsonb_build_array('user', j.tag, j.lead_id)
    from leadhook.jobs as j
    where j.state <> 'leased' and j.user_id = v_user_id and (j.tag, j.lead_id) > (v_first, v_lead) and (v_tag is null or j.tag = v_tag)
    order by j.tag, j.lead_id
    limit p_most;
  elsif p_step in ('state', 'unfinished') then
    return query
    select j.lead_id, jsonb_build_array(p_step, j.state, j.lead_id)
    from leadhook.jobs as j
    where j.state <> 'leased' and (j.state, j.lead_id) > (greatest(v_first, coalesce(v_state, 'done')), v_lead)
      and (v_state is null and j.state > 'done' and j.finished_at is null or j.state = v_state)
    order by j.state, j.lead_id
    limit p_most;
  else
    return query
    select j.lead_id, jsonb_build_array('finished', j.finished_at, j.lead_id)
    from leadhook.jobs as j
    where (j.finished_at, j.lead_id) < (coalesce(p_after ->> 1, p_filter ->> 'until', 'infinity')::timestamptz, v_lead)
      and j.finished_at >= coalesce((p_filter ->> 'since')::timestamptz, '-infinity')
    order by j.finished_at desc, j.lead_id desc
    limit p_most;
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.jobs_of_step(p_step text, p_filter jsonb, p_after jsonb, p_most integer) IS 'The next leads of a step: those that are leased, by error code, by user and tag, by state, finished (newest first), or not finished.';

CREATE FUNCTION leadhook.keep_results(p_results leadhook.ending[], p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
begin
  insert into leadhook.results (
    lead_id, run, score, response, should_contact, matched, missed, flags, subject, message, claims, model, prompt_version, input_version,
    written, created_at
  )
  select
    r.lead_id, j.run, r.score, r.response, r.should_contact = 1, coalesce(s.matched, '{}'), coalesce(s.missed, '{}'), coalesce(s.flags, '{}'), r.subject,
    r.message,
    case when r.score >= 50 and jsonb_typeof(r.checkpoint #> '{message,claims}') = 'array' then r.checkpoint #> '{message,claims}' else '[]' end,
    r.checkpoint ->> 'model', r.checkpoint ->> 'prompt_version', r.checkpoint ->> 'input_version', r.outcome in ('saved', 'saved_without_message'), p_now
  from unnest(p_results) as r
  join leadhook.jobs as j on j.lead_id = r.lead_id and j.fence = r.fence
  cross join lateral jsonb_to_record((
    select coalesce(jsonb_object_agg(l.key, l.value), '{}')
    from jsonb_each(r.checkpoint -> 'score') as l
    where jsonb_typeof(l.value) = 'array'
  )) as s (matched text[], missed text[], flags text[])
  on conflict (lead_id, run) do update
  set score = excluded.score, response = excluded.response, should_contact = excluded.should_contact, matched = excluded.matched,
    missed = excluded.missed, flags = excluded.flags, subject = excluded.subject, message = excluded.message, claims = excluded.claims, model = excluded.model, prompt_version = excluded.prompt_version,
    input_version = excluded.input_version, written = excluded.written, created_at = excluded.created_at;
end
$$;

COMMENT ON FUNCTION leadhook.keep_results(p_results leadhook.ending[], p_now timestamp with time zone) IS 'Keeps the answer of each run, written to the application or not.';

CREATE FUNCTION leadhook.key_fingerprint(p_api_key text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
  select pg_catalog.left(
    pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.btrim(p_api_key, E' \t\r\n'), 'UTF8')), 'hex'), 16
  )
$$;

COMMENT ON FUNCTION leadhook.key_fingerprint(p_api_key text) IS 'The first 16 hex digits of the SHA-256 of a key, without the blanks and line ends around it: the name of the key wherever it may be read.';

CREATE FUNCTION leadhook.key_news(p_now timestamp with time zone) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
begin
  return (
    select coalesce(json_agg(json_build_object(
      'fingerprint', s.fingerprint,
      'resting', s.state <> 'healthy',
      'answered_ms', case when s.state = 'healthy' then greatest(0, floor(extract(epoch from p_now - s.changed_at) * 1000))::bigint end
    )), '[]')
    from leadhook.api_keys as s
    where s.changed_at > p_now - interval '30 s' and (s.state <> 'cooling' or s.until > p_now)
      and exists (
        select from public.gemini_api as g
        where leadhook.key_fingerprint(g.api_key) = s.fingerprint and (s.row_version is null or s.row_version = g.xmin::text)
      )
  );
end
$$;

COMMENT ON FUNCTION leadhook.key_news(p_now timestamp with time zone) IS 'The keys [{fingerprint, resting, answered_ms}] that were parked, or that a call succeeded with, in the last 30 s: a process renews its leases more often, so that it hears of each.';

CREATE FUNCTION leadhook.key_states(OUT total bigint, OUT healthy bigint, OUT untried bigint, OUT cooling bigint, OUT disabled bigint, OUT next_return_at timestamp with time zone) RETURNS record
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
  with keys as (
    select
      leadhook.key_fingerprint(g.api_key) as fingerprint,
      array_agg(g.xmin::text) as row_versions
    from public.gemini_api as g
    where btrim(g.api_key, E' \t\r\n') <> ''
    group by 1
  ),
  parked as (
    select s.state, s.until
    from keys as k
    join leadhook.api_keys as s on s.fingerprint = k.fingerprint and (s.row_version is null or s.row_version = any (k.row_versions))
    where s.state = 'disabled' or (s.state = 'cooling' and s.until > clock_timestamp())
  )
  select
    (select count(*) from keys),
    (select count(*) from leadhook.healthy_keys()),
    (select count(*) from leadhook.healthy_keys() as h where not h.tried),
    count(*) filter (where p.state = 'cooling'),
    count(*) filter (where p.state = 'disabled'),
    min(p.until) filter (where p.state = 'cooling')
  from parked as p
$$;

COMMENT ON FUNCTION leadhook.key_states(OUT total bigint, OUT healthy bigint, OUT untried bigint, OUT cooling bigint, OUT disabled bigint, OUT next_return_at timestamp with time zone) IS 'How many Gemini keys there are, and how they are; two rows with the same key are one. healthy: may be used; untried: those of them that no call has succeeded with yet.';

CREATE FUNCTION leadhook.leads_by_name(p_text text, p_after jsonb, p_most integer) RETURNS TABLE(lead_id text, cursor jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
#variable_conflict use_column
declare
  v_end text := coalesce(p_after ->> 1, format('(%s,0)', (
    select max(pg_catalog.pg_relation_size(t.relid)) / pg_catalog.current_setting('block_size')::int + 1
    from (select 'public.lead_details'::regclass as relid union all select p.relid from pg_catalog.pg_partition_tree('public.lead_details') as p) as t
  )));
  v_begin text := format('(%s,0)', greatest(split_part(ltrim(v_end, '('), ',', 1)::bigint - 200, 0));
  v_pattern text := '%' || regexp_replace(p_text, '([\\%_])', '\\\1', 'g') || '%';
  v_found int;
begin
  return query
  select d.lead_id, jsonb_build_array('name', d.ctid)
  from public.lead_details as d
  where d.ctid >= v_begin::tid and d.ctid < v_end::tid and d.lead_id <> p_text and (d.name::text ilike v_pattern or d.company_name::text ilike v_pattern)
  order by d.ctid desc
  limit p_most;
  get diagnostics v_found = row_count;
  if v_found < p_most and v_begin <> '(0,0)' then
    return query select null::text, jsonb_build_array('name', v_begin);
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.leads_by_name(p_text text, p_after jsonb, p_most integer) IS 'The next leads whose name or company contains the text, from the newest pages of lead_details backward.';

CREATE FUNCTION leadhook.leads_of_group(p_user_id uuid, p_tag text, p_after_lead text) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
begin
  return array(
    -- They are few; read together with the group, they would be sought among all jobs.
    with leased as materialized (
      select j.lead_id, j.user_id, j.tag from leadhook.jobs as j where j.state = 'leased'
    )
    select w.lead_id
    from (
      (
        select j.lead_id
        from leadhook.jobs as j
        where (j.state in ('waiting', 'held', 'dead') or j.replay_id is not null)
          and j.user_id = p_user_id and j.tag = p_tag and j.lead_id > p_after_lead
        order by j.lead_id
        limit 500
      )
      union
      (
        select o.lead_id
        from leadhook.lead_groups as o
        where o.user_id = p_user_id and o.tag = p_tag and o.lead_id > p_after_lead
        order by o.lead_id
        limit 500
      )
      union
      (
        select l.lead_id from leased as l where l.user_id = p_user_id and l.tag = p_tag and l.lead_id > p_after_lead
      )
    ) as w
    order by w.lead_id
    limit 500
  );
end
$$;

COMMENT ON FUNCTION leadhook.leads_of_group(p_user_id uuid, p_tag text, p_after_lead text) IS 'The next 500 leads behind the given one for which the prompts of this group matter, in the order of their ids.';

CREATE FUNCTION leadhook.lease_leads(p_lead_ids text[], p_token uuid, p_worker text, p_source text, p_now timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS $$
declare
  v_snapshot pg_snapshot := pg_current_snapshot();
  v_changed text[];
begin
  -- Most often all are still wanted, which costs one look and no lock.
  begin
    v_changed := array(select d.lead_id from leadhook.decide_moves(p_lead_ids, null, 'check') as d where d.becomes is not null);
  exception
    when others then
      if not leadhook.blames_the_lead(sqlstate) then
        raise;
      end if;
      v_changed := p_lead_ids;
  end;
  perform leadhook.apply_changes(v_changed, p_source, 'check');
  perform leadhook.advance_fences() where (select f.last_value + f.is_called::int from leadhook.fences as f) <= (
    select max(j.fence) from leadhook.jobs as j where j.lead_id = any (p_lead_ids)
  );

  with due as materialized (
    select i.lead_id, i.place
    from unnest(p_lead_ids) with ordinality as i (lead_id, place)
    join leadhook.jobs as j using (lead_id)
    where j.lead_id = any (p_lead_ids) and j.state = 'ready'
    for no key update of j skip locked
  ),
  fenced as materialized (
    select d.lead_id, nextval('leadhook.fences') as fence from (select d.lead_id from due as d order by d.place) as d
  )
  update leadhook.jobs as j set
    state = 'leased',
    fence = f.fence,
    claim_token = p_token,
    worker = p_worker,
    leased_at = p_now,
    leased_snapshot = v_snapshot,
    changed = false,
    called = false,
    reserved_usd = null,
    budget_id = null,
    needed_usd = null,
    lease_until = greatest(c.leases_from, p_now + make_interval(secs => c.lease_s::float8))
  from fenced as f
  cross join leadhook.controls as c
  where j.lead_id = any (p_lead_ids) and j.lead_id = f.lead_id;
  return found;
end
$$;

COMMENT ON FUNCTION leadhook.lease_leads(p_lead_ids text[], p_token uuid, p_worker text, p_source text, p_now timestamp with time zone) IS 'Leases those of these leads that are still eligible, in their order; the others go to sleep. False: none was leased.';

CREATE FUNCTION leadhook.lease_others(p_tried text[], p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_source text, p_now timestamp with time zone, p_user_id uuid) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
  v_locked text[] := leadhook.lock_jobs(
    array(select s.lead_id from leadhook.next_suspect(p_now) as s where s.lead_id is not null) || p_tried
  );
  v_chosen record;
begin
  if v_locked = '{}' then
    return false;
  end if;
  v_chosen := leadhook.choose_leads(
    p_limit + cardinality(v_locked), p_low_priority_limit + cardinality(v_locked), p_now, p_user_id
  );
  return not leadhook.lease_leads((
    select (array_agg(c.lead_id order by c.place))[:p_limit]
    from (
      select i.lead_id, i.place, j.low_priority, row_number() over (partition by j.low_priority order by i.place) as nth
      from unnest(v_chosen.lead_ids) with ordinality as i (lead_id, place)
      join leadhook.jobs as j using (lead_id)
      where j.lead_id = any (v_chosen.lead_ids) and i.lead_id <> all (v_locked)
    ) as c
    where not c.low_priority or c.nth <= p_low_priority_limit
  ), p_token, p_worker, p_source, p_now);
end
$$;

COMMENT ON FUNCTION leadhook.lease_others(p_tried text[], p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_source text, p_now timestamp with time zone, p_user_id uuid) IS 'None of these leads was leased: leases others if another transaction has locked some. True: all that is due is locked.';

CREATE FUNCTION leadhook.list_ready_groups() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
  with taken as (
    delete from leadhook.ready_notes as n where n.low_priority in (false, true) returning n.low_priority, n.user_id, n.tag, n.due_at
  )
  insert into leadhook.ready_groups as g (low_priority, user_id, tag, due_at)
  select t.low_priority, t.user_id, t.tag, min(t.due_at)
  from taken as t
  group by t.low_priority, t.user_id, t.tag
  on conflict (low_priority, user_id, tag) do update set due_at = excluded.due_at, lead_id = ''
  where (g.due_at, g.lead_id) > (excluded.due_at, '');
end
$$;

COMMENT ON FUNCTION leadhook.list_ready_groups() IS 'Turns notes into groups, or moves their places back. Under the claim lock.';

CREATE FUNCTION leadhook.lock_application_rows(p_lead_ids text[]) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'on'
    SET seq_page_cost TO '100'
    AS $$
begin
  return (
    with details as materialized (
      select d.lead_id from public.lead_details as d where d.lead_id = any (p_lead_ids) order by d.lead_id for no key update skip locked
    ),
    answers as materialized (
      select l.lead_id from public.llm_response as l where l.lead_id = any (p_lead_ids) order by l.lead_id for no key update skip locked
    ),
    seen as (
      select d.lead_id, 1 as rows from public.lead_details as d where d.lead_id = any (p_lead_ids)
      union all
      select l.lead_id, 1 from public.llm_response as l where l.lead_id = any (p_lead_ids)
      union all
      select d.lead_id, -1 from details as d
      union all
      select l.lead_id, -1 from answers as l
    ),
    missed as (
      select s.lead_id from seen as s group by s.lead_id having sum(s.rows) > 0
    )
    select coalesce(array_agg(m.lead_id), '{}') from missed as m
  );
end
$$;

COMMENT ON FUNCTION leadhook.lock_application_rows(p_lead_ids text[]) IS 'Locks the details and answers of these leads without waiting; returns the leads of which the application holds a row.';

CREATE FUNCTION leadhook.lock_claims() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  perform pg_catalog.pg_advisory_xact_lock(727201, 1);
end
$$;

COMMENT ON FUNCTION leadhook.lock_claims() IS 'Waits until no other transaction claims or changes a pause or a budget, and keeps others waiting until this one ends.';

CREATE FUNCTION leadhook.lock_jobs(p_lead_ids text[]) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS $$
begin
  return (
    with locked as materialized (
      select j.lead_id from leadhook.jobs as j where j.lead_id = any (p_lead_ids) for no key update skip locked
    )
    select coalesce(array_agg(j.lead_id), '{}')
    from leadhook.jobs as j
    where j.lead_id = any (p_lead_ids) and not exists (select from locked as l where l.lead_id = j.lead_id)
  );
end
$$;

COMMENT ON FUNCTION leadhook.lock_jobs(p_lead_ids text[]) IS 'Locks the jobs of these leads without waiting. Returns those that another transaction has: a save or a renewal.';

CREATE FUNCTION leadhook.lock_leases(p_leases leadhook.ending[]) RETURNS leadhook.ending[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET row_security TO 'off'
    AS $$
declare
  v_lead_ids text[] := array(select l.lead_id from unnest(p_leases) as l);
  v_fences bigint[] := array(select l.fence from unnest(p_leases) as l);
  v_locked text[];
begin
  -- By the primary key and not by state: the index of leased jobs is full of dead entries while an old snapshot is held.
  -- Waits for whoever has a row. One that has it for too long must not cost the others their leases: then without waiting.
  begin
    v_locked := array(
      select j.lead_id
      from leadhook.jobs as j
      where j.lead_id = any (v_lead_ids) and j.fence = any (v_fences)
      order by j.lead_id
      for no key update of j
    );
  exception when lock_not_available or deadlock_detected then
    v_locked := array(
      select j.lead_id
      from leadhook.jobs as j
      where j.lead_id = any (v_lead_ids) and j.fence = any (v_fences)
      order by j.lead_id
      for no key update of j skip locked
    );
  end;
  return array(
    select case when s.lock_state = 'past'
      then jsonb_populate_record(l, jsonb_build_object('lock_state', s.lock_state, 'outcome', p.outcome, 'reason', p.reason))
      else jsonb_populate_record(l, jsonb_build_object('lock_state', s.lock_state))
    end
    from unnest(p_leases) as l
    left join leadhook.jobs as j on j.lead_id = any (v_lead_ids) and j.lead_id = l.lead_id
    cross join lateral (
      select case
        when j.lead_id is null then 'gone'
        when j.state <> 'leased' or j.fence <> l.fence or l.token <> j.claim_token then 'past'
        when l.lead_id = any (v_locked) then 'locked'
        else 'busy'
      end
    ) as s (lock_state)
    left join lateral (
      select t.outcome, t.reason
      from leadhook.attempts as t
      where s.lock_state = 'past' and t.lead_id = l.lead_id and t.fence = l.fence
      order by t.id desc
      limit 1
    ) as p on true
  );
end
$$;

COMMENT ON FUNCTION leadhook.lock_leases(p_leases leadhook.ending[]) IS 'Locks the jobs of these leases, and returns them with their lock_state. past: outcome and reason say how it ended, null: taken by another claim.';

CREATE FUNCTION leadhook.lock_outbox() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  perform pg_catalog.pg_advisory_xact_lock(727201, 2);
end
$$;

COMMENT ON FUNCTION leadhook.lock_outbox() IS 'Waits until no other transaction checks which leads are eligible, and keeps others waiting until this one ends.';

CREATE FUNCTION leadhook.mark_spent_budgets(p_now timestamp with time zone, p_user_ids uuid[]) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
  if p_user_ids is not null and not exists (select from leadhook.budgets as b where b.user_id = any (p_user_ids)) then
    return false;
  end if;
  update leadhook.budgets as b
  set spent_on = (p_now at time zone 'UTC')::date, settled_on = 'epoch'
  where b.spent_on is distinct from (p_now at time zone 'UTC')::date and b.id = any (array(
    select l.id from leadhook.budgets_left(p_now, p_user_ids) as l where l.user_id is not null and l.left_usd <= 0
  ));
  return found;
end
$$;

COMMENT ON FUNCTION leadhook.mark_spent_budgets(p_now timestamp with time zone, p_user_ids uuid[]) IS 'Marks the budgets of these users (null: all) that have nothing left; true: of some that was not known. Under the claim lock.';

CREATE FUNCTION leadhook.match_leads(p_filter jsonb, p_after_lead text, OUT lead_ids text[], OUT last_lead text) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
declare
  v_window text[] := array(select j.lead_id from leadhook.jobs as j where j.lead_id > p_after_lead order by j.lead_id limit 5000);
begin
  lead_ids := array(select v_window[m.place] from leadhook.matching_leads(v_window, p_filter, 250) as m order by m.place);
  last_lead := case when cardinality(lead_ids) = 250 then lead_ids[250] else v_window[5000] end;
end
$$;

COMMENT ON FUNCTION leadhook.match_leads(p_filter jsonb, p_after_lead text, OUT lead_ids text[], OUT last_lead text) IS 'The next up to 250 leads of a filter behind p_after_lead; last_lead is where to go on, null when these were the last.';

CREATE FUNCTION leadhook.matching_leads(p_lead_ids text[], p_filter jsonb, p_most integer) RETURNS TABLE(place bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
declare
  v_user_id uuid := (p_filter ->> 'user_id')::uuid;
  v_tag text := p_filter ->> 'tag';
  v_state text := p_filter ->> 'state';
  v_outcome text := p_filter ->> 'outcome';
  v_error_code text := p_filter ->> 'error_code';
  v_score_min int := (p_filter ->> 'score_min')::int;
  v_score_max int := (p_filter ->> 'score_max')::int;
  v_prompt_version text := p_filter ->> 'prompt_version';
  v_flag text := p_filter ->> 'flag';
  v_since timestamptz := (p_filter ->> 'since')::timestamptz;
  v_until timestamptz := (p_filter ->> 'until')::timestamptz;
begin
  return query
  select i.place
  from unnest(p_lead_ids) with ordinality as i (lead_id, place)
  cross join lateral (
    select j.user_id, j.tag, j.state, j.error_code, j.finished_at from leadhook.jobs as j where j.lead_id = i.lead_id offset 0
  ) as s
  left join lateral (
    select v.score, v.prompt_version, v.flags
    from leadhook.results as v
    where v.lead_id = i.lead_id and coalesce(v_score_min::text, v_score_max::text, v_prompt_version, v_flag) is not null
    order by v.run desc
    limit 1
  ) as v on true
  where (v_user_id is null or s.user_id = v_user_id)
    and (v_tag is null or s.tag = v_tag)
    and (v_state is null or s.state = v_state)
    and (v_error_code is null or s.error_code = v_error_code)
    and (v_since is null or s.finished_at >= v_since)
    and (v_until is null or s.finished_at < v_until)
    and (v_score_min is null or v.score >= v_score_min)
    and (v_score_max is null or v.score <= v_score_max)
    and (v_prompt_version is null or v.prompt_version = v_prompt_version)
    and (v_flag is null or v_flag = any (v.flags) or v_flag = 'any' and v.flags <> '{}')
    and (v_outcome is null or v_outcome = (
      select t.outcome from leadhook.attempts as t where t.lead_id = i.lead_id order by t.id desc limit 1
    ))
  limit p_most;
end
$$;

COMMENT ON FUNCTION leadhook.matching_leads(p_lead_ids text[], p_filter jsonb, p_most integer) IS 'The places in p_lead_ids of the first p_most leads that match a filter.';

CREATE FUNCTION leadhook.merge_costs(p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
  v_from date := (p_now at time zone 'UTC')::date - 1;
begin
  with booked as (
    delete from leadhook.costs as c
    where c.day >= v_from and (c.day, c.user_id) in (
      select o.day, o.user_id from leadhook.costs as o where o.day >= v_from group by o.day, o.user_id having count(*) > 1
    )
    returning c.day, c.user_id, c.spent_usd, c.wasted_usd
  )
  insert into leadhook.costs as c (day, user_id, spent_usd, wasted_usd)
  select b.day, b.user_id, sum(b.spent_usd), sum(b.wasted_usd)
  from booked as b
  group by b.day, b.user_id
  on conflict (day, user_id, xact) do update
  set spent_usd = c.spent_usd + excluded.spent_usd, wasted_usd = c.wasted_usd + excluded.wasted_usd;
end
$$;

COMMENT ON FUNCTION leadhook.merge_costs(p_now timestamp with time zone) IS 'Makes the rows of each user one, of today and yesterday. Under the outbox lock.';

CREATE FUNCTION leadhook.move_jobs(p_lead_ids text[], p_changed_at timestamp with time zone[], p_source text, p_mode text, p_xacts xid8[] DEFAULT NULL::xid8[]) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS $$
declare
  -- Locked first and checked in a later statement: else a save that commits in between would be checked by rows from before it.
  v_busy text[] := leadhook.lock_jobs(p_lead_ids);
  v_now timestamptz := clock_timestamp();
  v_begun jsonb;
  v_asleep text[];
  v_erased text[];
begin
  with decided as materialized (
    select d.* from leadhook.decide_moves(p_lead_ids, p_changed_at, p_mode, p_xacts) as d where d.becomes is not null and d.lead_id <> all (v_busy)
  ),
  moved as (
    update leadhook.jobs as j
    set
      user_id = d.user_id,
      tag = d.tag,
      state = d.becomes,
      low_priority = j.low_priority and d.becomes = d.was,
      available_at = case when j.budget_id is null then j.available_at else v_now end, -- another user has another budget
      budget_id = null,
      replay_id = case when d.becomes = d.was then j.replay_id end,
      changed = j.changed or d.becomes = d.was,
      replay_after = case when d.becomes = d.was or d.replayable then j.replay_after end
    from decided as d
    where j.lead_id = any (p_lead_ids) and j.lead_id = d.lead_id and (d.becomes = d.was or d.becomes = 'waiting')
  ),
  noted as (
    update leadhook.jobs as j set changed = true from decided as d where j.lead_id = any (p_lead_ids) and j.lead_id = d.lead_id and d.becomes = 'changed'
  ),
  added as (
    insert into leadhook.jobs as j (lead_id, user_id, tag, state, low_priority, available_at, eligible_at, source)
    select d.lead_id, d.user_id, d.tag, d.becomes, d.becomes = 'held', v_now,
      case when d.becomes = 'waiting' then d.changed_at else coalesce(d.changed_at, v_now) end, p_source
    from decided as d
    where d.was is null and d.becomes <> 'erased' or d.was = 'waiting' and d.becomes = 'held'
    on conflict (lead_id) do update
    set
      state = excluded.state, user_id = excluded.user_id, tag = excluded.tag, low_priority = excluded.low_priority, attempts = 0,
      available_at = excluded.available_at, eligible_at = excluded.eligible_at, source = excluded.source, error_code = null, reason = null,
      finished_at = null
    where j.state = 'waiting' and excluded.state <> 'waiting'
  )
  select
    jsonb_agg(jsonb_build_object('lead_id', d.lead_id, 'user_id', d.user_id, 'tag', d.tag, 'eligible_at', d.changed_at))
      filter (where d.becomes = 'ready' and d.was <> 'ready'),
    array_agg(d.lead_id) filter (where d.becomes = 'waiting' and d.was <> 'waiting'),
    array_agg(d.lead_id) filter (where d.becomes = 'erased')
  into v_begun, v_asleep, v_erased
  from decided as d;

  if v_begun is not null then
    perform leadhook.begin_runs(v_begun, p_source, false, null, v_now);
  end if;
  if v_asleep is not null then
    -- A lease that was given back leaves its postponed replay on a ready job: it begins when nothing else wants the lead.
    perform leadhook.begin_postponed_replays(v_asleep, v_now);
  end if;
  if v_erased is not null then
    perform leadhook.erase_leads(v_erased);
  end if;
  if p_mode in ('change', 'refresh', 'hint', 'sweep', 'hold') then
    perform leadhook.note_lead_groups(p_lead_ids);
  end if;
  if v_busy = '{}' then
    return array[]::text[];
  end if;
  return array(
    select j.lead_id
    from leadhook.jobs as j
    where j.lead_id = any (v_busy)
      and (p_mode in ('change', 'refresh', 'wake_all') or p_mode in ('wake', 'check') and j.state in ('waiting', 'ready', 'leased'))
  );
end
$$;

COMMENT ON FUNCTION leadhook.move_jobs(p_lead_ids text[], p_changed_at timestamp with time zone[], p_source text, p_mode text, p_xacts xid8[]) IS 'Does with the jobs of these leads what decide_moves says. Returns those to be looked at again, as another transaction has them.';

CREATE FUNCTION leadhook.name_leads(p_lead_ids text[], p_user_ids uuid[], p_tags text[]) RETURNS TABLE(lead_id text, name text, linkedin_url text, location text)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'on'
    SET enable_nestloop TO 'off'
    SET seq_page_cost TO '100'
    AS $$
#variable_conflict use_column
begin
  return query
  with asked as (
    select i.lead_id, i.user_id, i.tag from unnest(p_lead_ids, p_user_ids, p_tags) as i (lead_id, user_id, tag)
  ),
  read as materialized (
    select
      d.lead_id,
      count(*) over (partition by d.lead_id) as rows,
      leadhook.read_value(d.name, 10000) as name,
      leadhook.read_value(d.location, 10000) as location,
      leadhook.read_value(d.profile_url, 10000) as profile_url
    from public.lead_details as d
    where d.lead_id = any (p_lead_ids)
  ),
  urls as (
    select distinct on (d.lead_id)
      d.lead_id,
      leadhook.read_value(d.linkedin_url, 10000) as linkedin_url
    from (
      select a.lead_id, a.linkedin_url, a.scrapped is true as scrapped
      from public.all_leads as a
      join asked as i on i.lead_id = a.lead_id and i.user_id = a.user_id and i.tag = a.tag
      where a.lead_id = any (p_lead_ids)
    ) as d
    order by d.lead_id, d.scrapped desc, linkedin_url
  ),
  several as (
    select array_agg(i.lead_id) as lead_ids, array_agg(i.user_id) as user_ids, array_agg(i.tag) as tags
    from asked as i
    where i.lead_id in (select r.lead_id from read as r where r.rows > 1)
  )
  select r.lead_id, r.name, coalesce(u.linkedin_url, r.profile_url), r.location
  from read as r
  left join urls as u using (lead_id)
  where r.rows = 1
  union all
  select d.lead_id, d.lead ->> 'name', d.lead ->> 'linkedin_url', d.lead ->> 'location'
  from several as s
  cross join lateral leadhook.describe_leads(s.lead_ids, s.user_ids, s.tags) as d
  where s.lead_ids is not null;
end
$$;

COMMENT ON FUNCTION leadhook.name_leads(p_lead_ids text[], p_user_ids uuid[], p_tags text[]) IS 'Name, address and location of each lead, as describe_leads has them.';

CREATE FUNCTION leadhook.newest_prompts(p_user_ids uuid[], p_tags text[], p_most_characters integer) RETURNS TABLE(user_id uuid, tag text, prompts json)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'on'
    SET enable_nestloop TO 'on'
    SET enable_material TO 'off'
    SET seq_page_cost TO '100'
    AS $$
#variable_conflict use_column
begin
  return query
  select g.user_id, g.tag, d.prompts
  from unnest(p_user_ids, p_tags) as g (user_id, tag)
  cross join lateral (
    select json_build_object(
      'wildnet_data', d.wildnet_data,
      'scoring_criteria_and_icp', d.scoring_criteria_and_icp,
      'message_prompt', d.message_prompt
    ) as prompts
    from (
      select
        leadhook.read_value(p.wildnet_data, 100001, p_most_characters) as wildnet_data,
        leadhook.read_value(p.scoring_criteria_and_icp, 100001, p_most_characters) as scoring_criteria_and_icp,
        leadhook.read_value(p.message_prompt, 100001, p_most_characters) as message_prompt
      from public.prompts as p
      where p.user_id = g.user_id and p.tag = g.tag and p.created_at is not distinct from (
        select max(q.created_at) from public.prompts as q where q.user_id = g.user_id and q.tag = g.tag
      )
    ) as d
    order by case when count(*) over () > 1 then d::text end desc
    limit 1
  ) as d;
end
$$;

COMMENT ON FUNCTION leadhook.newest_prompts(p_user_ids uuid[], p_tags text[], p_most_characters integer) IS 'The newest prompts row of each of these groups, cut as describe_leads cuts; of several the one with the greatest text.';

CREATE FUNCTION leadhook.next_day(p_now timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select ((p_now at time zone 'UTC')::date + 1)::timestamp at time zone 'UTC'
$$;

COMMENT ON FUNCTION leadhook.next_day(p_now timestamp with time zone) IS 'The next midnight in UTC, when every budget begins again.';

CREATE FUNCTION leadhook.next_due_ms(p_now timestamp with time zone, p_blocked record DEFAULT NULL::record) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
declare
  v_blocked record := p_blocked;
  v_next timestamptz;
begin
  if leadhook.has_changes(p_now) then
    return 0;
  end if;
  if v_blocked is null then
    v_blocked := leadhook.find_blocked(p_now);
  end if;
  if v_blocked.everything is null then
    v_next := least(
      leadhook.first_due(false, p_now), leadhook.first_due(true, p_now), (select s.available_at from leadhook.next_suspect(p_now) as s),
      case when v_blocked.payable <> '{}' then p_now end
    );
  end if;
  if v_blocked.budget_spent and v_blocked.everything is distinct from 'paused'
    and (exists (select from leadhook.ready_groups) or exists (select from leadhook.ready_notes)) then
    v_next := least(v_next, leadhook.next_day(p_now));
  end if;
  v_next := least(
    v_next,
    (
      select j.lease_until
      from leadhook.jobs as j
      where j.state = 'leased' and j.lease_until >= (select c.leases_from from leadhook.controls as c)
      order by j.lease_until
      limit 1
    )
  );
  if v_next is not null and not exists (select from leadhook.healthy_keys()) then
    v_next := (
      select min(greatest(s.until, v_next))
      from leadhook.api_keys as s
      where s.state = 'cooling' and s.fingerprint in (
        select leadhook.key_fingerprint(g.api_key) from public.gemini_api as g
      )
    );
  end if;
  v_next := least(v_next, (select t.not_before from leadhook.outbox as t order by t.id limit 1));
  if v_next is null then
    return null;
  end if;
  return greatest(250, least(86400000, ceil(extract(epoch from v_next - p_now) * 1000)));
end
$$;

COMMENT ON FUNCTION leadhook.next_due_ms(p_now timestamp with time zone, p_blocked record) IS 'Milliseconds until a claim could hand something out: 0 when outbox rows are left, else at least 250; null when nothing is due. What is paused is not due; what waits for a budget is due with the next day in UTC. p_blocked: by find_blocked, where the caller has it.';

CREATE FUNCTION leadhook.next_leads(p_filter jsonb, p_after_lead text, p_most integer, OUT lead_ids text[], OUT last_lead text) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_has_more text;
begin
  select m.lead_ids, m.last_lead into lead_ids, last_lead from leadhook.match_leads(p_filter, p_after_lead) as m;
  if cardinality(lead_ids) <= p_most is not false then
    return;
  end if;
  v_has_more := (
    select d.lead_id
    from leadhook.decide_replay(lead_ids, false) as d
    where d.outcome in ('queued', 'queued_after')
    order by d.lead_id
    offset p_most - 1
    limit 1
  );
  if v_has_more is not null then
    lead_ids := lead_ids[:array_position(lead_ids, v_has_more)];
    last_lead := v_has_more;
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.next_leads(p_filter jsonb, p_after_lead text, p_most integer, OUT lead_ids text[], OUT last_lead text) IS 'As leadhook.match_leads, cut behind the lead that is the p_most-th to be queued; p_most null: not cut.';

CREATE FUNCTION leadhook.next_suspect(p_now timestamp with time zone, OUT lead_id text, OUT available_at timestamp with time zone) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
declare
  v_worst int := (select j.deaths from leadhook.jobs as j where j.deaths > 0 and j.state = 'leased' order by j.deaths desc, j.available_at desc limit 1);
begin
  if v_worst > 1 then
    return;
  end if;
  select j.lead_id, j.available_at into lead_id, available_at
  from leadhook.jobs as j
  where j.deaths > 0 and j.state = 'ready' and (v_worst is null or j.deaths = 1)
    and not leadhook.is_shut(j.user_id, j.tag, p_now)
  order by j.deaths, j.available_at, j.lead_id
  limit 1;
end
$$;

COMMENT ON FUNCTION leadhook.next_suspect(p_now timestamp with time zone, OUT lead_id text, OUT available_at timestamp with time zone) IS 'The ready lead whose lease ran out that may be claimed next, and when; null: there is none, or another one must end first.';

CREATE FUNCTION leadhook.next_unfailing(p_now timestamp with time zone) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
declare
  v_found text;
  v_low_priority boolean;
begin
  foreach v_low_priority in array array[false, true] loop
    v_found := (
      select j.lead_id
      from leadhook.jobs as j
      where j.state = 'ready' and j.deaths = 0 and j.low_priority = v_low_priority and j.available_at <= p_now
        and leadhook.failing_since(j.failing_since, j.eligible_at) is null
        and j.user_id not in (
          select p.user_id from leadhook.pauses as p where p.tag is null and p.user_id is not null
          union all
          select b.user_id from leadhook.budgets as b where b.user_id is not null and b.spent_on = (p_now at time zone 'UTC')::date
        )
        and (j.user_id, j.tag) not in (select p.user_id, p.tag from leadhook.pauses as p where p.tag is not null)
      order by j.available_at
      limit 1
    );
    exit when v_found is not null;
  end loop;
  return v_found;
end
$$;

CREATE FUNCTION leadhook.next_users(p_low_priority boolean, p_limit integer, p_now timestamp with time zone, p_user_id uuid, OUT user_ids uuid[], OUT first_tags text[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  with recursive walk as (
    select p_user_id as user_id, null::text as tag, false as wrapped
    union all
    select n.user_id, n.tag, n.wrapped
    from walk as w
    cross join lateral (
      (
        select g.user_id, g.tag, w.wrapped
        from leadhook.ready_groups as g
        where g.low_priority = p_low_priority and not g.shut and g.due_at <= p_now and g.user_id > w.user_id
        order by g.user_id, g.tag
        limit 1
      )
      union all
      (
        select g.user_id, g.tag, true
        from leadhook.ready_groups as g
        where g.low_priority = p_low_priority and not g.shut and g.due_at <= p_now and not w.wrapped
        order by g.user_id, g.tag
        limit 1
      )
      limit 1
    ) as n
    where not n.wrapped or p_user_id is null or n.user_id <= p_user_id
  )
  select coalesce(array_agg(u.user_id), '{}'), coalesce(array_agg(u.tag), '{}')
  into user_ids, first_tags
  from (select w.user_id, w.tag from walk as w offset 1 limit p_limit) as u;
end
$$;

COMMENT ON FUNCTION leadhook.next_users(p_low_priority boolean, p_limit integer, p_now timestamp with time zone, p_user_id uuid, OUT user_ids uuid[], OUT first_tags text[]) IS 'Up to p_limit users with groups that may be due, behind the given one and wrapping round, each with its first such tag.';

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

COMMENT ON COLUMN leadhook.outbox.n IS 'how many leads it names; small ones are applied first, so that three leads overtake an import';

COMMENT ON COLUMN leadhook.outbox.refreshed IS 'leads: rows were deleted, or inserted after rows of the table were deleted in the same transaction: no change by itself';

COMMENT ON COLUMN leadhook.outbox.after_lead IS 'prompts, everything: the jobs up to this lead_id have been looked at';

COMMENT ON COLUMN leadhook.outbox.until_lead IS 'it joined an equal walk at this lead, goes round, and ends here again; null: it began with the first lead, and ends with the last';

COMMENT ON COLUMN leadhook.outbox.not_before IS 'put back because someone else held the job; null: at once';

COMMENT ON COLUMN leadhook.outbox.xact IS 'the transaction that changed it; the same in leadhook.webhooks names the webhook that announced it';

CREATE FUNCTION leadhook.next_walk() RETURNS leadhook.outbox[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
declare
  v_first leadhook.outbox;
  v_walks leadhook.outbox[];
  v_position text;
begin
  select t.* into v_first from leadhook.outbox as t where t.kind <> 'leads' order by t.id limit 1;
  v_walks := array(
    select t
    from leadhook.outbox as t
    where t.kind <> 'leads' and t.kind = v_first.kind and t.prompts_inserted = v_first.prompts_inserted
      and t.user_id is not distinct from v_first.user_id and t.tag is not distinct from v_first.tag
  );
  if cardinality(v_walks) < 2 then
    return v_walks;
  end if;
  v_position := (select max(w.after_lead) from unnest(v_walks) as w);
  update leadhook.outbox as t
  set after_lead = v_position, until_lead = v_position
  where t.id in (select w.id from unnest(v_walks) as w where w.after_lead <> v_position);
  return array(select t from leadhook.outbox as t where t.id in (select w.id from unnest(v_walks) as w));
end
$$;

COMMENT ON FUNCTION leadhook.next_walk() IS 'The outbox row that names no leads and whose turn it is, with those that are equal, all at one position.';

CREATE FUNCTION leadhook.note_action(p_actor text, p_action text, p_parameters jsonb, p_reason text) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS $$
  insert into leadhook.audit (actor, action, parameters, reason)
  values (left(btrim(p_actor), 200), p_action, jsonb_strip_nulls(p_parameters), left(nullif(btrim(p_reason), ''), 500))
$$;

COMMENT ON FUNCTION leadhook.note_action(p_actor text, p_action text, p_parameters jsonb, p_reason text) IS 'Appends to the audit. The parameters name no lead.';

CREATE FUNCTION leadhook.note_attempts(p_attempts jsonb, p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
declare
  v_costs jsonb;
begin
  with attempts as materialized (
    select a.*
    from jsonb_to_recordset(p_attempts) as a (
      lead_id text, user_id uuid, run int, fence bigint, request_id uuid, outcome text, error_code text, reason text, worker text,
      source text, replay_id bigint, model text, prompt_version text, key_fingerprint text, usage jsonb, timing jsonb, cost_usd numeric,
      wasted boolean, eligible_at timestamptz, leased_at timestamptz
    )
  ),
  noted as (
    insert into leadhook.attempts (
      lead_id, run, fence, request_id, outcome, error_code, reason, worker, source, replay_id, model, prompt_version, key_fingerprint, calls,
      input_tokens, cached_tokens, output_tokens, thinking_tokens, cost_usd, wasted, eligible_at, leased_at, first_call_ms, key_wait_ms,
      model_ms, finished_at
    )
    select
      a.lead_id, a.run, a.fence, a.request_id, a.outcome, a.error_code, left(a.reason, 500), a.worker, a.source, a.replay_id, a.model,
      a.prompt_version, a.key_fingerprint, (a.usage ->> 'calls')::int, (a.usage ->> 'input_tokens')::int,
      (a.usage ->> 'cached_tokens')::int, (a.usage ->> 'output_tokens')::int, (a.usage ->> 'thinking_tokens')::int, a.cost_usd,
      coalesce(a.wasted and a.cost_usd > 0, false), a.eligible_at, a.leased_at, (a.timing ->> 'first_call_ms')::int,
      (a.timing ->> 'key_wait_ms')::int, (a.timing ->> 'model_ms')::int, p_now
    from attempts as a
  )
  select jsonb_agg(jsonb_build_object('user_id', a.user_id, 'cost_usd', a.cost_usd, 'wasted', a.wasted)) into v_costs
  from attempts as a
  where a.cost_usd > 0;
  if v_costs is not null then
    perform leadhook.book_costs(v_costs, p_now);
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.note_attempts(p_attempts jsonb, p_now timestamp with time zone) IS 'Inserts rows of leadhook.attempts, given by its columns, usage and timing, and adds what they cost to the day of their user_id.';

CREATE FUNCTION leadhook.note_change(p_reason text, p_table text, p_lead_ids text[] DEFAULT NULL::text[], p_user_ids uuid[] DEFAULT NULL::uuid[], p_tags text[] DEFAULT NULL::text[], p_refreshed boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  v_xact text := pg_current_xact_id();
  v_mark text := current_setting('leadhook.outbox', true);
  v_leads int := cardinality(p_lead_ids);
begin
  if v_mark = v_xact || ':closed' then
    return;
  end if;
  if v_mark = v_xact || ':open' then
    perform leadhook.append_to_outbox(p_lead_ids, p_user_ids, p_tags, p_reason = 'INSERT', p_refreshed);
    if leadhook.wanted_webhooks(v_leads) > 1 then
      perform leadhook.send_webhook(p_reason, v_leads, p_table);
    end if;
    return;
  end if;
  begin
    perform leadhook.append_to_outbox(p_lead_ids, p_user_ids, p_tags, p_reason = 'INSERT', p_refreshed);
    v_mark := ':open';
    perform leadhook.post_webhooks(p_reason, v_leads, p_table);
    perform set_config('leadhook.outbox', v_xact || ':open', true);
    return;
  exception when assert_failure or others then
    if v_mark is distinct from ':open' then
      perform leadhook.warn('a change is left to the sweep: ' || sqlerrm);
      perform set_config('leadhook.outbox', v_xact || ':closed', true);
    end if;
  end;
  if v_mark = ':open' then
    begin
      perform leadhook.append_to_outbox(p_lead_ids, p_user_ids, p_tags, p_reason = 'INSERT', p_refreshed);
      perform set_config('leadhook.outbox', v_xact || ':open', true);
    exception when assert_failure or others then
      perform leadhook.warn('a change is left to the sweep: ' || sqlerrm);
    end;
  end if;
  perform leadhook.send_webhook(p_reason, v_leads, p_table);
end
$$;

COMMENT ON FUNCTION leadhook.note_change(p_reason text, p_table text, p_lead_ids text[], p_user_ids uuid[], p_tags text[], p_refreshed boolean) IS 'Appends what a statement changed, as append_to_outbox, and sends a webhook. Never raises.';

CREATE FUNCTION leadhook.note_failed_on_demand(p_worker text, p_results leadhook.ending[], p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
declare
  v_lead_ids text[] := array(select r.lead_id from unnest(p_results) as r);
  v_known jsonb;
  v_unknown jsonb;
begin
  with failed as materialized (
    select
      r.lead_id, r.request_id, r.outcome, r.error_code, r.reason, r.checkpoint, r.key_fingerprint, r.usage, r.cost_usd, r.timing,
      j.lead_id is not null as has_job, coalesce(j.user_id, e.user_id) as user_id,
      p_now - make_interval(secs => greatest(r.age_ms, 0) / 1000.0) as began_at
    from unnest(p_results) as r
    left join leadhook.jobs as j on j.lead_id = r.lead_id
    left join jsonb_to_recordset(leadhook.check_each(v_lead_ids)) as e (lead_id text, user_id uuid) on e.lead_id = r.lead_id
    where not exists (select from leadhook.attempts as t where t.lead_id = r.lead_id and t.request_id = r.request_id)
  ),
  kept as (
    update leadhook.jobs as j
    set checkpoint = f.checkpoint
    from failed as f
    where j.lead_id = f.lead_id and j.state <> 'leased' and j.checkpoint is null and f.checkpoint is not null
  )
  select
    jsonb_agg(to_jsonb(f) - 'checkpoint' || jsonb_build_object(
      'run', 0, 'fence', nextval('leadhook.fences'), 'worker', p_worker, 'source', 'on_demand', 'eligible_at', f.began_at,
      'leased_at', f.began_at
    )) filter (where f.has_job),
    jsonb_agg(to_jsonb(f)) filter (where not f.has_job)
  into v_known, v_unknown
  from failed as f;
  perform leadhook.note_attempts(coalesce(v_known, '[]'), p_now);
  perform leadhook.book_costs(coalesce(v_unknown, '[]'), p_now);
end
$$;

COMMENT ON FUNCTION leadhook.note_failed_on_demand(p_worker text, p_results leadhook.ending[], p_now timestamp with time zone) IS 'Books what requests without an answer cost, and notes their attempts beside the jobs, which stay as they are; a paid score is kept for the next lease, which checks that it was bought with the same prompts.';

CREATE FUNCTION leadhook.note_first_lease(p_now timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
declare
  v_began timestamptz := clock_timestamp();
  v_next timestamptz := (select p_now + make_interval(secs => c.lease_s::float8) from leadhook.controls as c);
  v_noted timestamptz := (select c.leases_from from leadhook.controls as c);
  v_first timestamptz;
begin
  if v_noted > v_next then
    -- The clock was turned back.
    v_noted := 'epoch';
    update leadhook.controls as c set leases_from = v_noted where c.id;
  end if;
  v_first := least(v_next, (
    select j.lease_until from leadhook.jobs as j where j.state = 'leased' and j.lease_until >= v_noted order by j.lease_until limit 1
  ));
  if v_first > v_noted and clock_timestamp() > v_began + interval '1 ms' then
    update leadhook.controls as c set leases_from = v_first where c.id;
  end if;
  return v_noted;
end
$$;

COMMENT ON FUNCTION leadhook.note_first_lease(p_now timestamp with time zone) IS 'A time before which no lease ends. Under the claim lock.';

CREATE FUNCTION leadhook.note_lead_changes() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    SET jit TO 'off'
    AS $$
declare
  v_lead_ids text[];
  v_read boolean := false;
  v_refreshed boolean := false;
begin
  begin
    if tg_op = 'INSERT' then
      select array_agg(n.lead_id::text) into v_lead_ids from new_rows as n where n.lead_id is not null;
    elsif tg_op = 'DELETE' then
      select array_agg(o.lead_id::text) into v_lead_ids from old_rows as o where o.lead_id is not null;
    elsif tg_op = 'UPDATE' and tg_table_name = 'all_leads' then
      -- A multiset comparison, as the table may have no key: what both sides hold equally often did not change.
      select array_agg(distinct c.lead_id) into v_lead_ids
      from (
        select r.lead_id::text
        from (
          select n.lead_id, n.user_id, n.tag, n.scrapped, 1 from new_rows as n
          union all
          select o.lead_id, o.user_id, o.tag, o.scrapped, -1 from old_rows as o
        ) as r (lead_id, user_id, tag, scrapped, side)
        where r.lead_id is not null
        group by r.lead_id, r.user_id, r.tag, r.scrapped
        having sum(r.side) <> 0
      ) as c (lead_id);
    elsif tg_op = 'UPDATE' then
      select array_agg(c.lead_id) into v_lead_ids
      from (
        select r.lead_id::text
        from (
          select n.lead_id, n.sent_to_llm is not true, 1 from new_rows as n
          union all
          select o.lead_id, o.sent_to_llm is not true, -1 from old_rows as o
        ) as r (lead_id, unsent, side)
        where r.lead_id is not null
        group by r.lead_id
        having sum(r.side) <> 0 or sum(r.side) filter (where r.unsent) > 0
      ) as c (lead_id);
    end if;
    v_read := tg_op <> 'TRUNCATE';
  exception when assert_failure or others then
    null;
  end;
  if not v_read and tg_op = 'UPDATE' then
    begin
      select array_agg(c.lead_id) into v_lead_ids
      from (
        select n.lead_id::text from new_rows as n where n.lead_id is not null
        union
        select o.lead_id::text from old_rows as o where o.lead_id is not null
      ) as c (lead_id);
      v_read := true;
    exception when assert_failure or others then
      null;
    end;
  end if;
  if tg_op in ('DELETE', 'TRUNCATE') or tg_op = 'INSERT' and current_setting('leadhook.deleted_from', true) <> '' then
    v_refreshed := leadhook.refreshes(tg_op, tg_table_name);
  end if;
  if cardinality(v_lead_ids) <= 500 and current_setting('leadhook.outbox', true) = pg_current_xact_id()::text || ':open' then
    -- As note_change() would: each of thousands of statements in one transaction waits for it.
    insert into leadhook.outbox (kind, n, lead_ids, refreshed) values ('leads', cardinality(v_lead_ids), v_lead_ids, v_refreshed) on conflict do nothing;
  elsif v_lead_ids is not null then
    perform leadhook.note_change(tg_op, tg_table_name, v_lead_ids, p_refreshed := v_refreshed);
  elsif not v_read then
    perform leadhook.note_change(tg_op, tg_table_name);
  end if;
  return null;
end
$$;

COMMENT ON FUNCTION leadhook.note_lead_changes() IS 'After a statement on all_leads or lead_details: appends the ids of the leads for which it can matter, and sends a webhook. Reads no table.';

CREATE FUNCTION leadhook.note_lead_groups(p_lead_ids text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'on'
    SET enable_nestloop TO 'off'
    SET seq_page_cost TO '100'
    AS $$
begin
  insert into leadhook.lead_groups (user_id, tag, lead_id)
  select distinct r.user_id, r.tag, r.lead_id
  from (
    select
      j.lead_id, a.user_id::uuid as user_id, a.tag::text as tag,
      bool_or((j.user_id, j.tag) is distinct from (a.user_id::uuid, a.tag::text)) over (partition by j.lead_id) as several
    from public.all_leads as a
    join leadhook.jobs as j on j.lead_id = a.lead_id
    where a.lead_id = any (p_lead_ids) and j.lead_id = any (p_lead_ids) and a.user_id is not null and a.tag is not null
  ) as r
  where r.several
  on conflict do nothing;
end
$$;

COMMENT ON FUNCTION leadhook.note_lead_groups(p_lead_ids text[]) IS 'Notes all groups of those of these leads that have others than their job''s, which changes between them, so that the prompts of each find them.';

CREATE FUNCTION leadhook.note_prompts_changes() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    SET jit TO 'off'
    AS $$
declare
  v_user_ids uuid[];
  v_tags text[];
  v_read boolean := false;
begin
  begin
    if tg_op = 'INSERT' then
      select array_agg(g.user_id), array_agg(g.tag) into v_user_ids, v_tags
      from (select distinct n.user_id, n.tag from new_rows as n where n.user_id is not null and n.tag is not null) as g;
    else
      select array_agg(g.user_id), array_agg(g.tag) into v_user_ids, v_tags
      from (
        select distinct r.user_id, r.tag
        from (
          select n.user_id, n.tag, n::text, 1 from new_rows as n
          union all
          select o.user_id, o.tag, o::text, -1 from old_rows as o
        ) as r (user_id, tag, row_text, side)
        where r.user_id is not null and r.tag is not null
        group by r.user_id, r.tag, r.row_text
        having sum(r.side) > 0
      ) as g;
    end if;
    v_read := true;
  exception when assert_failure or others then
    null;
  end;
  if v_user_ids is not null then
    perform leadhook.note_change(tg_op, tg_table_name, null, v_user_ids, v_tags);
  elsif not v_read then
    perform leadhook.note_change(tg_op, tg_table_name);
  end if;
  return null;
end
$$;

COMMENT ON FUNCTION leadhook.note_prompts_changes() IS 'After a statement on prompts: appends the users and tags that have a new or changed row, and sends a webhook. Reads no table.';

CREATE FUNCTION leadhook.note_ready_jobs() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
begin
  insert into leadhook.ready_notes (low_priority, user_id, tag, due_at)
  select n.low_priority, n.user_id, n.tag, min(n.available_at)
  from new_jobs as n
  where n.state = 'ready' and n.deaths = 0
  group by n.low_priority, n.user_id, n.tag;
  return null;
end
$$;

COMMENT ON FUNCTION leadhook.note_ready_jobs() IS 'Trigger: notes the groups of jobs that became ready, or due earlier, with this statement.';

CREATE FUNCTION leadhook.note_release(p_actor text, p_user_id uuid, p_tag text, p_redo boolean, p_is_first boolean, p_released integer, p_reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
  if not p_is_first then
    update leadhook.audit as a
    set parameters = a.parameters || jsonb_build_object('released', (a.parameters ->> 'released')::int + p_released)
    where a.id = (
      select o.id
      from leadhook.audit as o
      where o.at > clock_timestamp() - interval '1 day' and o.action = 'backlog_release' and o.actor = left(btrim(p_actor), 200)
        and o.parameters ->> 'user_id' = p_user_id::text and o.parameters ->> 'tag' = p_tag
      order by o.at desc
      limit 1
    );
    if found then
      return;
    end if;
  end if;
  perform leadhook.note_action(
    p_actor, 'backlog_release', jsonb_build_object('user_id', p_user_id, 'tag', p_tag, 'redo', p_redo, 'released', p_released), p_reason
  );
end
$$;

COMMENT ON FUNCTION leadhook.note_release(p_actor text, p_user_id uuid, p_tag text, p_redo boolean, p_is_first boolean, p_released integer, p_reason text) IS 'Notes a slice of a release: with the first slice of its user and tag an entry, with the others their number in that entry.';

CREATE FUNCTION leadhook.note_turns(p_low_priority boolean, p_users uuid[], p_first_tags text[], p_user_ids uuid[], p_tags text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  insert into leadhook.turns as t (user_id, tag)
  select distinct on (d.user_id) d.user_id, d.tag
  from unnest(p_user_ids, p_tags) with ordinality as d (user_id, tag, slot)
  join unnest(p_users, p_first_tags) as u (user_id, first_tag) using (user_id)
  cross join lateral (
    select from leadhook.ready_groups as g
    where g.low_priority = p_low_priority and not g.shut and g.user_id = u.user_id and g.tag > u.first_tag
    limit 1
  ) as another
  order by d.user_id, d.slot desc
  on conflict (user_id) do update set tag = excluded.tag, served_at = clock_timestamp();
end
$$;

COMMENT ON FUNCTION leadhook.note_turns(p_low_priority boolean, p_users uuid[], p_first_tags text[], p_user_ids uuid[], p_tags text[]) IS 'Notes the tags that leads were dealt from last, of those users that have several.';

CREATE FUNCTION leadhook.note_worker(p_worker text, p_what text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
  v_now timestamptz := clock_timestamp();
begin
  -- The installer sweeps once and is no service.
  if coalesce(p_worker, '') in ('', 'leadhook install') or exists (
    select from leadhook.workers as w
    where w.worker = p_worker and case p_what when 'claim' then w.claimed_at else w.swept_at end between v_now - interval '5 seconds' and v_now
  ) then
    return;
  end if;
  if p_what = 'sweep' then
    delete from leadhook.workers as w where greatest(w.claimed_at, w.swept_at) < v_now - interval '1 day';
  end if;
  insert into leadhook.workers as w (worker, claimed_at, swept_at)
  values (p_worker, case p_what when 'claim' then v_now end, case p_what when 'sweep' then v_now end)
  on conflict (worker) do update
  set claimed_at = coalesce(excluded.claimed_at, w.claimed_at), swept_at = coalesce(excluded.swept_at, w.swept_at);
end
$$;

COMMENT ON FUNCTION leadhook.note_worker(p_worker text, p_what text) IS 'Notes that this process has claimed or swept (p_what: claim, sweep), at most every 5 s.';

CREATE FUNCTION leadhook.notice_restore() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
  v_history text := (
    select s.system_identifier || ' ' || left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8)
    from pg_catalog.pg_control_system() as s
  );
  v_known text := (select c.history from leadhook.controls as c);
begin
  perform leadhook.advance_ids()
  where (select s.last_value + s.is_called::int from leadhook.outbox_id_seq as s) <= (select max(t.id) from leadhook.outbox as t)
    or (select s.last_value + s.is_called::int from leadhook.attempts_id_seq as s) <= (select max(t.id) from leadhook.attempts as t)
    or (select s.last_value + s.is_called::int from leadhook.webhooks_id_seq as s) <= (select max(t.id) from leadhook.webhooks as t);
  if v_known is distinct from v_history then
    perform leadhook.advance_ids();
    perform leadhook.advance_fences(1000000000) where v_known is not null;
    update leadhook.controls as c set history = v_history where c.id;
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.notice_restore() IS 'Moves sequences that are behind their rows, and, on another server or timeline than that of the last claim, the fences by a billion.';

CREATE FUNCTION leadhook.parked_keys() RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
  select coalesce(jsonb_agg(to_jsonb(p) order by p.until nulls last, p.fingerprint), '[]')
  from (
    select s.fingerprint, case when s.state = 'cooling' then s.until end as until, s.reason
    from leadhook.api_keys as s
    where (s.state = 'disabled' or s.state = 'cooling' and s.until > clock_timestamp())
      and exists (
        select from public.gemini_api as g
        where leadhook.key_fingerprint(g.api_key) = s.fingerprint
          and (s.row_version is null or s.row_version = g.xmin::text)
      )
    order by s.until nulls last, s.fingerprint
    limit 20
  ) as p
$$;

COMMENT ON FUNCTION leadhook.parked_keys() IS 'The first 20 keys that may not be used, by fingerprint: until when (null: until its row changes) and why.';

CREATE FUNCTION leadhook.pending_changes(p_lead_id text, p_user_id uuid, p_tag text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
  with oldest as materialized (
    select t.id, t.kind, t.lead_ids, t.user_id, t.tag, t.prompts_inserted, t.after_lead, t.until_lead, t.changed_at, t.not_before, t.xact
    from leadhook.outbox as t
    order by t.id
    limit 20000
  ),
  concerned as (
    select o.kind, o.prompts_inserted, min(o.changed_at) as changed_at,
      bool_and(o.not_before is not null) as return_to_outbox, (array_agg(o.xact order by o.changed_at))[1] as xact
    from oldest as o
    where case o.kind
      when 'leads' then pending_changes.p_lead_id = any (o.lead_ids)
      when 'prompts' then o.user_id = pending_changes.p_user_id and o.tag = pending_changes.p_tag
      else true
    end and (
      o.kind = 'leads'
      or pending_changes.p_lead_id > o.after_lead and (o.until_lead is null or o.until_lead <= o.after_lead or pending_changes.p_lead_id <= o.until_lead)
      or o.until_lead <= o.after_lead and pending_changes.p_lead_id <= o.until_lead
    )
    group by o.kind, o.prompts_inserted
  )
  select jsonb_build_object(
    'total', (select count(*) from (select from oldest as o limit 1000) as n),
    'of_lead', (select coalesce(jsonb_agg(to_jsonb(c) order by c.changed_at), '[]') from concerned as c)
  )
$$;

COMMENT ON FUNCTION leadhook.pending_changes(p_lead_id text, p_user_id uuid, p_tag text) IS 'Changes that are noted and not yet looked at: how many there are, and those among the oldest 20000 that concern this lead.';

CREATE FUNCTION leadhook.pick_leads(p_low_priority boolean, p_limit integer, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
declare
  v_after uuid := p_user_id;
  v_users record;
  v_dealt record;
begin
  lead_ids := '{}';
  for v_round in 1..5 loop
    v_users := leadhook.next_users(p_low_priority, p_limit, p_now, v_after);
    exit when v_users.user_ids = '{}';
    perform leadhook.mark_spent_budgets(p_now, null) where leadhook.mark_spent_budgets(p_now, v_users.user_ids);

    v_dealt := leadhook.deal_leads(p_low_priority, p_limit, (p_limit - 1) / cardinality(v_users.user_ids) + 1, p_now, v_users.user_ids);
    if cardinality(v_dealt.lead_ids) < p_limit then
      -- Some have less than their share, which the others get.
      v_dealt := leadhook.deal_leads(p_low_priority, p_limit, p_limit, p_now, v_users.user_ids);
    end if;
    perform leadhook.correct_groups(v_dealt.misplaced) where v_dealt.misplaced <> '{}';
    -- Seldom: most often a claim finds those empty that the last one has emptied, and no others behind them.
    perform leadhook.correct_groups(leadhook.find_misplaced(p_low_priority, p_now, v_dealt.misplaced[1].user_id))
    where v_round > 1 and v_dealt.misplaced <> '{}';
    if leadhook.is_any_shut(v_dealt.user_ids, v_dealt.tags, p_now) then
      perform leadhook.shut_groups(p_now);
      continue;
    end if;

    lead_ids := v_dealt.lead_ids;
    exit when cardinality(lead_ids) = p_limit
      or not exists (select from unnest(v_dealt.misplaced) as m where (m.due_at <= p_now) is not true);
  end loop;
  if lead_ids <> '{}' then
    p_user_id := v_dealt.user_ids[cardinality(lead_ids)];
    perform leadhook.note_turns(p_low_priority, v_users.user_ids, v_users.first_tags, v_dealt.user_ids, v_dealt.tags);
  end if;
end
$$;

CREATE FUNCTION leadhook.place_in_queue(p_lead_id text, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
declare
  v_job record;
begin
  select j.low_priority, j.user_id, j.tag, j.available_at into v_job from leadhook.jobs as j where j.lead_id = p_lead_id and j.state = 'ready';
  return jsonb_build_object(
    'ahead', (
      select count(*)
      from (
        select from leadhook.jobs as j
        where v_job.available_at is not null and j.state = 'ready' and j.low_priority = v_job.low_priority and j.available_at < least(v_job.available_at, p_now)
        order by j.available_at
        limit 1000
      ) as n
    ),
    'ahead_in_group', (
      select count(*)
      from (
        select from leadhook.jobs as j
        where v_job.available_at is not null and j.state = 'ready' and j.low_priority = v_job.low_priority and j.user_id = v_job.user_id and j.tag = v_job.tag
          and j.available_at <= p_now and (j.available_at, j.lead_id) < (v_job.available_at, p_lead_id)
        order by j.available_at, j.lead_id
        limit 1000
      ) as n
    ),
    'fresh_ahead', (
      select count(*)
      from (
        select from leadhook.jobs as j
        where v_job.low_priority and j.state = 'ready' and not j.low_priority and j.available_at <= p_now
        order by j.available_at
        limit 1000
      ) as n
    ),
    'leased', (
      select count(*)
      from (select from leadhook.jobs as j where j.state = 'leased' and j.lease_until > p_now order by j.lease_until limit 1000) as n
    ),
    'finished_last_minute', (
      select count(*)
      from (
        select from leadhook.attempts as t
        where t.finished_at > p_now - interval '1 minute' and t.outcome <> 'lease_expired'
        order by t.finished_at
        limit 1000
      ) as n
    )
  );
end
$$;

COMMENT ON FUNCTION leadhook.place_in_queue(p_lead_id text, p_now timestamp with time zone) IS 'How many are ready before this lead in all, in its own group (user_id, tag), and, where it is low_priority, among the fresh; whether anyone works.';

CREATE FUNCTION leadhook.post_webhook(p_id text, p_body jsonb) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  v_target record := leadhook.webhook_target();
begin
  return leadhook.queue_webhook(v_target.url, v_target.secrets, p_id, p_body);
exception when assert_failure or others then
  -- The address may carry a password.
  raise exception '%', replace(sqlerrm, v_target.url, 'leadhook_webhook_url') using errcode = sqlstate;
end
$$;

COMMENT ON FUNCTION leadhook.post_webhook(p_id text, p_body jsonb) IS 'As queue_webhook to the address of Vault, but what it raises does not name it.';

CREATE FUNCTION leadhook.post_webhooks(p_reason text, p_leads integer, p_table text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  v_target record := leadhook.webhook_target();
  v_id text;
begin
  for i in leadhook.count_webhooks() + 1 .. leadhook.wanted_webhooks(p_leads) loop
    v_id := 'msg_' || replace(gen_random_uuid()::text, '-', '');
    insert into leadhook.webhooks (message_id, reason, leads, request_id)
    values (
      v_id, concat_ws(' ', lower(p_reason), p_table), p_leads,
      leadhook.queue_webhook(v_target.url, v_target.secrets, v_id, leadhook.webhook_body(p_reason, p_leads, p_table))
    );
    perform set_config('leadhook.webhook_sent', pg_current_xact_id()::text || ':' || i, true);
  end loop;
end
$$;

COMMENT ON FUNCTION leadhook.post_webhooks(p_reason text, p_leads integer, p_table text) IS 'As send_webhook, but raises when it can''t.';

CREATE FUNCTION leadhook.quarantine(p_lead_id text, p_reason text, p_source text, p_changed_at timestamp with time zone, p_token uuid DEFAULT NULL::uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
begin
  insert into leadhook.jobs as j (lead_id, state, error_code, reason, eligible_at, source, finished_at)
  values (
    p_lead_id, 'dead', 'evaluation_failed', left(coalesce(nullif(p_reason, ''), 'unknown'), 500), coalesce(p_changed_at, clock_timestamp()), p_source,
    clock_timestamp()
  )
  on conflict (lead_id) do update set
    state = 'dead', error_code = excluded.error_code, reason = excluded.reason, finished_at = excluded.finished_at,
    claim_token = null, lease_until = null, reserved_usd = null
  where j.state <> 'leased' or j.claim_token = p_token;
  update leadhook.jobs as j set changed = true where j.lead_id = p_lead_id and j.state = 'leased' and not j.changed;
  begin
    perform leadhook.note_lead_groups(array[p_lead_id]);
  exception when others then
    if not leadhook.blames_the_lead(sqlstate) then
      raise;
    end if;
  end;
exception
  when others then
    -- Not even a row for it fits (a lead id too long for an index): then only the log says so.
    if not leadhook.blames_the_lead(sqlstate) then
      raise;
    end if;
    raise warning 'leadhook: lead % can not be quarantined: %', left(p_lead_id, 100), sqlerrm;
end
$$;

CREATE FUNCTION leadhook.quarantine_unreadable(p_token uuid, p_source text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_lead record;
begin
  for v_lead in
    select j.lead_id, j.user_id, j.tag, j.eligible_at
    from leadhook.jobs as j
    where j.claim_token = p_token
  loop
    begin
      perform d.lead from leadhook.describe_leads(array[v_lead.lead_id], array[v_lead.user_id], array[v_lead.tag]) as d;
    exception
      when others then
        if not leadhook.blames_the_lead(sqlstate) then
          raise;
        end if;
        perform leadhook.quarantine(v_lead.lead_id, sqlerrm, p_source, v_lead.eligible_at, p_token);
    end;
  end loop;
end
$$;

CREATE FUNCTION leadhook.queue_replay(p_replay_id bigint, p_lead_ids text[], p_named boolean) RETURNS TABLE(lead_id text, outcome text, missing text[])
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $_$
#variable_conflict use_column
declare
  v_decided jsonb;
  v_now timestamptz;
begin
  -- Locked before they are scored: else a save that commits in between would be scored by rows from before it.
  perform from leadhook.jobs as j where j.lead_id = any (p_lead_ids) order by j.lead_id for no key update;
  v_decided := (select coalesce(jsonb_agg(to_jsonb(d)), '[]') from leadhook.decide_replay(p_lead_ids, p_named) as d);
  v_now := clock_timestamp();

  return query
  with decided as materialized (
    select
      d.lead_id, d.user_id, d.tag, d.outcome, d.missing, j.state,
      coalesce(j.run + (j.state = 'leased' or d.outcome = 'queued' and j.state in ('done', 'dead'))::int, 1) as run,
      case when d.outcome = 'queued' and j.lead_id is not null then jsonb_build_object(
        'state', j.state, 'run', j.run, 'attempts', j.attempts, 'low_priority', j.low_priority, 'available_at', j.available_at,
        'eligible_at', j.eligible_at, 'source', j.source, 'error_code', j.error_code, 'reason', j.reason,
        'finished_at', j.finished_at
      ) end as before
    from jsonb_to_recordset(v_decided) as d (lead_id text, user_id uuid, tag text, outcome text, missing text[])
    left join leadhook.jobs as j on j.lead_id = d.lead_id
  ),
  noted as (
    insert into leadhook.replay_leads (replay_id, lead_id, run, outcome, before)
    select p_replay_id, d.lead_id, d.run, d.outcome, d.before
    from decided as d
    where d.outcome in ('queued', 'queued_after', 'already_queued')
    on conflict (replay_id, lead_id) do nothing
  ),
  after_this_run as (
    update leadhook.jobs as j set replay_after = p_replay_id from decided as d where j.lead_id = d.lead_id and d.outcome = 'queued_after'
  ),
  -- A claim would put it to sleep if the application had marked it as sent meanwhile.
  kept as (
    update leadhook.jobs as j
    set replay_id = coalesce(j.replay_id, p_replay_id)
    from decided as d
    where j.lead_id = d.lead_id and d.outcome = 'already_queued'
  ),
  added as (
    insert into leadhook.jobs (lead_id, user_id, tag, state, low_priority, available_at, eligible_at, source, replay_id)
    select d.lead_id, d.user_id, d.tag, 'ready', true, v_now, v_now, 'replay', p_replay_id
    from decided as d
    where d.outcome = 'queued' and d.state is null
    on conflict (lead_id) do nothing
  )
  select d.lead_id, d.outcome, d.missing from decided as d;
  perform leadhook.begin_runs(
    jsonb_path_query_array(v_decided, '$[*] ? (@.outcome == "queued")'), 'replay', true, p_replay_id, v_now
  );
end
$_$;

COMMENT ON FUNCTION leadhook.queue_replay(p_replay_id bigint, p_lead_ids text[], p_named boolean) IS 'Makes ready what leadhook.decide_replay says; what was paid for and not written is kept.';

CREATE FUNCTION leadhook.queue_slice(p_replay_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_replay record;
  v_next record;
  v_most int;
  v_added jsonb;
begin
  select
    r.filter, r.after_lead, r.counts, r.lead_limit,
    coalesce((r.counts ->> 'queued')::int, 0) + coalesce((r.counts ->> 'queued_after')::int, 0) as queued
  into v_replay
  from leadhook.replays as r
  where r.id = p_replay_id;
  v_most := v_replay.lead_limit - v_replay.queued;
  v_next := leadhook.next_leads(v_replay.filter, v_replay.after_lead, v_most);

  -- The outbox lock: no one else checks these leads now.
  perform leadhook.lock_outbox();
  v_added := (
    select coalesce(jsonb_object_agg(c.outcome, c.n), '{}')
    from (
      select q.outcome, count(*) as n
      from leadhook.queue_replay(p_replay_id, v_next.lead_ids, false) as q
      group by q.outcome
    ) as c
  );
  update leadhook.replays as r
  set
    after_lead = coalesce(v_next.last_lead, ''),
    counts = r.counts || (
      select coalesce(jsonb_object_agg(a.key, a.value::int + coalesce((r.counts ->> a.key)::int, 0)), '{}') from jsonb_each_text(v_added) as a
    )
  where r.id = p_replay_id;
  v_most := v_most - coalesce((v_added ->> 'queued')::int, 0) - coalesce((v_added ->> 'queued_after')::int, 0);
  if v_next.last_lead is null or v_most <= 0 then
    update leadhook.replays as r set phase = 'queued', after_lead = '' where r.id = p_replay_id;
  end if;
  if v_added ? 'queued' and (v_replay.queued = 0 or v_next.last_lead is null or v_most <= 0) then
    perform leadhook.send_webhook('replay', (v_added ->> 'queued')::int);
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.queue_slice(p_replay_id bigint) IS 'Queues the next leads of a replay; sends a webhook with the first and with the last of them.';

CREATE FUNCTION leadhook.queue_webhook(p_url text, p_secrets text, p_id text, p_body jsonb) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return net.http_post(
    url := p_url,
    body := p_body,
    headers := leadhook.webhook_headers(
      p_id, floor(extract(epoch from clock_timestamp()))::bigint, p_body::text, p_secrets
    ),
    timeout_milliseconds := 5000
  );
end
$$;

COMMENT ON FUNCTION leadhook.queue_webhook(p_url text, p_secrets text, p_id text, p_body jsonb) IS 'Queues one signed request with pg_net, to be sent after the commit; its request id. What it raises may hold the address.';

CREATE FUNCTION leadhook.rate_of(p_waiting bigint, p_ended integer, p_since timestamp with time zone, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select jsonb_build_object(
    'per_minute', round(r.rate, 2),
    'ends_at', case when r.rate > 0 and p_waiting > 0 then p_now + make_interval(secs => (p_waiting * 60 / r.rate)::float8) end
  )
  from (
    select coalesce(p_ended, 0) * 60 / least(greatest(coalesce(extract(epoch from p_now - p_since), 600), 60), 600) as rate
  ) as r
$$;

COMMENT ON FUNCTION leadhook.rate_of(p_waiting bigint, p_ended integer, p_since timestamp with time zone, p_now timestamp with time zone) IS 'From how many ended in the last 10 minutes, or since p_since if that is less: how many do in a minute, and when none will wait any more.';

CREATE FUNCTION leadhook.read_leases(p_items jsonb) RETURNS leadhook.ending[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
  if jsonb_typeof(p_items) is distinct from 'array' then
    raise exception 'a JSON array of leases is wanted' using errcode = 'PT400';
  end if;
  if exists (
    select from jsonb_array_elements(p_items) as i (item)
    where jsonb_typeof(i.item -> 'lead_id') is distinct from 'string' or jsonb_typeof(i.item -> 'fence') is distinct from 'number'
  ) then
    raise exception 'each lease is named by lead_id (text) and fence (number)' using errcode = 'PT400';
  end if;
  return array(
    select distinct on (i.lead_id, i.fence) i from jsonb_populate_recordset(null::leadhook.ending, p_items) as i order by i.lead_id, i.fence
  );
end
$$;

COMMENT ON FUNCTION leadhook.read_leases(p_items jsonb) IS 'The items, each lease once. Raises PT400 unless each names a lease.';

CREATE FUNCTION leadhook.read_on_demand(p_results jsonb) RETURNS leadhook.ending[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
  if jsonb_typeof(p_results) is distinct from 'array' then
    raise exception 'a JSON array of results is wanted' using errcode = 'PT400';
  end if;
  if jsonb_array_length(p_results) not between 1 and 100
    or (select count(distinct i.item ->> 'lead_id') from jsonb_array_elements(p_results) as i (item)) < jsonb_array_length(p_results) then
    raise exception '1 to 100 results are wanted, each with its lead_id and each lead once' using errcode = 'PT400';
  end if;
  if exists (
    select from jsonb_array_elements(p_results) as i (item)
    where jsonb_typeof(i.item -> 'lead_id') is distinct from 'string' or length(i.item ->> 'lead_id') not between 1 and 500
      or i.item ->> 'request_id' is null
      or i.item ->> 'outcome' not in ('retry', 'returned', 'dead')
  ) then
    raise exception 'a result has a lead_id of 1 to 500 characters, a request_id, and, without an answer, the outcome retry, returned or dead'
      using errcode = 'PT400';
  end if;
  return leadhook.read_results((
    select coalesce(jsonb_agg(i.item || '{"fence": 0}'), '[]')
    from jsonb_array_elements(p_results) as i (item)
    where i.item ->> 'outcome' is null
  )) || leadhook.read_leases((
    select coalesce(jsonb_agg(i.item || '{"fence": 0}'), '[]')
    from jsonb_array_elements(p_results) as i (item)
    where i.item ->> 'outcome' is not null
  ));
end
$$;

COMMENT ON FUNCTION leadhook.read_on_demand(p_results jsonb) IS 'The results with the columns of llm_response that come from the model. fence is 0 until the job is taken. Raises PT400 unless each is whole.';

CREATE FUNCTION leadhook.read_other(p_value anyelement, p_characters integer, p_most integer) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  if leadhook.is_too_big(p_value, p_most) then
    return '(too big to be read)';
  end if;
  return leadhook.unquote(left(to_json(p_value)::text, p_characters));
end
$$;

CREATE FUNCTION leadhook.read_results(p_results jsonb) RETURNS leadhook.ending[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
declare
  v_results leadhook.ending[];
begin
  v_results := array(
    select jsonb_populate_record(r, jsonb_build_object(
      'score', s.score,
      'response', r.checkpoint #>> '{score,response}',
      'should_contact', ((r.checkpoint #>> '{score,should_contact}')::boolean)::int,
      'subject', case when s.score < 50 then 'ineligible' else r.checkpoint #>> '{message,subject}' end,
      'message', case when s.score < 50 then 'ineligible' else r.checkpoint #>> '{message,message}' end
    ))
    from unnest(leadhook.read_leases(p_results)) as r
    cross join lateral (select (r.checkpoint #>> '{score,score}')::int) as s (score)
  );
  if exists (
    select from unnest(v_results) as r
    where (
      r.score between 0 and 100 and r.response is not null and r.should_contact is not null
      and (r.subject is not null and r.message is not null or r.message_failure ->> 'code' is not null and r.message_failure ->> 'reason' is not null)
    ) is not true
  ) then
    raise exception 'each result has a score from 0 to 100 with response and should_contact, and from 50 up subject and message, or a message_failure'
      using errcode = 'PT400';
  end if;
  return v_results;
end
$$;

COMMENT ON FUNCTION leadhook.read_results(p_results jsonb) IS 'The results, each lease once, with the columns of llm_response that come from the model (below 50 subject and message say ineligible; where only the message failed, they are null). Raises PT400 unless each names a lease and has a whole score.';

CREATE FUNCTION leadhook.read_value(p_value anyelement, p_characters integer, p_most integer DEFAULT NULL::integer) RETURNS text
    LANGUAGE sql STABLE
    AS $$
  select case
    when pg_catalog.pg_typeof(p_value) operator(pg_catalog.=) any ('{pg_catalog.text,pg_catalog.varchar,pg_catalog.bpchar}'::pg_catalog.regtype[])
      then case
        when pg_catalog.octet_length(p_value::pg_catalog.text) operator(pg_catalog.<=) coalesce(p_most, p_characters) then p_value::pg_catalog.text
        else pg_catalog.left(p_value::pg_catalog.text, coalesce(p_most, p_characters))
      end
    else leadhook.read_other(p_value, coalesce(p_most, p_characters), p_most)
  end
$$;

COMMENT ON FUNCTION leadhook.read_value(p_value anyelement, p_characters integer, p_most integer) IS 'A value of any type as text, cut to p_most characters, or without it to p_characters. A text is read no further than that.';

CREATE FUNCTION leadhook.recall_changes(p_lead_ids text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
  with recalled as (
    update leadhook.jobs as j
    set changed = false
    where j.lead_id = any (p_lead_ids) and j.changed and j.state in ('waiting', 'dead', 'held')
    returning j.lead_id
  )
  insert into leadhook.outbox (kind, n, lead_ids)
  select 'leads', count(*), array_agg(r.lead_id) from recalled as r having count(*) > 0;
end
$$;

COMMENT ON FUNCTION leadhook.recall_changes(p_lead_ids text[]) IS 'Appends to the outbox those of these leads that changed during the run that this transaction has ended.';

CREATE FUNCTION leadhook.recent_attempts(p_token uuid, p_worker text, p_now timestamp with time zone) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
begin
  return (
    select coalesce(json_agg(json_build_object(
      'id', t.id,
      'lead_id', t.lead_id,
      'error_code', case when t.outcome <> 'saved' then t.error_code end,
      'key_fingerprint', t.key_fingerprint,
      'leased_ms', floor(extract(epoch from p_now - t.leased_at) * 1000)::bigint,
      'finished_ms', floor(extract(epoch from p_now - t.finished_at) * 1000)::bigint
    ) order by t.id), '[]')
    from (select a.* from leadhook.attempts as a order by a.finished_at desc limit 100) as t
    where t.worker <> p_worker and t.key_fingerprint is not null and t.calls > 0 and t.leased_at is not null
      and (t.outcome = 'saved' or t.outcome in ('retry', 'returned') and t.error_code is not null)
      and exists (
        select from leadhook.jobs as j
        where j.claim_token = p_token and leadhook.failing_since(j.failing_since, j.eligible_at) is not null
      )
  );
end
$$;

COMMENT ON FUNCTION leadhook.recent_attempts(p_token uuid, p_worker text, p_now timestamp with time zone) IS 'What the model calls of other workers came to, of the latest hundred attempts, if this claim hands out a lead whose calls failed before: evidence for or against it.';

CREATE FUNCTION leadhook.recent_figures(p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
declare
  v_last leadhook.figures;
begin
  select f.* into v_last from leadhook.figures as f;
  if v_last.taken_at > p_now - interval '10 seconds' and v_last.taken_at <= p_now then
    return v_last.figures || jsonb_build_object('age_ms', floor(extract(epoch from p_now - v_last.taken_at) * 1000)::int);
  end if;
  insert into leadhook.figures as f (taken_at, figures) values (p_now, leadhook.count_figures(p_now))
  on conflict (id) do update set taken_at = excluded.taken_at, figures = excluded.figures
  returning f.* into v_last;
  return v_last.figures || '{"age_ms": 0}';
end
$$;

COMMENT ON FUNCTION leadhook.recent_figures(p_now timestamp with time zone) IS 'The numbers that operators watch, at most 10 s old, with their age.';

CREATE FUNCTION leadhook.refreshes(p_operation text, p_table text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  v_mark text := nullif(current_setting('leadhook.deleted_from', true), '');
  v_transaction text;
  v_deleted_from text := '';
begin
  if p_operation = 'UPDATE' or p_operation = 'INSERT' and v_mark is null then
    return false;
  end if;
  v_transaction := pg_current_xact_id();
  if split_part(v_mark, ':', 1) = v_transaction then
    v_deleted_from := split_part(v_mark, ':', 2);
  end if;
  if strpos(v_deleted_from, p_table || ',') > 0 then
    return p_operation in ('INSERT', 'DELETE');
  end if;
  if p_operation in ('DELETE', 'TRUNCATE') then
    perform set_config('leadhook.deleted_from', v_transaction || ':' || v_deleted_from || p_table || ',', true);
  end if;
  return p_operation = 'DELETE';
end
$$;

COMMENT ON FUNCTION leadhook.refreshes(p_operation text, p_table text) IS 'Whether rows are deleted, or inserted after others of the table were deleted in this transaction: then they may be the same ones again.';

CREATE FUNCTION leadhook.refuse_foreign_code() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if current_setting('transaction_isolation') in ('repeatable read', 'serializable')
    or exists (select from pg_catalog.pg_trigger as t where t.tgrelid = 'net.http_request_queue'::regclass and not t.tgisinternal)
    or exists (select from pg_catalog.pg_rewrite as r where r.ev_class = 'net.http_request_queue'::regclass)
  then
    raise exception 'pg_net''s queue has a trigger or rule that pg_net did not create, and that would run with the owner''s rights'
      using errcode = 'PT503';
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.refuse_foreign_code() IS 'Raises where another role''s code would run when a request is queued, or where an older snapshot does not show whether it would.';

CREATE FUNCTION leadhook.release_backlog(p_user_id uuid, p_tag text, p_after_lead text, p_limit integer, p_redo boolean, OUT last_lead text, OUT released integer, OUT answered integer, OUT unwanted integer) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_lead_ids text[];
  v_answered text[];
  v_held text[];
  v_released jsonb;
begin
  -- The outbox lock: no one else checks these leads now.
  perform leadhook.lock_outbox();
  v_lead_ids := array(
    select j.lead_id
    from leadhook.jobs as j
    where j.state = 'held' and j.user_id = p_user_id and j.tag = p_tag and j.lead_id > p_after_lead
    order by j.lead_id
    limit 500
  );
  perform from leadhook.jobs as j where j.lead_id = any (v_lead_ids) order by j.lead_id for no key update;
  -- held -> waiting, or forgotten, where a lead is not eligible any more.
  perform leadhook.apply_changes(v_lead_ids, 'release', 'check');
  v_answered := case when p_redo then '{}' else leadhook.find_answered(v_lead_ids) end;
  v_held := array(
    select j.lead_id from leadhook.jobs as j where j.lead_id = any (v_lead_ids) and j.state = 'held' order by j.lead_id
  );
  answered := (select count(*) from unnest(v_held) as h (lead_id) where h.lead_id = any (v_answered));
  unwanted := cardinality(v_lead_ids) - cardinality(v_held);
  v_released := (
    select coalesce(jsonb_agg(to_jsonb(r)), '[]')
    from (
      select j.lead_id, j.user_id, j.tag
      from leadhook.jobs as j
      where j.lead_id = any (v_held) and j.lead_id <> all (v_answered)
      order by j.lead_id
      limit greatest(p_limit, 0)
    ) as r
  );
  perform leadhook.begin_runs(v_released, 'release', true, null, clock_timestamp());
  released := jsonb_array_length(v_released);
  last_lead := v_lead_ids[500];
  if released > 0 then
    perform leadhook.send_webhook('backlog', released);
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.release_backlog(p_user_id uuid, p_tag text, p_after_lead text, p_limit integer, p_redo boolean, OUT last_lead text, OUT released integer, OUT answered integer, OUT unwanted integer) IS 'Makes ready, behind fresh leads, up to p_limit of the next 500 held leads of a user and tag, in the order of their ids, and sends a webhook. Without p_redo those that have an answer in llm_response stay held; what is not eligible any more goes to sleep. last_lead: where to go on while the limit is not reached; null when these were the last.';

CREATE FUNCTION leadhook.reopen_groups(p_user_ids uuid[]) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
  update leadhook.ready_groups as g
  set shut = false
  where g.user_id = any (reopen_groups.p_user_ids) and g.shut
$$;

COMMENT ON FUNCTION leadhook.reopen_groups(p_user_ids uuid[]) IS 'After the end of a pause or more money: the next claim looks at the groups of these users again, and shuts those that still are. Under the claim lock.';

CREATE FUNCTION leadhook.replay_leads_page(p_replay_id bigint, p_after_lead text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
declare
  v_lead_ids text[] := array(
    select m.lead_id
    from leadhook.replay_leads as m
    where m.replay_id = p_replay_id and m.lead_id > p_after_lead
    order by m.lead_id
    limit 1001
  );
begin
  return (select coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(s)) order by s.lead_id), '[]') from leadhook.replay_states(p_replay_id, v_lead_ids) as s);
end
$$;

COMMENT ON FUNCTION leadhook.replay_leads_page(p_replay_id bigint, p_after_lead text) IS 'The next 1001 leads of a replay behind p_after_lead.';

CREATE FUNCTION leadhook.replay_states(p_replay_id bigint, p_lead_ids text[] DEFAULT NULL::text[]) RETURNS TABLE(lead_id text, state text, score integer, error_code text, reason text)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  select
    m.lead_id,
    case
      when m.stopped then 'stopped'
      when j.state in ('ready', 'leased') and (j.run < m.run or j.run = m.run and j.state = 'ready') then 'waiting'
      when j.run = m.run and j.state = 'leased' then 'leased'
      when v.written then 'done'
      when j.run = m.run and j.state = 'dead' or j.run > m.run and v.written is false then 'failed'
      else 'dropped'
    end,
    case when not m.stopped then v.score end,
    case when j.run = m.run and not m.stopped then j.error_code end,
    case when j.run = m.run and not m.stopped then j.reason end
  from leadhook.replay_leads as m
  left join leadhook.jobs as j on j.lead_id = m.lead_id
  left join leadhook.results as v on v.lead_id = m.lead_id and v.run = m.run
  where m.replay_id = p_replay_id and (p_lead_ids is null or m.lead_id = any (p_lead_ids));
end
$$;

COMMENT ON FUNCTION leadhook.replay_states(p_replay_id bigint, p_lead_ids text[]) IS 'Where each lead of a replay stands: waiting, leased, done, failed, stopped, or dropped (not eligible any more, or begun again by a change).';

CREATE FUNCTION leadhook.replay_usage(p_replay_id bigint) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
  select jsonb_build_object(
    'calls', coalesce(sum(t.calls), 0),
    'input_tokens', coalesce(sum(t.input_tokens), 0),
    'cached_tokens', coalesce(sum(t.cached_tokens), 0),
    'output_tokens', coalesce(sum(t.output_tokens), 0),
    'thinking_tokens', coalesce(sum(t.thinking_tokens), 0),
    'cost_usd', sum(t.cost_usd)
  )
  from leadhook.attempts as t
  where t.replay_id = replay_usage.p_replay_id
$$;

CREATE FUNCTION leadhook.require_actor(p_actor text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
  if coalesce(btrim(p_actor), '') = '' then
    raise exception 'who asks for it is missing' using errcode = 'PT400';
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.require_actor(p_actor text) IS 'Raises PT400 where an operator''s call does not name who asks.';

CREATE FUNCTION leadhook.reserve_leads(p_token uuid, p_lead_ids text[], p_usd numeric[], p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS $$
declare
  v_ids bigint[];
  v_users uuid[];
  v_left numeric[];
  v_lead record;
  v_all int;
  v_own int;
  v_place int;
  v_refused_by int;
  v_away text[] := array[]::text[];
  v_away_by bigint[] := array[]::bigint[];
  v_away_usd numeric[] := array[]::numeric[];
begin
  if exists (select from leadhook.budgets) then
    select array_agg(b.id), array_agg(b.user_id), array_agg(b.left_usd) into v_ids, v_users, v_left
    from leadhook.budgets_left(p_now, array(select j.user_id from leadhook.jobs as j where j.claim_token = p_token)) as b;
    v_all := array_position(v_users, null);
    for v_lead in
      select j.lead_id, j.user_id, l.usd
      from unnest(p_lead_ids, p_usd) as l (lead_id, usd)
      join leadhook.jobs as j using (lead_id)
      where j.lead_id = any (p_lead_ids) and j.claim_token = p_token and j.reserved_usd is null
      order by j.fence
    loop
      v_own := array_position(v_users, v_lead.user_id);
      v_refused_by := case when v_left[v_own] < v_lead.usd then v_own when v_left[v_all] < v_lead.usd then v_all end;
      if v_refused_by is null then
        foreach v_place in array array_remove(array[v_all, v_own], null) loop
          v_left[v_place] := v_left[v_place] - v_lead.usd;
        end loop;
      else
        v_away := v_away || v_lead.lead_id;
        v_away_by := v_away_by || v_ids[v_refused_by];
        v_away_usd := v_away_usd || v_lead.usd;
      end if;
    end loop;
    if v_away <> '{}' then
      perform leadhook.turn_away(p_token, v_away, v_away_by, v_away_usd, p_now);
    end if;
  end if;
  update leadhook.jobs as j
  set reserved_usd = l.usd
  from unnest(p_lead_ids, p_usd) as l (lead_id, usd)
  where j.lead_id = any (p_lead_ids) and j.lead_id = l.lead_id and j.claim_token = p_token and j.reserved_usd is null;
end
$$;

CREATE FUNCTION leadhook.resolve_endings(p_endings leadhook.ending[]) RETURNS TABLE(ending leadhook.ending, state text, comes_to text, bought jsonb, cost_usd numeric, user_id uuid, run integer, source text, replay_id bigint, eligible_at timestamp with time zone, leased_at timestamp with time zone, postponed boolean, changed boolean)
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    AS $$
declare
  v_lead_ids text[] := array(select e.lead_id from unnest(p_endings) as e);
  v_max_attempts int := (select c.max_attempts from leadhook.controls as c);
begin
  return query
  select
    e, n.state, case when e.outcome = 'retry' and n.state = 'dead' then 'dead' else e.outcome end, coalesce(e.checkpoint, j.checkpoint),
    coalesce(e.cost_usd, j.reserved_usd), j.user_id, j.run, j.source, j.replay_id, j.eligible_at, j.leased_at, j.replay_after is not null, j.changed
  from unnest(p_endings) as e
  join leadhook.jobs as j on j.lead_id = e.lead_id and j.fence = e.fence
  cross join lateral (
    select case
      when e.outcome in ('saved', 'saved_without_message') then 'done'
      when e.outcome = 'unwanted' then 'waiting'
      when e.outcome = 'returned' or (e.outcome = 'retry' and j.attempts + 1 < v_max_attempts) then 'ready'
      else 'dead'
    end
  ) as n (state)
  where j.lead_id = any (v_lead_ids);
end
$$;

COMMENT ON FUNCTION leadhook.resolve_endings(p_endings leadhook.ending[]) IS 'What each ending comes to: the next state of the job, the outcome of the attempt, what was bought and what it cost; with the job as it is.';

CREATE FUNCTION leadhook.restore_jobs(p_jobs jsonb) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
  update leadhook.jobs as j
  set
    state = b.state,
    run = b.run,
    attempts = b.attempts,
    low_priority = b.low_priority,
    available_at = coalesce(b.available_at, j.available_at),
    eligible_at = b.eligible_at,
    source = b.source,
    replay_id = null,
    checkpoint = case when b.state <> 'done' or b.error_code is not null then j.checkpoint end,
    error_code = b.error_code,
    reason = b.reason,
    finished_at = b.finished_at
  from jsonb_to_recordset(restore_jobs.p_jobs) as r (lead_id text, before jsonb)
  cross join lateral jsonb_to_record(r.before) as b (
    state text, run int, attempts int, low_priority boolean, available_at timestamptz, eligible_at timestamptz, source text,
    error_code text, reason text, finished_at timestamptz
  )
  where j.lead_id = r.lead_id
$$;

COMMENT ON FUNCTION leadhook.restore_jobs(p_jobs jsonb) IS 'Makes jobs what they were before a replay queued them, [{lead_id, before}]; what was paid for meanwhile is kept.';

CREATE FUNCTION leadhook.resume_claim(p_token uuid, p_limit integer, p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
  update leadhook.jobs as j set lease_until = greatest(j.lease_until, p_now + make_interval(secs => c.lease_s::float8))
  from leadhook.controls as c
  where j.claim_token = p_token;
  perform leadhook.return_leads(
    p_token, array(select j.lead_id from leadhook.jobs as j where j.claim_token = p_token order by j.fence offset p_limit)
  );
end
$$;

CREATE FUNCTION leadhook.return_leads(p_token uuid, p_lead_ids text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
  update leadhook.jobs as j set state = 'ready', claim_token = null, lease_until = null, reserved_usd = null
  where j.claim_token = p_token and (p_lead_ids is null or j.lead_id = any (p_lead_ids));
end
$$;

COMMENT ON FUNCTION leadhook.return_leads(p_token uuid, p_lead_ids text[]) IS 'Ends leases of a claim that is not answered yet: these, or with null all. Their jobs are as they were.';

CREATE FUNCTION leadhook.return_to_outbox(p_lead_ids text[], p_changed_at timestamp with time zone[], p_refreshed boolean DEFAULT false) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS $$
  insert into leadhook.outbox (kind, n, lead_ids, changed_at, not_before, refreshed)
  select 'leads', cardinality(p_lead_ids), p_lead_ids, max(t.changed_at), clock_timestamp() + interval '250 ms', p_refreshed
  from unnest(p_changed_at) as t (changed_at)
  where cardinality(p_lead_ids) > 0
  having count(*) > 0
$$;

CREATE FUNCTION leadhook.search_slice(p_filter jsonb, p_after jsonb, p_most integer, OUT lead_ids text[], OUT cursors jsonb[], OUT next_cursor jsonb) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_places bigint[];
begin
  select
    array_agg(c.lead_id order by c.place), array_agg(c.cursor order by c.place),
    case when count(*) >= 250 or count(*) > count(c.lead_id) then (array_agg(c.cursor order by c.place desc))[1] end
  into lead_ids, cursors, next_cursor
  from leadhook.find_candidates(p_filter, p_after, 250) with ordinality as c (lead_id, cursor, place);
  v_places := array(select m.place from leadhook.matching_leads(lead_ids, p_filter, p_most) as m order by m.place);
  cursors := array(select cursors[p.place] from unnest(v_places) with ordinality as p (place, n) order by p.n);
  lead_ids := array(select lead_ids[p.place] from unnest(v_places) with ordinality as p (place, n) order by p.n);
end
$$;

COMMENT ON FUNCTION leadhook.search_slice(p_filter jsonb, p_after jsonb, p_most integer, OUT lead_ids text[], OUT cursors jsonb[], OUT next_cursor jsonb) IS 'The first p_most leads that match, of the next 250 candidates, each with its cursor. next_cursor: behind these 250; null: there are no more.';

CREATE FUNCTION leadhook.search_steps(p_filter jsonb) RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select case
    when p_filter ? 'lead_id' then '{id}'
    when p_filter ? 'q' then '{id,name}'
    when p_filter ? 'flag' then '{flag}'
    else array_remove(array[
      case when f.any_time and coalesce(f.state, 'leased') = 'leased' then 'leased' end,
      case
        when f.state = 'leased' then null
        when (p_filter ->> 'since')::timestamptz > clock_timestamp() - interval '1 day' then 'finished'
        when p_filter ? 'error_code' then 'code'
        when p_filter ? 'user_id' then 'user'
        when f.state is not null then 'state'
        else 'finished'
      end,
      case when f.any_time and not p_filter ?| '{error_code,user_id,state}' then 'unfinished' end
    ], null)
  end
  from (select p_filter ->> 'state' as state, not p_filter ?| '{since,until}' as any_time) as f
$$;

COMMENT ON FUNCTION leadhook.search_steps(p_filter jsonb) IS 'Where the leads of a search are looked for, one after the other.';

CREATE FUNCTION leadhook.send_webhook(p_reason text, p_leads integer DEFAULT NULL::integer, p_table text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    SET jit TO 'off'
    AS $$
declare
  v_id text := 'msg_' || replace(gen_random_uuid()::text, '-', '');
  v_request bigint;
  v_error text;
begin
  if leadhook.count_webhooks() >= leadhook.wanted_webhooks(p_leads) then
    return;
  end if;
  begin
    perform leadhook.post_webhooks(p_reason, p_leads, p_table);
    return;
  exception when assert_failure or others then
    null;
  end;
  -- One webhook, and either half of it by itself. The mark is set outside of the blocks: what fails is not tried again by each of 5,000 statements.
  -- A rollback to a savepoint takes back the mark together with the webhook.
  perform set_config('leadhook.webhook_sent', pg_current_xact_id()::text || ':8', true);
  begin
    v_request := leadhook.post_webhook(v_id, leadhook.webhook_body(p_reason, p_leads, p_table));
  exception when assert_failure or others then
    v_error := sqlerrm;
  end;
  begin
    insert into leadhook.webhooks (request_id, message_id, reason, leads, error)
    values (v_request, v_id, concat_ws(' ', lower(p_reason), p_table), p_leads, v_error);
  exception when assert_failure or others then
    perform leadhook.warn('a webhook could not be recorded: ' || sqlerrm);
  end;
end
$$;

COMMENT ON FUNCTION leadhook.send_webhook(p_reason text, p_leads integer, p_table text) IS 'Signals the service, after the commit, that there may be work: once a transaction, up to eight times where thousands of leads are named, so that several machines wake. Never raises; leadhook.webhooks says what became of it. The body is Supabase''s with `records`, which is empty, and `total`.';

CREATE FUNCTION leadhook.send_webhook_for_keys() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform leadhook.send_webhook(tg_op, null, tg_table_name);
  return null;
end
$$;

COMMENT ON FUNCTION leadhook.send_webhook_for_keys() IS 'After a statement on gemini_api: sends a webhook, since leads may have waited for a key.';

CREATE FUNCTION leadhook.send_webhook_if_ready(p_reason text, p_user_id uuid, p_tag text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
begin
  if exists (
    select from leadhook.jobs as j
    where j.state = 'ready' and (p_user_id is null or j.user_id = p_user_id) and (p_tag is null or j.tag = p_tag)
  ) then
    perform leadhook.send_webhook(p_reason);
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.send_webhook_if_ready(p_reason text, p_user_id uuid, p_tag text) IS 'Webhooks when leads of this user and tag (null: any) wait.';

CREATE FUNCTION leadhook.settle_budgets(p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
declare
  v_today date := (p_now at time zone 'UTC')::date;
  v_user_ids uuid[] := leadhook.budgets_to_look_at(p_now);
begin
  -- The sweep does so too, but a claim that keeps budgets reads the rows.
  perform leadhook.merge_costs(p_now) where random() < 0.05 and exists (select from leadhook.budgets);
  if v_user_ids = '{}' then
    return;
  end if;
  with changed as (
    update leadhook.budgets as b
    set
      spent_on = case when l.left_usd <= 0 then v_today end,
      settled_on = case when l.reserved_usd = 0 and l.left_usd < coalesce(l.needed_usd, 'Infinity') then v_today else 'epoch' end
    from leadhook.budgets_left(p_now, v_user_ids) as l
    where b.id = l.id and l.user_id is not null
    returning b.user_id, b.spent_on
  )
  select array_agg(c.user_id) into v_user_ids from changed as c where c.spent_on is null;
  perform leadhook.reopen_groups(v_user_ids);
end
$$;

COMMENT ON FUNCTION leadhook.settle_budgets(p_now timestamp with time zone) IS 'Opens the groups of users whose budget is not spent any more, and looks no more at budgets that can''t change today. Under both locks of a claim.';

CREATE FUNCTION leadhook.shut_groups(p_now timestamp with time zone) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
  update leadhook.ready_groups as g
  set shut = true
  where not g.shut and (
    g.user_id in (select p.user_id from leadhook.pauses as p where p.tag is null)
    or (g.user_id, g.tag) in (select p.user_id, p.tag from leadhook.pauses as p where p.tag is not null)
    or g.user_id in (select b.user_id from leadhook.budgets as b where b.spent_on = (shut_groups.p_now at time zone 'UTC')::date)
  )
$$;

COMMENT ON FUNCTION leadhook.shut_groups(p_now timestamp with time zone) IS 'Takes every group that is_shut out of the claims'' way. Under the claim lock.';

CREATE FUNCTION leadhook.sign(p_secret text, p_id text, p_timestamp bigint, p_body text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  v_base64 text := rtrim(regexp_replace(p_secret, '^whsec_', ''), '=');
begin
  -- Asked before decode(), whose words would quote a character of the secret.
  if v_base64 !~ '^[A-Za-z0-9+/]*$' or length(v_base64) % 4 = 1 then
    raise exception 'a webhook secret is not whsec_ and base64' using errcode = 'PT400';
  elsif length(v_base64) not between 32 and 86 then
    raise exception 'a webhook secret has % bytes, and needs 24 to 64', length(v_base64) * 3 / 4 using errcode = 'PT400';
  elsif p_id = '' or strpos(p_id, '.') > 0 then
    raise exception 'a webhook id is not empty and has no dot' using errcode = 'PT400';
  end if;
  return 'v1,' || translate(encode(leadhook.hmac_sha256(
    decode(rpad(v_base64, (length(v_base64) + 3) / 4 * 4, '='), 'base64'),
    convert_to(concat_ws('.', p_id, p_timestamp, p_body), 'UTF8')
  ), 'base64'), E'\n', '');
end
$_$;

COMMENT ON FUNCTION leadhook.sign(p_secret text, p_id text, p_timestamp bigint, p_body text) IS 'One Standard Webhooks signature (v1, symmetric) of a body, for a secret with or without its prefix whsec_.';

CREATE FUNCTION leadhook.stop_slice(p_replay_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
declare
  v_after text := (select r.after_lead from leadhook.replays as r where r.id = p_replay_id);
  v_lead_ids text[];
begin
  v_lead_ids := array(
    select m.lead_id
    from leadhook.replay_leads as m
    where m.replay_id = p_replay_id and m.lead_id > v_after and not m.stopped
    order by m.lead_id
    limit 250
  );
  if cardinality(v_lead_ids) > 0 then
    -- The outbox lock: no one else checks these leads now.
    perform leadhook.lock_outbox();
    perform leadhook.unqueue_replay(p_replay_id, v_lead_ids);
  end if;
  update leadhook.replays as r
  set
    phase = case when v_lead_ids[250] is not null then 'stopping' else 'stopped' end,
    after_lead = coalesce(v_lead_ids[250], '')
  where r.id = p_replay_id;
end
$$;

COMMENT ON FUNCTION leadhook.stop_slice(p_replay_id bigint) IS 'Takes the next leads of a replay out of the queue.';

CREATE FUNCTION leadhook.sum_periods(p_hours jsonb, p_unit text, p_since timestamp with time zone, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
  with sums as (
    select
      date_trunc(p_unit, h.hour, 'UTC') as at, sum(h.leads_in) as leads_in, sum(h.by_sweep) as by_sweep, sum(h.scored) as scored,
      sum(h.contact) as contact, sum(h.failed) as failed
    from jsonb_to_recordset(p_hours) as h (hour timestamptz, leads_in int, by_sweep int, scored int, contact int, failed int)
    group by 1
  )
  select jsonb_agg(jsonb_build_object(
    'at', g.at, 'leads_in', coalesce(s.leads_in, 0), 'by_sweep', coalesce(s.by_sweep, 0), 'scored', coalesce(s.scored, 0),
    'contact', coalesce(s.contact, 0), 'failed', coalesce(s.failed, 0)
  ) order by g.at)
  from generate_series(p_since, p_now, case p_unit when 'hour' then interval '1 hour' else interval '24 hours' end) as g (at)
  left join sums as s on s.at = g.at
$$;

COMMENT ON FUNCTION leadhook.sum_periods(p_hours jsonb, p_unit text, p_since timestamp with time zone, p_now timestamp with time zone) IS 'The figures of leadhook.count_hours by hour or day (p_unit, UTC), one for each from p_since to p_now.';

CREATE FUNCTION leadhook.sweep_jobs(p_after_lead text, OUT last_lead text, OUT looked_at integer, OUT removed integer) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
declare
  v_window text[] := array(
    select j.lead_id from leadhook.jobs as j where j.lead_id > p_after_lead order by j.lead_id limit 500
  );
  v_gone text[];
  v_changed text[];
begin
  looked_at := cardinality(v_window);
  last_lead := v_window[500];
  select
    coalesce(array_agg(j.lead_id) filter (where e.gone), '{}'),
    coalesce(array_agg(j.lead_id) filter (where j.state = 'ready' and e.gone is not true and (
      e.failed
      or not (e.eligible or j.replay_id is not null and e.scrapped and e.has_prompts)
      or (j.user_id, j.tag) is distinct from (e.user_id, e.tag)
    )), '{}')
  into v_gone, v_changed
  from leadhook.jobs as j
  join (
    select e.*, not (e.known and e.has_details) as gone
    from jsonb_to_recordset(leadhook.check_each(v_window)) as e (
      lead_id text, known boolean, user_id uuid, tag text, scrapped boolean, has_details boolean, has_prompts boolean, eligible boolean,
      failed boolean
    )
  ) as e using (lead_id)
  where j.lead_id = any (v_window);

  removed := leadhook.erase_leads(array(
    select j.lead_id from leadhook.jobs as j where j.lead_id = any (v_gone) for update of j skip locked
  ));
  perform leadhook.apply_changes(v_changed, 'sweep', 'check');
  -- Its texts or the price may have changed since a budget turned it away, which leaves no outbox row: it is tried again.
  update leadhook.jobs as j set budget_id = null, needed_usd = null, available_at = coalesce(j.eligible_at, clock_timestamp())
  where j.lead_id = any (array(
    select k.lead_id
    from leadhook.jobs as k
    where k.lead_id = any (v_window) and k.state = 'ready' and k.budget_id is not null
    for no key update of k skip locked
  ));
end
$$;

COMMENT ON FUNCTION leadhook.sweep_jobs(p_after_lead text, OUT last_lead text, OUT looked_at integer, OUT removed integer) IS 'Looks at the next jobs: forgets leads that are gone, puts what is no longer eligible to sleep, tries what budgets turned away again; last_lead is null when these were the last.';

CREATE FUNCTION leadhook.sweep_leads(p_after_lead text, OUT last_lead text, OUT looked_at integer, OUT made_ready integer, OUT held integer) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
declare
  v_window text[] := array(
    select d.lead_id from public.lead_details as d
    where d.sent_to_llm is not true and d.sent_to_llm::text is distinct from 'true' and octet_length(d.lead_id) <= 2000 and d.lead_id > p_after_lead
    order by d.lead_id
    limit 500
  );
  v_asleep text[] := array(
    select distinct w.lead_id
    from unnest(v_window) as w (lead_id)
    left join leadhook.jobs as j using (lead_id)
    where j.lead_id is null or j.state in ('waiting', 'done')
  );
begin
  looked_at := cardinality(v_window);
  last_lead := v_window[500];
  perform leadhook.apply_changes(v_asleep, 'sweep', (
    select case when c.backlog = 'hold' and c.first_round_finished_at is null then 'hold' else 'sweep' end from leadhook.controls as c
  ));
  select count(*) filter (where j.state = 'ready'), count(*) filter (where j.state = 'held')
  into made_ready, held
  from leadhook.jobs as j
  where j.lead_id = any (v_asleep);
end
$$;

COMMENT ON FUNCTION leadhook.sweep_leads(p_after_lead text, OUT last_lead text, OUT looked_at integer, OUT made_ready integer, OUT held integer) IS 'Looks at the next unsent leads; last_lead is null when these were the last.';

CREATE FUNCTION leadhook.sweep_records(p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
declare
  v_replay_ids bigint[];
begin
  delete from leadhook.attempts as t where t.id = any (array(
    select o.id from leadhook.attempts as o where o.finished_at < p_now - interval '90 days' order by o.finished_at limit 5000
  ));
  delete from leadhook.webhooks as r where r.id = any (array(
    select o.id from leadhook.webhooks as o where o.sent_at < p_now - interval '30 days' order by o.sent_at limit 5000
  ));
  delete from leadhook.releases as b where b.ended_at < p_now - interval '90 days';
  v_replay_ids := array(
    select o.id from leadhook.replays as o where o.created_at < p_now - interval '90 days' order by o.id limit 100
  );
  delete from leadhook.replay_leads as m where (m.replay_id, m.lead_id) in (
    select o.replay_id, o.lead_id from leadhook.replay_leads as o where o.replay_id = any (v_replay_ids) limit 5000
  );
  delete from leadhook.replays as r
  where r.id = any (v_replay_ids) and not exists (select from leadhook.replay_leads as m where m.replay_id = r.id);
  delete from leadhook.turns as t where t.served_at < p_now - interval '1 day';
  delete from leadhook.audit as a where a.id = any (array(
    select o.id from leadhook.audit as o where o.at < p_now - interval '365 days' order by o.at limit 5000
  ));
  delete from leadhook.hourly_counts as h where h.hour < p_now - interval '32 days';
  delete from leadhook.costs as c where c.day < (p_now at time zone 'UTC')::date - 800;
  delete from leadhook.api_keys as k
  where k.changed_at < p_now - interval '30 days' and not exists (
    select from public.gemini_api as g where leadhook.key_fingerprint(g.api_key) = k.fingerprint
  );
end
$$;

COMMENT ON FUNCTION leadhook.sweep_records(p_now timestamp with time zone) IS 'Deletes what is old, a bounded number a round: attempts and replays after 90 days, webhooks after 30, the audit after 365, the overview''s counts after 32, keys 30 days after they are gone, the costs of a day after 800.';

CREATE FUNCTION leadhook.take_on_demand(p_worker text, p_results leadhook.ending[], p_now timestamp with time zone) RETURNS leadhook.ending[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
declare
  v_lead_ids text[] := array(select r.lead_id from unnest(p_results) as r);
  v_taken leadhook.ending[];
  v_overtaken jsonb;
begin
  with before as materialized (
    select j.*, case when j.called then j.reserved_usd when j.reserved_usd is not null then 0 end as cost_usd
    from leadhook.jobs as j
    where j.lead_id = any (v_lead_ids)
  ),
  postponed as (
    update leadhook.replay_leads as m
    set run = b.run + 1, outcome = 'queued_after', before = null
    from before as b
    where m.replay_id = b.replay_id and m.lead_id = b.lead_id and m.run = b.run and b.state in ('ready', 'leased') and b.replay_after is null
  ),
  taken as (
    update leadhook.jobs as j
    set
      user_id = case when r.registered then r.user_id else j.user_id end,
      tag = case when r.registered then r.stored_tag else j.tag end,
      state = 'leased',
      run = j.run + (j.state in ('done', 'dead'))::int,
      attempts = 0,
      fence = nextval('leadhook.fences'),
      claim_token = pg_catalog.gen_random_uuid(),
      worker = p_worker,
      leased_snapshot = null,
      changed = j.changed or j.state in ('ready', 'leased'),
      leased_at = p_now - make_interval(secs => greatest(r.age_ms, 0) / 1000.0),
      lease_until = p_now,
      eligible_at = p_now - make_interval(secs => greatest(r.age_ms, 0) / 1000.0),
      source = 'on_demand',
      replay_id = null,
      replay_after = coalesce(j.replay_after, case when j.state in ('ready', 'leased') then j.replay_id end),
      reserved_usd = null
    from unnest(p_results) as r
    where j.lead_id = any (v_lead_ids) and j.lead_id = r.lead_id
    returning j.lead_id, j.fence
  )
  select
    array(
      select jsonb_populate_record(r, jsonb_build_object('fence', t.fence))
      from unnest(p_results) as r
      join taken as t on t.lead_id = r.lead_id
    ),
    (
      select jsonb_agg(to_jsonb(b) || jsonb_build_object(
        'outcome', 'returned', 'error_code', 'overtaken', 'reason', 'an on-demand request answered the lead meanwhile', 'wasted', true
      ))
      from before as b
      where b.state = 'leased'
    )
  into v_taken, v_overtaken;

  if v_overtaken is not null then
    perform leadhook.note_attempts(v_overtaken, p_now);
  end if;
  return v_taken;
end
$$;

COMMENT ON FUNCTION leadhook.take_on_demand(p_worker text, p_results leadhook.ending[], p_now timestamp with time zone) IS 'Leases the jobs of these results to this transaction, which has locked them, whatever their state; returns the results with their fences.';

CREATE FUNCTION leadhook.trigger_states() RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select jsonb_object_agg(w.relation, coalesce(h.events, 0) & w.events = w.events)
  from (values ('all_leads', 60), ('lead_details', 60), ('prompts', 20), ('gemini_api', 20)) as w (relation, events)
  left join lateral (
    select bit_or(t.tgtype::int) as events
    from pg_catalog.pg_trigger as t
    join pg_catalog.pg_proc as f on f.oid = t.tgfoid
    where t.tgrelid = to_regclass('public.' || w.relation) and t.tgenabled in ('O', 'A') and f.pronamespace = 'leadhook'::regnamespace
  ) as h on true
$$;

COMMENT ON FUNCTION leadhook.trigger_states() IS 'For each watched table, whether enabled triggers of ours see all that matters.';

CREATE FUNCTION leadhook.try_lock_sweep() RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  return pg_catalog.pg_try_advisory_xact_lock(727201, 3);
end
$$;

COMMENT ON FUNCTION leadhook.try_lock_sweep() IS 'False while another transaction sweeps; true keeps others from sweeping until this one ends.';

CREATE FUNCTION leadhook.turn_away(p_token uuid, p_lead_ids text[], p_budget_ids bigint[], p_usd numeric[], p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
  perform leadhook.return_leads(p_token, p_lead_ids);
  update leadhook.jobs as j
  set budget_id = a.budget_id, needed_usd = a.usd, available_at = leadhook.next_day(p_now)
  from unnest(p_lead_ids, p_budget_ids, p_usd) as a (lead_id, budget_id, usd)
  where j.lead_id = any (p_lead_ids) and j.lead_id = a.lead_id and j.state = 'ready';
  update leadhook.budgets as b
  set needed_usd = least(b.needed_usd, a.usd), settled_on = 'epoch'
  from (select u.budget_id, min(u.usd) as usd from unnest(p_budget_ids, p_usd) as u (budget_id, usd) group by u.budget_id) as a
  where b.id = a.budget_id and (a.usd < coalesce(b.needed_usd, 'Infinity') or b.settled_on > 'epoch');
end
$$;

COMMENT ON FUNCTION leadhook.turn_away(p_token uuid, p_lead_ids text[], p_budget_ids bigint[], p_usd numeric[], p_now timestamp with time zone) IS 'Gives back leads of this claim that a budget can''t pay: they are due with the next day.';

CREATE FUNCTION leadhook.typical_durations(p_since timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
  with counts as (
    select h.kind, h.bucket, sum(h.leads) as leads
    from leadhook.hourly_counts as h
    where h.kind in ('first_call', 'saved') and h.hour >= typical_durations.p_since
    group by h.kind, h.bucket
  ),
  summed as (
    select
      c.kind, power(1.25::float8, c.bucket + 0.5) as ms, sum(c.leads) over (partition by c.kind order by c.bucket) as up_to,
      sum(c.leads) over (partition by c.kind) as total
    from counts as c
  )
  select jsonb_build_object(
    'leads', coalesce(max(s.total) filter (where s.kind = 'saved'), 0),
    'first_call_p50', min(s.ms) filter (where s.kind = 'first_call' and s.up_to >= s.total * 0.5),
    'first_call_p95', min(s.ms) filter (where s.kind = 'first_call' and s.up_to >= s.total * 0.95),
    'saved_p50', min(s.ms) filter (where s.kind = 'saved' and s.up_to >= s.total * 0.5),
    'saved_p95', min(s.ms) filter (where s.kind = 'saved' and s.up_to >= s.total * 0.95)
  )
  from summed as s
$$;

COMMENT ON FUNCTION leadhook.typical_durations(p_since timestamp with time zone) IS 'Of leads that were saved since this hour: milliseconds from eligible_at to the first call and to the answer, median and 95th percentile.';

CREATE FUNCTION leadhook.unfinished_releases(p_waiting bigint) RETURNS TABLE(total bigint, releases jsonb)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
  select coalesce(sum(n.released), 0), coalesce(jsonb_agg(to_jsonb(n) - 'newer' order by n.release_id desc), '[]')
  from (
    select
      r.id as release_id, r.actor, r.reason, r.user_id, r.tag, r.created_at, r.lead_limit as limit, r.released, r.ended_at,
      coalesce(sum(r.released) over (order by r.id desc rows between unbounded preceding and 1 preceding), 0) as newer
    from (select b.* from leadhook.releases as b order by b.id desc limit 20) as r
  ) as n
  where n.ended_at is null or n.newer < unfinished_releases.p_waiting
$$;

COMMENT ON FUNCTION leadhook.unfinished_releases(p_waiting bigint) IS 'The newest releases of the backlog, up to 20, that still queue leads or of whose leads some wait, and how many they have queued together.';

CREATE FUNCTION leadhook.unfinished_replays() RETURNS TABLE(replay_id bigint, waiting bigint)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
  with recursive known as (
    (
      select j.replay_id from leadhook.jobs as j where j.low_priority and j.state in ('ready', 'leased') and j.replay_id is not null
      order by j.replay_id desc
      limit 1
    )
    union all
    select n.replay_id
    from known as k
    cross join lateral (
      select j.replay_id from leadhook.jobs as j where j.low_priority and j.state in ('ready', 'leased') and j.replay_id < k.replay_id
      order by j.replay_id desc
      limit 1
    ) as n
  )
  select r.replay_id, (
    select count(*)
    from (
      select from leadhook.jobs as j where j.low_priority and j.state in ('ready', 'leased') and j.replay_id = r.replay_id limit 100000
    ) as j
  )
  from (
    (select k.replay_id from known as k limit 20)
    union
    select u.id from leadhook.replays as u where u.phase in ('queueing', 'stopping')
    order by 1 desc
    limit 20
  ) as r
$$;

COMMENT ON FUNCTION leadhook.unfinished_replays() IS 'The newest 20 replays with leads that wait, or that are being made or unmade; of each, how many wait, up to 100,000.';

CREATE FUNCTION leadhook.unqueue_replay(p_replay_id bigint, p_lead_ids text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
declare
  v_restored jsonb;
begin
  perform from leadhook.jobs as j where j.lead_id = any (p_lead_ids) order by j.lead_id for no key update;

  with waiting as materialized (
    select
      m.lead_id, m.run, m.outcome, j.run < m.run as is_after,
      (
        select max(o.replay_id)
        from leadhook.replay_leads as o
        where o.lead_id = m.lead_id and o.run = m.run and o.replay_id <> p_replay_id and not o.stopped
      ) as heir,
      coalesce(
        m.before,
        (
          select jsonb_build_object(
            'state', case t.outcome when 'saved' then 'done' when 'saved_without_message' then 'done' when 'unwanted' then 'waiting' else 'dead' end,
            'run', t.run, 'attempts', 0, 'low_priority', false, 'eligible_at', t.eligible_at, 'source', t.source,
            'error_code', case when t.outcome <> 'saved' then coalesce(t.error_code, t.outcome) end,
            'reason', case when t.outcome <> 'saved' then coalesce(t.reason, t.outcome) end,
            'finished_at', t.finished_at
          )
          from leadhook.attempts as t
          where m.outcome = 'queued_after' and t.lead_id = m.lead_id and t.run = m.run - 1
          order by t.id desc
          limit 1
        ),
        '{"state": "waiting", "run": 1, "attempts": 0, "low_priority": false}'
      ) as before
    from leadhook.replay_leads as m
    join leadhook.jobs as j using (lead_id)
    where m.replay_id = p_replay_id and m.lead_id = any (p_lead_ids) and not m.stopped
      and (j.replay_id = p_replay_id and j.state = 'ready' and j.run = m.run or j.replay_after = p_replay_id and j.run < m.run)
  ),
  marked as (
    update leadhook.replay_leads as m set stopped = true from waiting as w where m.replay_id = p_replay_id and m.lead_id = w.lead_id
  ),
  inherited as (
    update leadhook.replay_leads as m
    set outcome = w.outcome, before = w.before
    from waiting as w
    where m.replay_id = w.heir and m.lead_id = w.lead_id and m.outcome = 'already_queued' and w.outcome = 'queued'
  ),
  handed_over as (
    update leadhook.jobs as j
    set
      replay_id = case when w.is_after then j.replay_id else w.heir end,
      replay_after = case when w.is_after then w.heir else j.replay_after end
    from waiting as w
    where j.lead_id = w.lead_id and (w.is_after or w.heir is not null or w.outcome = 'already_queued')
  )
  select coalesce(jsonb_agg(to_jsonb(w)) filter (where not w.is_after and w.heir is null and w.outcome <> 'already_queued'), '[]')
  into v_restored
  from waiting as w;
  perform leadhook.restore_jobs(v_restored);
  perform leadhook.recall_changes(array(select r.lead_id from jsonb_to_recordset(v_restored) as r (lead_id text)));

  -- The application may have wanted them meanwhile, which changed nothing while they were queued.
  perform leadhook.apply_changes(array(
    select r.lead_id from jsonb_to_recordset(v_restored) as r (lead_id text, before jsonb) where r.before ->> 'state' in ('waiting', 'done')
  ), 'replay', 'change');
end
$$;

COMMENT ON FUNCTION leadhook.unqueue_replay(p_replay_id bigint, p_lead_ids text[]) IS 'Makes the jobs of these leads what they were before this replay, where they are not leased yet.';

CREATE FUNCTION leadhook.unquote(p_json text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
  if p_json = 'null' then
    return null;
  elsif p_json not like '"%' then
    return p_json;
  end if;
  -- A pair of backslashes and a whole surrogate pair are matched first and kept.
  return regexp_replace(
    p_json, '(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u0000|\\u[dD][89a-fA-F][0-9a-fA-F]{2}', '\1', 'g'
  )::jsonb #>> '{}';
exception when data_exception then
  return p_json;
end
$$;

CREATE FUNCTION leadhook.usage_of(p_lead_ids text[]) RETURNS TABLE(known bigint, calls numeric, input_tokens numeric, cached_tokens numeric, output_tokens numeric, thinking_tokens numeric, cost_usd numeric, model_ms numeric)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
  select
    count(distinct t.lead_id), sum(t.calls), sum(t.input_tokens), sum(t.cached_tokens), sum(t.output_tokens), sum(t.thinking_tokens),
    sum(t.cost_usd), sum(t.model_ms)
  from (
    select v.lead_id, max(v.run) as run from leadhook.results as v where v.lead_id = any (usage_of.p_lead_ids) group by v.lead_id
  ) as v
  join leadhook.attempts as t on t.lead_id = v.lead_id and t.run = v.run and t.calls > 0
$$;

CREATE FUNCTION leadhook.waiting_work(p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
declare
  v_blocked record := leadhook.find_blocked(p_now);
  v_oldest timestamptz := (
    select min(o.available_at)
    from (values (false), (true)) as p (low)
    cross join lateral (
      select j.available_at
      from leadhook.jobs as j
      where j.state = 'ready' and j.deaths = 0 and j.low_priority = p.low
      order by j.available_at
      limit 1
    ) as o
  );
  v_unclaimed timestamptz := (select t.changed_at from leadhook.outbox as t order by t.id limit 1);
begin
  if v_blocked.everything is null then
    v_unclaimed := least(
      v_unclaimed,
      leadhook.earliest_due(false, p_now),
      leadhook.earliest_due(true, p_now),
      (select j.lease_until from leadhook.jobs as j where j.state = 'leased' order by j.lease_until limit 1)
    );
  end if;
  return jsonb_build_object(
    'oldest_ready_ms', case when v_oldest <= p_now and isfinite(v_oldest) then floor(extract(epoch from p_now - v_oldest) * 1000)::bigint end,
    'unclaimed_ms', case when v_unclaimed <= p_now and isfinite(v_unclaimed) then floor(extract(epoch from p_now - v_unclaimed) * 1000)::bigint end,
    'working', exists (select from leadhook.jobs as j where j.state = 'leased' and j.lease_until > p_now),
    'workers', (
      select coalesce(jsonb_agg(to_jsonb(w) order by least(w.claimed_ms, w.swept_ms), w.worker), '[]')
      from (
        select
          w.worker, floor(extract(epoch from p_now - w.claimed_at) * 1000)::bigint as claimed_ms,
          floor(extract(epoch from p_now - w.swept_at) * 1000)::bigint as swept_ms
        from leadhook.workers as w
        order by greatest(w.claimed_at, w.swept_at) desc
        limit 20
      ) as w
    )
  );
end
$$;

COMMENT ON FUNCTION leadhook.waiting_work(p_now timestamp with time zone) IS 'What waits and who works: oldest_ready_ms, how long the oldest ready lead of either priority has been due; unclaimed_ms, how long a claim could have taken something (a change, a lead neither paused nor over budget, or one whose lease ran out); working, whether a lead is leased; workers, the last 20 seen.';

CREATE FUNCTION leadhook.wake_turned_away(p_budget_ids bigint[], p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
  with affordable as materialized (
    select j.lead_id
    from (
      select j.lead_id, b.left_usd, sum(j.needed_usd) over (partition by b.id order by j.needed_usd, j.lead_id) as total_usd
      from leadhook.budgets_left(p_now) as b
      cross join lateral (
        select j.lead_id, j.needed_usd
        from leadhook.jobs as j
        where j.state = 'ready' and j.budget_id = b.id and j.needed_usd <= b.left_usd
        order by j.needed_usd, j.lead_id
        limit 50
      ) as j
      where b.id = any (p_budget_ids)
    ) as j
    where j.total_usd <= j.left_usd
  )
  update leadhook.jobs as j
  set budget_id = null, needed_usd = null, available_at = least(coalesce(j.eligible_at, p_now), p_now)
  where j.lead_id = any (array(
    select k.lead_id from leadhook.jobs as k where k.lead_id = any (array(select a.lead_id from affordable as a)) for no key update of k skip locked
  )) and j.state = 'ready';
  update leadhook.budgets as b
  set needed_usd = (select min(j.needed_usd) from leadhook.jobs as j where j.state = 'ready' and j.budget_id = b.id)
  where b.id = any (p_budget_ids);
  delete from leadhook.budgets as b where b.id = any (p_budget_ids) and b.daily_usd = 'Infinity' and b.needed_usd is null;
end
$$;

COMMENT ON FUNCTION leadhook.wake_turned_away(p_budget_ids bigint[], p_now timestamp with time zone) IS 'Makes leads due that these budgets turned away and can pay now: money came back, the day or the budget changed.';

CREATE FUNCTION leadhook.wake_undecided(p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
  update leadhook.jobs as j
  set available_at = least(j.available_at, greatest(j.decide_after, p_now)), decide_after = null
  where j.lead_id = any (array(
    select k.lead_id
    from leadhook.jobs as k
    where k.state = 'ready' and k.decide_after is not null
    order by k.decide_after
    limit 50
    for no key update of k skip locked
  )) and j.state = 'ready';
end
$$;

COMMENT ON FUNCTION leadhook.wake_undecided(p_now timestamp with time zone) IS 'A lead was answered: makes leads due that waited for this, to learn whether they are to blame for their failures. The next answer wakes more.';

CREATE FUNCTION leadhook.wanted_webhooks(p_leads integer) RETURNS integer
    LANGUAGE sql IMMUTABLE
    AS $$
  select greatest(1, least(8, coalesce(p_leads, 0) / 1000))
$$;

COMMENT ON FUNCTION leadhook.wanted_webhooks(p_leads integer) IS 'How many webhooks a transaction sends whose largest statement names so many leads.';

CREATE FUNCTION leadhook.warn(p_words text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET client_min_messages TO 'error'
    AS $$
begin
  raise warning 'leadhook: %', p_words;
end
$$;

COMMENT ON FUNCTION leadhook.warn(p_words text) IS 'Writes to the server''s log and to no one else. `raise log` would write the application''s whole statement beside it, leads and all.';

CREATE FUNCTION leadhook.webhook_answers(p_webhook_ids bigint[]) RETURNS TABLE(webhook_id bigint, status_code integer, error text, timed_out boolean, queued boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
  if not leadhook.has_pg_net() then
    return;
  end if;
  return query
    select r.id, h.status_code, h.error_msg, coalesce(h.timed_out, false), false
    from leadhook.webhooks as r
    join net._http_response as h on h.id = r.request_id and h.created >= r.sent_at - interval '1 minute'
    where r.id = any (p_webhook_ids) and not exists (
      select from leadhook.webhooks as l
      where l.request_id = r.request_id and l.id > r.id and l.sent_at > r.sent_at and h.created >= l.sent_at - interval '1 minute'
    );
  return query
    select r.id, null::int, null::text, false, true
    from leadhook.webhooks as r
    join net.http_request_queue as q on q.id = r.request_id
    where r.id = any (p_webhook_ids)
      and not exists (select from leadhook.webhooks as l where l.request_id = r.request_id and l.id > r.id and l.sent_at > r.sent_at);
exception when assert_failure or others then
  raise log 'leadhook: the answers to webhooks can''t be read: % %', sqlstate, sqlerrm;
end
$$;

COMMENT ON FUNCTION leadhook.webhook_answers(p_webhook_ids bigint[]) IS 'What pg_net still knows of these webhooks: its answer, or that it is not sent yet.';

CREATE FUNCTION leadhook.webhook_body(p_reason text, p_leads integer, p_table text) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
  select pg_catalog.jsonb_build_object(
    'type', pg_catalog.upper(p_reason),
    'table', p_table,
    'schema', case when p_table is not null then 'public' end,
    'records', '[]'::pg_catalog.jsonb,
    'total', p_leads
  )
$$;

CREATE FUNCTION leadhook.webhook_headers(p_id text, p_timestamp bigint, p_body text, p_secrets text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  v_secret text;
  v_signatures text;
begin
  foreach v_secret in array regexp_split_to_array(btrim(p_secrets, E' \t\r\n'), '\s+') loop
    v_signatures := concat_ws(' ', v_signatures, leadhook.sign(v_secret, p_id, p_timestamp, p_body));
  end loop;
  return jsonb_build_object(
    'Content-Type', 'application/json',
    'webhook-id', p_id,
    'webhook-timestamp', p_timestamp::text,
    'webhook-signature', v_signatures
  );
end
$$;

COMMENT ON FUNCTION leadhook.webhook_headers(p_id text, p_timestamp bigint, p_body text, p_secrets text) IS 'The headers of one webhook; several secrets, separated by blanks, make several signatures, so that a secret can be changed without a gap.';

CREATE FUNCTION leadhook.webhook_settings(OUT url_set boolean, OUT secret_set boolean, OUT pg_net boolean, OUT vault_error text, OUT foreign_code text[]) RETURNS record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  url_set := false;
  secret_set := false;
  pg_net := leadhook.has_pg_net();
  foreign_code := array(
    select format('%s %I (%s, owned by %I)', c.kind, c.object_name, c.function_name, c.function_owner)
    from leadhook.find_foreign_code() as c
    where c.table_name = 'http_request_queue'
    limit 5
  );
  if not leadhook.has_vault() then
    return;
  end if;
  select
    coalesce(bool_or(s.name = 'leadhook_webhook_url'), false),
    coalesce(bool_or(s.name = 'leadhook_webhook_secret'), false)
  into url_set, secret_set
  from vault.decrypted_secrets as s
  where s.name in ('leadhook_webhook_url', 'leadhook_webhook_secret') and btrim(s.decrypted_secret, E' \t\r\n') <> '';
exception when assert_failure or others then
  -- Not the message, which may quote what could not be decrypted.
  vault_error := sqlstate;
end
$$;

COMMENT ON FUNCTION leadhook.webhook_settings(OUT url_set boolean, OUT secret_set boolean, OUT pg_net boolean, OUT vault_error text, OUT foreign_code text[]) IS 'Whether pg_net is there and Vault holds the webhook''s URL and secret; vault_error: the SQLSTATE with which Vault could not be read; foreign_code: triggers on pg_net''s queue, because of which no webhook is sent.';

CREATE FUNCTION leadhook.webhook_target(OUT url text, OUT secrets text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  v_has_vault boolean;
  v_has_pg_net boolean;
  v_suspected boolean;
  v_may_insert boolean := has_table_privilege(to_regclass('net.http_request_queue'), 'insert');
begin
  if v_may_insert then
    lock table net.http_request_queue in row exclusive mode;
  end if;
  -- Without a variable, whose value would be planned for again and again.
  select
    (
      select d.refobjid
      from pg_catalog.pg_depend as d
      where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = to_regclass('vault.decrypted_secrets')
        and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
    ) = (select e.oid from pg_catalog.pg_extension as e where e.extname = 'supabase_vault'),
    (
      select d.refobjid
      from pg_catalog.pg_depend as d
      where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = to_regproc('net.http_post')
        and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
    ) = (select e.oid from pg_catalog.pg_extension as e where e.extname = 'pg_net'),
    (
      select c.relhastriggers or c.relhasrules
        or c.xmax <> '0' and current_setting('transaction_isolation') in ('repeatable read', 'serializable')
      from pg_catalog.pg_class as c
      where c.oid = to_regclass('net.http_request_queue')
    )
  into v_has_vault, v_has_pg_net, v_suspected;
  if v_has_vault is not true then
    raise exception 'Vault is missing: enable the extension supabase_vault' using errcode = 'PT503';
  elsif v_has_pg_net is not true then
    raise exception 'pg_net is missing: enable the extension pg_net' using errcode = 'PT503';
  elsif v_suspected and v_may_insert then
    perform leadhook.refuse_foreign_code();
  end if;
  select
    (select btrim(s.decrypted_secret, E' \t\r\n') from vault.decrypted_secrets as s where s.name = 'leadhook_webhook_url'),
    (select btrim(s.decrypted_secret, E' \t\r\n') from vault.decrypted_secrets as s where s.name = 'leadhook_webhook_secret')
  into url, secrets;
  if coalesce(url, '') = '' or coalesce(secrets, '') = '' then
    raise exception 'Vault holds no leadhook_webhook_url and leadhook_webhook_secret' using errcode = 'PT503';
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.webhook_target(OUT url text, OUT secrets text) IS 'Where webhooks go and what signs them, by Vault. Raises when something is missing, and names it; and where queueing a request would run another role''s code.';

CREATE FUNCTION leadhook.work_on_release(p_release_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_release record;
  v_slice record;
begin
  select r.redo, r.after_lead, r.lead_limit - r.released as wanted, (r.groups #>> '{0,user_id}')::uuid as user_id, r.groups #>> '{0,tag}' as tag
  into v_release
  from leadhook.releases as r
  where r.id = p_release_id and r.ended_at is null
  for no key update skip locked;
  if not found then
    return;
  end if;
  v_slice := leadhook.release_backlog(v_release.user_id, v_release.tag, v_release.after_lead, v_release.wanted, v_release.redo);
  update leadhook.releases as r
  set
    released = r.released + v_slice.released,
    groups = case when v_slice.last_lead is null then r.groups - 0 else r.groups end,
    after_lead = coalesce(v_slice.last_lead, ''),
    ended_at = case
      when v_slice.released >= v_release.wanted or v_slice.last_lead is null and jsonb_array_length(r.groups) <= 1 then clock_timestamp()
    end
  where r.id = p_release_id;
end
$$;

COMMENT ON FUNCTION leadhook.work_on_release(p_release_id bigint) IS 'One slice of a release that is being queued, unless another call is at it.';

CREATE FUNCTION leadhook.work_on_replay(p_replay_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_phase text := (
    select r.phase from leadhook.replays as r where r.id = p_replay_id and r.phase in ('queueing', 'stopping') for update skip locked
  );
begin
  if v_phase = 'queueing' then
    perform leadhook.queue_slice(p_replay_id);
  elsif v_phase = 'stopping' then
    perform leadhook.stop_slice(p_replay_id);
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.work_on_replay(p_replay_id bigint) IS 'One slice of a replay that is being made or unmade, unless another call is at it.';

CREATE FUNCTION leadhook.wrap_other(p_value anyelement, p_characters integer, p_most integer) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  if leadhook.is_too_big(p_value, p_most) then
    return to_json('(too big to be read)'::text);
  end if;
  return json_build_object('json', left(to_json(p_value)::text, p_characters));
end
$$;

CREATE FUNCTION leadhook.wrap_value(p_value anyelement, p_characters integer, p_most integer) RETURNS json
    LANGUAGE sql STABLE
    AS $$
  select case
    when pg_catalog.pg_typeof(p_value) operator(pg_catalog.=) any ('{pg_catalog.text,pg_catalog.varchar,pg_catalog.bpchar}'::pg_catalog.regtype[])
      then pg_catalog.to_json(leadhook.read_value(p_value, p_characters, p_most))
    when p_value is not null then leadhook.wrap_other(p_value, coalesce(p_most, p_characters), p_most)
  end
$$;

COMMENT ON FUNCTION leadhook.wrap_value(p_value anyelement, p_characters integer, p_most integer) IS 'A text as read_value reads it; any other value as {"json": text}: the application''s JSON is never part of ours.';

CREATE FUNCTION leadhook.write_answers(p_answers leadhook.ending[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'extensions'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'on'
    SET seq_page_cost TO '100'
    AS $$
declare
  v_lead_ids text[] := array(select a.lead_id from unnest(p_answers) as a);
  v_written int;
begin
  with answers as materialized (
    select a.lead_id, a.tag, a.name, a.linkedin_url, a.location, a.score, a.response, a.should_contact, a.subject, a.message
    from unnest(p_answers) as a
  ),
  present as materialized (
    select l.lead_id, count(*) as rows, count(*) filter (where l.tag is not distinct from a.tag) as rows_of_tag
    from public.llm_response as l
    join answers as a on a.lead_id = l.lead_id
    where l.lead_id = any (v_lead_ids)
    group by l.lead_id
  ),
  replaced as (
    update public.llm_response as l
    set tag = a.tag, name = a.name, linkedin_url = a.linkedin_url, location = a.location, score = a.score, response = a.response,
      should_contact = a.should_contact, subject = a.subject, message = a.message
    from answers as a
    where l.lead_id = any (v_lead_ids) and l.lead_id = a.lead_id
      -- A subquery and not a join: with wrong statistics llm_response would be read once for each row of present.
      and (
        select case when p.rows_of_tag > 0 then l.tag is not distinct from a.tag else p.rows = 1 end
        from present as p
        where p.lead_id = a.lead_id
      )
    returning a.lead_id
  ),
  added as (
    insert into public.llm_response (lead_id, tag, name, linkedin_url, location, score, response, should_contact, subject, message)
    select a.lead_id, a.tag, a.name, a.linkedin_url, a.location, a.score, a.response, a.should_contact, a.subject, a.message
    from answers as a
    left join present as p on p.lead_id = a.lead_id
    where coalesce(p.rows, 0) <> 1 and coalesce(p.rows_of_tag, 0) = 0
    returning lead_id
  )
  select count(distinct w.lead_id) into v_written from (select r.lead_id from replaced as r union all select a.lead_id from added as a) as w;
  if v_written < cardinality(v_lead_ids) then
    raise exception 'a trigger on llm_response discards the row';
  end if;

  -- The triggers of leadhook see it as no change: the lead is no longer unsent. What the application's own triggers write in here is one.
  update public.lead_details as d set sent_to_llm = true where d.lead_id = any (v_lead_ids) and d.sent_to_llm is not true;
  set constraints all immediate;
  if exists (select from public.lead_details as d where d.lead_id = any (v_lead_ids) and d.sent_to_llm is not true) then
    raise exception 'sent_to_llm does not stay true: a trigger on lead_details discards the update or takes it back';
  end if;
end
$$;

COMMENT ON FUNCTION leadhook.write_answers(p_answers leadhook.ending[]) IS 'Writes answers into llm_response and marks their leads as sent: all or, by raising, none. An answer replaces the rows of its lead and tag; where there are none, the lead''s only row; else it is added.';

CREATE FUNCTION leadhook.write_each_answer(p_answers leadhook.ending[]) RETURNS TABLE(lead_id text, fence bigint, outcome text, error_code text, reason text, note text)
    LANGUAGE plpgsql
    SET search_path TO ''
    SET lock_timeout TO '50ms'
    AS $_$
#variable_conflict use_column
declare
  v_until timestamptz := least(clock_timestamp() + interval '3 s', statement_timestamp() + interval '4 s');
  v_answer leadhook.ending;
  v_tried jsonb := jsonb '[]';
  v_outcome text;
  v_reason text;
  v_sqlstate text;
  v_raised boolean;
  v_constraint text;
  v_schema text;
  v_context text;
  v_note text;
begin
  foreach v_answer in array p_answers loop
    v_outcome := 'saved';
    v_sqlstate := null;
    v_reason := null;
    v_constraint := null;
    v_raised := false;
    begin
      if clock_timestamp() > v_until then
        v_outcome := 'busy';
        v_sqlstate := 'out_of_time';
      else
        perform leadhook.write_answers(array[v_answer]);
      end if;
    exception when query_canceled or assert_failure or others then
      get stacked diagnostics v_constraint = constraint_name, v_schema = schema_name, v_context = pg_exception_context;
      if leadhook.ends_the_call(sqlstate, v_context, v_schema) then
        raise;
      end if;
      v_sqlstate := sqlstate;
      v_reason := left(coalesce(nullif(sqlerrm, ''), 'SQLSTATE ' || sqlstate), 500);
      v_raised := v_context ~ '^[^\n]* RAISE(\n|$)';
      v_outcome := case
        when sqlstate = '55P03' or left(sqlstate, 2) = '40' then 'busy'
        when leadhook.blames_the_lead(sqlstate) then 'refused'
        else 'failed'
      end;
    end;
    v_tried := v_tried || jsonb_build_object(
      'lead_id', v_answer.lead_id, 'fence', v_answer.fence, 'outcome', v_outcome, 'sqlstate', v_sqlstate,
      'reason', v_reason, 'raised', v_raised, 'note', concat_ws(' ', 'SQLSTATE', v_sqlstate, leadhook.existing_constraint(v_constraint))
    );
  end loop;

  -- What befalls every lead is the installation's fault. What befalls one while others are written is about that one, unless it may pass.
  if not jsonb_path_exists(v_tried, '$[*] ? (@.outcome != "failed" && @.sqlstate != "out_of_time")')
    and jsonb_path_exists(v_tried, '$[*] ? (@.outcome == "failed")') then
    v_tried := jsonb_path_query_first(v_tried, '$[*] ? (@.outcome == "failed")');
    raise exception using errcode = v_tried ->> 'sqlstate', message = v_tried ->> 'reason';
  end if;
  -- So does what three leads in a row are refused with: a column, constraint or trigger that no answer passes. Nothing is lost until it is put right.
  v_note := jsonb_path_query_first(v_tried, '$[*] ? (@.outcome == "refused")') ->> 'note';
  if not jsonb_path_exists(v_tried, '$[*] ? (@.sqlstate != "out_of_time" && !(@.outcome == "refused" && @.note == $note))', jsonb_build_object('note', v_note))
    and v_note is not null
    and jsonb_array_length(jsonb_path_query_array(v_tried, '$[*] ? (@.outcome == "refused")')) + (
      select count(*) from (select a.outcome, a.reason from leadhook.attempts as a order by a.id desc limit 2) as last
      where last.outcome = 'refused' and last.reason = v_note
    ) >= 3 then
    raise exception using errcode = 'PT409', message = format('every answer is refused with %s', v_note);
  end if;
  return query
  select
    t.lead_id, t.fence, o.outcome,
    case o.outcome when 'refused' then 'refused' when 'busy' then t.sqlstate end,
    t.reason,
    case when o.outcome = 'refused' then t.note end
  from jsonb_to_recordset(v_tried) as t (lead_id text, fence bigint, outcome text, sqlstate text, reason text, raised boolean, note text)
  cross join lateral (
    select case
      when t.outcome <> 'failed' then t.outcome
      when not jsonb_path_exists(v_tried, '$[*] ? (@.outcome == "saved")') then 'busy'
      when left(t.sqlstate, 2) in ('08', '53', '55', '57', '58') and not t.raised then 'busy'
      else 'refused'
    end
  ) as o (outcome);
end
$_$;

COMMENT ON FUNCTION leadhook.write_each_answer(p_answers leadhook.ending[]) IS 'As write_answers, each lead for itself: saved; refused, with the database''s words as reason and, without what may be personal in them, as note; or busy, with its SQLSTATE as error_code: a lock was not to be had, or it may pass. out_of_time: not tried in this call. Raises where every lead failed with what does not speak of a lead, and PT409 where every lead, three in a row, is refused alike.';

CREATE FUNCTION leadhook.write_results(p_results leadhook.ending[]) RETURNS leadhook.ending[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
declare
  v_wanted leadhook.ending[] := array(select r from unnest(p_results) as r where r.ends and r.outcome in ('saved', 'saved_without_message'));
  v_failed jsonb;
  v_context text;
  v_schema text;
begin
  if v_wanted <> '{}' then
    begin
      perform set_config('lock_timeout', '500ms', true);
      perform leadhook.write_answers(v_wanted);
    exception when query_canceled or assert_failure or others then
      get stacked diagnostics v_context = pg_exception_context, v_schema = schema_name;
      if leadhook.ends_the_call(sqlstate, v_context, v_schema) then
        raise;
      end if;
      v_failed := (select jsonb_agg(to_jsonb(w)) from leadhook.write_each_answer(v_wanted) as w where w.outcome <> 'saved');
      return array(
        select jsonb_populate_record(r, coalesce(to_jsonb(w), '{}'))
        from unnest(p_results) as r
        left join jsonb_to_recordset(v_failed) as w (lead_id text, fence bigint, outcome text, error_code text, reason text, note text)
          on w.lead_id = r.lead_id and w.fence = r.fence
      );
    end;
  end if;
  return p_results;
end
$$;

COMMENT ON FUNCTION leadhook.write_results(p_results leadhook.ending[]) IS 'Writes the answers of the results that say saved, with or without a message, and ends, and returns all results with what became of each.';

CREATE FUNCTION public.leadhook_admission(p_most integer DEFAULT 1000) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
begin
  return jsonb_build_object(
    'pauses', (
      select coalesce(jsonb_agg(to_jsonb(a)), '[]')
      from (
        select p.user_id, p.tag, p.actor, p.reason, p.paused_at from leadhook.pauses as p order by p.user_id nulls first, p.tag nulls first limit p_most
      ) as a
    ),
    'budgets', (
      select coalesce(jsonb_agg(to_jsonb(a)), '[]')
      from (
        select
          b.user_id, b.daily_usd, b.left_usd, n.needed_usd, b.left_usd <= 0 or coalesce(b.left_usd < n.needed_usd, false) as spent,
          b.daily_usd = 0 or coalesce(n.needed_usd > b.daily_usd, false) as too_small
        from leadhook.budgets_left(clock_timestamp()) as b
        left join lateral (
          select min(j.needed_usd) as needed_usd from leadhook.jobs as j where b.needed_usd > 0 and j.state = 'ready' and j.budget_id = b.id
        ) as n on true
        where b.daily_usd < 'Infinity'
        order by b.user_id nulls first
        limit p_most
      ) as a
    ),
    'spend', (
      select jsonb_build_object(
        'spent_usd', coalesce(sum(s.spent_usd), 0), 'wasted_usd', coalesce(sum(s.wasted_usd), 0),
        'reserved_usd', coalesce(sum(s.reserved_usd), 0)
      )
      from leadhook.spend as s
      where s.day = (now() at time zone 'UTC')::date
    )
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_admission(p_most integer) IS 'The first p_most pauses and budgets (null: all), those of all users first, with what is left of each budget, and what was spent today (UTC). needed_usd: the least that a waiting lead may cost, where the budget does not have it.';

CREATE FUNCTION public.leadhook_answers(p_user_id uuid DEFAULT NULL::uuid, p_tag text DEFAULT NULL::text, p_min_score integer DEFAULT NULL::integer, p_since timestamp with time zone DEFAULT NULL::timestamp with time zone, p_limit integer DEFAULT 20) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_lead_ids text[];
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception using errcode = 'PT400', message = 'p_limit must be 1 to 1000';
  end if;
  -- One more than is asked for: whether there are more.
  v_lead_ids := array(
    select v.lead_id
    from leadhook.results as v
    join leadhook.jobs as j on j.lead_id = v.lead_id
    where (p_user_id is null or j.user_id = p_user_id)
      and (p_tag is null or j.tag = p_tag)
      and (p_min_score is null or v.score >= p_min_score)
      and (p_since is null or v.created_at >= p_since)
      and not exists (select from leadhook.results as n where n.lead_id = v.lead_id and n.run > v.run)
    order by v.created_at desc, v.lead_id
    limit p_limit + 1
  );
  return (
    with known as materialized (
      select distinct a.lead_id from public.all_leads as a where a.lead_id = any (v_lead_ids)
    ),
    details as materialized (
      select distinct on (d.lead_id) d.lead_id, left(d.name::text, 200) as name
      from public.lead_details as d
      where d.lead_id = any (v_lead_ids)
      order by d.lead_id, (d.sent_to_llm is not true) desc, d::text desc
    ),
    newest as (
      select distinct on (v.lead_id)
        v.lead_id, d.name, j.user_id, j.tag, v.run, v.score, v.should_contact, v.response, v.subject, v.message, v.claims, v.matched, v.missed, v.flags,
        v.model, v.prompt_version, v.written, v.created_at
      from leadhook.results as v
      join leadhook.jobs as j on j.lead_id = v.lead_id
      -- Who was deleted is gone from here before the next claim has looked at it.
      join known as k on k.lead_id = v.lead_id
      left join details as d on d.lead_id = v.lead_id
      where v.lead_id = any (v_lead_ids[:p_limit])
      order by v.lead_id, v.run desc
    )
    select json_build_object(
      'now', clock_timestamp(),
      'answers', coalesce(json_agg(to_jsonb(n) order by n.created_at desc, n.lead_id), '[]'),
      'has_more', cardinality(v_lead_ids) > p_limit
    )
    from newest as n
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_answers(p_user_id uuid, p_tag text, p_min_score integer, p_since timestamp with time zone, p_limit integer) IS 'The newest answer of each lead, the newest first, for `leadhook answers`: score, reason, message, criteria met and missed, flags. written: whether it is in llm_response. has_more: the limit cut the list. Changes nothing.';

CREATE FUNCTION public.leadhook_audit(p_filter jsonb DEFAULT '{}'::jsonb, p_before bigint DEFAULT NULL::bigint, p_limit integer DEFAULT 25) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_entries jsonb;
  v_last bigint;
begin
  if p_limit is null or p_limit not between 1 and 100 then
    raise exception 'a page holds 1 to 100 entries' using errcode = 'PT400';
  end if;
  with looked_at as materialized (
    select a.* from leadhook.audit as a where p_before is null or a.id < p_before order by a.id desc limit 20000
  ),
  page as (
    select l.*
    from looked_at as l
    where (p_filter ->> 'action' is null or l.action = p_filter ->> 'action')
      and (p_filter ->> 'actor' is null or l.actor = p_filter ->> 'actor')
      and (p_filter ->> 'user_id' is null or l.parameters ->> 'user_id' = p_filter ->> 'user_id')
      and (p_filter ->> 'since' is null or l.at >= (p_filter ->> 'since')::timestamptz)
      and (p_filter ->> 'until' is null or l.at < (p_filter ->> 'until')::timestamptz)
    order by l.id desc
    limit p_limit + 1
  )
  select
    coalesce(jsonb_agg(to_jsonb(p) order by p.id desc), '[]'),
    (select min(l.id) from looked_at as l having count(*) = 20000)
  into v_entries, v_last
  from page as p;
  if jsonb_array_length(v_entries) > p_limit then
    v_entries := v_entries - p_limit;
    v_last := (v_entries -> -1 ->> 'id')::bigint;
  end if;
  return jsonb_build_object('entries', v_entries, 'before', v_last);
end
$$;

COMMENT ON FUNCTION public.leadhook_audit(p_filter jsonb, p_before bigint, p_limit integer) IS 'The entries before p_before (null: the newest) that fit p_filter {action, actor, user_id, since, until}, newest first. before: for the next page; null: these were the last.';

CREATE FUNCTION public.leadhook_backlog(p_user_id uuid DEFAULT NULL::uuid, p_tag text DEFAULT NULL::text, p_since timestamp with time zone DEFAULT NULL::timestamp with time zone, p_redo boolean DEFAULT false) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '30s'
    SET lock_timeout TO '2s'
    AS $$
begin
  return (
    select jsonb_build_object(
      'backlog', c.backlog,
      'first_round_finished_at', c.first_round_finished_at,
      'released', (select count(*) from leadhook.jobs as j where j.state = 'ready' and j.low_priority),
      'leased', (select count(*) from leadhook.jobs as j where j.state = 'leased' and j.low_priority),
      'sent_while_leased', (
        select count(distinct t.lead_id)
        from leadhook.attempts as t
        where t.outcome = 'unwanted' and t.reason like '%already sent%' and t.finished_at > clock_timestamp() - interval '24 hours'
      ),
      'groups', (select coalesce(jsonb_agg(to_jsonb(l)), '[]') from leadhook.held_groups(p_user_id, p_tag, p_since) as l),
      'size', (
        select to_jsonb(s)
        from leadhook.held_size(array(
          select j.lead_id
          from leadhook.jobs as j
          where j.state = 'held'
            and (p_user_id is null or j.user_id = p_user_id)
            and (p_tag is null or j.tag = p_tag)
            and (p_redo or not exists (select from public.llm_response as r where r.lead_id = j.lead_id))
            and (p_since is null or p_since <= (
              select max(p.created_at) from public.prompts as p where p.user_id = j.user_id and p.tag = j.tag
            ))
          limit 1000
        )) as s
      )
    )
    from leadhook.controls as c
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_backlog(p_user_id uuid, p_tag text, p_since timestamp with time zone, p_redo boolean) IS 'The backlog: whether the first sweep round is over, released and leased leads of low priority, groups as leadhook.held_groups has them, the size of what a release would queue, and sent_while_leased: leads that something else marked as sent in the last 24 hours while leadhook had leased them.';

CREATE FUNCTION public.leadhook_begin_release(p_user_id uuid, p_tag text, p_limit integer, p_redo boolean, p_actor text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_id bigint;
begin
  perform leadhook.require_actor(p_actor);
  if p_limit is null or p_limit < 1 or p_user_id is null and p_tag is not null then
    raise exception 'a release has a limit, and a tag belongs to a user' using errcode = 'PT400';
  end if;
  insert into leadhook.releases (actor, reason, user_id, tag, redo, lead_limit, groups)
  select left(btrim(p_actor), 200), left(p_reason, 500), p_user_id, p_tag, p_redo, p_limit,
    coalesce(jsonb_agg(jsonb_build_object('user_id', s.user_id, 'tag', s.tag)), '[]')
  from leadhook.held_scopes(p_user_id, p_tag) as s
  returning id into v_id;
  perform leadhook.note_action(p_actor, 'backlog_release', jsonb_build_object(
    'release_id', v_id, 'user_id', p_user_id, 'tag', p_tag, 'redo', p_redo, 'limit', p_limit
  ), p_reason);
  perform leadhook.work_on_release(v_id);
  return (select jsonb_build_object('release_id', r.id, 'released', r.released) from leadhook.releases as r where r.id = v_id);
end
$$;

COMMENT ON FUNCTION public.leadhook_begin_release(p_user_id uuid, p_tag text, p_limit integer, p_redo boolean, p_actor text, p_reason text) IS 'Begins to release up to p_limit held leads of a user and tag, of a user, or of all, those of the newest prompts row first; leadhook_replay_slice goes on.';

CREATE FUNCTION public.leadhook_book_evaluation(p_costs jsonb DEFAULT '[]'::jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
begin
  if jsonb_typeof(p_costs) is distinct from 'array' then
    raise exception 'p_costs is an array' using errcode = 'PT400';
  end if;
  if exists (
    select from jsonb_array_elements(p_costs) as c (item)
    where jsonb_typeof(c.item -> 'cost_usd') is distinct from 'number' or (c.item ->> 'cost_usd')::numeric not between 0 and 1000000
  ) then
    raise exception 'cost_usd is a number from 0 to 1000000' using errcode = 'PT400';
  end if;
  perform leadhook.book_costs(p_costs, clock_timestamp());
  return leadhook.describe_blocked();
end
$$;

COMMENT ON FUNCTION public.leadhook_book_evaluation(p_costs jsonb) IS 'Adds what an evaluation spent, [{user_id, cost_usd}], to the day, and returns what may not be bought now. Repeated, it is added twice.';

CREATE FUNCTION public.leadhook_claim(p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_after_user uuid DEFAULT NULL::uuid, p_hints text[] DEFAULT '{}'::text[], p_source text DEFAULT 'retry'::text, p_price jsonb DEFAULT NULL::jsonb, p_bare boolean DEFAULT false, p_model text DEFAULT NULL::text, p_probe boolean DEFAULT false) RETURNS json
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $_$
declare
  v_hints text[] := array(select distinct h from unnest(p_hints) as h where h is not null);
  v_wrong text := case
    when p_token is null then 'p_token is missing'
    when coalesce(p_worker, '') = '' then 'p_worker is missing'
    when p_limit is null or p_limit not between 1 and 50 then 'p_limit must be 1 to 50'
    when p_low_priority_limit is null or p_low_priority_limit not between 0 and p_limit then 'p_low_priority_limit must be 0 to p_limit'
    when coalesce(cardinality(p_hints), 0) > 500 then 'p_hints holds more than 500 ids'
    when exists (select from unnest(v_hints) as h where length(h) > 200) then 'an id in p_hints is longer than 200 characters'
    when p_source is null or p_source not in ('start', 'webhook', 'retry', 'sweep') then 'p_source must be start, webhook, retry or sweep'
    when jsonb_typeof(p_price) <> 'object' or p_price <> '{}' and (p_price @@ '
      $.lead_usd >= 0 && $.byte_usd >= 0 && $.most_lead_bytes >= 0 && $.most_prompts_bytes >= 0') is not true
      then 'p_price must be {} or hold lead_usd, byte_usd, most_lead_bytes and most_prompts_bytes, 0 or more'
  end;
begin
  if v_wrong is not null then
    raise exception using errcode = 'PT400', message = v_wrong;
  end if;
  begin
    perform leadhook.lock_claims();
    perform leadhook.lock_outbox();
    perform leadhook.notice_restore();
    if p_source = 'start' then
      perform leadhook.forget_rests_for_other_models(p_model);
    end if;
    return leadhook.claim_batch(p_token, p_worker, p_limit, p_low_priority_limit, p_after_user, v_hints, p_source, p_price, coalesce(p_bare, false), p_probe);
  exception
    -- A deadlock can only be with DDL of the owner or a statement by hand; either way the next try gets further.
    when lock_not_available or deadlock_detected then
      return (
        select json_build_object(
          'busy', true, 'has_more', false, 'leads', '[]'::json, 'prompts', '{}'::json, 'keys', '[]'::json,
          'last_user', p_after_user, 'next_due_ms', 250,
          'lease_ms', round(c.lease_s * 1000)::int,
          'renew_ms', round(c.renew_s * 1000)::int,
          'start_limit_ms', round(c.start_limit_s * 1000)::int
        )
        from leadhook.controls as c
      );
  end;
end
$_$;

COMMENT ON FUNCTION public.leadhook_claim(p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_after_user uuid, p_hints text[], p_source text, p_price jsonb, p_bare boolean, p_model text, p_probe boolean) IS 'Leases up to p_limit eligible leads, fairly between (user_id, tag), with all that their score needs. The same token again returns the same leases, and gives those beyond p_limit back. p_bare: names the leases alone, so that the lead whose reply fails can be quarantined. p_price: what a lead may cost at most, lead_usd + byte_usd for each byte of lead and prompts up to most_…_bytes, which is reserved; {}: the model has no known price, so that nothing is handed out where a budget is set; null: an older caller, for whom nothing is reserved. p_model: what the keys are used for. p_probe: preferably a lead whose calls do not fail. blocked_by: why nothing at all may be handed out: paused, spent (a budget) or unpriced.';

CREATE FUNCTION public.leadhook_deliveries(p_before bigint DEFAULT NULL::bigint, p_limit integer DEFAULT 25) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_deliveries jsonb;
begin
  if p_limit is null or p_limit not between 1 and 100 then
    raise exception 'a page holds 1 to 100 webhooks' using errcode = 'PT400';
  end if;
  v_deliveries := (
    with page as materialized (
      select w.* from leadhook.webhooks as w where p_before is null or w.id < p_before order by w.id desc limit p_limit + 1
    )
    select coalesce(jsonb_agg(jsonb_build_object(
      'id', p.id, 'reason', p.reason, 'leads', p.leads, 'sent_at', p.sent_at, 'sent', p.request_id is not null,
      'queued', coalesce(h.queued, false), 'status_code', coalesce(p.status_code, h.status_code),
      'error', coalesce(p.error, h.error, case when h.timed_out then 'timed out' end)
    ) order by p.id desc), '[]')
    from page as p
    left join leadhook.webhook_answers(array(select i.id from page as i where i.request_id is not null)) as h on h.webhook_id = p.id
  );
  return jsonb_build_object(
    'deliveries', case when jsonb_array_length(v_deliveries) > p_limit then v_deliveries - p_limit else v_deliveries end,
    'before', case when jsonb_array_length(v_deliveries) > p_limit then (v_deliveries -> (p_limit - 1) ->> 'id')::bigint end
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_deliveries(p_before bigint, p_limit integer) IS 'The webhooks before p_before (null: the newest), newest first, with pg_net''s answers.';

CREATE FUNCTION public.leadhook_evaluation_leads(p_filter jsonb DEFAULT '{}'::jsonb, p_after_lead text DEFAULT ''::text, p_lead_ids text[] DEFAULT NULL::text[]) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_found record;
  v_leads jsonb;
  v_described jsonb := jsonb '{}';
  v_keys jsonb := jsonb '[]';
begin
  if jsonb_typeof(p_filter) is distinct from 'object' or p_after_lead is null then
    raise exception 'p_filter is an object, p_after_lead a text' using errcode = 'PT400';
  end if;
  if cardinality(p_lead_ids) not between 1 and 10 then
    raise exception 'p_lead_ids names 1 to 10 leads' using errcode = 'PT400';
  end if;
  if p_lead_ids is null then
    select m.lead_ids, m.last_lead into v_found from leadhook.match_leads(p_filter, p_after_lead) as m;
  else
    select p_lead_ids as lead_ids, null::text as last_lead into v_found;
    v_described := (
      select coalesce(jsonb_object_agg(d.lead_id, jsonb_build_object('lead', d.lead, 'prompts', d.prompts)), '{}')
      from (
        select array_agg(j.lead_id) as lead_ids, array_agg(j.user_id) as user_ids, array_agg(j.tag) as tags
        from leadhook.jobs as j
        where j.lead_id = any (p_lead_ids)
      ) as a
      cross join lateral leadhook.describe_leads(a.lead_ids, a.user_ids, a.tags) as d
    );
    v_keys := (select coalesce(jsonb_agg(to_jsonb(k)), '[]') from leadhook.healthy_keys() as k);
  end if;
  v_leads := (
    with newest as materialized (
      select distinct on (v.lead_id)
        v.lead_id, v.run, v.score, v.should_contact, v.subject, v.model, v.prompt_version
      from leadhook.results as v
      where v.lead_id = any (v_found.lead_ids)
      order by v.lead_id, v.run desc
    ),
    usage as materialized (
      select
        t.lead_id, 1 as known, sum(t.calls) as calls, sum(t.input_tokens) as input_tokens, sum(t.cached_tokens) as cached_tokens,
        sum(t.output_tokens) as output_tokens, sum(t.thinking_tokens) as thinking_tokens, sum(t.cost_usd) as cost_usd,
        sum(t.model_ms) as model_ms
      from leadhook.attempts as t
      join newest as n on n.lead_id = t.lead_id and n.run = t.run
      where t.lead_id = any (v_found.lead_ids) and t.calls > 0
      group by t.lead_id
    )
    select coalesce(jsonb_agg(jsonb_build_object(
      'lead_id', j.lead_id,
      'user_id', j.user_id,
      'tag', j.tag,
      'saved', to_jsonb(n) - '{lead_id,run}'::text[],
      'saved_usage', coalesce(to_jsonb(u) - 'lead_id', '{}')
    ) || coalesce(v_described -> j.lead_id, '{}') order by j.lead_id), '[]')
    from leadhook.jobs as j
    join newest as n using (lead_id)
    left join usage as u using (lead_id)
    where j.lead_id = any (v_found.lead_ids) and (p_lead_ids is null or v_described ? j.lead_id)
  );
  return jsonb_build_object(
    'leads', v_leads, 'last_lead', v_found.last_lead, 'keys', v_keys,
    'admission', leadhook.describe_blocked()
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_evaluation_leads(p_filter jsonb, p_after_lead text, p_lead_ids text[]) IS 'Answered leads for `leadhook evaluate`, by lead_id: the newest answer of each and what it cost. Either up to 250 of a filter (as a replay''s) behind p_after_lead, with last_lead to go on from (null: these were the last), or those of p_lead_ids (at most 10) that are still there, with fields and prompts as a claim hands them out, and the keys. admission: what may not be bought now. Changes nothing.';

CREATE FUNCTION public.leadhook_explain(p_lead_id text) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_now timestamptz := clock_timestamp();
  v_checked record;
  v_failure text;
  v_job jsonb := leadhook.describe_job(p_lead_id);
  v_outbox jsonb;
  v_keys jsonb;
begin
  if coalesce(p_lead_id, '') = '' then
    raise exception 'p_lead_id is missing' using errcode = 'PT400';
  end if;
  begin
    select e.* into v_checked from leadhook.check_eligibility(array[p_lead_id]) as e;
  exception when others then
    if not leadhook.blames_the_lead(sqlstate) then
      raise;
    end if;
    v_failure := left(sqlerrm, 500);
    select null::uuid as user_id, null::text as tag, null::boolean as has_prompts into v_checked;
  end;
  v_outbox := leadhook.pending_changes(p_lead_id, v_checked.user_id, v_checked.tag);
  begin
    v_keys := (select to_jsonb(k) from leadhook.key_states() as k) || jsonb_build_object('parked', leadhook.parked_keys());
  exception when undefined_table or undefined_column or insufficient_privilege then
    v_keys := '{}';
  end;
  return (
    select json_build_object(
      'lead_id', p_lead_id,
      'now', v_now,
      'eligibility', case when v_failure is null then to_jsonb(v_checked) end,
      'failure', v_failure,
      'answered', r.answer is not null,
      'answer', r.answer,
      'tags_of_user', case when v_checked.has_prompts is false then (
        select coalesce(jsonb_agg(distinct p.tag), '[]')
        from (select p.tag from public.prompts as p where p.user_id = v_checked.user_id limit 20) as p
      ) else '[]' end,
      'job', v_job,
      'outbox', v_outbox,
      'queue', leadhook.place_in_queue(p_lead_id, v_now),
      'keys', v_keys,
      'pauses', g.gates -> 'pauses',
      'budgets', g.gates -> 'budgets',
      'webhooks', leadhook.find_webhooks(
        coalesce(v_outbox #>> '{of_lead,0,changed_at}', v_job ->> 'eligible_at')::timestamptz,
        (v_outbox #>> '{of_lead,0,xact}')::xid8
      ),
      'triggers', leadhook.trigger_states(),
      'dashboard_webhooks', leadhook.dashboard_webhooks(),
      'webhook_setup', to_jsonb(s),
      'backlog', c.backlog,
      'first_round_finished_at', c.first_round_finished_at,
      'max_attempts', c.max_attempts,
      'attempts', h.history -> 'attempts',
      'results', h.history -> 'results',
      'replays', h.history -> 'replays'
    )
    from leadhook.controls as c
    cross join leadhook.webhook_settings() as s
    cross join leadhook.describe_history(p_lead_id) as h (history)
    cross join leadhook.describe_admission(p_lead_id, v_checked.user_id, v_checked.tag, v_now) as g (gates)
    left join lateral (
      select jsonb_build_object(
        'score', l.score, 'should_contact', l.should_contact, 'response', left(l.response::text, 20000), 'subject', left(l.subject::text, 2000),
        'message', left(l.message::text, 20000)
      ) as answer
      from public.llm_response as l
      where l.lead_id = p_lead_id
      order by l.tag is not distinct from v_checked.tag desc, l::text
      limit 1
    ) as r on true
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_explain(p_lead_id text) IS 'All that is known of one lead, for `leadhook explain` and GET /leads/{lead_id}: each part of eligibility, job, pending outbox rows, place in the queue, keys, the webhooks around its change with pg_net''s answers, triggers, attempts, results, replays. Changes nothing.';

CREATE FUNCTION public.leadhook_failures() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
begin
  return jsonb_build_object('groups', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'error_code', g.error_code, 'state', g.state, 'count', c.n, 'reasons', s.reasons, 'example', s.example, 'last_at', s.last_at
    ) order by c.n desc, g.error_code, g.state), '[]')
    from leadhook.failed_groups() as g
    cross join lateral (
      select count(*) as n from (
        select from leadhook.jobs as j where j.error_code = g.error_code and j.state = g.state limit 10000
      ) as j
    ) as c
    cross join lateral (
      with examples as materialized (
        select j.lead_id, j.reason, j.finished_at from leadhook.jobs as j where j.error_code = g.error_code and j.state = g.state limit 100
      )
      select
        (
          select jsonb_agg(jsonb_build_object('reason', r.reason, 'leads', r.n) order by r.n desc, r.reason)
          from (select coalesce(x.reason, '') as reason, count(*) as n from examples as x group by 1 order by 2 desc, 1 limit 3) as r
        ) as reasons,
        (select x.lead_id from examples as x order by x.finished_at desc nulls last, x.lead_id limit 1) as example,
        (select max(x.finished_at) from examples as x) as last_at
    ) as s
    where s.example is not null
  ));
end
$$;

COMMENT ON FUNCTION public.leadhook_failures() IS 'What is dead, done without its message, or waits for its next attempt, by error code and state: how many (up to 10,000); the reasons and the newest among 100 of them. A replay with this state and error_code takes exactly these.';

CREATE FUNCTION public.leadhook_held_leads(p_user_id uuid DEFAULT NULL::uuid, p_tag text DEFAULT NULL::text, p_redo boolean DEFAULT false) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_sample text[] := leadhook.held_sample(p_user_id, p_tag);
  v_unsent text[] := array(select e.lead_id from leadhook.check_eligibility(v_sample) as e where e.unsent);
  v_answered text[] := leadhook.find_answered(v_unsent);
begin
  if p_user_id is null and p_tag is not null then
    raise exception 'a tag belongs to a user' using errcode = 'PT400';
  end if;
  return jsonb_build_object(
    'held', (
      select count(*)
      from (
        select from leadhook.jobs as j
        where j.state = 'held' and (p_user_id is null or j.user_id = p_user_id) and (p_tag is null or j.tag = p_tag)
        limit 10000
      ) as j
    ),
    'looked_at', cardinality(v_sample),
    'answered', cardinality(v_answered),
    'sent', cardinality(v_sample) - cardinality(v_unsent),
    'size', (
      select to_jsonb(s)
      from leadhook.held_size(array(select u.lead_id from unnest(v_unsent) as u (lead_id) where p_redo or u.lead_id <> all (v_answered))) as s
    ),
    'groups', (
      select coalesce(jsonb_agg(to_jsonb(g) || jsonb_build_object('held', (
        select count(*)
        from (select from leadhook.jobs as j where j.state = 'held' and j.user_id = g.user_id and j.tag = g.tag limit 1000) as j
      ))), '[]')
      from (select s.* from leadhook.held_scopes(p_user_id, p_tag) as s limit 100) as g
    )
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_held_leads(p_user_id uuid, p_tag text, p_redo boolean) IS 'Held leads, for a page: how many (up to 10,000); of looked_at of them how many have an answer and how many something else marked as sent, and the size of what a release would queue; groups: the first 100 of leadhook.held_scopes, with up to 1,000 leads each.';

CREATE FUNCTION public.leadhook_keys() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
begin
  return jsonb_build_object('keys', (
    with keys as (
      select leadhook.key_fingerprint(g.api_key) as fingerprint, array_agg(g.xmin::text) as row_versions
      from public.gemini_api as g
      where btrim(g.api_key, E' \t\r\n') <> ''
      group by 1
    )
    select coalesce(jsonb_agg(to_jsonb(l) order by array_position('{disabled,cooling,untried,healthy}', l.state), l.fingerprint), '[]')
    from (
      select
        k.fingerprint, case when s.state = 'cooling' and s.until <= clock_timestamp() then 'untried' else coalesce(s.state, 'untried') end as state,
        case when s.until > clock_timestamp() then s.until end as until, s.reason, coalesce(s.rests, 0) as rests, s.model, s.changed_at
      from keys as k
      left join leadhook.api_keys as s on s.fingerprint = k.fingerprint and (s.row_version is null or s.row_version = any (k.row_versions))
      order by array_position('{healthy,untried}', s.state) nulls first, k.fingerprint
      limit 200
    ) as l
  ));
exception when undefined_table or undefined_column or insufficient_privilege then
  return jsonb '{"keys": []}';
end
$$;

COMMENT ON FUNCTION public.leadhook_keys() IS 'The Gemini keys of gemini_api by fingerprint, up to 200, those that may not be used first: state (healthy, untried, cooling, disabled), until when and why.';

CREATE FUNCTION public.leadhook_lead_input(p_lead_id text) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
begin
  return coalesce((
    select json_build_object('lead', d.lead, 'prompts', d.prompts)
    from leadhook.jobs as j
    cross join lateral leadhook.describe_leads(array[j.lead_id], array[j.user_id], array[j.tag]) as d
    where j.lead_id = p_lead_id and d.prompts is not null
  ), '{}');
end
$$;

COMMENT ON FUNCTION public.leadhook_lead_input(p_lead_id text) IS 'The fields of a lead and its prompts as a claim would hand them out now, whatever its job''s state; empty where there is no job or no prompts row.';

CREATE FUNCTION public.leadhook_overview() RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_now timestamptz := clock_timestamp();
  v_hour timestamptz := date_trunc('hour', v_now, 'UTC');
  v_month timestamptz := date_trunc('day', v_now, 'UTC') - interval '696 hours';
  v_hours jsonb;
begin
  perform leadhook.count_attempts(v_now, '25 ms');
  v_hours := leadhook.count_hours(v_month);
  return jsonb_build_object(
    'now', v_now,
    'counted_until', (select c.until from leadhook.counted as c),
    'hours', leadhook.sum_periods(v_hours, 'hour', v_hour - interval '47 hours', v_now),
    'days', leadhook.sum_periods(v_hours, 'day', v_month, v_now),
    'last_hour', leadhook.typical_durations(v_hour - interval '1 hour'),
    'last_day', leadhook.typical_durations(v_hour - interval '24 hours'),
    'scores', (
      select jsonb_agg(jsonb_build_object('score', g.tens * 10, 'leads', coalesce(s.leads, 0)) order by g.tens)
      from generate_series(0, 9) as g (tens)
      left join (
        select h.bucket, sum(h.leads) as leads
        from leadhook.hourly_counts as h
        where h.kind = 'score' and h.hour >= v_month
        group by h.bucket
      ) as s on s.bucket = g.tens
    )
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_overview() IS 'What happened in the last 48 hours and 30 days: leads in, scored, to contact and failed; how long they took; their scores.';

CREATE FUNCTION public.leadhook_park_keys(p_keys jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
begin
  if jsonb_typeof(p_keys) is distinct from 'array' then
    raise exception 'a JSON array of parked keys is wanted' using errcode = 'PT400';
  end if;
  insert into leadhook.api_keys as k (fingerprint, state, until, row_version, reason, rests, model, changed_at)
  select distinct on (p.fingerprint)
    p.fingerprint,
    case when p.for_ms is null then 'disabled' else 'cooling' end,
    clock_timestamp() + make_interval(secs => greatest(p.for_ms, 0) / 1000.0),
    g.row_version,
    left(p.reason, 500),
    coalesce(p.rests, 1),
    p.model,
    clock_timestamp()
  from jsonb_to_recordset(p_keys) as p (fingerprint text, reason text, for_ms bigint, rests int, model text)
  join (
    select leadhook.key_fingerprint(r.api_key) as fingerprint, max(r.xmin::text) as row_version
    from public.gemini_api as r
    group by 1
  ) as g using (fingerprint)
  order by p.fingerprint, (p.for_ms is null) desc, p.for_ms desc
  on conflict (fingerprint) do update
  set state = excluded.state, until = excluded.until, row_version = excluded.row_version, reason = excluded.reason,
    rests = excluded.rests, model = excluded.model, changed_at = excluded.changed_at
  where k.row_version is distinct from excluded.row_version
    or (k.state <> 'disabled' and (excluded.state = 'disabled' or k.until is null or k.until < excluded.until));
  return jsonb '{}';
end
$$;

COMMENT ON FUNCTION public.leadhook_park_keys(p_keys jsonb) IS 'Lets keys [{fingerprint, reason, for_ms, rests, model}] rest for for_ms (their rests-th rest in a row; model: for calls of this model alone), or, where for_ms is null, until their row in gemini_api changes. Keys that have no row any more are ignored.';

CREATE FUNCTION public.leadhook_pause(p_user_id uuid DEFAULT NULL::uuid, p_tag text DEFAULT NULL::text, p_actor text DEFAULT NULL::text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_new boolean;
begin
  perform leadhook.check_admission_call(p_user_id, p_tag, p_actor);
  insert into leadhook.pauses (user_id, tag, actor, reason)
  values (p_user_id, p_tag, left(btrim(p_actor), 200), left(p_reason, 500))
  on conflict do nothing;
  v_new := found;
  perform leadhook.note_action(p_actor, 'pause', jsonb_build_object('user_id', p_user_id, 'tag', p_tag, 'already', not v_new), p_reason);
  return jsonb_build_object('paused', v_new, 'already', not v_new);
end
$$;

COMMENT ON FUNCTION public.leadhook_pause(p_user_id uuid, p_tag text, p_actor text, p_reason text) IS 'From now on no lead is claimed of this user and tag; without a tag, of the user; without both, at all. Leased leads are finished. already: it was paused before, and stays as it was.';

CREATE FUNCTION public.leadhook_progress() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_now timestamptz := clock_timestamp();
  v_ended jsonb := (
    select coalesce(jsonb_object_agg(e.replay_id, e.n), '{}')
    from (
      select coalesce(t.replay_id, 0) as replay_id, count(*) as n
      from (
        select a.replay_id, a.source, a.outcome from leadhook.attempts as a where a.finished_at > v_now - interval '10 min'
        order by a.finished_at desc limit 20000
      ) as t
      where (t.replay_id is not null or t.source = 'release') and t.outcome not in ('retry', 'returned', 'lease_expired')
      group by 1
    ) as e
  );
  v_released bigint := (
    select count(*)
    from (select from leadhook.jobs as j where j.low_priority and j.state in ('ready', 'leased') and j.replay_id is null limit 100000) as j
  );
begin
  return jsonb_build_object(
    'now', v_now,
    'replays', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'replay_id', r.id, 'phase', r.phase, 'actor', r.actor, 'reason', r.reason, 'created_at', r.created_at, 'filter', r.filter,
        'queued', coalesce((r.counts ->> 'queued')::int, 0) + coalesce((r.counts ->> 'queued_after')::int, 0), 'waiting', u.waiting
      ) || leadhook.rate_of(u.waiting, (v_ended ->> r.id::text)::int, r.created_at, v_now) order by r.id desc), '[]')
      from leadhook.unfinished_replays() as u
      join leadhook.replays as r on r.id = u.replay_id
    ),
    'release', (
      select case when v_released > 0 or b.total > 0 then to_jsonb(b) || jsonb_build_object('waiting', v_released)
        || leadhook.rate_of(v_released, (v_ended ->> '0')::int, (
          select max(a.at) from leadhook.audit as a where a.action = 'backlog_release' and a.at > v_now - interval '10 min'
        ), v_now) end
      from leadhook.unfinished_releases(v_released) as b
    )
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_progress() IS 'The replays and the release of the backlog that are not finished: how many leads wait, how many ended in a minute lately, and when the last one will.';

CREATE FUNCTION public.leadhook_redeem_link(p_link text, p_actor text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
begin
  perform leadhook.require_actor(p_actor);
  insert into leadhook.audit (actor, action, parameters)
  values (left(btrim(p_actor), 200), 'sign_in', jsonb_build_object('link', p_link))
  on conflict ((parameters ->> 'link')) where action = 'sign_in' do nothing;
  return jsonb_build_object('redeemed', found);
end
$$;

COMMENT ON FUNCTION public.leadhook_redeem_link(p_link text, p_actor text) IS 'Notes that someone signs in with a link to the console. redeemed false: it was used before. p_link: a fingerprint of the link, which opens nothing.';

CREATE FUNCTION public.leadhook_release(p_worker text, p_releases jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_releases leadhook.ending[] := leadhook.read_leases(p_releases);
  v_outcomes jsonb;
  v_now timestamptz;
begin
  if exists (select from unnest(v_releases) as r where r.outcome is null or r.outcome not in ('retry', 'returned', 'dead')) then
    raise exception 'the outcome of a release is retry, returned or dead' using errcode = 'PT400';
  end if;

  v_releases := leadhook.lock_leases(v_releases);
  v_now := clock_timestamp();
  v_outcomes := leadhook.end_leases(p_worker, array(select r from unnest(v_releases) as r where r.lock_state = 'locked'), v_now);

  return jsonb_build_object(
    'leases', (
      select coalesce(jsonb_agg(jsonb_build_object('lead_id', r.lead_id, 'fence', r.fence, 'outcome', case
        when r.lock_state in ('busy', 'gone') then r.lock_state
        when o.outcome in ('retry', 'returned') then 'released'
        when o.outcome = 'dead' then 'dead'
        else 'lease_lost'
      end)), '[]')
      from unnest(v_releases) as r
      cross join lateral (select case r.lock_state when 'locked' then v_outcomes ->> r.lead_id else r.outcome end) as o (outcome)
    ),
    'key_news', leadhook.key_news(v_now),
    'next_due_ms', leadhook.next_due_ms(v_now)
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_release(p_worker text, p_releases jsonb) IS 'Gives leases back without a result: retry (an attempt is spent), returned (none is) or dead. Outcomes: released, dead, lease_lost, gone; busy: another transaction has the row, try again soon. Repeating it after a lost reply gives the same answer.';

CREATE FUNCTION public.leadhook_release_backlog(p_user_id uuid, p_tag text, p_after_lead text DEFAULT ''::text, p_limit integer DEFAULT 500, p_redo boolean DEFAULT false, p_actor text DEFAULT NULL::text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_released record;
begin
  perform leadhook.require_actor(p_actor);
  select r.* into v_released from leadhook.release_backlog(p_user_id, p_tag, p_after_lead, p_limit, p_redo) as r;
  perform leadhook.note_release(p_actor, p_user_id, p_tag, p_redo, p_after_lead = '', v_released.released, p_reason);
  return to_jsonb(v_released);
end
$$;

COMMENT ON FUNCTION public.leadhook_release_backlog(p_user_id uuid, p_tag text, p_after_lead text, p_limit integer, p_redo boolean, p_actor text, p_reason text) IS 'One slice of leadhook.release_backlog.';

CREATE FUNCTION public.leadhook_renew(p_worker text, p_leases jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_leases leadhook.ending[] := leadhook.lock_leases(leadhook.read_leases(p_leases));
  v_lead_ids text[] := array(select l.lead_id from unnest(v_leases) as l);
  v_now timestamptz := clock_timestamp();
begin
  update leadhook.jobs as j
  set lease_until = greatest(j.lease_until, v_now + make_interval(secs => c.lease_s::float)), checkpoint = coalesce(l.checkpoint, j.checkpoint), worker = coalesce(p_worker, j.worker),
    called = j.called or coalesce(l.called, true)
  from unnest(v_leases) as l
  cross join leadhook.controls as c
  where l.lock_state = 'locked' and j.lead_id = any (v_lead_ids) and j.lead_id = l.lead_id;

  return jsonb_build_object(
    'leases', (
      select coalesce(jsonb_agg(jsonb_build_object('lead_id', l.lead_id, 'fence', l.fence, 'outcome', case l.lock_state
        when 'locked' then 'renewed' when 'past' then 'lease_lost' else l.lock_state
      end)), '[]')
      from unnest(v_leases) as l
    ),
    'key_news', leadhook.key_news(v_now),
    'next_due_ms', leadhook.next_due_ms(v_now)
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_renew(p_worker text, p_leases jsonb) IS 'Extends leases, expired ones too unless another claim has taken them, and keeps what was bought meanwhile; called: whether a model call began. Outcomes: renewed, lease_lost, gone; busy: another transaction has the row, so this lease is not extended now.';

CREATE FUNCTION public.leadhook_replay(p_lead_ids text[], p_actor text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_replay_id bigint;
  v_counts jsonb;
  v_leads jsonb;
begin
  if p_lead_ids is null or cardinality(p_lead_ids) = 0 or cardinality(p_lead_ids) > 1000 or array_position(p_lead_ids, null) is not null then
    raise exception 'a replay names 1 to 1000 leads' using errcode = 'PT400';
  end if;
  perform leadhook.require_actor(p_actor);

  -- The outbox lock: no one else checks these leads now.
  perform leadhook.lock_outbox();
  perform leadhook.apply_outbox('webhook');
  insert into leadhook.replays (actor, reason)
  values (left(btrim(p_actor), 200), left(p_reason, 500))
  returning id into v_replay_id;

  with asked as (
    select i.lead_id, min(i.place) as place from unnest(p_lead_ids) with ordinality as i (lead_id, place) group by i.lead_id
  ),
  queued as materialized (
    select q.lead_id, q.outcome, q.missing
    from leadhook.queue_replay(v_replay_id, array(select a.lead_id from asked as a), true) as q
  )
  select
    jsonb_agg(jsonb_strip_nulls(jsonb_build_object('lead_id', q.lead_id, 'outcome', q.outcome, 'missing', q.missing)) order by a.place),
    (select jsonb_object_agg(c.outcome, c.n) from (select q.outcome, count(*) as n from queued as q group by q.outcome) as c)
  into v_leads, v_counts
  from queued as q
  join asked as a using (lead_id);

  update leadhook.replays as r set counts = v_counts where r.id = v_replay_id;
  perform leadhook.note_action(
    p_actor, 'replay', jsonb_build_object('replay_id', v_replay_id, 'named', jsonb_array_length(v_leads), 'counts', v_counts), p_reason
  );
  if v_counts ? 'queued' then
    perform leadhook.send_webhook('replay', (v_counts ->> 'queued')::int);
  end if;
  return jsonb_build_object('replay_id', v_replay_id, 'counts', v_counts, 'leads', v_leads);
end
$$;

COMMENT ON FUNCTION public.leadhook_replay(p_lead_ids text[], p_actor text, p_reason text) IS 'Scores up to 1000 named leads again, and sends a webhook. Outcomes as those of leadhook.decide_replay; leads stand in the order of the call, each once.';

CREATE FUNCTION public.leadhook_replay_dry_run(p_lead_ids text[], p_filter jsonb, p_limit integer, p_after_lead text DEFAULT ''::text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_next record;
  v_queued text[];
  v_counts jsonb;
begin
  if p_lead_ids is not null then
    select p_lead_ids as lead_ids, null::text as last_lead into v_next;
  else
    v_next := leadhook.next_leads(p_filter, p_after_lead, p_limit);
  end if;
  with decided as materialized (
    select d.lead_id, d.outcome from leadhook.decide_replay(v_next.lead_ids, p_lead_ids is not null) as d
  )
  select
    (select coalesce(jsonb_object_agg(c.outcome, c.n), '{}') from (select d.outcome, count(*) as n from decided as d group by d.outcome) as c),
    array(select d.lead_id from decided as d where d.outcome in ('queued', 'queued_after') order by d.lead_id)
  into v_counts, v_queued;
  return jsonb_build_object(
    'counts', v_counts,
    'last_lead', v_next.last_lead,
    'sample', to_jsonb(v_queued[:10]),
    'usage', (select to_jsonb(u) from leadhook.usage_of(v_queued) as u),
    'average', (select to_jsonb(a) from leadhook.average_usage() as a)
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_replay_dry_run(p_lead_ids text[], p_filter jsonb, p_limit integer, p_after_lead text) IS 'What a replay of named leads, or of a slice of a filter, would come to, and what these leads cost when they were last scored. last_lead: where the next slice begins; null when this was the last. average: of any lead lately, for those that never were scored.';

CREATE FUNCTION public.leadhook_replay_filtered(p_filter jsonb, p_limit integer, p_actor text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_replay_id bigint;
begin
  perform leadhook.require_actor(p_actor);
  if jsonb_typeof(p_filter) is distinct from 'object' or p_limit < 1 then
    raise exception 'a filter is an object, and its limit a positive number' using errcode = 'PT400';
  end if;
  insert into leadhook.replays (actor, reason, filter, lead_limit, phase)
  values (left(btrim(p_actor), 200), left(p_reason, 500), p_filter, p_limit, 'queueing')
  returning id into v_replay_id;
  perform leadhook.note_action(
    p_actor, 'replay', jsonb_build_object('replay_id', v_replay_id, 'filter', p_filter, 'limit', p_limit), p_reason
  );
  perform leadhook.work_on_replay(v_replay_id);
  return (select jsonb_build_object('replay_id', r.id, 'counts', r.counts, 'phase', r.phase) from leadhook.replays as r where r.id = v_replay_id);
end
$$;

COMMENT ON FUNCTION public.leadhook_replay_filtered(p_filter jsonb, p_limit integer, p_actor text, p_reason text) IS 'Begins a replay of what fits a filter (leadhook.match_leads), in the order of the ids, p_limit leads at most (null: all). phase queueing: leadhook_replay_slice goes on.';

CREATE FUNCTION public.leadhook_replay_preview(p_filter jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_began_at timestamptz := clock_timestamp();
  v_slice record;
  v_cursor jsonb;
  v_counts jsonb := '{}';
  v_queued text[] := '{}';
begin
  for n in 1..40 loop
    v_slice := leadhook.search_slice(p_filter, v_cursor, 250);
    v_cursor := v_slice.next_cursor;
    with decided as materialized (
      select d.lead_id, d.outcome from leadhook.decide_replay(v_slice.lead_ids, false) as d
    )
    select
      (
        select v_counts || coalesce(jsonb_object_agg(c.outcome, c.n + coalesce((v_counts ->> c.outcome)::int, 0)), '{}')
        from (select d.outcome, count(*) as n from decided as d group by d.outcome) as c
      ),
      v_queued || array(select d.lead_id from decided as d where d.outcome in ('queued', 'queued_after') order by d.lead_id)
    into v_counts, v_queued;
    exit when v_cursor is null or clock_timestamp() > v_began_at + interval '60 ms';
  end loop;
  return jsonb_build_object(
    'counts', v_counts,
    'complete', v_cursor is null,
    'sample', to_jsonb(v_queued[:10]),
    'usage', (select to_jsonb(u) from leadhook.usage_of(v_queued) as u),
    'average', (select to_jsonb(a) from leadhook.average_usage() as a)
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_replay_preview(p_filter jsonb) IS 'As leadhook_replay_dry_run, of as many leads that match a filter as 60 ms allow. complete false: there may be more of them.';

CREATE FUNCTION public.leadhook_replay_slice() RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_replay_id bigint := (select r.id from leadhook.replays as r where r.phase in ('queueing', 'stopping') order by r.id limit 1);
  v_now timestamptz;
begin
  if v_replay_id is not null then
    perform leadhook.work_on_replay(v_replay_id);
  else
    perform leadhook.work_on_release((select b.id from leadhook.releases as b where b.ended_at is null order by b.id limit 1));
  end if;
  v_now := clock_timestamp();
  return jsonb_build_object('left', leadhook.has_slices(), 'next_due_ms', leadhook.next_due_ms(v_now));
end
$$;

COMMENT ON FUNCTION public.leadhook_replay_slice() IS 'Goes on with the oldest replay that is being made or unmade, 250 leads at a time, or with the oldest release of the backlog. left: there is more, again after a pause.';

CREATE FUNCTION public.leadhook_replay_status(p_replay_id bigint, p_after_lead text DEFAULT ''::text, p_limit integer DEFAULT 100, p_most integer DEFAULT NULL::integer) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $_$
declare
  v_replay leadhook.replays := (select r from leadhook.replays as r where r.id = p_replay_id);
  v_complete boolean := (
    select p_most is null or count(*) <= p_most
    from (select from leadhook.replay_leads as m where m.replay_id = p_replay_id and p_most is not null limit p_most + 1) as m
  );
  v_progress jsonb;
  v_leads jsonb;
begin
  if v_replay.id is null then
    return jsonb '{"found": false}';
  end if;
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception 'a page holds 1 to 1000 leads' using errcode = 'PT400';
  end if;
  if v_complete then
    v_progress := (
      select jsonb_object_agg(p.state, p.n)
      from (select s.state, count(*) as n from leadhook.replay_states(p_replay_id) as s group by s.state) as p
    );
  else
    v_progress := (
      select jsonb_build_object('waiting', count(*))
      from (
        select from leadhook.jobs as j where j.low_priority and j.state in ('ready', 'leased') and j.replay_id = p_replay_id limit 100000
      ) as j
    );
  end if;
  v_leads := leadhook.replay_leads_page(p_replay_id, p_after_lead);
  return jsonb_build_object(
    'found', true,
    'replay_id', v_replay.id,
    'phase', v_replay.phase,
    'actor', v_replay.actor,
    'reason', v_replay.reason,
    'created_at', v_replay.created_at,
    'filter', v_replay.filter,
    'limit', v_replay.lead_limit,
    'counts', v_replay.counts,
    'progress', coalesce(v_progress, '{}'),
    'complete', v_complete,
    'usage', case when v_complete then leadhook.replay_usage(p_replay_id) else '{}' end,
    'leads', jsonb_path_query_array(v_leads, '$[0 to $last]', jsonb_build_object('last', p_limit - 1)),
    'more', jsonb_array_length(v_leads) > p_limit
  );
end
$_$;

COMMENT ON FUNCTION public.leadhook_replay_status(p_replay_id bigint, p_after_lead text, p_limit integer, p_most integer) IS 'How far a replay is, and the next p_limit of its leads behind p_after_lead. found false: there is no such replay. complete false: it has more than p_most leads, of which only those that wait are counted, up to 100,000.';

CREATE FUNCTION public.leadhook_replay_stop(p_replay_id bigint, p_actor text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_status jsonb := public.leadhook_replay_status(p_replay_id, '', 1);
begin
  perform leadhook.require_actor(p_actor);
  -- What has ended stays as it ended: its phase is what people read of it later.
  if v_status ->> 'phase' = 'stopped' or v_status ->> 'phase' = 'queued'
    and v_status #> '{progress,waiting}' is null and v_status #> '{progress,leased}' is null then
    return v_status || '{"changed": false}';
  end if;
  update leadhook.replays as r
  set phase = 'stopping', after_lead = ''
  where r.id = p_replay_id and r.phase <> 'stopping';
  if found then
    perform leadhook.note_action(p_actor, 'replay_stop', jsonb_build_object('replay_id', p_replay_id), p_reason);
  end if;
  perform leadhook.work_on_replay(p_replay_id);
  return public.leadhook_replay_status(p_replay_id, '', 1);
end
$$;

COMMENT ON FUNCTION public.leadhook_replay_stop(p_replay_id bigint, p_actor text, p_reason text) IS 'What is not leased yet goes back to what it was; what is leased ends. Answers as leadhook_replay_status; phase stopping: leadhook_replay_slice goes on. Repeatable; a replay that has ended is left as it is (changed false).';

CREATE FUNCTION public.leadhook_replays(p_limit integer DEFAULT 20) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
begin
  return jsonb_build_object('replays', (
    select coalesce(jsonb_agg(to_jsonb(l)), '[]')
    from (
      select r.id as replay_id, r.phase, r.actor, r.reason, r.created_at, r.filter, r.lead_limit as limit, r.counts
      from leadhook.replays as r
      order by r.id desc
      limit least(greatest(p_limit, 1), 1000)
    ) as l
  ));
end
$$;

COMMENT ON FUNCTION public.leadhook_replays(p_limit integer) IS 'The newest replays, up to 1,000; leadhook_replay_status says how far one is.';

CREATE FUNCTION public.leadhook_resume(p_user_id uuid DEFAULT NULL::uuid, p_tag text DEFAULT NULL::text, p_actor text DEFAULT NULL::text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_ended boolean;
begin
  perform leadhook.check_admission_call(p_user_id, p_tag, p_actor);
  delete from leadhook.pauses as p where p.user_id is not distinct from p_user_id and p.tag is not distinct from p_tag;
  v_ended := found;
  perform leadhook.note_action(p_actor, 'resume', jsonb_build_object('user_id', p_user_id, 'tag', p_tag, 'resumed', v_ended), p_reason);
  if v_ended then
    perform leadhook.reopen_groups(array[p_user_id]);
    perform leadhook.send_webhook_if_ready('resume', p_user_id, p_tag);
  end if;
  return jsonb_build_object('resumed', v_ended, 'pauses', (
    select coalesce(jsonb_agg(to_jsonb(o)), '[]')
    from (
      select p.user_id, p.tag
      from leadhook.pauses as p
      where (p_user_id is null or p.user_id is null or p.user_id = p_user_id) and (p_tag is null or p.tag is null or p.tag = p_tag)
      order by p.user_id nulls first, p.tag nulls first
      limit 20
    ) as o
  ));
end
$$;

COMMENT ON FUNCTION public.leadhook_resume(p_user_id uuid, p_tag text, p_actor text, p_reason text) IS 'Ends the pause of exactly this user and tag (without a tag: that of the user; without both: that of everything), and sends a webhook. pauses: the first 20, wider or narrower, that still hold back some of it.';

CREATE FUNCTION public.leadhook_save(p_worker text, p_results jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_results leadhook.ending[] := leadhook.read_results(p_results);
  v_busy text[];
  v_ended leadhook.ending[];
  v_erased text[];
  v_now timestamptz;
begin
  v_busy := leadhook.lock_application_rows(array(select r.lead_id from unnest(v_results) as r));
  v_results := leadhook.lock_leases(v_results);
  v_now := clock_timestamp();
  begin
    v_results := leadhook.check_results(v_results, v_busy);
  exception when others then
    if not leadhook.blames_the_lead(sqlstate) then
      raise;
    end if;
    v_results := leadhook.check_each_result(v_results, v_busy);
  end;

  v_results := leadhook.write_results(v_results);
  v_ended := array(select r from unnest(v_results) as r where r.ends and r.outcome in ('saved', 'saved_without_message', 'unwanted', 'refused'));
  perform leadhook.keep_results(v_ended, v_now);
  perform leadhook.end_leases(p_worker, v_ended, v_now);
  perform leadhook.wake_undecided(v_now) where exists (select from unnest(v_ended) as r where r.outcome = 'saved');
  perform leadhook.confirm_keys(array(
    select distinct r.key_fingerprint from unnest(v_ended) as r where r.key_fingerprint is not null
  ));

  select array_agg(r.lead_id) into v_erased from unnest(v_results) as r where r.ends and r.outcome = 'gone';
  if v_erased is not null then
    perform leadhook.erase_leads(v_erased);
  end if;
  return jsonb_build_object(
    'leases', (
      select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
        'lead_id', r.lead_id, 'fence', r.fence, 'outcome', r.outcome, 'reason', coalesce(r.note, r.reason),
        'error_code', case when r.outcome = 'busy' then r.error_code end
      ))), '[]')
      from unnest(v_results) as r
    ),
    'key_news', leadhook.key_news(v_now),
    'next_due_ms', leadhook.next_due_ms(v_now)
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_save(p_worker text, p_results jsonb) IS 'Writes scores and ends their leases, each by (lead_id, fence), repeatably: saved, saved_without_message (only the message failed: message_failure says why), unwanted (not eligible any more), refused (by the application''s own constraint or trigger: dead, and the answer is kept for a replay), busy (again soon: the application holds a row, or, with error_code and reason, it could not be written this time), lease_lost, gone. A result with a refusal (code, reason) is not tried: refused. What befalls every lead of the call, and a table of leadhook that refuses a row, raises; then nothing is written.';

CREATE FUNCTION public.leadhook_save_on_demand(p_worker text, p_results jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_all leadhook.ending[] := leadhook.read_on_demand(p_results);
  v_failed leadhook.ending[] := array(select r from unnest(v_all) as r where r.outcome is not null);
  v_results leadhook.ending[] := array(select r from unnest(v_all) as r where r.outcome is null);
  v_lead_ids text[] := array(select r.lead_id from unnest(v_results) as r);
  v_busy text[];
  v_ended leadhook.ending[];
  v_gone text[];
  v_now timestamptz;
begin
  v_busy := leadhook.lock_application_rows(v_lead_ids);
  perform leadhook.enter_on_demand(v_lead_ids, array(select r.lead_id from unnest(v_all) as r));
  v_now := clock_timestamp();
  v_results := leadhook.write_results(leadhook.decide_on_demand(v_results, v_busy));

  v_ended := leadhook.take_on_demand(
    p_worker, array(select r from unnest(v_results) as r where r.ends and r.outcome in ('saved', 'saved_without_message', 'refused')), v_now
  );
  perform leadhook.keep_results(v_ended, v_now);
  perform leadhook.end_leases(p_worker, v_ended, v_now);
  perform leadhook.confirm_keys(array(
    select distinct r.key_fingerprint from unnest(v_ended) as r where r.key_fingerprint is not null
  ));
  perform leadhook.note_failed_on_demand(p_worker, v_failed, v_now);

  v_gone := array(select r.lead_id from unnest(v_results) as r where r.outcome = 'gone');
  if v_gone <> '{}' then
    perform leadhook.erase_leads(v_gone);
  end if;
  if exists (select from leadhook.jobs as j where j.lead_id = any (v_lead_ids) and j.state = 'ready' and j.source = 'replay') then
    perform leadhook.send_webhook('replay');
  end if;

  return jsonb_build_object('leads', (
    select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'lead_id', r.lead_id, 'reason', coalesce(r.note, r.reason),
      'outcome', case when r.outcome in ('retry', 'returned', 'dead') then 'released' else r.outcome end,
      'error_code', case when r.outcome = 'busy' then r.error_code end
    ))), '[]')
    from unnest(v_results || v_failed) as r
  ));
end
$$;

COMMENT ON FUNCTION public.leadhook_save_on_demand(p_worker text, p_results jsonb) IS 'Saves what on-demand requests brought, each lead for itself and each request_id once: saved or saved_without_message, whoever holds the lead loses it; refused (by the application''s own constraint or trigger: dead, and the answer is kept); busy (again soon: the application holds a row, or, with error_code and reason, it could not be written this time); gone. A result with the outcome retry, returned or dead brought no answer: its cost is booked, its job stays as it is but for a paid score, and it is released. What befalls every lead of the call raises; then nothing is written.';

CREATE FUNCTION public.leadhook_search_leads(p_filter jsonb DEFAULT '{}'::jsonb, p_after text DEFAULT NULL::text, p_limit integer DEFAULT 25) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_began_at timestamptz := clock_timestamp();
  v_most int := case when p_after is null then 10000 else p_limit + 1 end;
  v_cursor jsonb;
  v_lead_ids text[] := array[]::text[];
  v_cursors jsonb[] := array[]::jsonb[];
  v_count int := 0;
  v_slice record;
begin
  if p_limit is null or p_limit not between 1 and 100 or jsonb_typeof(p_filter) is distinct from 'object' then
    raise exception 'a filter is an object, and a page holds 1 to 100 leads' using errcode = 'PT400';
  end if;
  v_cursor := p_after::jsonb;
  for n in 1..40 loop
    v_slice := leadhook.search_slice(p_filter, v_cursor, v_most - v_count);
    v_cursor := v_slice.next_cursor;
    v_count := v_count + cardinality(v_slice.lead_ids);
    if cardinality(v_lead_ids) < p_limit then
      v_lead_ids := v_lead_ids || v_slice.lead_ids;
      v_cursors := v_cursors || v_slice.cursors;
    end if;
    exit when v_cursor is null or v_count >= v_most
      or clock_timestamp() > v_began_at + case when v_count > p_limit then interval '60 ms' else interval '80 ms' end;
  end loop;
  return jsonb_build_object(
    'leads', leadhook.describe_found(v_lead_ids[:p_limit]),
    'after', case when v_count > p_limit then v_cursors[p_limit]::text else v_cursor::text end,
    'count', case when p_after is null then v_count end,
    'complete', v_cursor is null or v_count >= v_most
  );
exception when data_exception then
  raise exception 'the filter or the cursor is not understood: %', sqlerrm using errcode = 'PT400';
end
$$;

COMMENT ON FUNCTION public.leadhook_search_leads(p_filter jsonb, p_after text, p_limit integer) IS 'The next p_limit leads of a filter: the fields of leadhook.match_leads, lead_id, flag (any: any), and q, which is in the name or company or is the id. after: for the next page; null: these were the last. count, on the first page: all of them, up to 10,000. complete false: 10,000 leads were looked at, or the time was up, 80 ms for the page, or 60 ms for the page and its count.';

CREATE FUNCTION public.leadhook_set_budget(p_user_id uuid DEFAULT NULL::uuid, p_daily_usd numeric DEFAULT NULL::numeric, p_actor text DEFAULT NULL::text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_before numeric;
begin
  if p_daily_usd < 0 or p_daily_usd >= 'Infinity' then
    raise exception 'a budget is a number of dollars, 0 or more' using errcode = 'PT400';
  end if;
  perform leadhook.check_admission_call(p_user_id, null, p_actor);
  v_before := (select b.daily_usd from leadhook.budgets as b where b.user_id is not distinct from p_user_id and b.daily_usd < 'Infinity');
  perform leadhook.note_action(
    p_actor, 'budget', jsonb_build_object('user_id', p_user_id, 'before_usd', v_before, 'daily_usd', p_daily_usd), p_reason
  );
  if p_daily_usd is null then
    delete from leadhook.budgets as b where b.user_id is not distinct from p_user_id and b.needed_usd is null;
    update leadhook.budgets as b set daily_usd = 'Infinity', settled_on = 'epoch' where b.user_id is not distinct from p_user_id;
  else
    insert into leadhook.budgets as b (user_id, daily_usd, changed_by) values (p_user_id, p_daily_usd, left(btrim(p_actor), 200))
    on conflict (user_id) do update
    set daily_usd = excluded.daily_usd, changed_by = excluded.changed_by, changed_at = clock_timestamp(), spent_on = null, settled_on = 'epoch';
  end if;
  perform leadhook.reopen_groups(array[p_user_id]);
  perform leadhook.mark_spent_budgets(clock_timestamp(), array[p_user_id]);
  perform leadhook.send_webhook_if_ready('budget', p_user_id, null);
  return jsonb_build_object('daily_usd', p_daily_usd, 'left_usd', (
    select b.left_usd
    from leadhook.budgets_left(clock_timestamp(), array[p_user_id]) as b
    where b.user_id is not distinct from p_user_id and b.daily_usd < 'Infinity'
  ));
end
$$;

COMMENT ON FUNCTION public.leadhook_set_budget(p_user_id uuid, p_daily_usd numeric, p_actor text, p_reason text) IS 'Sets how many dollars the leads of a user (null: all leads) may cost in a day of UTC, what was spent today included; null: as many as they do. Webhooks, as leads may have waited for it.';

CREATE FUNCTION public.leadhook_status() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_keys jsonb;
  v_parked_keys jsonb;
begin
  begin
    v_keys := (select to_jsonb(k) from leadhook.key_states() as k);
    v_parked_keys := leadhook.parked_keys();
  exception when undefined_table or undefined_column or insufficient_privilege then
    v_keys := '{"total": 0, "healthy": 0, "untried": 0, "cooling": 0, "disabled": 0, "next_return_at": null}';
    v_parked_keys := '[]';
  end;
  return (
    select jsonb_build_object(
      'schema', (select max(m.name) from leadhook.migrations as m where m.name not like 'functions/%'),
      'backlog', c.backlog,
      'first_round_finished_at', c.first_round_finished_at,
      'outbox', (select count(*) from (select from leadhook.outbox as t limit 1000) as n),
      'keys', v_keys,
      'parked_keys', v_parked_keys,
      'triggers', leadhook.trigger_states(),
      'webhook_setup', to_jsonb(r),
      'held_snapshot', leadhook.held_snapshot(),
      'jobs', jsonb_build_object(
        'waiting', (select count(*) from (select from leadhook.jobs as j where j.state = 'waiting' limit 1000) as n),
        'ready', (select count(*) from (select from leadhook.jobs as j where j.state = 'ready' limit 1000) as n),
        'leased', (select count(*) from (select from leadhook.jobs as j where j.state = 'leased' limit 1000) as n),
        'done', (select count(*) from (select from leadhook.jobs as j where j.state = 'done' limit 1000) as n),
        'dead', (select count(*) from (select from leadhook.jobs as j where j.state = 'dead' limit 1000) as n),
        'held', (select count(*) from (select from leadhook.jobs as j where j.state = 'held' limit 1000) as n)
      ),
      'without_message', (
        select count(*) from (select from leadhook.jobs as j where j.state = 'done' and j.error_code is not null limit 1000) as n
      )
    ) || public.leadhook_admission(20) || leadhook.waiting_work(clock_timestamp())
    from leadhook.controls as c
    cross join leadhook.webhook_settings() as r
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_status() IS 'What /ready reports of the database. Needs neither pg_net nor Vault nor the application''s tables.';

CREATE FUNCTION public.leadhook_stop_release(p_release_id bigint, p_actor text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
begin
  perform leadhook.require_actor(p_actor);
  update leadhook.releases as r set ended_at = clock_timestamp() where r.id = p_release_id and r.ended_at is null;
  if found then
    perform leadhook.note_action(p_actor, 'release_stop', jsonb_build_object('release_id', p_release_id), p_reason);
  end if;
  return (
    select coalesce(jsonb_agg(jsonb_build_object('release_id', r.id, 'released', r.released)) -> 0, '{}') from leadhook.releases as r where r.id = p_release_id
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_stop_release(p_release_id bigint, p_actor text, p_reason text) IS 'Releases no more of this release''s leads; those that are queued stay so.';

CREATE FUNCTION public.leadhook_sweep(p_worker text, p_budget_ms integer DEFAULT 50) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET jit TO 'off'
    SET row_security TO 'off'
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_budget interval := make_interval(secs => least(greatest(coalesce(p_budget_ms, 50), 1), 2000) / 1000.0);
  v_now timestamptz := clock_timestamp();
  v_deadline timestamptz;
  v_began_at timestamptz;
  v_longest interval := interval '5 ms'; -- what follows the last slice takes less
  v_busy boolean := not leadhook.try_lock_sweep();
  v_finished boolean := false;
  v_looked_at int := 0;
  v_made_ready int := 0;
  v_held int := 0;
  v_removed int := 0;
  v_phase text;
  v_after text;
  v_slice record;
begin
  if not v_busy then
    begin
      perform leadhook.lock_outbox();
    exception when lock_not_available then
      v_busy := true;
    end;
  end if;

  if not v_busy then
    v_deadline := clock_timestamp() + v_budget;
    perform leadhook.apply_outbox('sweep', v_budget / 2);
    v_now := clock_timestamp();
    select c.sweep_phase, c.sweep_after_lead into v_phase, v_after from leadhook.controls as c;
    loop
      v_began_at := clock_timestamp();
      if v_phase = 'leads' then
        select s.last_lead, s.looked_at, s.made_ready, s.held, 0 as removed into v_slice from leadhook.sweep_leads(v_after) as s;
      else
        select s.last_lead, s.looked_at, 0 as made_ready, 0 as held, s.removed into v_slice from leadhook.sweep_jobs(v_after) as s;
      end if;
      v_looked_at := v_looked_at + v_slice.looked_at;
      v_made_ready := v_made_ready + v_slice.made_ready;
      v_held := v_held + v_slice.held;
      v_removed := v_removed + v_slice.removed;
      v_after := coalesce(v_slice.last_lead, '');
      if v_slice.last_lead is null then
        v_finished := v_phase = 'jobs';
        v_phase := case v_phase when 'leads' then 'jobs' else 'leads' end;
      end if;
      v_longest := greatest(v_longest, clock_timestamp() - v_began_at);
      exit when v_finished or clock_timestamp() + v_longest >= v_deadline;
    end loop;
    if v_finished then
      perform leadhook.collect_webhook_answers(v_now);
      perform leadhook.sweep_records(v_now);
    end if;
    perform leadhook.merge_costs(v_now);
    perform leadhook.count_attempts(v_now, v_budget / 2);
    update leadhook.controls as c
    set sweep_phase = v_phase,
      sweep_after_lead = v_after,
      sweep_round_started_at = case when not v_finished then coalesce(c.sweep_round_started_at, v_now) end,
      first_round_finished_at = case when v_finished then coalesce(c.first_round_finished_at, clock_timestamp()) else c.first_round_finished_at end
    where c.id; -- through the API, hosted projects refuse an UPDATE without WHERE
    perform leadhook.note_worker(p_worker, 'sweep');
  end if;

  return jsonb_build_object(
    'busy', v_busy, 'round_finished', v_finished, 'looked_at', v_looked_at, 'made_ready', v_made_ready, 'held', v_held,
    'removed', v_removed, 'figures', case when not v_busy then leadhook.recent_figures(clock_timestamp()) end,
    'next_due_ms', leadhook.next_due_ms(clock_timestamp())
  );
end
$$;

COMMENT ON FUNCTION public.leadhook_sweep(p_worker text, p_budget_ms integer) IS 'One slice of the sweep: applies the outbox, then looks at the next leads or jobs for at most p_budget_ms, one slice at least. busy: another process sweeps. A call after round_finished begins the next round.';

CREATE FUNCTION public.leadhook_unpark_key(p_fingerprint text, p_actor text, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET statement_timeout TO '5s'
    SET lock_timeout TO '2s'
    AS $$
declare
  v_unparked boolean;
begin
  perform leadhook.require_actor(p_actor);
  delete from leadhook.api_keys as k
  where k.fingerprint = p_fingerprint and (k.state = 'disabled' or k.state = 'cooling' and k.until > clock_timestamp());
  v_unparked := found;
  perform leadhook.note_action(
    p_actor, 'key_unpark', jsonb_build_object('fingerprint', left(p_fingerprint, 16), 'unparked', v_unparked), p_reason
  );
  if v_unparked then
    perform leadhook.send_webhook_if_ready('keys', null, null);
  end if;
  return jsonb_build_object('unparked', v_unparked);
end
$$;

COMMENT ON FUNCTION public.leadhook_unpark_key(p_fingerprint text, p_actor text, p_reason text) IS 'Forgets that this key rests or is disabled, so that a call may try it, and sends a webhook. unparked false: it was not parked.';

CREATE FUNCTION public.rpc_get_eligible_llm_jobs() RETURNS TABLE(lead_id text, user_id uuid, tag text, name text, title text, location text, company_name text, experience text, skills text, bio text, profile_url text, linkedin_url text, company_page_url text, wildnet_data text, scoring_criteria_and_icp text, message_prompt text)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET jit TO 'off'
    AS $$
    with ready as materialized (
      select array_agg(j.lead_id) as lead_ids, array_agg(j.user_id) as user_ids, array_agg(j.tag) as tags
      from leadhook.check_eligibility(array(
        select distinct d.lead_id
        from public.lead_details as d
        where d.sent_to_llm is not true and d.sent_to_llm::text is distinct from 'true' and octet_length(d.lead_id) <= 2000
      )) as j
      where j.eligible
    )
    select
      x.lead_id, (x.user_id)::uuid, x.tag,
      x.lead ->> 'name', x.lead ->> 'title', x.lead ->> 'location', x.lead ->> 'company_name',
      case json_typeof(x.lead -> 'experience') when 'object' then leadhook.unquote(x.lead #>> '{experience,json}') else x.lead ->> 'experience' end,
      case json_typeof(x.lead -> 'skills') when 'object' then leadhook.unquote(x.lead #>> '{skills,json}') else x.lead ->> 'skills' end, x.lead ->> 'bio', x.lead ->> 'profile_url', x.lead ->> 'linkedin_url', x.lead ->> 'company_page_url',
      x.prompts ->> 'wildnet_data', x.prompts ->> 'scoring_criteria_and_icp', x.prompts ->> 'message_prompt'
    from (
      select s.lead_id, i.user_id, i.tag, s.lead, s.prompts
      from ready as r
      cross join lateral leadhook.describe_leads(r.lead_ids, r.user_ids, r.tags, 1000000) as s
      join unnest(r.lead_ids, r.user_ids, r.tags) as i (lead_id, user_id, tag) using (lead_id)
    ) as x
  $$;

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

COMMENT ON COLUMN leadhook.api_keys.row_version IS 'xmin of the gemini_api row that was checked: a changed row is a new chance';

COMMENT ON COLUMN leadhook.api_keys.rests IS 'its rests in a row, without a success in between: each is longer';

COMMENT ON COLUMN leadhook.api_keys.model IS 'it rests for this model alone, and is forgotten when a service starts with another one; null: for all';

COMMENT ON COLUMN leadhook.api_keys.changed_at IS 'healthy: when a call last succeeded with it, to the minute; else when it was parked';

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

COMMENT ON COLUMN leadhook.attempts.request_id IS 'of an on-demand request, which is saved once; one that failed is beside the job, run 0';

COMMENT ON COLUMN leadhook.attempts.outcome IS 'saved, saved_without_message, unwanted, refused, retry, dead, returned, lease_expired';

COMMENT ON COLUMN leadhook.attempts.cost_usd IS 'by the price that the service knew; of a lease that ran out, all that was reserved; null: the price is unknown';

COMMENT ON COLUMN leadhook.attempts.wasted IS 'the money bought nothing: the lease ran out, or the application refused the answer';

COMMENT ON COLUMN leadhook.attempts.first_call_ms IS 'from eligible_at to the first model call of this lease';

COMMENT ON COLUMN leadhook.attempts.key_wait_ms IS 'of first_call_ms, spent waiting for another lead''s call to prove a key';

COMMENT ON COLUMN leadhook.attempts.model_ms IS 'spent in model calls';

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

COMMENT ON COLUMN leadhook.audit.actor IS 'as the caller named it; application: it deleted leads';

COMMENT ON COLUMN leadhook.audit.database_user IS 'whose connection it was: authenticator through the API';

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
    changed_by text,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT budgets_daily_usd_check CHECK ((daily_usd >= (0)::numeric))
);

COMMENT ON COLUMN leadhook.budgets.daily_usd IS 'Infinity: it was cleared; the row goes when all leads that it turned away are woken';

COMMENT ON COLUMN leadhook.budgets.needed_usd IS 'no more than the least needed_usd of the jobs that it turned away: once that much is left, some of them go on; null: there is none';

COMMENT ON COLUMN leadhook.budgets.spent_on IS 'a claim found nothing left on this day (UTC), so that the groups of its user are shut';

COMMENT ON COLUMN leadhook.budgets.settled_on IS 'nothing can come back on this day, as no lease of its user has a reservation: claims do not look at it before the next one';

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

COMMENT ON COLUMN leadhook.controls.backlog IS 'hold: what the first sweep round finds eligible is held until it is released; run: it is processed at once';

COMMENT ON COLUMN leadhook.controls.start_limit_s IS 'a model call starts only while the last confirmation of its lease is younger than this';

COMMENT ON COLUMN leadhook.controls.max_deaths IS 'a lead whose worker was lost so often is dead: it may be what ends the process';

COMMENT ON COLUMN leadhook.controls.give_up_after_s IS 'a lead that failed for so long is dead, however little is known about why';

COMMENT ON COLUMN leadhook.controls.claim_bytes IS 'a claim hands out no more leads than fit, with their prompts, but one at least';

COMMENT ON COLUMN leadhook.controls.history IS 'the server and timeline of the last claim: after a restore or switch-over it is another one, and fences may have been handed out that no row knows';

COMMENT ON COLUMN leadhook.controls.leases_from IS 'no lease ends before; noted when the look for the first takes long: under an old snapshot, the index keeps each lease that has ended';

CREATE TABLE leadhook.costs (
    day date NOT NULL,
    user_id uuid NOT NULL,
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    spent_usd numeric DEFAULT 0 NOT NULL,
    wasted_usd numeric DEFAULT 0 NOT NULL
);

COMMENT ON COLUMN leadhook.costs.day IS 'in UTC, of when the lease ended';

COMMENT ON COLUMN leadhook.costs.xact IS 'the transaction that booked it, so that no two write the same row; after a restore it may be one that was, whose row is then added to';

COMMENT ON COLUMN leadhook.costs.spent_usd IS 'all that was paid, and of leases that ran out all that was reserved';

COMMENT ON COLUMN leadhook.costs.wasted_usd IS 'the part of spent_usd that bought nothing: leases that ran out, answers that the application refused, leads erased at work';

CREATE TABLE leadhook.counted (
    id boolean DEFAULT true NOT NULL,
    until timestamp with time zone NOT NULL,
    CONSTRAINT there_is_one_row CHECK (id)
);

COMMENT ON COLUMN leadhook.counted.until IS 'attempts that ended up to then are in hourly_counts';

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

COMMENT ON TABLE leadhook.figures IS 'the last count; unlogged, as it is worth nothing after a crash';

CREATE TABLE leadhook.hourly_counts (
    kind text NOT NULL,
    hour timestamp with time zone NOT NULL,
    bucket smallint NOT NULL,
    leads integer NOT NULL,
    CONSTRAINT hourly_counts_kind_check CHECK ((kind = ANY (ARRAY['in'::text, 'score'::text, 'failed'::text, 'first_call'::text, 'saved'::text])))
);

COMMENT ON COLUMN leadhook.hourly_counts.bucket IS 'in: 1 if only the sweep found it; score: the tens, 9 with 100; first_call and saved, counted from eligible_at: powers of 1.25 ms';

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

COMMENT ON COLUMN leadhook.jobs.low_priority IS 'a replay or backlog: fresh leads go first, and these use at most three quarters of a worker''s slots';

COMMENT ON COLUMN leadhook.jobs.run IS 'grows with every replay or reopening; one result a run';

COMMENT ON COLUMN leadhook.jobs.attempts IS 'attempts spent in this run';

COMMENT ON COLUMN leadhook.jobs.deaths IS 'how often in a row its lease ran out, which may have been its own doing: with one or more it is handed out alone';

COMMENT ON COLUMN leadhook.jobs.failing_since IS 'since when each of its model calls has failed without blame; what is older than eligible_at is of an earlier run';

COMMENT ON COLUMN leadhook.jobs.decide_after IS 'ready: it waits for evidence, and an answer to another lead makes it due, but not before this; null: it does not wait for one';

COMMENT ON COLUMN leadhook.jobs.fence IS 'from leadhook.fences with every lease; every later write must carry it';

COMMENT ON COLUMN leadhook.jobs.called IS 'its worker said that a model call of this lease had begun';

COMMENT ON COLUMN leadhook.jobs.leased_snapshot IS 'what its last lease was decided by: a change whose transaction is not visible in it is one that the lease has not seen; null: it has seen none';

COMMENT ON COLUMN leadhook.jobs.changed IS 'something changed that its run has not seen: a run that ends dead then begins again';

COMMENT ON COLUMN leadhook.jobs.eligible_at IS 'when the outbox row, sweep, replay or release made it ready';

COMMENT ON COLUMN leadhook.jobs.source IS 'what brought it: webhook, sweep, start, retry, hint, replay, release';

COMMENT ON COLUMN leadhook.jobs.replay_after IS 'a replay asked for while leased: it runs once this run ends';

COMMENT ON COLUMN leadhook.jobs.checkpoint IS 'model answers that were paid for and are not yet written; never bought twice. Of a done job whose message is missing: its score, for a replay';

COMMENT ON COLUMN leadhook.jobs.reserved_usd IS 'leased: the most that this lease may spend; null where the claim named no price';

COMMENT ON COLUMN leadhook.jobs.budget_id IS 'ready: the budget that turned it away; it is due with the next day, when the budget has needed_usd left, or when the sweep has passed';

COMMENT ON COLUMN leadhook.jobs.error_code IS 'why it waits, is dead or, if it is done, why it has no message';

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

COMMENT ON TABLE leadhook.ready_notes IS 'groups of jobs that became ready since the last claim';

COMMENT ON COLUMN leadhook.ready_notes.id IS 'no number: a sequence that is behind its rows after a restore would refuse every change of a job';

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
    CONSTRAINT releases_lead_limit_check CHECK ((lead_limit > 0))
);

COMMENT ON COLUMN leadhook.releases.redo IS 'also leads that have a row in llm_response';

COMMENT ON COLUMN leadhook.releases.groups IS 'the users and tags that are left, in their order; of the first one, the leads up to after_lead have been looked at';

COMMENT ON COLUMN leadhook.releases.ended_at IS 'when all of it was queued, or it was stopped';

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

COMMENT ON COLUMN leadhook.replay_leads.run IS 'the run of the job that answers this replay';

COMMENT ON COLUMN leadhook.replay_leads.before IS 'the job as it was, for a replay that is stopped; null: there was none';

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
    CONSTRAINT replays_lead_limit_check CHECK ((lead_limit > 0)),
    CONSTRAINT replays_phase_check CHECK ((phase = ANY (ARRAY['queueing'::text, 'queued'::text, 'stopping'::text, 'stopped'::text])))
);

COMMENT ON COLUMN leadhook.replays.filter IS 'null: its leads were named';

COMMENT ON COLUMN leadhook.replays.after_lead IS 'queueing, stopping: the leads up to this lead_id have been looked at';

COMMENT ON COLUMN leadhook.replays.counts IS 'what queueing its leads came to, by outcome';

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

COMMENT ON COLUMN leadhook.results.matched IS 'the criteria that are met, in the model''s words; missed: those that are not, or of which nothing is known';

COMMENT ON COLUMN leadhook.results.flags IS 'codes of what in the lead''s text looks like an attempt to steer the model; see docs/model.md';

COMMENT ON COLUMN leadhook.results.message IS 'null, as is the subject: only the message failed; the attempt says why';

COMMENT ON COLUMN leadhook.results.claims IS 'facts of the message with their sources, each {words, source, quote}; only those that were found there';

COMMENT ON COLUMN leadhook.results.written IS 'false: the application refused or no longer wanted it';

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

COMMENT ON VIEW leadhook.spend IS 'Dollars by day (UTC) and user: spent_usd, of it wasted_usd, and what leased leads may still spend (reserved_usd, today).';

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

COMMENT ON TABLE leadhook.webhooks IS 'delivery ledger; the answers come from net._http_response, which pg_net empties after six hours';

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

COMMENT ON TABLE leadhook.workers IS 'the last successful claim and sweep of each process, to 5 s; a process that is gone leaves it after a day';

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

ALTER TABLE ONLY leadhook.replay_leads
    ADD CONSTRAINT replay_leads_pkey PRIMARY KEY (replay_id, lead_id);

ALTER TABLE ONLY leadhook.replays
    ADD CONSTRAINT replays_pkey PRIMARY KEY (id);

ALTER TABLE ONLY leadhook.results
    ADD CONSTRAINT results_pkey PRIMARY KEY (lead_id, run);

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

CREATE INDEX outbox_to_walk ON leadhook.outbox USING btree (id) WHERE (kind <> 'leads'::text);

CREATE INDEX ready_groups_open ON leadhook.ready_groups USING btree (low_priority, user_id, tag) WHERE (NOT shut);

CREATE INDEX ready_groups_shut ON leadhook.ready_groups USING btree (user_id) WHERE shut;

CREATE INDEX ready_notes_due ON leadhook.ready_notes USING btree (low_priority, due_at);

CREATE INDEX releases_under_way ON leadhook.releases USING btree (id) WHERE (ended_at IS NULL);

CREATE INDEX replay_leads_by_lead ON leadhook.replay_leads USING btree (lead_id);

CREATE INDEX replays_under_way ON leadhook.replays USING btree (id) WHERE (phase = ANY (ARRAY['queueing'::text, 'stopping'::text]));

CREATE INDEX results_by_age ON leadhook.results USING btree (created_at DESC, lead_id);

CREATE INDEX results_flagged ON leadhook.results USING btree (created_at, lead_id) WHERE (flags <> '{}'::text[]);

CREATE INDEX webhooks_by_age ON leadhook.webhooks USING btree (sent_at);

CREATE INDEX webhooks_by_request ON leadhook.webhooks USING btree (request_id);

CREATE INDEX leadhook_unsent ON public.lead_details USING btree (lead_id) WHERE (((sent_to_llm)::text IS DISTINCT FROM 'true'::text) AND (octet_length(lead_id) <= 2000));

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

REVOKE ALL ON FUNCTION leadhook.apply_lead_changes(p_source text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.apply_lead_changes(p_source text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.apply_outbox(p_source text, p_budget interval) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.apply_outbox(p_source text, p_budget interval) TO service_role;

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

REVOKE ALL ON FUNCTION leadhook.choose_leads(p_limit integer, p_low_priority_limit integer, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.choose_leads(p_limit integer, p_low_priority_limit integer, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[]) TO service_role;

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

REVOKE ALL ON FUNCTION leadhook.count_hours(p_since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.count_hours(p_since timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.count_slice(p_now timestamp with time zone, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.count_slice(p_now timestamp with time zone, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.count_webhooks() FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.dashboard_webhooks() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.dashboard_webhooks() TO service_role;

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

REVOKE ALL ON FUNCTION leadhook.describe_leads(lead_ids text[], user_ids uuid[], tags text[], most_characters integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.describe_leads(lead_ids text[], user_ids uuid[], tags text[], most_characters integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.describe_readable(p_token uuid, p_now timestamp with time zone, p_keys json, p_price jsonb, p_source text, p_bare boolean, OUT leads json, OUT prompts json, OUT keys json) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.describe_readable(p_token uuid, p_now timestamp with time zone, p_keys json, p_price jsonb, p_source text, p_bare boolean, OUT leads json, OUT prompts json, OUT keys json) TO service_role;

REVOKE ALL ON FUNCTION leadhook.duration_bucket(p_ms numeric) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.duration_bucket(p_ms numeric) TO service_role;

REVOKE ALL ON FUNCTION leadhook.earliest_due(p_low_priority boolean, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.earliest_due(p_low_priority boolean, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.end_leases(p_worker text, p_endings leadhook.ending[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.end_leases(p_worker text, p_endings leadhook.ending[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.ends_the_call(p_sqlstate text, p_context text, p_schema text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.ends_the_call(p_sqlstate text, p_context text, p_schema text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.ensure_trigger(p_table regclass, p_definition text) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.enter_on_demand(p_answered text[], p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.enter_on_demand(p_answered text[], p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.erase_leads(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.erase_leads(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.existing_constraint(p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.existing_constraint(p_name text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.expire_leases(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.expire_leases(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.failed_groups() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.failed_groups() TO service_role;

REVOKE ALL ON FUNCTION leadhook.failing_since(p_failing_since timestamp with time zone, p_eligible_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.failing_since(p_failing_since timestamp with time zone, p_eligible_at timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_answered(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_answered(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_blocked(p_now timestamp with time zone, OUT everything text, OUT budget_spent boolean, OUT payable bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_blocked(p_now timestamp with time zone, OUT everything text, OUT budget_spent boolean, OUT payable bigint[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_candidates(p_filter jsonb, p_after jsonb, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_candidates(p_filter jsonb, p_after jsonb, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_excess_leads(p_lead_ids text[], p_groups text[], p_lead_bytes integer[], p_prompts_bytes integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_excess_leads(p_lead_ids text[], p_groups text[], p_lead_bytes integer[], p_prompts_bytes integer[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_foreign_code() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_foreign_code() TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_group(p_low_priority boolean, p_now timestamp with time zone, p_user_id uuid, p_tag text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_group(p_low_priority boolean, p_now timestamp with time zone, p_user_id uuid, p_tag text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_groups_with_prompts(p_user_ids uuid[], p_tags text[], p_since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_groups_with_prompts(p_user_ids uuid[], p_tags text[], p_since timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_head(p_group leadhook.ready_groups, OUT available_at timestamp with time zone, OUT lead_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_head(p_group leadhook.ready_groups, OUT available_at timestamp with time zone, OUT lead_id text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_misplaced(p_low_priority boolean, p_now timestamp with time zone, p_user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_misplaced(p_low_priority boolean, p_now timestamp with time zone, p_user_id uuid) TO service_role;

REVOKE ALL ON FUNCTION leadhook.find_webhooks(p_at timestamp with time zone, p_xact xid8) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.find_webhooks(p_at timestamp with time zone, p_xact xid8) TO service_role;

REVOKE ALL ON FUNCTION leadhook.first_due(p_low_priority boolean, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.first_due(p_low_priority boolean, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.flagged_leads(p_after jsonb, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.flagged_leads(p_after jsonb, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.forget_rests_for_other_models(p_model text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.forget_rests_for_other_models(p_model text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.has_changes(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.has_changes(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.has_due(p_low_priority boolean, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.has_due(p_low_priority boolean, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.has_pg_net() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.has_pg_net() TO service_role;

REVOKE ALL ON FUNCTION leadhook.has_slices() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.has_slices() TO service_role;

REVOKE ALL ON FUNCTION leadhook.has_vault() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.has_vault() TO service_role;

REVOKE ALL ON FUNCTION leadhook.healthy_keys() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.healthy_keys() TO service_role;

REVOKE ALL ON FUNCTION leadhook.held_groups(p_user_id uuid, p_tag text, p_since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.held_groups(p_user_id uuid, p_tag text, p_since timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.held_sample(p_user_id uuid, p_tag text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.held_sample(p_user_id uuid, p_tag text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.held_scopes(p_user_id uuid, p_tag text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.held_scopes(p_user_id uuid, p_tag text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.held_size(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.held_size(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.held_snapshot(p_longer_than interval) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.held_snapshot(p_longer_than interval) TO service_role;

REVOKE ALL ON FUNCTION leadhook.hmac_sha256(p_key bytea, p_message bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.is_any_shut(p_user_ids uuid[], p_tags text[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.is_any_shut(p_user_ids uuid[], p_tags text[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.is_news(p_xacts xid8[], p_changed_at timestamp with time zone, p_leased_snapshot pg_snapshot, p_finished_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.is_news(p_xacts xid8[], p_changed_at timestamp with time zone, p_leased_snapshot pg_snapshot, p_finished_at timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.is_of_extension(p_class regclass, p_object oid, p_extension text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.is_of_extension(p_class regclass, p_object oid, p_extension text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.is_shut(p_user_id uuid, p_tag text, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.is_shut(p_user_id uuid, p_tag text, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.is_too_big(p_value anyelement, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.is_too_big(p_value anyelement, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.jobs_of_step(p_step text, p_filter jsonb, p_after jsonb, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.jobs_of_step(p_step text, p_filter jsonb, p_after jsonb, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.keep_results(p_results leadhook.ending[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.keep_results(p_results leadhook.ending[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.key_fingerprint(p_api_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.key_fingerprint(p_api_key text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.key_news(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.key_news(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.key_states(OUT total bigint, OUT healthy bigint, OUT untried bigint, OUT cooling bigint, OUT disabled bigint, OUT next_return_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.key_states(OUT total bigint, OUT healthy bigint, OUT untried bigint, OUT cooling bigint, OUT disabled bigint, OUT next_return_at timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.leads_by_name(p_text text, p_after jsonb, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.leads_by_name(p_text text, p_after jsonb, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.leads_of_group(p_user_id uuid, p_tag text, p_after_lead text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.leads_of_group(p_user_id uuid, p_tag text, p_after_lead text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.lease_leads(p_lead_ids text[], p_token uuid, p_worker text, p_source text, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.lease_leads(p_lead_ids text[], p_token uuid, p_worker text, p_source text, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.lease_others(p_tried text[], p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_source text, p_now timestamp with time zone, p_user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.lease_others(p_tried text[], p_token uuid, p_worker text, p_limit integer, p_low_priority_limit integer, p_source text, p_now timestamp with time zone, p_user_id uuid) TO service_role;

REVOKE ALL ON FUNCTION leadhook.list_ready_groups() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.list_ready_groups() TO service_role;

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

REVOKE ALL ON FUNCTION leadhook.matching_leads(p_lead_ids text[], p_filter jsonb, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.matching_leads(p_lead_ids text[], p_filter jsonb, p_most integer) TO service_role;

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

REVOKE ALL ON FUNCTION leadhook.next_due_ms(p_now timestamp with time zone, p_blocked record) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.next_due_ms(p_now timestamp with time zone, p_blocked record) TO service_role;

REVOKE ALL ON FUNCTION leadhook.next_leads(p_filter jsonb, p_after_lead text, p_most integer, OUT lead_ids text[], OUT last_lead text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.next_leads(p_filter jsonb, p_after_lead text, p_most integer, OUT lead_ids text[], OUT last_lead text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.next_suspect(p_now timestamp with time zone, OUT lead_id text, OUT available_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.next_suspect(p_now timestamp with time zone, OUT lead_id text, OUT available_at timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.next_unfailing(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.next_unfailing(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.next_users(p_low_priority boolean, p_limit integer, p_now timestamp with time zone, p_user_id uuid, OUT user_ids uuid[], OUT first_tags text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.next_users(p_low_priority boolean, p_limit integer, p_now timestamp with time zone, p_user_id uuid, OUT user_ids uuid[], OUT first_tags text[]) TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE leadhook.outbox TO service_role;

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

REVOKE ALL ON FUNCTION leadhook.note_release(p_actor text, p_user_id uuid, p_tag text, p_redo boolean, p_is_first boolean, p_released integer, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.note_release(p_actor text, p_user_id uuid, p_tag text, p_redo boolean, p_is_first boolean, p_released integer, p_reason text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.note_turns(p_low_priority boolean, p_users uuid[], p_first_tags text[], p_user_ids uuid[], p_tags text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.note_turns(p_low_priority boolean, p_users uuid[], p_first_tags text[], p_user_ids uuid[], p_tags text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.note_worker(p_worker text, p_what text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.note_worker(p_worker text, p_what text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.notice_restore() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.notice_restore() TO service_role;

REVOKE ALL ON FUNCTION leadhook.parked_keys() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.parked_keys() TO service_role;

REVOKE ALL ON FUNCTION leadhook.pending_changes(p_lead_id text, p_user_id uuid, p_tag text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.pending_changes(p_lead_id text, p_user_id uuid, p_tag text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.pick_leads(p_low_priority boolean, p_limit integer, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.pick_leads(p_low_priority boolean, p_limit integer, p_now timestamp with time zone, INOUT p_user_id uuid, OUT lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.place_in_queue(p_lead_id text, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.place_in_queue(p_lead_id text, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.post_webhook(p_id text, p_body jsonb) FROM PUBLIC;

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

REVOKE ALL ON FUNCTION leadhook.rate_of(p_waiting bigint, p_ended integer, p_since timestamp with time zone, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.rate_of(p_waiting bigint, p_ended integer, p_since timestamp with time zone, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.read_leases(p_items jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.read_leases(p_items jsonb) TO service_role;

REVOKE ALL ON FUNCTION leadhook.read_on_demand(p_results jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.read_on_demand(p_results jsonb) TO service_role;

REVOKE ALL ON FUNCTION leadhook.read_other(p_value anyelement, p_characters integer, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.read_other(p_value anyelement, p_characters integer, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.read_results(p_results jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.read_results(p_results jsonb) TO service_role;

REVOKE ALL ON FUNCTION leadhook.read_value(p_value anyelement, p_characters integer, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.read_value(p_value anyelement, p_characters integer, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.recall_changes(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.recall_changes(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.recent_attempts(p_token uuid, p_worker text, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.recent_attempts(p_token uuid, p_worker text, p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.recent_figures(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.recent_figures(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.refreshes(p_operation text, p_table text) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.refuse_foreign_code() FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.release_backlog(p_user_id uuid, p_tag text, p_after_lead text, p_limit integer, p_redo boolean, OUT last_lead text, OUT released integer, OUT answered integer, OUT unwanted integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.release_backlog(p_user_id uuid, p_tag text, p_after_lead text, p_limit integer, p_redo boolean, OUT last_lead text, OUT released integer, OUT answered integer, OUT unwanted integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.reopen_groups(p_user_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.reopen_groups(p_user_ids uuid[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.replay_leads_page(p_replay_id bigint, p_after_lead text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.replay_leads_page(p_replay_id bigint, p_after_lead text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.replay_states(p_replay_id bigint, p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.replay_states(p_replay_id bigint, p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.replay_usage(p_replay_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.replay_usage(p_replay_id bigint) TO service_role;

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

REVOKE ALL ON FUNCTION leadhook.search_slice(p_filter jsonb, p_after jsonb, p_most integer, OUT lead_ids text[], OUT cursors jsonb[], OUT next_cursor jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.search_slice(p_filter jsonb, p_after jsonb, p_most integer, OUT lead_ids text[], OUT cursors jsonb[], OUT next_cursor jsonb) TO service_role;

REVOKE ALL ON FUNCTION leadhook.search_steps(p_filter jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.search_steps(p_filter jsonb) TO service_role;

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

REVOKE ALL ON FUNCTION leadhook.sweep_jobs(p_after_lead text, OUT last_lead text, OUT looked_at integer, OUT removed integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.sweep_jobs(p_after_lead text, OUT last_lead text, OUT looked_at integer, OUT removed integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.sweep_leads(p_after_lead text, OUT last_lead text, OUT looked_at integer, OUT made_ready integer, OUT held integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.sweep_leads(p_after_lead text, OUT last_lead text, OUT looked_at integer, OUT made_ready integer, OUT held integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.sweep_records(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.sweep_records(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.take_on_demand(p_worker text, p_results leadhook.ending[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.take_on_demand(p_worker text, p_results leadhook.ending[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.trigger_states() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.trigger_states() TO service_role;

REVOKE ALL ON FUNCTION leadhook.try_lock_sweep() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.try_lock_sweep() TO service_role;

REVOKE ALL ON FUNCTION leadhook.turn_away(p_token uuid, p_lead_ids text[], p_budget_ids bigint[], p_usd numeric[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.turn_away(p_token uuid, p_lead_ids text[], p_budget_ids bigint[], p_usd numeric[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.typical_durations(p_since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.typical_durations(p_since timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.unfinished_releases(p_waiting bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.unfinished_releases(p_waiting bigint) TO service_role;

REVOKE ALL ON FUNCTION leadhook.unfinished_replays() FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.unfinished_replays() TO service_role;

REVOKE ALL ON FUNCTION leadhook.unqueue_replay(p_replay_id bigint, p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.unqueue_replay(p_replay_id bigint, p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.unquote(p_json text) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.unquote(p_json text) TO service_role;

REVOKE ALL ON FUNCTION leadhook.usage_of(p_lead_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.usage_of(p_lead_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.waiting_work(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.waiting_work(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.wake_turned_away(p_budget_ids bigint[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.wake_turned_away(p_budget_ids bigint[], p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.wake_undecided(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.wake_undecided(p_now timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION leadhook.wanted_webhooks(p_leads integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.warn(p_words text) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.webhook_answers(p_webhook_ids bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.webhook_answers(p_webhook_ids bigint[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.webhook_body(p_reason text, p_leads integer, p_table text) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.webhook_headers(p_id text, p_timestamp bigint, p_body text, p_secrets text) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.webhook_settings(OUT url_set boolean, OUT secret_set boolean, OUT pg_net boolean, OUT vault_error text, OUT foreign_code text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.webhook_settings(OUT url_set boolean, OUT secret_set boolean, OUT pg_net boolean, OUT vault_error text, OUT foreign_code text[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.webhook_target(OUT url text, OUT secrets text) FROM PUBLIC;

REVOKE ALL ON FUNCTION leadhook.work_on_release(p_release_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.work_on_release(p_release_id bigint) TO service_role;

REVOKE ALL ON FUNCTION leadhook.work_on_replay(p_replay_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.work_on_replay(p_replay_id bigint) TO service_role;

REVOKE ALL ON FUNCTION leadhook.wrap_other(p_value anyelement, p_characters integer, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.wrap_other(p_value anyelement, p_characters integer, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.wrap_value(p_value anyelement, p_characters integer, p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.wrap_value(p_value anyelement, p_characters integer, p_most integer) TO service_role;

REVOKE ALL ON FUNCTION leadhook.write_answers(p_answers leadhook.ending[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.write_answers(p_answers leadhook.ending[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.write_each_answer(p_answers leadhook.ending[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.write_each_answer(p_answers leadhook.ending[]) TO service_role;

REVOKE ALL ON FUNCTION leadhook.write_results(p_results leadhook.ending[]) FROM PUBLIC;
GRANT ALL ON FUNCTION leadhook.write_results(p_results leadhook.ending[]) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_admission(p_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_admission(p_most integer) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_answers(p_user_id uuid, p_tag text, p_min_score integer, p_since timestamp with time zone, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_answers(p_user_id uuid, p_tag text, p_min_score integer, p_since timestamp with time zone, p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_audit(p_filter jsonb, p_before bigint, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_audit(p_filter jsonb, p_before bigint, p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_backlog(p_user_id uuid, p_tag text, p_since timestamp with time zone, p_redo boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_backlog(p_user_id uuid, p_tag text, p_since timestamp with time zone, p_redo boolean) TO service_role;

REVOKE ALL ON FUNCTION public.leadhook_begin_release(p_user_id uuid, p_tag text, p_limit integer, p_redo boolean, p_actor text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_begin_release(p_user_id uuid, p_tag text, p_limit integer, p_redo boolean, p_actor text, p_reason text) TO service_role;

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

REVOKE ALL ON FUNCTION public.leadhook_replay_filtered(p_filter jsonb, p_limit integer, p_actor text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leadhook_replay_filtered(p_filter jsonb, p_limit integer, p_actor text, p_reason text) TO service_role;

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
