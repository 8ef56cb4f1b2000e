-- The URL and the secret of the webhooks, for this process only.
select s.name, s.decrypted_secret as value
from vault.decrypted_secrets as s
where s.name in ('leadhook_webhook_url', 'leadhook_webhook_secret')
