"""Gradient rules, by what their ops do.

``table`` is the table and what rules share; ``pointwise`` has the rows of ops that look at one
place and one channel, ``channels`` of those that look across channels, ``windows`` of those with
windows, ``places`` of those that add, cut or repeat places. Every row is tested against central
differences in float64 (tests/export/test_rules.py).
"""

from . import channels, places, pointwise, windows
from .table import RULES, NoGradientRuleError

__all__ = ["RULES", "NoGradientRuleError", "channels", "places", "pointwise", "windows"]
