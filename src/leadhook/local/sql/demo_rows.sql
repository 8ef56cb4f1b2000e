select
  lead.lead_id, details.name, details.bio, answer.score, answer.should_contact = 1 as contact, answer.subject,
  answer.message, answer.response, coalesce(result.flags, '{}') as flags,
  job.state, job.reason, saved.source, saved.key_wait_ms,
  extract(epoch from saved.finished_at - %(committed_at)s)::float8 * 1000 as saved_ms,
  extract(epoch from saved.eligible_at - %(committed_at)s)::float8 * 1000 + saved.first_call_ms as commit_to_call_ms,
  coalesce(spent.calls, 0)::int as calls,
  coalesce(spent.input_tokens, 0)::int as input_tokens,
  coalesce(spent.output_tokens, 0)::int as output_tokens,
  spent.cost_usd::float8 as cost_usd
from public.all_leads as lead
  join public.lead_details as details on details.lead_id = lead.lead_id
  left join public.llm_response as answer on answer.lead_id = lead.lead_id and answer.tag = lead.tag
  left join leadhook.jobs as job on job.lead_id = lead.lead_id
  left join lateral (
    select attempt.* from leadhook.attempts as attempt
    where attempt.lead_id = lead.lead_id and attempt.outcome = 'saved' order by attempt.id desc limit 1
  ) as saved on true
  left join leadhook.results as result on result.lead_id = saved.lead_id and result.run = saved.run
  left join lateral (
    select sum(attempt.calls) as calls, sum(attempt.input_tokens) as input_tokens, sum(attempt.output_tokens) as output_tokens,
      sum(attempt.cost_usd) as cost_usd
    from leadhook.attempts as attempt where attempt.lead_id = lead.lead_id
  ) as spent on true
where lead.lead_id = any (%(lead_ids)s)
order by answer.score desc nulls last, lead.lead_id;
