-- Purpose: the held leads as a page shows them, and their release, which goes on by itself.
-- A release is queued in slices of 500 leads: the first one by the call that begins it, the others by leadhook_replay_slice, group by group.

set local check_function_bodies = off;

create or replace function leadhook.held_scopes(p_user_id uuid, p_tag text)
returns table (user_id uuid, tag text, asked_at timestamptz)
language plpgsql
stable
set search_path = ''
set jit = off
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
comment on function leadhook.held_scopes(uuid, text) is 'The users and tags with held leads, up to 1,000, those with the newest prompts row first.';

create or replace function leadhook.held_sample(p_user_id uuid, p_tag text)
returns text[]
language plpgsql
stable
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
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
comment on function leadhook.held_sample(uuid, text) is 'Up to 500 held leads of a user and tag, of a user, or of all.';

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
comment on function public.leadhook_held_leads(uuid, text, boolean) is
  'Held leads, for a page: how many (up to 10,000); of looked_at of them how many have an answer and how many something else marked as sent, and the size of what a release '
  'would queue; groups: the first 100 of leadhook.held_scopes, with up to 1,000 leads each.';

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
comment on function leadhook.work_on_release(bigint) is 'One slice of a release that is being queued, unless another call is at it.';

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
    raise exception 'a release has a limit, and a tag belongs to a user' using errcode = 'PT400';
  end if;
  insert into leadhook.releases (actor, reason, user_id, tag, redo, lead_limit, groups, request_id)
  select left(btrim(p_actor), 200), left(p_reason, 500), p_user_id, p_tag, p_redo, p_limit,
    coalesce(jsonb_agg(jsonb_build_object('user_id', s.user_id, 'tag', s.tag)), '[]'), p_request_id
  from leadhook.held_scopes(p_user_id, p_tag) as s
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
  'Begins to release up to p_limit held leads of a user and tag, of a user, or of all, those of the newest prompts row first; leadhook_replay_slice goes on. '
  'p_request_id: called again with the same one, it returns the same release.';

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
  return (
    select coalesce(jsonb_agg(jsonb_build_object('release_id', r.id, 'released', r.released)) -> 0, '{}') from leadhook.releases as r where r.id = p_release_id
  );
end
$$;
comment on function public.leadhook_stop_release(bigint, text, text) is 'Releases no more of this release''s leads; those that are queued stay so.';

select leadhook.grant_functions();
