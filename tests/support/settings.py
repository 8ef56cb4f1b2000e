"""The service's settings for tests: what is required, and what the test adds."""

from typing import Final

from leadhook.settings import Settings, load_settings

REQUIRED: Final = {"SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_SECRET_KEY": "visibly-fake-key"}


def settings(**env: str) -> Settings:
    return load_settings(REQUIRED | env)
