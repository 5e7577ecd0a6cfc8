"""A masked model of black-and-white digits, and what it knows of digits that it never saw."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from sklearn.neighbors import KNeighborsClassifier

from examples.uses.digits import PARTS, fitted, judge
from sloc import nn

FLIP = 0.05
"""Probability that a pixel of an image is flipped, where images stand for the law of others."""


def bits(x: np.ndarray) -> np.ndarray:
    """Return images as sequences of 64 pixels, 1 for ink."""
    return (x.reshape(len(x), -1) > 0).astype(np.int32)


def trained(small: bool):
    """Return a masked transformer of the generator's digits (``small``: trained for a few seconds)."""
    width, depth, steps, name = (32, 1, 100, "masked-small") if small else (64, 3, 3_000, "masked")
    network = nn.MaskedTransformer(64, 2, sides=(8, 8), width=width, depth=depth, heads=width // 16, rngs=nnx.Rngs(0))
    data = (bits(PARTS.generator[0]),)
    return fitted(network, nn.masked_loss, data, steps, name, batch=64, rate=4e-3, average=0.99)


def nats(network, shares: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 1.0)) -> list[dict]:
    """Return what a hidden pixel of digits that no model saw costs, by the share that is hidden, in nats.

    Beside the network stand two models without any training: the generator's images, each pixel flipped with
    probability :data:`FLIP`, one of which is meant (their exact posterior); and the frequency of ink in each pixel.
    """
    seen, new = bits(PARTS.generator[0]), bits(np.concatenate([PARTS.judge[0], PARTS.test[0]]))
    rng, log_law = np.random.default_rng(0), jax.jit(lambda tokens: jax.nn.log_softmax(network(tokens)))
    ink = np.clip(seen.mean(0), 0.5 / len(seen), 1 - 0.5 / len(seen))
    atoms = np.where(seen == 1, 1 - FLIP, FLIP)
    rows = []
    for share in shares:
        hidden = rng.random(new.shape) < share
        learned = np.exp(np.asarray(log_law(jnp.where(hidden, 2, new))))[..., 1]
        log_p = (new * ~hidden) @ np.log(atoms).T + ((1 - new) * ~hidden) @ np.log(1 - atoms).T
        posterior = np.exp(log_p - log_p.max(1, keepdims=True))
        posterior /= posterior.sum(1, keepdims=True)
        laws = {"network": learned, "images": posterior @ atoms, "ink": np.broadcast_to(ink, new.shape)}
        cost = {name: -np.log(np.where(new == 1, law, 1 - law))[hidden].mean() for name, law in laws.items()}
        rows.append({"hidden": share} | {name: float(value) for name, value in cost.items()})
    return rows


def agreement(x: np.ndarray) -> float:
    """Return how often two judges that saw other digits, of different kinds, give an image one class."""
    neighbours = KNeighborsClassifier(5).fit(bits(PARTS.judge[0]), PARTS.judge[1])
    return float((neighbours.predict(x) == judge(True)(2.0 * x - 1)).mean())


def recognised(drawn: np.ndarray) -> dict[str, float]:
    """Return how often both judges agree on samples, on digits that nobody saw, and on pixels drawn one by one."""
    ink = bits(PARTS.generator[0]).mean(0)
    alone = (np.random.default_rng(1).random(drawn.shape) < ink).astype(np.int32)
    return {"samples": agreement(drawn), "digits": agreement(bits(PARTS.test[0])), "pixels alone": agreement(alone)}
