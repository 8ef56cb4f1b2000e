"""The database's owner at work: migrations and webhooks, over psycopg, with more rights than the service ever has."""
