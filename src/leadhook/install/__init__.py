"""Installs, migrates and uninstalls, as the database's owner, over psycopg. The service itself needs fewer rights.

`install` runs all of it; `migrate` applies the SQL files (`files`), `webhooks` creates the triggers. `locks` changes
tables in use, `tables` checks the application's tables, and `sequences` fixes sequences after a restore.
"""
