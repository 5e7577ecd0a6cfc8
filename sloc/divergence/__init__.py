"""Total variation and its kin, from posteriors: estimators, intervals, certificates."""

from sloc.divergence.betting import betting_interval
from sloc.divergence.bridges import BridgeDraw, BridgeViolation, bridge_overlap
from sloc.divergence.data_bounds import tv_lower_bound, tv_upper_bound
from sloc.divergence.integrands import Draws, Integrand
from sloc.divergence.masks import mask_overlap
from sloc.divergence.pilot import choose_estimator
from sloc.divergence.quasi import tv_point
from sloc.divergence.sampler_bounds import tv_sampler_bound
from sloc.divergence.statistics import Statistic, Term

__all__ = [
    "BridgeDraw",
    "BridgeViolation",
    "Draws",
    "Integrand",
    "Statistic",
    "Term",
    "betting_interval",
    "bridge_overlap",
    "choose_estimator",
    "mask_overlap",
    "tv_lower_bound",
    "tv_point",
    "tv_sampler_bound",
    "tv_upper_bound",
]
