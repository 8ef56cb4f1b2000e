"""`leadhook doctor`: everything that can be wrong with an installation, looked at in one go.

`examination` has the order. Facts are collected first and checked by pure functions: a sentence and a remedy each. Only
one webhook is sent, which tells of no lead; nothing is changed.
"""

from leadhook.doctor.check import Check, Level
from leadhook.doctor.examination import examine

__all__ = ["Check", "Level", "examine"]
