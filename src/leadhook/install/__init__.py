"""Installs, migrates and uninstalls, as the database's owner, over psycopg. The service itself needs fewer rights.

`install` runs all of it; `migrate` applies the SQL files (`files`), `webhooks` the triggers. `locks` has how a table in
use is changed, `tables` what is required of the application's tables, `sequences` what a restore leaves wrong.
"""
