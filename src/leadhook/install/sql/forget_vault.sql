-- Where the database rang and what it signed with.
delete from vault.secrets as s where s.name in ('leadhook_ring_url', 'leadhook_ring_secret')
