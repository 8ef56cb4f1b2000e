"""The judgement: what Gemini is asked about a lead and what counts as an answer; the only door to langchain."""

from leadhook.gemini.scorer import GeminiScorer, open_scorer

__all__ = ["GeminiScorer", "open_scorer"]
