"""What local.json tells of a stack, as the environment that `leadhook serve` and the other commands need."""

from collections.abc import Mapping

GOOGLE = "https://generativelanguage.googleapis.com"


def service_environment(facts: dict[str, object]) -> dict[str, str]:
    """What the service needs to work on this stack, and `leadhook replay` to find and ask it.

    A bare stack has no webhook secret: `leadhook install` makes it.
    """
    url = str(facts["service_url"])
    env = {
        "SUPABASE_URL": facts["supabase_url"],
        "SUPABASE_SECRET_KEY": facts["secret_key"],
        "ADMIN_TOKENS": facts["admin_token"],
        "ADMIN_TOKEN": facts["admin_token"],
        "SERVICE_URL": url,
        "HOST": "127.0.0.1",
        "PORT": url.rpartition(":")[2],
        "DATABASE_URL": facts["database_url"],
    }
    if "webhook_secret" in facts:
        env["WEBHOOK_SECRETS"] = facts["webhook_secret"]
    if facts["gemini_url"] != GOOGLE:
        env["GEMINI_BASE_URL"] = facts["gemini_url"]
    return {name: str(value) for name, value in env.items()}


def is_of_a_stack(env: Mapping[str, str]) -> bool:
    """Whether this shell has taken over a stack's environment; its stand-in for Gemini ends with that stack."""
    names = ("SUPABASE_URL", "SERVICE_URL", "GEMINI_BASE_URL")
    return all(env.get(name, "").startswith("http://127.0.0.1:") for name in names)
