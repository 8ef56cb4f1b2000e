"""Event-driven lead scoring and outreach for Supabase, with Gemini."""

from importlib.metadata import version

__version__ = version("leadhook")
