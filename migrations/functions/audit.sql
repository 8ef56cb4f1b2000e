-- Purpose: who did what, and why. Functions that act write the entry in their own transaction, whether the API, a command or the console calls them.

set local check_function_bodies = off;

-- Appends an audit entry. p_parameters must not name a lead.
create or replace function leadhook.note_action(p_actor text, p_action text, p_parameters jsonb, p_reason text)
returns void
language sql
set search_path = ''
as $$
  insert into leadhook.audit (actor, action, parameters, reason)
  values (left(btrim(p_actor), 200), p_action, jsonb_strip_nulls(p_parameters), left(nullif(btrim(p_reason), ''), 500))
$$;

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
  'Signs an operator in with a link to the console. redeemed false: the link was used before. p_link: a fingerprint of the link.';

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
    raise exception 'p_limit must be 1 to 100' using errcode = 'PT400';
  end if;
  with recent as materialized (
    select a.* from leadhook.audit as a where p_before is null or a.id < p_before order by a.id desc limit 20000
  ),
  page as (
    select r.*
    from recent as r
    where (p_filter ->> 'action' is null or r.action = p_filter ->> 'action')
      and (p_filter ->> 'actor' is null or r.actor = p_filter ->> 'actor')
      and (p_filter ->> 'user_id' is null or r.parameters ->> 'user_id' = p_filter ->> 'user_id')
      and (p_filter ->> 'since' is null or r.at >= (p_filter ->> 'since')::timestamptz)
      and (p_filter ->> 'until' is null or r.at < (p_filter ->> 'until')::timestamptz)
    order by r.id desc
    limit p_limit + 1
  )
  select
    coalesce(jsonb_agg(to_jsonb(p) order by p.id desc), '[]'),
    (select min(r.id) from recent as r having count(*) = 20000)
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
  'Returns up to p_limit audit entries before id p_before (null: the newest) that match p_filter {action, actor, user_id, since, until}, newest '
  'first. before: p_before of the next page; null: this was the last page. Reads at most 20,000 entries per call, so a page may be short.';

select leadhook.grant_functions();
