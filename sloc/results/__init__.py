"""What the library returns: plain dataclasses of arrays that say how each number was got."""

from sloc.results.outcome import Move, Moves, OutcomeCurve, OutcomeDistances
from sloc.results.resampled import ResampledCurve, RiseStep, TraceWindows
from sloc.results.status import STATUSES, Status
from sloc.results.tree_node import Check, Condition, TreeNode
from sloc.results.window import Certified, Interval

__all__ = [
    "STATUSES",
    "Certified",
    "Check",
    "Condition",
    "Interval",
    "Move",
    "Moves",
    "OutcomeCurve",
    "OutcomeDistances",
    "ResampledCurve",
    "RiseStep",
    "Status",
    "TraceWindows",
    "TreeNode",
]
