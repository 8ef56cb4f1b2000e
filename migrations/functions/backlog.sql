-- Purpose: held leads, which were eligible before leadhook was installed, and their release.
-- A release makes leads ready in slices of 500. The command calls leadhook_release_backlog for each slice; a release of the console is a
-- row of leadhook.releases that leadhook_replay_slice continues, group by group.

set local check_function_bodies = off;

-- Returns the groups with held leads, the newest prompts row first: the number of held leads, of those with an answer, and of those that
-- something else has marked as sent. p_since: only groups whose newest prompts row is not older.
create or replace function leadhook.count_held_groups(
  p_user_id uuid default null, p_tag text default null, p_since timestamptz default null
)
returns table (user_id uuid, tag text, asked_at timestamptz, held bigint, answered bigint, sent bigint)
language plpgsql
stable
set search_path = ''
as $$
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
    where d.sent_to_llm is not true and d.sent_to_llm::varchar is distinct from 'true' and octet_length(d.lead_id::varchar) <= 2000
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
  )
  select g.user_id, g.tag, max(p.created_at), g.held, g.answered, g.sent
  from groups as g
  left join public.prompts as p on p.user_id = g.user_id and p.tag = g.tag
  group by g.user_id, g.tag, g.held, g.answered, g.sent
  having p_since is null or max(p.created_at) >= p_since
  order by max(p.created_at) desc nulls last, g.user_id, g.tag;
end
$$;

