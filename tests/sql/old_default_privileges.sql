-- Purpose: what projects had before 30 October 2026: everything made in public is granted to the API's roles.
-- Changes: default privileges in public of postgres and supabase_admin. Run right after database.sql.

alter default privileges for role postgres, supabase_admin in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres, supabase_admin in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role postgres, supabase_admin in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
