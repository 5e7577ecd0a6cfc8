"""Processes and populations whose answers are none: not a number, of another shape or kind, or only for one at a time.

Those of ``broken.py`` answer in form and are wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec

from sloc.contracts import ObservationProcess
from sloc.processes import Masking, Truncation, VarianceExploding
from tests.testing.broken import DegradeOnly, LikelihoodOnly, SampleOnly, TwoPoints, WithPosterior


class NoSample(ObservationProcess):
    """A process that says nothing at all."""

    horizon: ClassVar[float] = 1.0


jax.tree_util.register_dataclass(dataclass(frozen=True)(NoSample))


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True)
class LosesAField(LikelihoodOnly):
    """Registered by hand, with a number that is in no leaf."""

    rate: float = 0.1

    def tree_flatten(self):
        return (), None

    @classmethod
    def tree_unflatten(cls, structure, leaves):
        return cls()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LogProbRaises(LikelihoodOnly):
    """A likelihood that was never tried."""

    def log_prob(self, y, x, t):
        return jnp.dot(y, x[1:]) * jnp.log(t)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TransitionOf(LikelihoodOnly):
    """A matrix to which something was done."""

    change: Any = field(default=np.transpose, metadata={"static": True})

    def transition(self, t):
        return self.change(super().transition(t))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LogProbElsewhere(Masking):
    """``value`` where ``x`` cannot be what was observed, in place of minus infinity."""

    value: float = np.nan
    degrade = ObservationProcess.degrade
    bridge = ObservationProcess.bridge

    def log_prob(self, y, x, t):
        found = super().log_prob(y, x, t)
        return jnp.where(jnp.isneginf(found), self.value, found)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DegradeNotANumber(SampleOnly, VarianceExploding):
    """The root of a negative number where the noise is small."""

    def degrade(self, key, y, s, t):
        return jnp.where(y > 0, VarianceExploding.degrade(self, key, y, s, t), jnp.sqrt(s - t))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DegradeOutside(DegradeOnly):
    """Now and then a letter that ``sample`` never gives and ``log_prob`` knows nothing of."""

    def degrade(self, key, y, s, t):
        return jnp.where(jax.random.uniform(key, y.shape) < 0.01, 2, super().degrade(key, y, s, t))

    def log_prob(self, y, x, t):
        return jnp.sum(jnp.where(y > 1, jnp.nan, jnp.where(y == x, jnp.log1p(-t), jnp.log(t))))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BridgeNotANumber(SampleOnly, VarianceExploding):
    """The root of a negative number on one side."""

    def bridge(self, key, y, x, s, t):
        return jnp.where(y > x, VarianceExploding.bridge(self, key, y, x, s, t), jnp.sqrt(s - t))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LogProbInteger(LikelihoodOnly):
    """A count in place of a logarithm."""

    def log_prob(self, y, x, t):
        return -jnp.sum(y != x)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GridOf(LikelihoodOnly):
    """A grid to which something was done, a function of how many times are asked for and the right ones."""

    change: Any = field(default=lambda n, grid: grid[:n], metadata={"static": True})

    def grid(self, n):
        return self.change(n, super().grid(n))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class StepsInFloats(SampleOnly, Truncation):
    """Counts of steps that are no integers by type."""

    def grid(self, n):
        return super().grid(n).astype(np.float64)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OnTheHost(LikelihoodOnly):
    """A likelihood by a function of the host, which adds up all it is handed: a batch as if it were one observation."""

    batches: str | None = field(default=None, metadata={"static": True})

    def log_prob(self, y, x, t):
        each = jnp.where(y == x, jnp.log1p(-t), jnp.log(t))

        def total(values):
            return np.full(np.shape(values)[:-1], np.sum(values), np.float32)

        return jax.pure_callback(total, jax.ShapeDtypeStruct((), jnp.float32), each, vmap_method=self.batches)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SpreadsItself(LikelihoodOnly):
    """A likelihood that splits its own work over a mesh of devices, which the engine does already."""

    def log_prob(self, y, x, t):
        mesh = jax.make_mesh((1,), ("letters",), (AxisType.Auto,), devices=jax.devices()[:1])
        each = jax.shard_map(
            lambda a, b: jnp.where(a == b, jnp.log1p(-t), jnp.log(t)),
            mesh=mesh, in_specs=PartitionSpec("letters"), out_specs=PartitionSpec("letters"), check_vma=False,
        )  # fmt: skip
        return jnp.sum(each(y, x))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MarginalsAtZero(TwoPoints):
    """``0 log 0`` where neither sub-population nor channel is noisy."""

    off: ClassVar[float] = 0.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MarginalsElsewhere(TwoPoints):
    """Without noise, ``value`` for the sub-population that a word cannot be of, in place of minus infinity."""

    value: float = np.nan
    off: ClassVar[float] = 0.0

    def log_marginals(self, process, y, t):
        own = jnp.stack([jnp.all(y == 0), jnp.all(y == 1)])
        return jnp.where(t > 0, super().log_marginals(process, y, t), jnp.where(own, 0.0, self.value))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PathNotANumber(TwoPoints):
    """A path that divides by the steps between its times."""

    def path_log_marginals(self, process, key, x, times):
        found = super().path_log_marginals(process, key, x, times)
        step = jnp.diff(times, prepend=times[:1])[:, None]
        return found * step / step


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PosteriorOf(WithPosterior):
    """A draw to which something was done."""

    change: Any = field(default=lambda x: x, metadata={"static": True})

    def posterior_sample(self, key, process, y, t):
        return self.change(super().posterior_sample(key, process, y, t))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RealPoints(WithPosterior):
    """Samples in floating point, and draws that are not numbers where a word is all ones."""

    def sample(self, key, component):
        return super().sample(key, component).astype(jnp.float32)

    def posterior_sample(self, key, process, y, t):
        return jnp.where(jnp.all(y == 1), jnp.nan, super().posterior_sample(key, process, y, t).astype(jnp.float32))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OneMore(TwoPoints):
    """A sub-population more than weights."""

    @property
    def num_components(self):
        return 3


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WeightsInARow(TwoPoints):
    """Weights as a matrix of one row."""

    @property
    def log_weights(self):
        return super().log_weights[None]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PathShape(TwoPoints):
    """The last time alone in place of the path."""

    def path_log_marginals(self, process, key, x, times):
        return super().path_log_marginals(process, key, x, times)[-1]
