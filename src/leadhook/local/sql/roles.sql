-- Purpose: the roles of a hosted Supabase project, once a cluster. Passwords are set by the program.
-- Undo:    none; the cluster is thrown away.

create role postgres login nosuperuser createdb createrole replication bypassrls;
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
create role supabase_functions_admin login noinherit createrole;
create role supabase_auth_admin login noinherit createrole;

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role to postgres with admin option;
grant supabase_functions_admin, pg_monitor, pg_read_all_data, pg_signal_backend to postgres;

-- Dumps of data load with foreign keys and triggers off.
grant set on parameter session_replication_role to postgres;

alter role postgres set search_path = "$user", public, extensions;
alter role supabase_functions_admin set search_path = supabase_functions;
alter role supabase_auth_admin set search_path = auth;
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
