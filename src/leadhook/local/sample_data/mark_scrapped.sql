update public.all_leads set scrapped = true
where lead_id in (select given.lead_id from jsonb_to_recordset(%(rows)s) as given (lead_id text)) and scrapped is not true;
