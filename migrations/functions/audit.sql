-- Purpose: who did what, and why. The functions that act note it in their transaction, whichever door the call came by.

set local check_function_bodies = off;

create or replace function leadhook.note_action(p_actor text, p_action text, p_parameters jsonb, p_reason text)
returns void
language sql
set search_path = ''
as $$
  insert into leadhook.audit (actor, action, parameters, reason)
  values (left(btrim(p_actor), 200), p_action, jsonb_strip_nulls(p_parameters), left(nullif(btrim(p_reason), ''), 500))
$$;
comment on function leadhook.note_action(text, text, jsonb, text) is 'Appends to the audit. The parameters name no lead.';

-- A release of 100,000 leads is one entry, not 200.
create or replace function leadhook.note_release(
  p_actor text, p_user_id uuid, p_tag text, p_redo boolean, p_is_first boolean, p_released int, p_reason text
)
returns void
language plpgsql
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
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
comment on function leadhook.note_release(text, uuid, text, boolean, boolean, int, text) is
  'Notes a slice of a release: with the first slice of its user and tag an entry, with the others their number in that entry.';

create or replace function public.leadhook_redeem_link(p_link text, p_actor text)
returns jsonb
language plpgsql
set search_path = ''
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
begin
  perform leadhook.require_actor(p_actor);
  insert into leadhook.audit (actor, action, parameters)
  values (left(btrim(p_actor), 200), 'sign_in', jsonb_build_object('link', p_link))
  on conflict ((parameters ->> 'link')) where action = 'sign_in' do nothing;
  return jsonb_build_object('redeemed', found);
end
$$;
comment on function public.leadhook_redeem_link(text, text) is
  'Notes that someone signs in with a link to the console. redeemed false: it was used before. p_link: a fingerprint of the link, which opens nothing.';

-- Reads 20,000 entries at most: a filter that fits none of them goes on behind them.
create or replace function public.leadhook_audit(p_filter jsonb default '{}', p_before bigint default null, p_limit int default 25)
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
comment on function public.leadhook_audit(jsonb, bigint, int) is
  'The entries before p_before (null: the newest) that fit p_filter {action, actor, user_id, since, until}, newest first. before: for the next page; '
  'null: these were the last.';

select leadhook.grant_functions();
