"""NumPyro: posteriors over sub-populations and over windows."""

from sloc.contracts.extras import need as _need

_need("bayes", "numpyro", "sloc.bayes")

from sloc.bayes.change_agreement import WindowAgreement, compare_windows
from sloc.bayes.change_fit import ChangePosterior, fit_changes
from sloc.bayes.fitting import fit
from sloc.bayes.gates import ChainDiagnostics, ChainsDisagree, LabelSwitching, check_chains, diagnose
from sloc.bayes.mixtures import GaussianMixtureModel
from sloc.bayes.population import NumPyroPopulation
from sloc.bayes.posterior_draws import MixturePosterior
from sloc.bayes.window_draws import merge_posterior, window_posterior
from sloc.bayes.window_results import EdgePosterior, MergePosterior, WindowPosterior

__all__ = [
    "ChainDiagnostics",
    "ChainsDisagree",
    "ChangePosterior",
    "EdgePosterior",
    "GaussianMixtureModel",
    "LabelSwitching",
    "MergePosterior",
    "MixturePosterior",
    "NumPyroPopulation",
    "WindowAgreement",
    "WindowPosterior",
    "check_chains",
    "compare_windows",
    "diagnose",
    "fit",
    "fit_changes",
    "merge_posterior",
    "window_posterior",
]
