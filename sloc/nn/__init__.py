"""Small networks and their training, for models of your own data: Flax NNX and Optax (the extra ``nn``)."""

from sloc.contracts.extras import need as _need

for _library in ("flax.nnx", "optax", "safetensors"):
    _need("nn", _library, "sloc.nn")

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
