"""When, during generation, is a feature decided?

A generative model that undoes a Markov chain of ever less informative observations (diffusion, flow matching,
masked diffusion, autoregression, or a process of your own) has critical windows: narrow bands of time in which it
localizes to a sub-population.  sloc computes them: exactly where densities are known, with intervals where they
are sampled, on CPU, GPU and TPU.

Start with :func:`critical_window`, :func:`measure` and :func:`tv_curve`; bring your own
:class:`ObservationProcess` or :class:`Population`.
"""

from collections.abc import Callable
from typing import Any

from sloc import populations, processes
from sloc.contracts import (
    ContractError,
    GaussianChannel,
    InvalidInput,
    LinearGaussianChannel,
    MemorylessChannel,
    ObservationProcess,
    Population,
    Revealed,
    RevealingChannel,
    register_marginals,
)
from sloc.divergence.curves import clone_agreement, information_curve, label_curve, tv, tv_curve
from sloc.divergence.measurement import measure
from sloc.divergence.posteriors import posterior
from sloc.divergence.statistics import KL, TV, Certificate, Clones, Hellinger, Information, Labels, Misassignment
from sloc.engine.plan import Plan
from sloc.results.curve import Curve
from sloc.results.estimate import Estimate
from sloc.results.pictures import drawn_by
from sloc.results.tree import MixtureTree
from sloc.results.window import TheoremWindow, Window
from sloc.samplers.experiments import forward_reverse
from sloc.samplers.localization import localize
from sloc.windows.critical import anytime_windows, critical_window
from sloc.windows.crossing import find_window
from sloc.windows.theorem import anytime_theorem2, theorem2
from sloc.windows.tree import mixture_tree

__version__ = "0.1.0"


def _drawing(name: str) -> Callable[..., Any]:
    from sloc.report.drawings import drawing

    return drawing(name)


drawn_by(_drawing)

__all__ = [
    "KL",
    "TV",
    "Certificate",
    "Clones",
    "ContractError",
    "Curve",
    "Estimate",
    "GaussianChannel",
    "Hellinger",
    "Information",
    "InvalidInput",
    "Labels",
    "LinearGaussianChannel",
    "MemorylessChannel",
    "Misassignment",
    "MixtureTree",
    "ObservationProcess",
    "Plan",
    "Population",
    "Revealed",
    "RevealingChannel",
    "TheoremWindow",
    "Window",
    "anytime_theorem2",
    "anytime_windows",
    "clone_agreement",
    "critical_window",
    "find_window",
    "forward_reverse",
    "information_curve",
    "label_curve",
    "localize",
    "measure",
    "mixture_tree",
    "populations",
    "posterior",
    "processes",
    "register_marginals",
    "theorem2",
    "tv",
    "tv_curve",
]
