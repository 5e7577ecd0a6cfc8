"""The way back: localization samplers, forward–reverse and clone experiments."""

from sloc.samplers.backward_grids import level_grids
from sloc.samplers.diffusion_flow import dpm_solver, heun, probability_flow
from sloc.samplers.diffusion_noise import ancestral, ddim, euler_maruyama, flow_sde, predictor_corrector
from sloc.samplers.euler import euler_reverse
from sloc.samplers.exact import exact_localizer
from sloc.samplers.experiments import clone_frequencies, label_frequencies
from sloc.samplers.interwoven import interweave
from sloc.samplers.learned import LearnedDiffusion, Prediction
from sloc.samplers.localization import Localization, LocalizationStatistics, localization_statistics
from sloc.samplers.localizer import Localizer, LocalizerInfo, LocalizerState
from sloc.samplers.masked import LearnedMasked, masked_ancestral
from sloc.samplers.oracle import oracle_localizer
from sloc.samplers.scores import mixture_score
from sloc.samplers.unnormalized import Unnormalized

__all__ = [
    "LearnedDiffusion",
    "LearnedMasked",
    "Localization",
    "LocalizationStatistics",
    "Localizer",
    "LocalizerInfo",
    "LocalizerState",
    "Prediction",
    "Unnormalized",
    "ancestral",
    "clone_frequencies",
    "ddim",
    "dpm_solver",
    "euler_maruyama",
    "euler_reverse",
    "exact_localizer",
    "flow_sde",
    "heun",
    "interweave",
    "label_frequencies",
    "level_grids",
    "localization_statistics",
    "masked_ancestral",
    "mixture_score",
    "oracle_localizer",
    "predictor_corrector",
    "probability_flow",
]
