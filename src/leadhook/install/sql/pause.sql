select public.leadhook_pause(%(user)s::uuid, %(tag)s::text, %(actor)s::text, %(reason)s::text) as reply
