"""The data that is scored: a lead, and the `prompts` row of its group."""

from hashlib import sha256

from pydantic import JsonValue

from leadhook.domain.facts import Facts


class Lead(Facts):
    """The data of a lead. Everything but the id may be missing, and no field can be trusted."""

    lead_id: str
    tag: str | None = None
    name: str | None = None
    title: str | None = None
    location: str | None = None
    company_name: str | None = None
    experience: JsonValue = None
    skills: JsonValue = None
    bio: str | None = None
    profile_url: str | None = None
    linkedin_url: str | None = None
    company_page_url: str | None = None


class Prompts(Facts):
    """One `prompts` row: the company, the criteria for a good lead, and how to write to it."""

    wildnet_data: str | None = None
    scoring_criteria_and_icp: str | None = None
    message_prompt: str | None = None

    @property
    def digest(self) -> str:
        """16 hex digits that change if any of the texts changes."""
        return sha256(self.model_dump_json().encode("utf-8", "backslashreplace")).hexdigest()[:16]
