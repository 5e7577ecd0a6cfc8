"""Training by Adam: clipped gradients, a cosine rate, averaged weights, checkpoints."""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import as_real, checked_number
from sloc.contracts.equality import same_fields
from sloc.contracts.writing import checked_target
from sloc.nn.checks import checked_network
from sloc.nn.losses import check_labels
from sloc.nn.weights import fill, load_arrays, named_arrays, save_arrays
from sloc.samplers.checks import checked_count, checked_key

if TYPE_CHECKING:
    import pandas as pd

Array = jax.Array
Loss = Callable[..., Array]
"""``(model, key, *batch) -> scalar``."""
_CHUNK = 25
"""Steps between looks at the loss."""


@dataclass(frozen=True)
class Fitted:
    """A trained network.

    Attributes:
        model: the network with averaged weights.
        losses: ``[steps]``, the loss of each step's batch, NaN for those of a run that was resumed.
        seconds: wall time of this call.

    """

    model: Any
    losses: np.ndarray
    seconds: float

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per step: its number, from 1, and its batch's loss."""
        import pandas as pd

        return pd.DataFrame({"step": np.arange(1, len(self.losses) + 1), "loss": self.losses})


def fit(
    key: Array,
    model: Any,
    loss: Loss,
    data: tuple[Any, ...],
    *,
    steps: int,
    batch: int = 128,
    rate: float = 2e-3,
    warmup: float = 0.05,
    clip: float = 1.0,
    average: float = 0.999,
    checkpoint: str | os.PathLike[str] | None = None,
    every: float = 60.0,
    progress: Callable[[int, int, float], None] | None = None,
) -> Fitted:
    """Train a network by AdamW with a cosine rate, gradients clipped by norm, and average its weights.

    Batches are drawn with replacement; step ``i`` draws from ``fold_in(key, i)``, so a run that was cut off and goes on
    from its checkpoint does the same steps as one that was not.  The average takes in step ``i`` (from 0) by
    ``m <- d m + (1 - d) weights``, ``d = min(average, (1 + i) / (10 + i))``.

    Source: Loshchilov & Hutter 2017 (cosine rate) and 2019 (AdamW).

    Args:
        key: typed PRNG key.
        model: a Flax NNX module.
        loss: ``(model, key, *batch) -> scalar``: a :func:`functools.partial` of :func:`sloc.nn.denoising_loss`, ...
        data: arrays with a common leading axis.
        steps: how many.
        batch: examples of a step.
        rate: the largest learning rate.
        warmup: share of the steps in which the rate rises to it.
        clip: largest norm of a gradient.
        average: decay of the exponential moving average of the weights (shorter at first).
        checkpoint: a file to keep the state in and to go on from.
        every: seconds between checkpoints.
        progress: called with ``(done, steps, loss)``.

    Returns:
        The network with averaged weights, and the losses.

    Raises:
        InvalidInput: arrays of different lengths, labels (the second array, if whole numbers) outside the model's
            classes, settings out of range, a checkpoint of another network, or no place for one.
        FloatingPointError: the loss is NaN; names the step.

    """
    key, steps, batch = checked_key(key), checked_count(steps, "steps"), checked_count(batch, "batch")
    checked_network(model)
    require(callable(loss), "loss", loss, "a function (model, key, *data) -> number")
    require(progress is None or callable(progress), "progress", progress, "a function (done, total, loss), or None")
    checked_number(every, "every", 0, ends="[")
    given = isinstance(data, (tuple, list)) and any(v is not None for v in data)
    require(given and all(v is None or np.ndim(v) >= 1 for v in data), "data", data, "a tuple of arrays, or None")
    lengths = {int(np.shape(v)[0]) for v in data if v is not None}
    require(len(lengths) == 1, "data", sorted(lengths), "arrays with a common leading axis")
    classes = getattr(model, "num_classes", 0)
    if classes and len(data) > 1 and data[1] is not None and np.issubdtype(np.asarray(data[1]).dtype, np.integer):
        check_labels(data[1], classes)
    for name, value, good in (
        ("rate", rate, 0 < as_real(rate) < math.inf),
        ("warmup", warmup, 0 <= as_real(warmup) < 1),
        ("clip", clip, 0 < as_real(clip) < math.inf),
        ("average", average, 0 <= as_real(average) < 1),
    ):
        require(bool(good), name, value, "a positive number" if name in ("rate", "clip") else "a number in [0, 1)")
    began = time.monotonic()
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    rates = optax.warmup_cosine_decay_schedule(0.0, rate, max(int(warmup * steps), 1), max(steps, 2))
    optimizer = optax.chain(optax.clip_by_global_norm(clip), optax.adamw(rates, weight_decay=1e-4))
    state, done = (params, params, optimizer.init(params)), 0
    if checkpoint is not None and checked_target(checkpoint, "checkpoint").exists():
        state, done = _resumed(state, checkpoint, steps)
    held = tuple(None if v is None else jnp.asarray(v) for v in data)

    # Step by step and not in a scan: within one, a CPU takes ten times as long for the gradients of convolutions.
    @functools.partial(jax.jit, donate_argnums=0)
    def one(state: Any, i: Array, held: Any, key: Array) -> tuple[Any, Array]:
        params, mean, adam = state
        key_batch, key_loss = jax.random.split(jax.random.fold_in(key, i))
        rows = jax.random.randint(key_batch, (batch,), 0, next(iter(lengths)))
        chosen = tuple(None if v is None else v[rows] for v in held)
        value, slope = jax.value_and_grad(lambda p: loss(nnx.merge(graph, p, rest), key_loss, *chosen))(params)
        update, adam = optimizer.update(slope, adam, params)
        params = optax.apply_updates(params, update)
        decay = jnp.minimum(average, (1.0 + i) / (10.0 + i))
        mean = jax.tree.map(lambda m, p: decay * m + (1.0 - decay) * p, mean, params)
        return (params, mean, adam), value

    state = jax.tree.map(lambda v: jnp.array(v, copy=True), state)
    losses, saved = np.full(steps, np.nan), time.monotonic()
    while done < steps:
        size, values = min(_CHUNK, steps - done), []
        for i in range(done, done + size):
            state, value = one(state, jnp.asarray(i, jnp.int32), held, key)
            values.append(value)
        losses[done : done + size] = np.asarray(jax.device_get(values), np.float64)
        if not np.isfinite(losses[done : done + size]).all():
            wrong = done + int(np.argmin(np.isfinite(losses[done : done + size])))
            raise FloatingPointError(f"the loss of step {wrong} is not a number: a smaller rate may help")
        done += size
        if checkpoint is not None and (done == steps or time.monotonic() - saved >= every):
            save_arrays(checkpoint, named_arrays(state), {"step": str(done), "steps": str(steps)}, "checkpoint")
            saved = time.monotonic()
        if progress is not None:
            progress(done, steps, float(losses[done - size : done].mean()))
    return Fitted(nnx.merge(graph, state[1], rest), losses, time.monotonic() - began)


def _resumed(state: Any, checkpoint: str | os.PathLike[str], steps: int) -> tuple[Any, int]:
    arrays, notes = load_arrays(checkpoint)
    known = notes.get("step", "").isdigit() and notes.get("steps") == str(steps)
    if not known:
        raise InvalidInput(f"checkpoint = {str(checkpoint)!r}: expected the state of a run of {steps} steps")
    return fill(state, arrays, str(checkpoint)), int(notes["step"])
