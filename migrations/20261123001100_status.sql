-- Purpose: what the service must know of the database to say whether it is able to work, in one cheap call.
-- Touches: one index on leadhook.jobs; functions leadhook.ring_settings, leadhook.key_states, leadhook.parked_keys,
--          leadhook.trigger_states, leadhook.gate_states; public.leadhook_status.
-- Undo:    drop function public.leadhook_status(), leadhook.gate_states(), leadhook.trigger_states(), leadhook.parked_keys(), leadhook.key_states(), leadhook.ring_settings();
--          drop index leadhook.jobs_at_rest_by_state;
-- Every count ends at 1000: the question is whether there are any, and whether there are many. It goes by an index, as a scan of a million jobs
-- of which none is in that state would not end sooner.

create index if not exists jobs_at_rest_by_state on leadhook.jobs (state) where state in ('waiting', 'held', 'dead', 'done');

-- security definer: service_role may not read Vault. It learns whether a value is there, never the value.
-- Vault and pg_net are optional: whatever they raise must not keep anybody from the rest of the status.
create or replace function leadhook.ring_settings(out url_set boolean, out secret_set boolean, out pg_net boolean, out vault_error text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  url_set := false;
  secret_set := false;
  pg_net := exists (
    select from pg_catalog.pg_proc as f where f.pronamespace = to_regnamespace('net') and f.proname = 'http_post'
  );
  if to_regclass('vault.decrypted_secrets') is null then
    return;
  end if;
  select
    coalesce(bool_or(s.name = 'leadhook_ring_url'), false),
    coalesce(bool_or(s.name = 'leadhook_ring_secret'), false)
  into url_set, secret_set
  from vault.decrypted_secrets as s
  where s.name in ('leadhook_ring_url', 'leadhook_ring_secret') and btrim(s.decrypted_secret, E' \t\r\n') <> '';
exception when assert_failure or others then
  -- Not the message, which may quote what could not be decrypted.
  vault_error := sqlstate;
end
$$;
comment on function leadhook.ring_settings() is
  'Whether pg_net is there and Vault holds the ring''s URL and secret; vault_error: the SQLSTATE with which Vault could not be read.';
revoke all on function leadhook.ring_settings() from public, anon, authenticated;
grant execute on function leadhook.ring_settings() to service_role;

create or replace function leadhook.key_states(
  out total bigint, out healthy bigint, out untried bigint, out cooling bigint, out disabled bigint, out next_return_at timestamptz
)
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
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
comment on function leadhook.key_states() is
  'How many Gemini keys there are, and how they are; two rows with the same key are one. healthy: may be used; untried: those of them that no call '
  'has succeeded with yet.';
revoke all on function leadhook.key_states() from public, anon, authenticated;
grant execute on function leadhook.key_states() to service_role;

create or replace function leadhook.parked_keys()
returns jsonb
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
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
comment on function leadhook.parked_keys() is 'The first 20 keys that may not be used, by fingerprint: until when (null: until its row changes) and why.';
revoke all on function leadhook.parked_keys() from public, anon, authenticated;
grant execute on function leadhook.parked_keys() to service_role;

-- tgtype: 4 insert, 8 delete, 16 update, 32 truncate.
create or replace function leadhook.trigger_states()
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_object_agg(w.relation, coalesce(h.events, 0) & w.events = w.events)
  from (values ('all_leads', 60), ('lead_details', 60), ('prompts', 20), ('gemini_api', 20)) as w (relation, events)
  left join lateral (
    select bit_or(t.tgtype::int) as events
    from pg_catalog.pg_trigger as t
    join pg_catalog.pg_proc as f on f.oid = t.tgfoid
    where t.tgrelid = to_regclass('public.' || w.relation) and t.tgenabled in ('O', 'A') and f.pronamespace = 'leadhook'::regnamespace
  ) as h on true
$$;
comment on function leadhook.trigger_states() is 'For each watched table, whether enabled triggers of ours see all that matters.';
revoke all on function leadhook.trigger_states() from public, anon, authenticated;
grant execute on function leadhook.trigger_states() to service_role;

create or replace function leadhook.gate_states()
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
begin
  return jsonb_build_object(
    'pauses', (
      select coalesce(jsonb_agg(to_jsonb(p)), '[]')
      from (
        select a.user_id, a.tag, a.actor, a.reason, a.paused_at from leadhook.pauses as a order by a.user_id nulls first, a.tag nulls first limit 20
      ) as p
    ),
    'budgets', (
      select coalesce(jsonb_agg(to_jsonb(b)), '[]')
      from (
        select
          l.user_id, l.daily_usd, l.left_usd, l.left_usd <= 0 or coalesce(l.left_usd < l.needed_usd, false) as spent,
          l.daily_usd = 0 or coalesce(l.needed_usd > l.daily_usd, false) as too_small
        from leadhook.budgets_left(clock_timestamp()) as l
        order by l.user_id nulls first
        limit 20
      ) as b
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
comment on function leadhook.gate_states() is 'The first 20 pauses, the first 20 budgets with what is left of them today, and the dollars of today in UTC.';
revoke all on function leadhook.gate_states() from public, anon, authenticated;
grant execute on function leadhook.gate_states() to service_role;

create or replace function public.leadhook_status()
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
set enable_seqscan = off
set statement_timeout = '5s'
set lock_timeout = '2s'
as $$
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
      'touches', (select count(*) from (select from leadhook.touches as t limit 1000) as n),
      'keys', v_keys,
      'parked_keys', v_parked_keys,
      'triggers', leadhook.trigger_states(),
      'ring', to_jsonb(r),
      'jobs', jsonb_build_object(
        'waiting', (select count(*) from (select from leadhook.jobs as j where j.state = 'waiting' limit 1000) as n),
        'ready', (select count(*) from (select from leadhook.jobs as j where j.state = 'ready' limit 1000) as n),
        'leased', (select count(*) from (select from leadhook.jobs as j where j.state = 'leased' limit 1000) as n),
        'done', (select count(*) from (select from leadhook.jobs as j where j.state = 'done' limit 1000) as n),
        'dead', (select count(*) from (select from leadhook.jobs as j where j.state = 'dead' limit 1000) as n),
        'held', (select count(*) from (select from leadhook.jobs as j where j.state = 'held' limit 1000) as n)
      )
    ) || leadhook.gate_states() || leadhook.waiting_work(clock_timestamp())
    from leadhook.controls as c
    cross join leadhook.ring_settings() as r
  );
end
$$;
comment on function public.leadhook_status() is 'What /ready tells of the database. Needs neither pg_net nor Vault nor the application''s tables.';
revoke all on function public.leadhook_status() from public, anon, authenticated;
grant execute on function public.leadhook_status() to service_role;
