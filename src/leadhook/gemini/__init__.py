"""The judgement: what Gemini is asked about a lead and what counts as an answer; the only door to langchain."""

from leadhook.gemini.judge import GeminiJudge, open_judge

__all__ = ["GeminiJudge", "open_judge"]
