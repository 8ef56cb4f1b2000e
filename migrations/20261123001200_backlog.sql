-- Purpose: what was eligible before leadhook came, and how it is let go: on request, lane by lane, a slice at a time.
-- Touches: functions in schema leadhook. Where leadhook was taken out and comes back, the backlog begins anew.
-- Undo:    drop function leadhook.release_backlog(uuid, text, text, int, boolean), leadhook.held_lanes(uuid, text, timestamptz);

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
