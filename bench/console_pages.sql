-- Of ten leads seven are done, one is dead or quarantined, one is held, and one waits. 200 users, of whom the first has a tenth of the leads; seven tags;
-- a replay of a tenth, of which half is scored; a released backlog; a month of attempts. :leads is the number of leads.
set session_replication_role = replica;
create temp table seed as
select i, 'lead-' || lpad(i::text, 8, '0') as lead_id,
  ('00000000-0000-4000-8000-' || lpad((case when i % 10 = 0 then 0 else i % 200 end)::text, 12, '0'))::uuid as user_id,
  'tag-' || i / 7 % 7 as tag, now() - ((:leads - i) * interval '30 days' / :leads) as at,
  case when i % 100 < 70 then 'done' when i % 100 < 80 then 'dead' when i % 100 < 90 then 'held' when i % 100 < 95 then 'ready' else 'waiting' end as state,
  i % 100 < 80 and i % 1000 <> 77 as attempted
from generate_series(1, :leads) as i;
insert into public.gemini_api (api_key) select 'visibly-fake-key-' || i from generate_series(1, 50) as i;
insert into public.prompts (user_id, tag, wildnet_data, scoring_criteria_and_icp, message_prompt)
select distinct user_id, tag, repeat('Quiet pumps. ', 80), repeat('Directors. ', 70), repeat('Be brief. ', 30) from seed;
insert into public.all_leads (lead_id, user_id, tag, scrapped, linkedin_url)
select lead_id, user_id, tag, true, 'https://linkedin.example/in/' || lead_id from seed;
insert into public.lead_details (lead_id, name, title, company_name, experience, bio, profile_url, sent_to_llm)
select lead_id, 'Name of ' || lead_id, 'Chief purchasing director', 'Acme ' || i / 10, repeat('Director at Acme. ', 16) || i,
  repeat('Twenty years of machinery. ', 12) || i, 'https://example.com/' || lead_id, state = 'done'
from seed;
insert into public.llm_response (lead_id, score, response, should_contact)
select lead_id, 70, 'A sentence or two. ', 1 from seed where i % 90 = 0 or state = 'done';
insert into leadhook.jobs (lead_id, user_id, tag, state, available_at, eligible_at, finished_at, error_code, reason, low_priority, replay_id)
select lead_id, user_id, tag, state, at, at - interval '3 s', case when state in ('done', 'dead') then at end,
  case when i % 1000 = 77 then 'evaluation_failed' when state = 'dead' then 'code-' || i % 5 when state = 'ready' and i % 3 = 0 then 'gemini_unavailable' end,
  case when state in ('ready', 'dead') then 'A reason of a sentence or so, with the number ' || i % 40 end,
  state = 'ready' and i % 2 = 0, case when state = 'ready' and i % 4 = 0 then 1 end
from seed;
insert into leadhook.attempts (lead_id, run, fence, outcome, error_code, reason, source, replay_id, calls, input_tokens, output_tokens, cost_usd, model_ms,
  first_call_ms, eligible_at, finished_at)
select lead_id, 1, 1, case state when 'dead' then 'dead' when 'done' then case when i % 50 = 3 then 'saved_without_message' else 'saved' end end,
  case when state = 'dead' then 'code-' || i % 5 end, case when state = 'dead' then 'A reason' end, 'webhook', case when i % 20 = 3 then 1 end, 2, 1000, 100,
  0.001, 2000, 40, at - interval '3 s', at
from seed where attempted order by i;
insert into leadhook.results (lead_id, run, score, response, should_contact, flags, prompt_version, written, created_at)
select lead_id, 1, i % 97, 'A sentence or two. ', i % 97 >= 50, case when i % 300 = 1 then '{gives_orders}'::text[] else '{}' end,
  'p' || i % 3, true, at
from seed where state = 'done';
insert into leadhook.replays (actor, reason, filter, phase, counts)
values ('bench', 'why', '{"tag": "tag-1"}', 'queued', '{"queued": 100000}');
insert into leadhook.replay_leads (replay_id, lead_id, run, outcome) select 1, lead_id, 1, 'queued' from seed where i % 20 = 3 or state = 'ready';
insert into leadhook.webhooks (message_id, reason, leads, sent_at) select lead_id, 'leads', 1, at from seed where i % 10 = 0;
insert into leadhook.audit (actor, action, reason, at)
select 'admin:' || i % 5, case when i % 3 = 0 then 'pause' else 'resume' end, 'why', at from seed where i % 20 = 0;
update leadhook.controls set first_round_finished_at = now() where id;
reset session_replication_role;
select leadhook.count_attempts(now(), '10 min');
