"""Small networks and their training, for models of your own data: Flax NNX and Optax (the extra ``nn``)."""

# Looked for, not used: the refusal names the one that is missing.
try:
    import flax.nnx  # noqa: F401  # pyright: ignore[reportUnusedImport]
    import optax  # noqa: F401  # pyright: ignore[reportUnusedImport]
    import safetensors  # noqa: F401  # pyright: ignore[reportUnusedImport]
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        f"sloc.nn needs {_error.name}, which is not installed: pip install 'sloc[nn]'", name=_error.name
    ) from _error

from sloc.nn.calibration import Calibration, calibrate
from sloc.nn.classifier import NoiseClassifier
from sloc.nn.fitting import Fitted, fit
from sloc.nn.losses import classification_loss, denoising_loss, masked_loss
from sloc.nn.mlp import MLPDenoiser
from sloc.nn.models import as_diffusion, as_masked, as_posterior
from sloc.nn.transformers import DiT, MaskedTransformer
from sloc.nn.unet import UNet
from sloc.nn.weights import load_weights, save_weights

__all__ = [
    "Calibration",
    "DiT",
    "Fitted",
    "MLPDenoiser",
    "MaskedTransformer",
    "NoiseClassifier",
    "UNet",
    "as_diffusion",
    "as_masked",
    "as_posterior",
    "calibrate",
    "classification_loss",
    "denoising_loss",
    "fit",
    "load_weights",
    "masked_loss",
    "save_weights",
]
