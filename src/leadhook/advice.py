"""Problems and warnings about valid settings, logged at startup and shown by `/ready`."""

from leadhook.credentials import supabase_role
from leadhook.network import is_exposed
from leadhook.observability.operator_log import find_zone
from leadhook.settings import Settings


def key_problem(settings: Settings) -> str | None:
    """Explain why the database will refuse the Supabase key, or return None."""
    name = settings.supabase_key_name
    role = supabase_role(settings.supabase_key.get_secret_value())
    if role == "service_role" or (role is None and name != "SUPABASE_ANON_KEY"):
        return None
    return (
        f"{name} holds a key of the role {role or 'anon'}, which may not claim or save leads: only service_role may. "
        "Set SUPABASE_SECRET_KEY to the project's sb_secret_ key."
    )


def webhook_problem(settings: Settings) -> str | None:
    """Explain why every webhook will be refused, or return None."""
    if settings.webhook_secrets or settings.webhook_static_header:
        return None
    return (
        "Neither WEBHOOK_SECRETS nor WEBHOOK_STATIC_HEADER is set: every webhook is refused, and leads wait for the "
        "sweep. `leadhook webhooks install --url https://YOUR-SERVICE/webhooks/leads` prints the line to set; then "
        "restart the service."
    )


def problems(settings: Settings) -> list[str]:
    """Return the problems that prevent the service from being ready."""
    return [problem for problem in (key_problem(settings), webhook_problem(settings)) if problem]


def warnings(settings: Settings) -> list[str]:
    """Return all problems, and settings that work but should be reviewed."""
    found = problems(settings)
    if settings.poll_interval_sec:
        found.append(
            "POLL_INTERVAL_SEC is ignored because nothing is polled. SWEEP_INTERVAL_SEC "
            f"({settings.sweep_interval_sec:g} s) sets how often to search for leads that no webhook announced."
        )
    urls = {
        "SUPABASE_URL": settings.supabase_url,
        "GEMINI_BASE_URL": settings.gemini_base_url,
        "The log service's URL": settings.otlp_logs_url if settings.log_ship == "otlp" else None,
    }
    found += [
        f"{name} is http:// and not in a private network: keys and leads are sent unencrypted. Use https://."
        for name, url in urls.items()
        if url and is_exposed(url)
    ]
    if settings.webhook_static_header:
        found.append(
            "WEBHOOK_STATIC_HEADER is set: anyone who can connect to the database can read that header. "
            "Signed webhooks (WEBHOOK_SECRETS) are safer."
        )
    if settings.log_file and find_zone(settings.log_timezone) is None:
        found.append("LOG_TIMEZONE is not a known time zone: the times in LOG_FILE are in India's (IST).")
    return found
