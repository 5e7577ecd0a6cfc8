"""Total variation and its kin, from posteriors: estimators, intervals, certificates, closed forms."""

from sloc.divergence.affinity import affinities
from sloc.divergence.betting import betting_interval, betting_lower, betting_upper
from sloc.divergence.binomial_interval import bernoulli_counts, bernoulli_interval, clopper_pearson
from sloc.divergence.bridges import BridgeDraw, BridgeViolation, bridge_overlap
from sloc.divergence.closed_forms import closed_tv
from sloc.divergence.curves import clone_agreement, information_curve, label_curve, tv, tv_curve
from sloc.divergence.data_bounds import tv_lower_bound, tv_upper_bound
from sloc.divergence.histogram_betting import interval as histogram_interval
from sloc.divergence.intervals import maurer_pontil, tighten
from sloc.divergence.masks import mask_overlap
from sloc.divergence.measurement import measure
from sloc.divergence.pilot import choose_estimator
from sloc.divergence.posteriors import posterior
from sloc.divergence.quasi import tv_point
from sloc.divergence.sampler_bounds import tv_sampler_bound
from sloc.divergence.statistics import (
    KL,
    TV,
    Certificate,
    Clones,
    Hellinger,
    Information,
    Labels,
    Misassignment,
    Statistic,
)
from sloc.engine.dithering import dither, logit_grid

__all__ = [
    "KL",
    "TV",
    "BridgeDraw",
    "BridgeViolation",
    "Certificate",
    "Clones",
    "Hellinger",
    "Information",
    "Labels",
    "Misassignment",
    "Statistic",
    "affinities",
    "bernoulli_counts",
    "bernoulli_interval",
    "betting_interval",
    "betting_lower",
    "betting_upper",
    "bridge_overlap",
    "choose_estimator",
    "clone_agreement",
    "clopper_pearson",
    "closed_tv",
    "dither",
    "histogram_interval",
    "information_curve",
    "label_curve",
    "logit_grid",
    "mask_overlap",
    "maurer_pontil",
    "measure",
    "posterior",
    "tighten",
    "tv",
    "tv_curve",
    "tv_lower_bound",
    "tv_point",
    "tv_sampler_bound",
    "tv_upper_bound",
]
