"""A Supabase without Docker: real Postgres, real PostgREST, and stand-ins for what no package registry has."""
