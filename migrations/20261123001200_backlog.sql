-- Purpose: what was eligible before leadhook came, and how it is let go: on request, lane by lane, a slice at a time.
-- Touches: functions in schema leadhook; public.leadhook_backlog, public.leadhook_release_backlog. Where leadhook was taken out and comes back, the backlog begins anew.
-- Undo:    drop function public.leadhook_release_backlog(uuid, text, text, int, boolean),
--          public.leadhook_backlog(uuid, text, timestamptz, boolean), leadhook.held_size(uuid, text, timestamptz, boolean),
--          leadhook.release_backlog(uuid, text, text, int, boolean), leadhook.held_lanes(uuid, text, timestamptz);

-- `leadhook uninstall` leaves 'infinity' behind: until leadhook is back, nobody can have asked it for anything.
update leadhook.controls as c set installed_at = clock_timestamp() where c.installed_at = 'infinity';

create or replace function leadhook.held_lanes(
  p_user_id uuid default null, p_tag text default null, p_since timestamptz default null
)
returns table (user_id uuid, tag text, asked_at timestamptz, held bigint, answered bigint, sent bigint)
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
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
    where d.sent_to_llm is not true and d.sent_to_llm::text is distinct from 'true'
  ),
  lanes as materialized (
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
    from lanes as l
    left join public.prompts as p on p.user_id = l.user_id and p.tag = l.tag
    group by l.user_id, l.tag
  )
  select l.user_id, l.tag, a.asked_at, l.held, l.answered, l.sent
  from lanes as l
  join asked as a on a.user_id = l.user_id and a.tag = l.tag
  where p_since is null or a.asked_at >= p_since
  order by a.asked_at desc nulls last, l.user_id, l.tag;
end
$$;
comment on function leadhook.held_lanes(uuid, text, timestamptz) is
  'The users and tags with held leads, those with the newest prompts row first: how many are held, how many of them have an answer already, and '
  'how many were marked as sent by something else since. p_since: only those whose newest prompts row is not older.';
revoke all on function leadhook.held_lanes(uuid, text, timestamptz) from public, anon, authenticated;
grant execute on function leadhook.held_lanes(uuid, text, timestamptz) to service_role;

create or replace function leadhook.release_backlog(
  p_user_id uuid, p_tag text, p_after_lead text, p_limit int, p_redo boolean,
  out last_lead text, out released int, out answered int, out unwanted int
)
language plpgsql
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
set lock_timeout = '2s'
as $$
declare
  v_lead_ids text[];
  v_answered text[];
  v_now timestamptz;
begin
  -- The drain's lock: what is judged here is judged by nobody else.
  perform leadhook.lock_drain();
  v_lead_ids := array(
    select j.lead_id
    from leadhook.jobs as j
    where j.state = 'held' and j.user_id = p_user_id and j.tag = p_tag and j.lead_id > p_after_lead
    order by j.lead_id
    limit 500
  );
  perform from leadhook.jobs as j where j.lead_id = any (v_lead_ids) order by j.lead_id for no key update;
  -- held -> waiting, or forgotten, where a lead is not eligible any more.
  perform leadhook.settle(v_lead_ids, array_fill(clock_timestamp(), array[cardinality(v_lead_ids)]), 'release', 'check');
  v_answered := case when p_redo then '{}' else leadhook.find_answered(v_lead_ids) end;
  v_now := clock_timestamp();

  with still_held as materialized (
    select j.lead_id, j.lead_id = any (v_answered) as answered
    from leadhook.jobs as j
    where j.lead_id = any (v_lead_ids) and j.state = 'held'
  ),
  chosen as materialized (
    select s.lead_id from still_held as s where not s.answered order by s.lead_id limit greatest(p_limit, 0)
  ),
  moved as (
    update leadhook.jobs as j
    set state = 'ready', slow = true, attempts = 0, available_at = v_now, eligible_at = v_now, found_by = 'release',
      error_code = null, reason = null, finished_at = null
    where j.lead_id = any (array(select c.lead_id from chosen as c))
    returning j.lead_id
  )
  select
    (select count(*) from moved),
    (select count(*) from still_held as s where s.answered),
    cardinality(v_lead_ids) - (select count(*) from still_held)
  into released, answered, unwanted;

  last_lead := v_lead_ids[500];
  if released > 0 then
    perform leadhook.ring('backlog', released);
  end if;
end
$$;
comment on function leadhook.release_backlog(uuid, text, text, int, boolean) is
  'Makes ready, behind fresh leads, up to p_limit of the next 500 held leads of a user and tag, in the order of their ids, and rings. Without '
  'p_redo those that have an answer in llm_response stay held; what is not eligible any more goes to sleep. last_lead: where to go on '
  'while the limit is not reached; null when these were the last.';
