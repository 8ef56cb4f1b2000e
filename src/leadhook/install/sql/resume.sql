select public.leadhook_resume(%(user)s::uuid, %(tag)s::text, %(actor)s::text) as reply
