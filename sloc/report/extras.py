"""Libraries that come with an extra: asked for when they are used, with a message that names the extra."""

from __future__ import annotations

import importlib
from typing import Any

from sloc.contracts import InvalidInput

_EXTRAS = {
    "matplotlib": ("matplotlib", "viz"),
    "sklearn": ("scikit-learn", "viz"),
    "pyarrow": ("pyarrow", "data"),
    "flax": ("flax", "nn"),
    "optax": ("optax", "nn"),
    "safetensors": ("safetensors", "nn"),
    "tokenizers": ("tokenizers", "lm"),
}


def need(module: str, purpose: str) -> Any:
    """Import ``module`` or say which extra brings it.

    Args:
        module: the dotted name of the module.
        purpose: what it is needed for, as a phrase.

    Returns:
        The module.

    Raises:
        InvalidInput: it is not installed.

    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package, extra = _EXTRAS.get(module.split(".")[0], (module, "viz"))
        raise InvalidInput(f"{purpose} needs {package}, which is not installed: pip install 'sloc[{extra}]'") from error