revoke all on function leadhook.release_backlog(uuid, text, text, int, boolean) from public, anon, authenticated;
grant execute on function leadhook.release_backlog(uuid, text, text, int, boolean) to service_role;

-- 1100 and 800 are the fixed parts of the two requests: the instructions, and the names of a lead's fields.
create or replace function leadhook.held_size(p_user_id uuid, p_tag text, p_since timestamptz, p_redo boolean)
returns table (leads bigint, score_chars bigint, message_chars bigint)
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with held as materialized (
    select j.lead_id, j.user_id, j.tag
    from leadhook.jobs as j
    where j.state = 'held'
      and (held_size.p_user_id is null or j.user_id = held_size.p_user_id)
      and (held_size.p_tag is null or j.tag = held_size.p_tag)
      and (held_size.p_redo or not exists (select from public.llm_response as r where r.lead_id = j.lead_id))
  ),
  details as materialized (
    select d.lead_id, max(length(concat(
      d.name, d.title, d.location, d.company_name, d.experience, d.skills, d.bio, d.profile_url, d.company_page_url
    ))) as chars
    from public.lead_details as d
    where d.sent_to_llm is not true
    group by d.lead_id
  ),
  newest as materialized (
    select distinct on (p.user_id, p.tag) p.user_id, p.tag, p.created_at,
      length(concat(p.wildnet_data, p.scoring_criteria_and_icp)) as score_chars,
      length(concat(p.wildnet_data, p.message_prompt)) as message_chars
    from public.prompts as p
    order by p.user_id, p.tag, p.created_at desc nulls last
  )
  select
    count(*), coalesce(sum(d.chars + n.score_chars + 1100), 0)::bigint, coalesce(sum(d.chars + n.message_chars + 800), 0)::bigint
  from held as h
  join details as d on d.lead_id = h.lead_id
  join newest as n on n.user_id = h.user_id and n.tag = h.tag
  where held_size.p_since is null or n.created_at >= held_size.p_since
$$;
comment on function leadhook.held_size(uuid, text, timestamptz, boolean) is
  'How many held leads a release would queue, and how many characters the model would be sent for them.';
revoke all on function leadhook.held_size(uuid, text, timestamptz, boolean) from public, anon, authenticated;
grant execute on function leadhook.held_size(uuid, text, timestamptz, boolean) to service_role;

-- The whole backlog is counted; for a person who waits, hence the long limit.
create or replace function public.leadhook_backlog(
  p_user_id uuid default null, p_tag text default null, p_since timestamptz default null, p_redo boolean default false
)
returns jsonb
language plpgsql
stable
security invoker
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
      'released', (select count(*) from leadhook.jobs as j where j.state = 'ready' and j.slow),
      'leased', (select count(*) from leadhook.jobs as j where j.state = 'leased' and j.slow),
      'sent_while_leased', (
        select count(distinct t.lead_id)
        from leadhook.attempts as t
        where t.outcome = 'unwanted' and t.reason like '%already sent%' and t.finished_at > clock_timestamp() - interval '24 hours'
      ),
      'groups', (select coalesce(jsonb_agg(to_jsonb(l)), '[]') from leadhook.held_lanes(p_user_id, p_tag, p_since) as l),
      'size', (select to_jsonb(s) from leadhook.held_size(p_user_id, p_tag, p_since, p_redo) as s)
    )
    from leadhook.controls as c
  );
end
$$;
comment on function public.leadhook_backlog(uuid, text, timestamptz, boolean) is
  'The backlog: whether the first sweep round is over, released and leased leads of low priority, groups as leadhook.held_lanes has them, the size of '
  'what a release would queue, and sent_while_leased: leads that something else marked as sent in the last 24 hours while leadhook had leased them.';
revoke all on function public.leadhook_backlog(uuid, text, timestamptz, boolean) from public, anon, authenticated;
grant execute on function public.leadhook_backlog(uuid, text, timestamptz, boolean) to service_role;

create or replace function public.leadhook_release_backlog(
  p_user_id uuid, p_tag text, p_after_lead text default '', p_limit int default 500, p_redo boolean default false
)
returns jsonb
language plpgsql
security invoker
set search_path = ''
set jit = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
begin
  return (select to_jsonb(r) from leadhook.release_backlog(p_user_id, p_tag, p_after_lead, p_limit, p_redo) as r);
end
$$;
comment on function public.leadhook_release_backlog(uuid, text, text, int, boolean) is 'One slice of leadhook.release_backlog.';
revoke all on function public.leadhook_release_backlog(uuid, text, text, int, boolean) from public, anon, authenticated;
grant execute on function public.leadhook_release_backlog(uuid, text, text, int, boolean) to service_role;
