"""Scores leads with Gemini: the prompts, the calls, and the checks of the answers. Only this package uses LangChain.

In the order of one lead:

- `scorer`: the two steps, score and message; each takes one call, and a second one where that can help
- `rendering`: the lead as text, by `sanitize` as a person would read it; `injection_signals` looks for manipulation
- `prompts`: what a call sends; `limits`: how much of it, for budgets
- `client`: the call, with the lead's key; `failures`: which key, model or lead an error speaks of
- `answers`: the reply as a score or a message, or what is wrong with it
- `guardrails`: what no message may hold; `links`: what a reader could follow or dial
- `facts`: a source for each fact: `numbers`, `names` with `known_names`, and `wordings`, by the lists of `words`
"""

from leadhook.gemini.scorer import GeminiScorer, open_scorer, prepare

__all__ = ["GeminiScorer", "open_scorer", "prepare"]
