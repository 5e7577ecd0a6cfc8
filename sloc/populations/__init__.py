"""What ``X`` is: sub-populations, weights, samplers and ``log p_t^theta(y)``."""

# For their registrations alone.
from sloc.populations import bridge_discrete as _bridge_discrete  # noqa: F401
from sloc.populations import bridge_gaussian as _bridge_gaussian  # noqa: F401
from sloc.populations.categorical import ProductCategorical
from sloc.populations.empirical import Empirical
from sloc.populations.gaussian import GaussianMixture
from sloc.populations.markov import MarkovChains

__all__ = ["Empirical", "GaussianMixture", "MarkovChains", "ProductCategorical"]
