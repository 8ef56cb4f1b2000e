"""`leadhook doctor`: everything that can be wrong with an installation, looked at in one go.

`examination` has the order. Facts are collected first and judged by pure functions: a sentence and a remedy each. Only
one ring is sent, which tells of no lead; nothing is changed.
"""

from leadhook.doctor.examination import examine
from leadhook.doctor.finding import Finding, Level

__all__ = ["Finding", "Level", "examine"]
