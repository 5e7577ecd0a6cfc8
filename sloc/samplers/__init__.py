"""The way back: localization samplers, forward–reverse and clone experiments."""

from sloc.samplers.euler import euler_reverse
from sloc.samplers.exact import exact_localizer
from sloc.samplers.experiments import clone_frequencies, forward_reverse, label_frequencies
from sloc.samplers.interwoven import interweave
from sloc.samplers.localization import Localization, LocalizationStatistics, localization_statistics, localize
from sloc.samplers.localizer import Localizer, LocalizerInfo, LocalizerState, observation_itself
from sloc.samplers.oracle import OracleChains, OracleSettings, oracle_localizer
from sloc.samplers.scores import mixture_score
from sloc.samplers.unnormalized import Unnormalized

__all__ = [
    "Localization",
    "LocalizationStatistics",
    "Localizer",
    "LocalizerInfo",
    "LocalizerState",
    "OracleChains",
    "OracleSettings",
    "Unnormalized",
    "clone_frequencies",
    "euler_reverse",
    "exact_localizer",
    "forward_reverse",
    "interweave",
    "label_frequencies",
    "localization_statistics",
    "localize",
    "mixture_score",
    "observation_itself",
    "oracle_localizer",
]
