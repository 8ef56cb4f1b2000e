-- Deletes the URL and the secret of the webhooks.
delete from vault.secrets as s where s.name in ('leadhook_webhook_url', 'leadhook_webhook_secret')
