"""What the library returns: plain dataclasses of arrays that say how each number was got."""

from sloc.results.curve import Curve
from sloc.results.estimate import Estimate
from sloc.results.outcome import Move, Moves, OutcomeCurve, OutcomeDistances
from sloc.results.resampled import ResampledCurve, RiseStep, TraceWindows
from sloc.results.status import STATUSES, Status, status_code, status_name
from sloc.results.tree import MixtureTree
from sloc.results.tree_node import Check, Condition, TreeNode
from sloc.results.window import Certified, Interval, TheoremWindow, Window

__all__ = [
    "STATUSES",
    "Certified",
    "Check",
    "Condition",
    "Curve",
    "Estimate",
    "Interval",
    "MixtureTree",
    "Move",
    "Moves",
    "OutcomeCurve",
    "OutcomeDistances",
    "ResampledCurve",
    "RiseStep",
    "Status",
    "TheoremWindow",
    "TraceWindows",
    "TreeNode",
    "Window",
    "status_code",
    "status_name",
]
