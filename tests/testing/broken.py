"""Deliberately broken processes and populations: each breaks one promise."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import GaussianChannel, ObservationProcess, Population, Revealed, namespace
from sloc.processes import BinarySymmetric, LinearGaussian, Masking, OrderedMasking, VarianceExploding


class LikelihoodOnly(BinarySymmetric):
    """Without the methods a test does not look at: they cost compilations.  Not broken."""

    degrade = ObservationProcess.degrade
    bridge = ObservationProcess.bridge


class SampleOnly:
    """Takes the other methods away.  Not broken."""

    log_prob = ObservationProcess.log_prob
    degrade = ObservationProcess.degrade
    bridge = ObservationProcess.bridge


class DegradeOnly(BinarySymmetric):
    """Without likelihood and bridge.  Not broken."""

    log_prob = ObservationProcess.log_prob
    bridge = ObservationProcess.bridge


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LogProbTooSure(LikelihoodOnly):
    """The likelihood of another noise level."""

    def log_prob(self, y, x, t):
        return super().log_prob(y, x, 0.7 * t)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LogProbConstant(LikelihoodOnly):
    """A likelihood that does not look: calibrated against itself, not against ``y``."""

    def log_prob(self, y, x, t):
        return jnp.zeros(()) * t


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LogProbIgnoresHalf(VarianceExploding):
    """A likelihood that forgets some coordinates: calibrated against itself, not against ``y``."""

    def log_prob(self, y, x, t):
        return super().log_prob(y[:2], x[:2], t)

    degrade = ObservationProcess.degrade
    bridge = ObservationProcess.bridge


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LogProbInfinite(LikelihoodOnly):
    """Minus infinity for observations that happen."""

    def log_prob(self, y, x, t):
        return jnp.where(jnp.all(y == x), super().log_prob(y, x, t), -jnp.inf)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LogProbVector(LikelihoodOnly):
    """One number per coordinate in place of a scalar."""

    def log_prob(self, y, x, t):
        return jnp.where(y == x, jnp.log1p(-t), jnp.log(t))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DegradeTooStrong(DegradeOnly):
    """Adds the noise of ``t`` to an observation that already has that of ``s``."""

    def degrade(self, key, y, s, t):
        return self.sample(key, y, t)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DegradeLosesDtype(DegradeOnly):
    """Returns floats where ``sample`` returns integers."""

    def degrade(self, key, y, s, t):
        return super().degrade(key, y, s, t).astype(jnp.float32)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BridgeForgetsY(BinarySymmetric):
    """The right law of ``Y_s``, independent of ``Y_t``: only the joint law shows it."""

    log_prob = ObservationProcess.log_prob

    def bridge(self, key, y, x, s, t):
        return self.sample(key, x, s)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BridgeAlone(Masking):
    """A wrong bridge in a process without ``degrade``."""

    degrade = ObservationProcess.degrade
    log_prob = ObservationProcess.log_prob

    def bridge(self, key, y, x, s, t):
        return Revealed(jnp.where(y.known, x, jnp.zeros_like(x)), y.known)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SharedFlip(DegradeOnly):
    """One flip for all bits: each bit has the right law, the word has not."""

    def degrade(self, key, y, s, t):
        flip = jax.random.uniform(key) < (t - s) / (1.0 - 2.0 * s)
        return jnp.where(flip, 1 - y, y)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WrongCoefficients(VarianceExploding):
    """Tells its family another noise level than it samples."""

    def sample(self, key, x, t):
        return super().sample(key, x, 1.2 * t)

    def log_prob(self, y, x, t):
        return super().log_prob(y, x, 1.2 * t)

    degrade = ObservationProcess.degrade
    bridge = ObservationProcess.bridge


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WrongInverse(VarianceExploding):
    """``time_of_log_snr`` of the squared noise."""

    def time_of_log_snr(self, log_snr):
        return np.exp(-np.asarray(log_snr))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GrowingSignal(SampleOnly, GaussianChannel):
    """Noise that fades as time goes on: samples and numbers agree, but time runs the wrong way."""

    def coefficients(self, t):
        return namespace(t).ones_like(t), namespace(t).exp(-t)

    def time_of_log_snr(self, log_snr):
        return np.asarray(log_snr) / 2

    def grid(self, n):
        return np.linspace(0.5, 3.0, n)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WrongCountLaw(Masking):
    """Claims the law of the hidden count for the seen one."""

    def count_law(self, length, t):
        return super().count_law(length, 1.0 - t)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WrongHiddenProbability(SampleOnly, Masking):
    """Hides coordinates independently and claims that they vanish together: right for one, wrong for several."""

    def hidden_probability(self, coordinates, t):
        return super().hidden_probability(np.asarray(coordinates).ravel()[:1], t)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NoPrefix(OrderedMasking):
    """Hides coordinates in an order of its own and claims that what is seen is a prefix."""

    reveals_prefix = True


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WrongMaskProb(SampleOnly, Masking):
    """Gives patterns the mass that they have at another time, the same for every input."""

    def log_mask_prob(self, known, t):
        return super().log_mask_prob(known, 1.0 - t)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WrongThresholds(SampleOnly, Masking):
    """Samples one law and gives shortcuts the thresholds of another."""

    def sample(self, key, x, t):
        return Masking().sample(key, x, t)

    def thresholds(self, key, x):
        return super().thresholds(key, x) ** 2


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WrongMatrices(SampleOnly, LinearGaussian):
    """Noise whose coordinates are less alike than the covariance says."""

    def noise_root(self, t):
        return jnp.sqrt(jnp.asarray(t)) * jnp.eye(4)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WrongTransition(LikelihoodOnly):
    """A matrix of another noise level."""

    def transition(self, t):
        return super().transition(0.8 * t)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NegativeChance(LikelihoodOnly):
    """A matrix whose rows sum to one, with negative entries."""

    def transition(self, t):
        right = super().transition(t)
        return 2.0 * np.eye(2, dtype=right.dtype) - right


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GridBackwards(LikelihoodOnly):
    """Times that decrease."""

    def grid(self, n):
        return super().grid(n)[::-1]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GridBeyond(LikelihoodOnly):
    """Times beyond the horizon."""

    def grid(self, n):
        return np.linspace(0.1, 0.6, n)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ShapeChanges(LikelihoodOnly):
    """An observation whose shape depends on the value of ``t``."""

    def sample(self, key, x, t):
        y = super().sample(key, x, t)
        return y if isinstance(t, jax.core.Tracer) or t < 0.2 else y[:2]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NotTraceable(LikelihoodOnly):
    """A Python ``if`` on a value."""

    def log_prob(self, y, x, t):
        return super().log_prob(y, x, t) if t > 0 else jnp.zeros(())


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class JitDiffers(LikelihoodOnly):
    """Another answer when it is traced."""

    def log_prob(self, y, x, t):
        return super().log_prob(y, x, t) * (2.0 if isinstance(t, jax.core.Tracer) else 1.0)


@dataclass(frozen=True)
class Unregistered(BinarySymmetric):
    """No decorator of its own."""

    rate: float = 0.5


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class UnhashableStatic(LikelihoodOnly):
    """A list as structure."""

    sizes: Any = field(default_factory=lambda: [1, 2], metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ValidatesTooEarly(LikelihoodOnly):
    """Looks at values in ``__post_init__``."""

    rate: float = 0.5

    def __post_init__(self):
        if not self.rate < 1:
            raise ValueError("rate")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TextLeaf(LikelihoodOnly):
    """A string that is not marked as structure."""

    kind: str = "x"


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NeverForgets(ObservationProcess):
    """A little noise, the same at all times, though all should be gone at the horizon."""

    horizon: ClassVar[float] = 1.0
    has_density: ClassVar[bool] = True

    def sample(self, key, x, t):
        return x + 0.1 * jax.random.normal(key, x.shape)

    def log_prob(self, y, x, t):
        return -jnp.sum(50.0 * (y - x) ** 2) - x.size * (jnp.log(0.1) + 0.5 * jnp.log(2.0 * jnp.pi))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DensityCalledMass(VarianceExploding):
    """Noise that vanishes at first, called a mass."""

    has_density: ClassVar[bool] = False
    degrade = ObservationProcess.degrade
    bridge = ObservationProcess.bridge


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MassCalledDensity(LikelihoodOnly):
    """Flips, called a density."""

    has_density: ClassVar[bool] = True


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OffByAFactor(NeverForgets):
    """A density times a factor that changes with time and cancels in every posterior."""

    horizon: ClassVar[float] = np.inf
    nats: float = 17.0

    def grid(self, n):
        return np.linspace(0.1, 1.0, n)

    def log_prob(self, y, x, t):
        return super().log_prob(y, x, t) + self.nats * t


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MassOffByAFactor(LikelihoodOnly):
    """The same of a mass."""

    nats: float = 0.3

    def log_prob(self, y, x, t):
        return super().log_prob(y, x, t) + self.nats


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TwoPoints(Population):
    """Sub-populations 0 and 1: constant words of that bit, with a little noise of their own.  Not broken."""

    share: float = 0.3
    length: int = field(default=3, metadata={"static": True})
    names: Any = field(default=(), metadata={"static": True})
    off: ClassVar[float] = 0.1

    @property
    def log_weights(self):
        return jnp.log(jnp.stack([jnp.asarray(self.share), 1.0 - self.share]))

    def sample(self, key, component):
        flips = jax.random.bernoulli(key, self.off, (self.length,))
        return jnp.where(flips, 1 - component, component).astype(jnp.int32)

    def log_marginals(self, process, y, t):
        p = self.off + t - 2.0 * self.off * t
        ones = jnp.sum(y).astype(jnp.float32)
        zeros = self.length - ones
        return jnp.stack([ones * jnp.log(p) + zeros * jnp.log1p(-p), zeros * jnp.log(p) + ones * jnp.log1p(-p)])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WithPosterior(TwoPoints):
    """Draws ``X | Y_t`` exactly: for each word, mixture posterior times bits by Bayes' rule.  Not broken."""

    def posterior_sample(self, key, process, y, t):
        k_component, k_bits = jax.random.split(key)
        component = jax.random.categorical(k_component, self.log_weights + self.log_marginals(process, y, t))
        prior = jnp.where(component == 1, 1.0 - self.off, self.off)
        one, zero = prior * jnp.where(y == 1, 1.0 - t, t), (1.0 - prior) * jnp.where(y == 1, t, 1.0 - t)
        return (jax.random.uniform(k_bits, y.shape) < one / (one + zero)).astype(jnp.int32)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PosteriorIgnoresY(WithPosterior):
    """Draws from the prior."""

    def posterior_sample(self, key, process, y, t):
        k_component, k_x = jax.random.split(key)
        return self.sample(k_x, jax.random.categorical(k_component, self.log_weights))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MarginalsTooSure(TwoPoints):
    """Forgets the noise of the sub-populations."""

    def log_marginals(self, process, y, t):
        return dataclasses.replace(_Sharper(self.share, self.length)).log_marginals(process, y, t)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Sharper(TwoPoints):
    off: ClassVar[float] = 0.02


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MarginalsTimesWeights(TwoPoints):
    """Counts the weights twice."""

    def log_marginals(self, process, y, t):
        return super().log_marginals(process, y, t) + self.log_weights


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MarginalsShape(TwoPoints):
    """One entry too many."""

    def log_marginals(self, process, y, t):
        return jnp.concatenate([super().log_marginals(process, y, t), jnp.zeros(1)])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WeightsUnnormalised(TwoPoints):
    """Weights that sum to 1.1."""

    @property
    def log_weights(self):
        return super().log_weights + jnp.log(1.1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PathShifted(TwoPoints):
    """A path of its own at other times than asked for."""

    def path_log_marginals(self, process, key, x, times):
        return super().path_log_marginals(process, key, x, 0.7 * times)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WithShortcuts(TwoPoints):
    """Leaves ``log_marginals`` to a registered pair, whose shortcuts a test replaces."""

    log_marginals = Population.log_marginals
