-- The URL of the webhooks and the secret that signs them.
delete from vault.secrets as s where s.name in ('leadhook_webhook_url', 'leadhook_webhook_secret')
