-- What the ring is made of. The values never leave this process.
select s.name, s.decrypted_secret as value
from vault.decrypted_secrets as s
where s.name in ('leadhook_ring_url', 'leadhook_ring_secret')
