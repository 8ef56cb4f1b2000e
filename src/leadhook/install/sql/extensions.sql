-- The available extensions that webhooks need, and whether they are enabled.
select e.name::text, e.installed_version is not null as enabled
from pg_catalog.pg_available_extensions as e
where e.name in ('pg_net', 'supabase_vault')
