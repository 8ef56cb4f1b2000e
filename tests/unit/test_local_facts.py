"""The environment of a local stack."""

from leadhook.local.state import is_of_a_stack, service_environment

FACTS: dict[str, object] = {
    "supabase_url": "http://127.0.0.1:1", "secret_key": "visibly-fake", "webhook_secret": "visibly-fake",
    "admin_token": "visibly-fake", "service_url": "http://127.0.0.1:2", "database_url": "postgresql://127.0.0.1:3/x",
    "gemini_url": "http://127.0.0.1:4",
}  # fmt: skip


def test_a_new_stack_does_not_use_the_model_of_one_that_may_be_gone() -> None:
    """`leadhook local env` was evaluated in this shell; GEMINI_BASE_URL alone is what a person wants."""
    env = service_environment(FACTS)
    assert is_of_a_stack(env)
    assert not is_of_a_stack({"GEMINI_BASE_URL": env["GEMINI_BASE_URL"]})
    assert not is_of_a_stack(env | {"GEMINI_BASE_URL": "https://models.example.com"})
