"""What the settings allow but a person should know of: said once at the start, and by `/ready`."""

from leadhook.credentials import supabase_role
from leadhook.observability.operator_log import find_zone
from leadhook.settings import Settings


def key_problem(settings: Settings) -> str | None:
    """Why the database will refuse the Supabase key, in words; None when nothing speaks against it."""
    name = settings.supabase_key_name
    role = supabase_role(settings.supabase_key.get_secret_value())
    if role == "service_role" or (role is None and name != "SUPABASE_ANON_KEY"):
        return None
    return (
        f"{name} holds a key of the role {role or 'anon'}, which may not claim or save leads: only service_role may, "
        "and its rights are handed to nobody else. Set SUPABASE_SECRET_KEY to the project's sb_secret_ key."
    )


def webhook_problem(settings: Settings) -> str | None:
    """Why every webhook will be refused, in words; None when there is a secret to prove them by."""
    if settings.webhook_secrets or settings.webhook_static_header:
        return None
    return (
        "Neither WEBHOOK_SECRETS nor WEBHOOK_STATIC_HEADER is set: every webhook is refused, and leads wait for the "
        "sweep. `leadhook webhooks install --url https://YOUR-SERVICE/webhooks/leads` prints the line to set; then "
        "restart the service."
    )


def problems(settings: Settings) -> list[str]:
    """What keeps the service from being ready, a sentence each."""
    return [problem for problem in (key_problem(settings), webhook_problem(settings)) if problem]


def warnings(settings: Settings) -> list[str]:
    """What works but deserves a second look, a sentence each."""
    found = problems(settings)
    if settings.poll_interval_sec:
        found.append(
            "POLL_INTERVAL_SEC is ignored, as nothing is polled: SWEEP_INTERVAL_SEC "
            f"({settings.sweep_interval_sec:g} s) says how often leads are searched for that no ring told of."
        )
    if settings.webhook_static_header:
        found.append(
            "WEBHOOK_STATIC_HEADER is set: whoever may connect to the database can read that header. "
            "Signed rings (WEBHOOK_SECRETS) are safer."
        )
    if settings.log_file and find_zone(settings.log_timezone) is None:
        found.append("LOG_TIMEZONE names no time zone that is known here: the times in LOG_FILE are India's (IST).")
    return found
