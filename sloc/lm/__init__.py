"""Language models: weights, tokenizers, forked decoding and scoring (the extra ``lm``)."""

try:
    import safetensors  # noqa: F401
    import tokenizers  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"sloc.lm needs {error.name}, which is not installed: pip install 'sloc[lm]'", name=error.name
    ) from error

from sloc.lm.config import DecoderConfig, Rotary
from sloc.lm.decoding import Branches, Counters, decode
from sloc.lm.families import SUPPORTED
from sloc.lm.model import LanguageModel, load_model, random_model, small_config
from sloc.lm.prefix import Prefix, read_prefix
from sloc.lm.sampling import Sampling, log_law
from sloc.lm.tokenizer import Tokenizer

__all__ = [
    "SUPPORTED",
    "Branches",
    "Counters",
    "DecoderConfig",
    "LanguageModel",
    "Prefix",
    "Rotary",
    "Sampling",
    "Tokenizer",
    "decode",
    "load_model",
    "log_law",
    "random_model",
    "read_prefix",
    "small_config",
]
