"""Language models: weights, tokenizers, forked decoding and scoring (the extra ``lm`` to read checkpoints)."""

from sloc.lm.attacks import prefill_curve, repeated_token_curve
from sloc.lm.config import DecoderConfig, Rotary
from sloc.lm.decoding import Branches, Counters, decode
from sloc.lm.detector import RecallAt, Roc, likelihood_ratio, roc
from sloc.lm.families import SUPPORTED
from sloc.lm.forward import Cache, empty_cache, logits
from sloc.lm.likelihood import LikelihoodPaths, LikelihoodTrace, Source, likelihood_trace, sample_paths
from sloc.lm.likelihood_windows import likelihood_information, likelihood_tv, likelihood_window
from sloc.lm.model import LanguageModel, load_model, partition, random_model, small_config
from sloc.lm.prefix import Prefix, read_prefix
from sloc.lm.sampling import Sampling, log_law
from sloc.lm.scoring import score
from sloc.lm.tokenizer import Tokenizer

__all__ = [
    "SUPPORTED",
    "Branches",
    "Cache",
    "Counters",
    "DecoderConfig",
    "LanguageModel",
    "LikelihoodPaths",
    "LikelihoodTrace",
    "Prefix",
    "RecallAt",
    "Roc",
    "Rotary",
    "Sampling",
    "Source",
    "Tokenizer",
    "decode",
    "empty_cache",
    "likelihood_information",
    "likelihood_ratio",
    "likelihood_trace",
    "likelihood_tv",
    "likelihood_window",
    "load_model",
    "log_law",
    "logits",
    "partition",
    "prefill_curve",
    "random_model",
    "read_prefix",
    "repeated_token_curve",
    "roc",
    "sample_paths",
    "score",
    "small_config",
]
