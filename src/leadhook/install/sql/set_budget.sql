select public.leadhook_set_budget(%(user)s::uuid, %(usd)s::numeric, %(actor)s::text) as reply
