-- Purpose: public.leadhook_claim: applies the outbox and leases a batch, fairly between the groups (user_id, tag), with everything that a
-- score needs.
-- Planner flags: see apply_outbox.sql. force_generic_plan is only for our own tables, which always have their indexes; planning would take
-- longer than the call. `limit` takes constants only: for an expression, the planner assumes a tenth of the table. row_security is off in
-- every call of the service, because a cached plan is discarded if the setting differs from that of the last call in the session.

set local check_function_bodies = off;

-- Returns up to p_limit users with groups that may be due, from the one after p_user_id on and wrapping around, each with its first such
-- tag. Of `union all … limit 1`, the second part runs only if the first finds nothing: after the last user.
create or replace function leadhook.next_users(
  p_low_priority boolean, p_limit int, p_now timestamptz, p_user_id uuid, out user_ids uuid[], out first_tags text[]
)
language plpgsql
set search_path = ''
as $$
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

-- Returns up to p_limit due leads of these users, in turns of one lead per user, up to p_each for each. The tags of a user take turns too,
-- from the one after the last turn on. misplaced: groups that have no due lead, with the place of their first ready lead, or null. The
-- place of other groups moves only occasionally, because each move leaves a dead row, as does each lead that it passes.
create or replace function leadhook.deal_leads(
  p_low_priority boolean, p_limit int, p_each int, p_now timestamptz, p_user_ids uuid[],
  out lead_ids text[], out user_ids uuid[], out tags text[], out misplaced leadhook.ready_groups[]
)
language plpgsql
set search_path = ''
as $$
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

-- Notes the tag that each user's last lead was taken from, for users with several tags.
create or replace function leadhook.note_turns(
  p_low_priority boolean, p_users uuid[], p_first_tags text[], p_user_ids uuid[], p_tags text[]
)
returns void
language plpgsql
set search_path = ''
as $$
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

