"""What local.json tells of a stack, as the environment that `leadhook serve` and the other commands need."""

GOOGLE = "https://generativelanguage.googleapis.com"


def service_environment(facts: dict[str, object]) -> dict[str, str]:
    """What the service needs to work on this stack, and `leadhook replay` to find and ask it."""
    url = str(facts["service_url"])
    env = {
        "SUPABASE_URL": facts["supabase_url"],
        "SUPABASE_SECRET_KEY": facts["secret_key"],
        "WEBHOOK_SECRETS": facts["webhook_secret"],
        "ADMIN_TOKENS": facts["admin_token"],
        "ADMIN_TOKEN": facts["admin_token"],
        "SERVICE_URL": url,
        "HOST": "127.0.0.1",
        "PORT": url.rpartition(":")[2],
        "DATABASE_URL": facts["database_url"],
    }
    if facts["gemini_url"] != GOOGLE:
        env["GEMINI_BASE_URL"] = facts["gemini_url"]
    return {name: str(value) for name, value in env.items()}
