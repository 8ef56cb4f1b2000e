"""`leadhook doctor`: checks everything that can be wrong with an installation.

Start with `examination`, which has the order. Facts are collected first; pure functions then check them. Where
another command or `/ready` reports the same, code, sentence and remedy come from `leadhook.domain.findings`. Nothing is
changed; one webhook that names no lead is sent.
"""
