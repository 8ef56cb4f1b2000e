insert into public.prompts (user_id, tag, wildnet_data, scoring_criteria_and_icp, message_prompt, created_at)
select given.user_id, given.tag, given.wildnet_data, given.scoring_criteria_and_icp, given.message_prompt, clock_timestamp()
from jsonb_to_recordset(%(rows)s) as given
  (user_id uuid, tag text, wildnet_data text, scoring_criteria_and_icp text, message_prompt text)
where not exists (select from public.prompts as known where known.user_id = given.user_id and known.tag = given.tag);
