"""Curves to windows: critical windows, Theorem 2, and rises in resampled answers."""

from sloc.windows import printed
from sloc.windows.allocation import Allocation, RecordedDraws, allocate_draws, certify_moves, recorded_draws
from sloc.windows.axes import information_axis, on_axis
from sloc.windows.binomial_rise import critical_rise
from sloc.windows.distance_estimates import outcome_distances
from sloc.windows.exact_bands import simultaneous_bands
from sloc.windows.likely_moves import posterior_moves
from sloc.windows.limits import certified_limits
from sloc.windows.move_kernels import MovePrior, RunPrior
from sloc.windows.move_tests import exact_moves
from sloc.windows.outcome_curves import OutcomeCounts, outcome_counts, outcome_curve
from sloc.windows.profile import decided_between, information_density, information_window
from sloc.windows.recorded import Branch, Recording, leaving_masses
from sloc.windows.recorded_file import read_store, write_store
from sloc.windows.recorded_import import read_forking_fast, recordings_from_table, write_forking_fast
from sloc.windows.recorded_tests import RuleFiring, plain_counts, recorded_exact_moves, rule_firing
from sloc.windows.resampled import trace_windows
from sloc.windows.right_wrong import right_wrong_table
from sloc.windows.rule_errors import RuleRates, rule_rates
from sloc.windows.theorem import hellinger_bound
from sloc.windows.traces_table import QuestionTraces, TraceTable, answers_of_counts, read_trace_table, trace_table

__all__ = [
    "Allocation",
    "Branch",
    "MovePrior",
    "OutcomeCounts",
    "QuestionTraces",
    "RecordedDraws",
    "Recording",
    "RuleFiring",
    "RuleRates",
    "RunPrior",
    "TraceTable",
    "allocate_draws",
    "answers_of_counts",
    "certified_limits",
    "certify_moves",
    "critical_rise",
    "decided_between",
    "exact_moves",
    "hellinger_bound",
    "information_axis",
    "information_density",
    "information_window",
    "leaving_masses",
    "on_axis",
    "outcome_counts",
    "outcome_curve",
    "outcome_distances",
    "plain_counts",
    "posterior_moves",
    "printed",
    "read_forking_fast",
    "read_store",
    "read_trace_table",
    "recorded_draws",
    "recorded_exact_moves",
    "recordings_from_table",
    "right_wrong_table",
    "rule_firing",
    "rule_rates",
    "simultaneous_bands",
    "trace_table",
    "trace_windows",
    "write_forking_fast",
    "write_store",
]
