"""What a webhook's body says: Supabase's webhook body, or our own form of it with `records`.

Our own triggers send `records`, a list of up to 20 lead ids, as the change itself is kept in the database and the
webhook only says "look". Supabase's dashboard webhooks send the row, and with them the row is all that is known.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

MOST_HINTS: Final = 500
LONGEST_HINT: Final = 200

Table = Literal["all_leads", "lead_details", "prompts", "gemini_api"]
LEAD_TABLES: Final = ("all_leads", "lead_details")
EITHER_FORM: Final[dict[str, Any]] = {
    "anyOf": [
        {"required": ["records"], "properties": {"records": {"type": "array"}}},
        {
            "required": ["table", "schema"],
            "properties": {
                "type": {"enum": ["INSERT", "UPDATE", "DELETE"]},
                "table": {"type": "string"},
                "schema": {"type": "string"},
            },
        },
    ]
}
"""What `_dashboard_webhooks_name_their_table` demands, for the document."""


class WebhookBody(BaseModel):
    """A change in the database. Of each row only `lead_id` and `sent_to_llm` are read."""

    model_config = ConfigDict(frozen=True, strict=True, use_attribute_docstrings=True, json_schema_extra=EITHER_FORM)

    type: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z_]{0,39}$")]
    """INSERT, UPDATE or DELETE; leadhook's own triggers also send TRUNCATE and other reasons to look for work."""
    table: Table | None = None
    database_schema: Literal["public"] | None = Field(default=None, alias="schema")
    record: dict[str, Any] | None = None
    # The first fault ends it: half a million of them would take more memory than the body.
    records: tuple[str | dict[str, Any], ...] | None = Field(default=None, fail_fast=True)
    """Lead ids or rows; only leadhook's own triggers send it."""

    @model_validator(mode="after")
    def _dashboard_webhooks_name_their_table(self) -> "WebhookBody":
        if self.records is None and (
            self.table is None or self.database_schema is None or self.type not in ("INSERT", "UPDATE", "DELETE")
        ):
            raise ValueError("a webhook without `records` must have type INSERT, UPDATE or DELETE, table and schema")
        return self

    @property
    def means_work(self) -> bool:
        """False for what can't make a lead eligible: a row that is sent already, and the end of a row."""
        if self.records is not None:
            return not self.records or any(not _is_sent(row) for row in self.records)
        return self.type != "DELETE" and not (self.record and _is_sent(self.record))

    def lead_ids(self) -> list[str]:
        """The ids of the leads that it tells of, without repeats, those that are too long, and those beyond 500."""
        if self.table is not None and self.table not in LEAD_TABLES:
            return []
        rows = self.records if self.records is not None else (self.record or {},)
        ids = (row if isinstance(row, str) else row.get("lead_id") for row in rows if not _is_sent(row))
        usable = (given for given in ids if isinstance(given, str) and 0 < len(given) <= LONGEST_HINT)
        return list(dict.fromkeys(usable))[:MOST_HINTS]


def _is_sent(row: str | dict[str, Any]) -> bool:
    return isinstance(row, dict) and row.get("sent_to_llm") is True
