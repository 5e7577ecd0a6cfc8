"""What ``X`` is: sub-populations, weights, samplers and ``log p_t^theta(y)``."""

# For their registrations alone.
from sloc.populations import bridge_discrete as bridge_discrete
from sloc.populations import bridge_gaussian as bridge_gaussian
from sloc.populations import gaussian_linear as gaussian_linear
from sloc.populations.categorical import ProductCategorical
from sloc.populations.discourse import KalmanDiscourse
from sloc.populations.empirical import Empirical
from sloc.populations.gaussian import GaussianMixture
from sloc.populations.hierarchy import RandomHierarchy
from sloc.populations.hmm import HiddenMarkov
from sloc.populations.incontext import InContext
from sloc.populations.markov import MarkovChains
from sloc.populations.regression import SparseRegression
from sloc.populations.tokens import CriticalTokens
from sloc.populations.walk import RandomWalkSolver, least_barrier

__all__ = [
    "CriticalTokens",
    "Empirical",
    "GaussianMixture",
    "HiddenMarkov",
    "InContext",
    "KalmanDiscourse",
    "MarkovChains",
    "ProductCategorical",
    "RandomHierarchy",
    "RandomWalkSolver",
    "SparseRegression",
    "least_barrier",
]
