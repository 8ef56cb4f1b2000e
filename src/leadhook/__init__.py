"""Event-driven lead scoring and outreach for Supabase, with Gemini."""

import os

__version__ = "0.1.0"

# Pydantic would look for plugins in every installed package, which costs each command a quarter of its start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
