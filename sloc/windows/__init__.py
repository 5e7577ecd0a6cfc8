"""Curves to windows: critical windows, Theorem 2, and rises in resampled answers."""

from sloc.windows import printed
from sloc.windows.axes import information_axis, on_axis
from sloc.windows.critical import anytime_windows, critical_window
from sloc.windows.crossing import find_window
from sloc.windows.edges import Edge, edge_on_grid, exact_edge
from sloc.windows.limits import certified_limits
from sloc.windows.profile import decided_between, information_density, information_window
from sloc.windows.resampled import trace_windows
from sloc.windows.rises import find_rises, rise_window
from sloc.windows.theorem import hellinger_bound, theorem2
from sloc.windows.traces_table import TraceTable, read_trace_table, trace_table
from sloc.windows.tree import mixture_tree

__all__ = [
    "Edge",
    "TraceTable",
    "anytime_windows",
    "certified_limits",
    "critical_window",
    "decided_between",
    "edge_on_grid",
    "exact_edge",
    "find_rises",
    "find_window",
    "hellinger_bound",
    "information_axis",
    "information_density",
    "information_window",
    "mixture_tree",
    "on_axis",
    "printed",
    "read_trace_table",
    "rise_window",
    "theorem2",
    "trace_table",
    "trace_windows",
]