-- Returns how many of these held leads have everything that is sent to the model, and the characters of both requests.
-- 1100 and 800 are the fixed parts of the requests: the instructions and the names of a lead's fields.
create or replace function leadhook.measure_held_leads(p_lead_ids text[])
returns table (leads bigint, score_chars bigint, message_chars bigint)
language sql
stable
set search_path = ''
as $$
  with held as materialized (
    select j.lead_id, j.user_id, j.tag from leadhook.jobs as j where j.lead_id = any (measure_held_leads.p_lead_ids)
  ),
  details as materialized (
    select d.lead_id, max(length(concat(
      d.name, d.title, d.location, d.company_name, d.experience, d.skills, d.bio, d.profile_url, d.company_page_url
    ))) as chars
    from public.lead_details as d
    where d.lead_id = any (measure_held_leads.p_lead_ids) and d.sent_to_llm is not true
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

create or replace function public.leadhook_backlog(
  p_user_id uuid default null, p_tag text default null, p_since timestamptz default null, p_redo boolean default false
)
returns jsonb
language plpgsql
stable
set search_path = ''
set jit = off
set statement_timeout = '30s'
set lock_timeout = '2s'
as $$
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
      'groups', (select coalesce(jsonb_agg(to_jsonb(l)), '[]') from leadhook.count_held_groups(p_user_id, p_tag, p_since) as l),
      'size', (
        select to_jsonb(s)
        from leadhook.measure_held_leads(array(
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
comment on function public.leadhook_backlog(uuid, text, timestamptz, boolean) is
  'Returns the backlog for the command: whether the first sweep round has finished, released and leased leads of low priority, '
  'leadhook.count_held_groups, the size of a release, and sent_while_leased: leads that something else marked as sent in the last 24 hours while '
  'leadhook had leased them. Counts the whole backlog, so its time limit is long.';

-- Makes up to p_limit of the next 500 held leads of a group ready, with low priority and in the order of lead_id, and sends a webhook.
-- Without p_redo, leads that have an answer stay held. Leads that are not eligible any more become waiting. last_lead: where to continue
-- unless the limit is reached; null: these were the last.
create or replace function leadhook.release_backlog(
  p_user_id uuid, p_tag text, p_after_lead text, p_limit int, p_redo boolean,
  out last_lead text, out released int, out answered int, out unwanted int
)
language plpgsql
set search_path = ''
set enable_seqscan = off
set lock_timeout = '2s'
as $$
declare
  v_lead_ids text[];
  v_answered text[];
  v_held text[];
  v_released jsonb;
begin
  perform leadhook.lock_outbox();
  v_lead_ids := array(
    select j.lead_id
    from leadhook.jobs as j
    where j.state = 'held' and j.user_id = p_user_id and j.tag = p_tag and j.lead_id > p_after_lead
    order by j.lead_id
    limit 500
  );
  perform from leadhook.jobs as j where j.lead_id = any (v_lead_ids) order by j.lead_id for no key update;
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

create or replace function public.leadhook_release_backlog(
  p_user_id uuid, p_tag text, p_after_lead text default '', p_limit int default 500, p_redo boolean default false, p_actor text default null,
  p_reason text default null
)
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_slice record;
begin
  perform leadhook.require_actor(p_actor);
  v_slice := leadhook.release_backlog(p_user_id, p_tag, p_after_lead, p_limit, p_redo);
  update leadhook.audit as a
  set parameters = a.parameters || jsonb_build_object('released', (a.parameters ->> 'released')::int + v_slice.released)
  where p_after_lead <> '' and a.id = (
    select o.id
    from leadhook.audit as o
    where o.at > clock_timestamp() - interval '1 day' and o.action = 'backlog_release' and o.actor = left(btrim(p_actor), 200)
      and o.parameters ->> 'user_id' = p_user_id::text and o.parameters ->> 'tag' = p_tag
    order by o.at desc
    limit 1
  );
  if not found then
    perform leadhook.note_action(p_actor, 'backlog_release', jsonb_build_object(
      'user_id', p_user_id, 'tag', p_tag, 'redo', p_redo, 'released', v_slice.released
    ), p_reason);
  end if;
  return to_jsonb(v_slice);
end
$$;
comment on function public.leadhook_release_backlog(uuid, text, text, int, boolean, text, text) is
  'Releases one slice of leadhook.release_backlog for the command. The audit has one entry per release of a group, not one per slice.';

-- Returns up to 1,000 users and tags with held leads, the newest prompts row first.
create or replace function leadhook.list_held_groups(p_user_id uuid, p_tag text)
returns table (user_id uuid, tag text, asked_at timestamptz)
language plpgsql
stable
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set plan_cache_mode = force_custom_plan
as $$
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

-- Returns up to 500 held leads of a user and tag, of a user, or of all users.
create or replace function leadhook.sample_held_leads(p_user_id uuid, p_tag text)
returns text[]
language plpgsql
stable
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
begin
  if p_user_id is null then
    return array(select j.lead_id from leadhook.jobs as j where j.state = 'held' order by j.lead_id limit 500);
  end if;
  return array(
    select j.lead_id
    from leadhook.jobs as j
    where j.state = 'held' and j.user_id = p_user_id and (p_tag is null or j.tag = p_tag)
    order by j.tag, j.lead_id
    limit 500
  );
end
$$;

create or replace function public.leadhook_held_leads(p_user_id uuid default null, p_tag text default null, p_redo boolean default false)
returns jsonb
language plpgsql
stable
set search_path = ''
set jit = off
set enable_seqscan = off
set plan_cache_mode = force_custom_plan
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_sample text[] := leadhook.sample_held_leads(p_user_id, p_tag);
  v_unsent text[] := array(select e.lead_id from leadhook.check_eligibility(v_sample) as e where e.unsent);
  v_answered text[] := leadhook.find_answered(v_unsent);
begin
  if p_user_id is null and p_tag is not null then
    raise exception 'p_tag needs p_user_id' using errcode = 'PT400';
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
      from leadhook.measure_held_leads(array(
        select u.lead_id from unnest(v_unsent) as u (lead_id) where p_redo or u.lead_id <> all (v_answered)
      )) as s
    ),
    'groups', (
      select coalesce(jsonb_agg(to_jsonb(g) || jsonb_build_object('held', (
        select count(*)
        from (select from leadhook.jobs as j where j.state = 'held' and j.user_id = g.user_id and j.tag = g.tag limit 1000) as j
      ))), '[]')
      from (select s.* from leadhook.list_held_groups(p_user_id, p_tag) as s limit 100) as g
    )
  );
end
$$;
comment on function public.leadhook_held_leads(uuid, text, boolean) is
  'Returns the held leads for a page: how many (up to 10,000); of a sample of looked_at leads, how many have an answer, how many something '
  'else has marked as sent, and the size of what a release would queue; groups: the first 100 with up to 1,000 leads each.';

-- Releases the next slice of a release. Does nothing if another call is working on it, or it has ended.
create or replace function leadhook.work_on_release(p_release_id bigint)
returns void
language plpgsql
set search_path = ''
as $$
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

create or replace function public.leadhook_begin_release(
  p_user_id uuid, p_tag text, p_limit int, p_redo boolean, p_actor text, p_reason text default null, p_request_id uuid default null
)
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
declare
  v_id bigint;
begin
  perform leadhook.require_actor(p_actor);
  if p_limit is null or p_limit < 1 or p_user_id is null and p_tag is not null then
    raise exception 'p_limit must be 1 or more, and p_tag needs p_user_id' using errcode = 'PT400';
  end if;
  insert into leadhook.releases (actor, reason, user_id, tag, redo, lead_limit, groups, request_id)
  select left(btrim(p_actor), 200), left(p_reason, 500), p_user_id, p_tag, p_redo, p_limit,
    coalesce(jsonb_agg(jsonb_build_object('user_id', s.user_id, 'tag', s.tag)), '[]'), p_request_id
  from leadhook.list_held_groups(p_user_id, p_tag) as s
  on conflict (request_id) do nothing
  returning id into v_id;
  if v_id is not null then
    perform leadhook.note_action(p_actor, 'backlog_release', jsonb_build_object(
      'release_id', v_id, 'user_id', p_user_id, 'tag', p_tag, 'redo', p_redo, 'limit', p_limit
    ), p_reason);
    perform leadhook.work_on_release(v_id);
  end if;
  return (
    select jsonb_build_object('release_id', r.id, 'released', r.released)
    from leadhook.releases as r where r.id = v_id or r.request_id = p_request_id
  );
end
$$;
comment on function public.leadhook_begin_release(uuid, text, int, boolean, text, text, uuid) is
  'Begins to release up to p_limit held leads of a user and tag, of a user, or of all users, the newest prompts row first; '
  'leadhook_replay_slice continues. A repeated call with the same p_request_id returns the same release.';

create or replace function public.leadhook_stop_release(p_release_id bigint, p_actor text, p_reason text default null)
returns jsonb
language plpgsql
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
begin
  perform leadhook.require_actor(p_actor);
  update leadhook.releases as r set ended_at = clock_timestamp() where r.id = p_release_id and r.ended_at is null;
  if found then
    perform leadhook.note_action(p_actor, 'release_stop', jsonb_build_object('release_id', p_release_id), p_reason);
  end if;
  return coalesce((
    select jsonb_build_object('release_id', r.id, 'released', r.released) from leadhook.releases as r where r.id = p_release_id
  ), '{}');
end
$$;
comment on function public.leadhook_stop_release(bigint, text, text) is 'Stops a release. Leads that it has queued stay queued.';

select leadhook.grant_functions();
