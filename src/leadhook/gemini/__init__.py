"""Scores leads with Gemini: the prompts, the calls, and the checks of the answers. Only this package uses LangChain."""

from leadhook.gemini.scorer import GeminiScorer, open_scorer, prepare

__all__ = ["GeminiScorer", "open_scorer", "prepare"]
