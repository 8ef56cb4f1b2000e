"""The text shown when a stack is running: addresses, keys and next steps."""

import shlex
from pathlib import Path

from leadhook.local.sample import sample_owner


def welcome(state_dir: Path, facts: dict[str, object]) -> str:
    """Return the text for the terminal, without secrets."""
    user_id, tag = sample_owner()
    where = shlex.quote(str(state_dir))
    service, supabase = facts["service_url"], facts["supabase_url"]
    return f"""
Service        {service}  (API: {service}/docs, health: {service}/ready)
Supabase       {supabase}
Keys, tokens   {state_dir / "local.json"}; `leadhook local env` prints them for a shell
Logs           {state_dir / "service.log"}

Insert your own lead from another terminal (leadhook means .venv/bin/leadhook):
  eval "$(leadhook local env {where})"
  add() {{ curl -sS "$SUPABASE_URL/rest/v1/$1" -H "apikey: $SUPABASE_SECRET_KEY" \\
    -H "Content-Type: application/json" -d "$2"; }}
  add lead_details '{{"lead_id":"mine-1","name":"Eva Brandt","title":"Head of Logistics"}}'
  add all_leads '{{"lead_id":"mine-1","user_id":"{user_id}","tag":"{tag}","scrapped":true}}'
  leadhook explain mine-1

Ctrl-C stops everything; data is kept. New answers:"""


def bare_welcome(state_dir: Path) -> str:
    """Return the text for a stack without leadhook."""
    where = shlex.quote(str(state_dir))
    return f"""
The database does not contain leadhook. Load a dump of your project and rehearse
the install, from another terminal (leadhook means .venv/bin/leadhook):
  eval "$(leadhook local env {where})"
  psql "$DATABASE_URL" -f your-dump.sql
  leadhook install --plan
  leadhook install --url "$SERVICE_URL/webhooks/leads"
  leadhook serve    # after setting the WEBHOOK_SECRETS that install prints

Errors from psql about pg_graphql, storage, realtime or tables of auth other than
auth.users are expected, because this stack does not have them.

Ctrl-C stops everything; data is kept."""