-- Returns up to p_limit due leads, shared evenly between the users after p_user_id, wrapping around, however many tags each has; and the
-- user of the last one. Groups that turn out to be shut or empty are corrected, and it starts again, up to five times. After that, the
-- claim continues with what it has; the other groups are still due, so the next claim follows immediately.
create or replace function leadhook.pick_leads(
  p_low_priority boolean, p_limit int, p_now timestamptz, inout p_user_id uuid, out lead_ids text[]
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
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
    if cardinality(v_dealt.lead_ids) < p_limit and cardinality(v_users.user_ids) > 1 then
      -- The others get what some users leave of their share.
      v_dealt := leadhook.deal_leads(p_low_priority, p_limit, p_limit, p_now, v_users.user_ids);
    end if;
    perform leadhook.correct_groups(v_dealt.misplaced) where v_dealt.misplaced <> '{}';
    -- Seldom: a claim usually finds only those groups empty that the last claim has emptied.
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

-- Returns the next ready lead whose lease expired, and when it is due, those that are due first; null if there is none, or another suspect
-- must end first. Its worker may have ended because of the lead, so it is claimed alone. While a lead that was suspected twice is leased, no
-- other suspect is: if the worker ends again, it is clear which lead did it.
create or replace function leadhook.next_suspect(
  p_now timestamptz, out lead_id text, out available_at timestamptz
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_worst int := (select j.deaths from leadhook.jobs as j where j.deaths > 0 and j.state = 'leased' order by j.deaths desc, j.available_at desc limit 1);
begin
  if v_worst > 1 then
    return;
  end if;
  select j.lead_id, j.available_at into lead_id, available_at
  from leadhook.jobs as j
  where j.deaths > 0 and j.state = 'ready' and (v_worst is null or j.deaths = 1)
    and j.available_at <= p_now and not leadhook.is_shut(j.user_id, j.tag, p_now)
  order by j.deaths, j.available_at, j.lead_id
  limit 1;
  if lead_id is null then
    -- In the order of the index of suspects: no other index may be read for them, because it has all ready leads.
    select s.lead_id, s.available_at into lead_id, available_at
    from (
      select distinct on (j.deaths) j.lead_id, j.available_at
      from leadhook.jobs as j
      where j.deaths > 0 and j.state = 'ready' and (v_worst is null or j.deaths = 1)
        and j.available_at > p_now and not leadhook.is_shut(j.user_id, j.tag, p_now)
      order by j.deaths, j.available_at, j.lead_id
    ) as s
    order by s.available_at, s.lead_id
    limit 1;
  end if;
end
$$;

-- Undoes leases of a claim that has no reply yet.
create or replace function leadhook.return_leads(p_token uuid, p_lead_ids text[])
returns void
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
begin
  update leadhook.jobs as j set state = 'ready', claim_token = null, lease_until = null, reserved_usd = null
  where j.claim_token = p_token and j.lead_id = any (p_lead_ids);
end
$$;

-- Leases those of these leads that are still eligible, in this order; the jobs of the others become waiting. Returns whether any was
-- leased. p_checked: leads that this claim has checked. p_snapshot: from before the first check; the lease has not seen what the snapshot
-- does not show, so no change between check and lease is lost.
create or replace function leadhook.lease_leads(
  p_lead_ids text[], p_checked text[], p_snapshot pg_snapshot, p_token uuid, p_worker text, p_source text, p_now timestamptz
)
returns boolean
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_nestloop = off
as $$
declare
  v_unchecked text[] := array(select unnest(p_lead_ids) except select unnest(p_checked));
  v_changed text[];
begin
  if p_lead_ids = '{}' then
    return false;
  end if;
  if v_unchecked <> '{}' then
    -- Usually all are still eligible, which takes one look and no lock.
    begin
      v_changed := array(select d.lead_id from leadhook.decide_moves(v_unchecked, null, 'check') as d where d.becomes is not null);
    exception
      when others then
        if not leadhook.blames_the_lead(sqlstate) then
          raise;
        end if;
        v_changed := v_unchecked;
    end;
    perform leadhook.apply_changes(v_changed, p_source, 'check');
  end if;
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
    leased_snapshot = p_snapshot,
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

-- Reserves what each of these leads may cost, as far as the budgets allow. The others are returned, with what they need, and wait for the
-- next day or for wake_turned_away: an expensive lead does not hold up cheaper ones.
create or replace function leadhook.reserve_leads(p_token uuid, p_lead_ids text[], p_usd numeric[], p_now timestamptz)
returns void
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_nestloop = off
as $$
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

-- Returns those of these leads, listed by fence, that do not fit into claim_bytes. The first one always does. The prompts of a group count
-- once.
create or replace function leadhook.find_excess_leads(p_lead_ids text[], p_groups text[], p_lead_bytes int[], p_prompts_bytes int[])
returns text[]
language sql
stable
set search_path = ''
as $$
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

-- Returns the leads leased by this token, for the reply. A lead that was deleted in the meantime is left out, and its lease expires. json, not
-- jsonb, here and in the reply: half a megabyte of leads is written once and never parsed.
create or replace function leadhook.describe_claim(p_token uuid, p_now timestamptz, p_keys json, p_price jsonb)
returns table (leads json, prompts json, keys json)
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
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
    having count(*) > 0
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

  -- Leads that do not fit are left to the next claim.
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
$$;

-- Quarantines the leads of this claim that describe_leads cannot read.
create or replace function leadhook.quarantine_unreadable(p_token uuid, p_source text)
returns void
language plpgsql
set search_path = ''
as $$
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

-- As describe_claim; leads that cannot be read are quarantined. p_bare: the leases alone.
create or replace function leadhook.describe_readable(
  p_token uuid, p_now timestamptz, p_keys json, p_price jsonb, p_source text, p_bare boolean, out leads json, out prompts json, out keys json
)
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
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

-- Repeats a claim: its leases begin again; those beyond p_limit, which may be smaller now, are undone.
create or replace function leadhook.resume_claim(p_token uuid, p_limit int, p_now timestamptz)
returns void
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
begin
  update leadhook.jobs as j set lease_until = greatest(j.lease_until, p_now + make_interval(secs => c.lease_s::float8))
  from leadhook.controls as c
  where j.claim_token = p_token;
  perform leadhook.return_leads(
    p_token, array(select j.lead_id from leadhook.jobs as j where j.claim_token = p_token order by j.fence offset p_limit)
  );
end
$$;

-- Returns the leads to lease: a suspect alone, otherwise fresh leads, then those of low priority; and the user whose turn was last.
create or replace function leadhook.choose_leads(
  p_limit int, p_low_priority_limit int, p_now timestamptz, inout p_user_id uuid,
  out lead_ids text[]
)
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
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
  -- Both start after the same user: otherwise the fresh leads would decide whose low-priority leads come next.
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

-- Returns leads to lease instead of those tried, if another transaction has locked some of these; otherwise null. A locked job must not
-- hold up the others.
create or replace function leadhook.choose_others(
  p_tried text[], p_limit int, p_low_priority_limit int, p_now timestamptz, p_user_id uuid
)
returns text[]
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_locked text[] := leadhook.lock_jobs(
    array(select s.lead_id from leadhook.next_suspect(p_now) as s where s.lead_id is not null) || p_tried
  );
  v_chosen record;
begin
  if v_locked = '{}' then
    return null;
  end if;
  v_chosen := leadhook.choose_leads(
    p_limit + cardinality(v_locked), p_low_priority_limit + cardinality(v_locked), p_now, p_user_id
  );
  return (
    select coalesce((array_agg(c.lead_id order by c.place))[:p_limit], '{}')
    from (
      select i.lead_id, i.place, j.low_priority, row_number() over (partition by j.low_priority order by i.place) as nth
      from unnest(v_chosen.lead_ids) with ordinality as i (lead_id, place)
      join leadhook.jobs as j using (lead_id)
      where j.lead_id = any (v_chosen.lead_ids) and i.lead_id <> all (v_locked)
    ) as c
    where not c.low_priority or c.nth <= p_low_priority_limit
  );
end
$$;

-- Returns the lead that has waited longest of those whose model calls do not fail, fresh ones first; null if there is none.
create or replace function leadhook.next_unfailing(p_now timestamptz)
returns text
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
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

-- Chooses leads and leases them. p_probe: preferably one whose model calls do not fail. all_locked: another transaction has locked all that
-- is due.
create or replace function leadhook.lease_next(
  p_token uuid, p_worker text, p_limit int, p_low_priority_limit int, p_source text, p_probe boolean, p_checked text[], p_snapshot pg_snapshot,
  p_now timestamptz, inout p_user_id uuid, out lead_ids text[], out all_locked boolean
)
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_unfailing text := case when p_probe then leadhook.next_unfailing(p_now) end;
  v_others text[];
begin
  select c.lead_ids, c.p_user_id into lead_ids, p_user_id
  from leadhook.choose_leads(p_limit, p_low_priority_limit, p_now, p_user_id) as c;
  if v_unfailing is not null then
    lead_ids := array[v_unfailing];
  end if;
  all_locked := false;
  if not leadhook.lease_leads(lead_ids, p_checked, p_snapshot, p_token, p_worker, p_source, p_now) then
    v_others := leadhook.choose_others(lead_ids, p_limit, p_low_priority_limit, p_now, p_user_id);
    all_locked := v_others is not null and not leadhook.lease_leads(v_others, p_checked, p_snapshot, p_token, p_worker, p_source, p_now);
  end if;
end
$$;

-- Makes the claim, under the claim lock and the outbox lock: it moves jobs to waiting, which must not cross a change that wakes them.
create or replace function leadhook.claim_batch(
  p_token uuid, p_worker text, p_limit int, p_low_priority_limit int, p_after_user uuid, p_hints text[], p_source text, p_price jsonb,
  p_bare boolean, p_probe boolean
)
returns json
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_snapshot pg_snapshot := pg_current_snapshot();
  v_has_budgets boolean := exists (select from leadhook.budgets);
  v_checked text[] := (leadhook.apply_outbox(p_source)).checked;
  v_now timestamptz;
  v_keys json;
  v_blocked record;
  v_blocked_by text;
  v_user_id uuid := p_after_user;
  v_lead_ids text[];
  v_locked boolean := false;
  v_batch record;
  v_due record;
  v_has_more boolean;
begin
  perform leadhook.apply_changes(p_hints, 'hint', 'hint');
  v_now := clock_timestamp();
  v_keys := (select json_agg(k) from leadhook.healthy_keys() as k);

  v_blocked := leadhook.find_blocked(v_now);
  if exists (select from leadhook.jobs as j where j.claim_token = p_token) then
    -- Without a key, all its leads go back.
    perform leadhook.resume_claim(p_token, case when v_keys is null then 0 else p_limit end, v_now);
  else
    perform leadhook.expire_leases(v_now);
    perform leadhook.settle_budgets(v_now) where v_has_budgets;
    perform leadhook.wake_turned_away(v_blocked.payable, v_now) where v_blocked.everything is null and v_blocked.payable <> '{}';
    perform leadhook.list_ready_groups();
    -- A service that names no price at all is older than the budgets, and shares the work with its successor during a deploy.
    v_blocked_by := case
      when not p_price ? 'lead_usd' and exists (select from leadhook.budgets as b where b.daily_usd < 'Infinity') then 'unpriced'
      else v_blocked.everything
    end;
    if v_keys is not null and v_blocked_by is null then
      select * into v_user_id, v_lead_ids, v_locked
      from leadhook.lease_next(p_token, p_worker, p_limit, p_low_priority_limit, p_source, p_probe, v_checked, v_snapshot, v_now, p_after_user);
    end if;
  end if;
  v_batch := leadhook.describe_readable(p_token, v_now, v_keys, p_price, p_source, p_bare);
  perform leadhook.note_worker(p_worker, 'claim');
  if v_has_budgets then
    perform leadhook.mark_spent_budgets(v_now, array(select j.user_id from leadhook.jobs as j where j.claim_token = p_token));
    v_blocked := leadhook.find_blocked(v_now);
  end if;
  v_due := leadhook.find_due(v_now);
  v_has_more := leadhook.has_changes(v_now) or v_keys is not null and not v_locked and v_blocked_by is distinct from 'unpriced'
    and v_blocked.everything is null
    and least(v_due.fresh, v_due.suspect, case when p_low_priority_limit > 0 then v_due.low_priority end) <= v_now
    -- There is no hurry if a budget turned away all leads that were chosen.
    and not (v_batch.leads::text = '[]' and exists (
      select from leadhook.jobs as j where j.lead_id = any (v_lead_ids) and j.state = 'ready' and j.budget_id is not null
    ));
  return (
    select json_build_object(
      'busy', false,
      'has_more', v_has_more is true,
      'leads', v_batch.leads,
      'prompts', v_batch.prompts,
      'keys', v_batch.keys,
      'attempts', leadhook.recent_attempts(p_token, p_worker, v_now),
      'blocked_by', coalesce(v_blocked_by, v_blocked.everything),
      'last_user', v_user_id,
      'figures', leadhook.recent_figures(v_now, case when v_batch.leads::text = '[]' then interval '10 s' else interval '1 min' end),
      'next_due_ms', case
        when v_has_more then 0
        when v_locked then 1000
        when v_blocked_by is distinct from 'unpriced' then leadhook.next_due_ms(v_now, v_blocked, v_due, v_keys is not null)
      end,
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

create or replace function public.leadhook_claim(
  p_token uuid,
  p_worker text,
  p_limit int,
  p_low_priority_limit int,
  p_after_user uuid default null,
  p_hints text[] default '{}',
  p_source text default 'retry',
  p_price jsonb default null,
  p_bare boolean default false,
  p_model text default null,
  p_probe boolean default false
)
returns json
language plpgsql
set search_path = ''
set jit = off
set row_security = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
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
    -- A deadlock is possible only with the owner's DDL or a statement by hand; the next try gets further.
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
$$;
comment on function public.leadhook_claim(uuid, text, int, int, uuid, text[], text, jsonb, boolean, text, boolean) is
  'Leases up to p_limit eligible leads, fairly between (user_id, tag), with everything that their score needs. Repeated with the same token, '
  'it returns the same leases, and undoes those beyond p_limit. p_bare: only the leases, to find the lead whose reply fails. '
  'p_price: the maximum cost of a lead, which is reserved: lead_usd + byte_usd for each byte of lead and prompts up to most_…_bytes; {}: the '
  'price of the model is unknown, so nothing is leased while a budget is set; null: an older caller, for which nothing is reserved. '
  'p_model: what the keys are used for. p_probe: preferably a lead whose model calls do not fail. '
  'blocked_by: why nothing may be leased: paused, spent (a budget) or unpriced.';

select leadhook.grant_functions();
