-- Where the database woke and what it signed with.
delete from vault.secrets as s where s.name in ('leadhook_webhook_url', 'leadhook_webhook_secret')
