"""Words around a slowly turning discourse vector: jointly Gaussian tokens, exact by a Kalman filter."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    Array,
    ContractError,
    Observation,
    ObservationProcess,
    Population,
    RevealingChannel,
    register_marginals,
    require,
    shown,
)
from sloc.contracts.arguments import as_array, as_floats, as_real, check_size, checked_whole
from sloc.populations.discrete import check_mixture, floating, log_mixture_weights
from sloc.populations.hmm import prefix_reads

_HIGHEST = jax.lax.Precision.HIGHEST


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class KalmanDiscourse(Population):
    """Words ``x_l ~ N(C_s, I)``, ``s = (L - 1 - l) step``, of a discourse vector that leads to the topic ``theta``.

    ``C_0 ~ N(0, I + alpha theta theta^T)``, ``|theta| = 1``, and ``C`` runs back along the Ornstein-Uhlenbeck process
    ``dC = -C ds + sqrt(2) dB``: the first word stands at the late time ``(L - 1) step``, where ``C`` hardly knows the
    topic, the last at 0.  ``X`` is a floating array ``[L, d]``.  Because
    ``C_s = C^0_s + e^{-s} sqrt(alpha) xi theta`` with ``C^0`` stationary and ``xi ~ N(0, 1)``, the words are noise that
    is free of ``theta`` plus one random amplitude along a known template.  The likelihood takes two Kalman filters: of
    ``C^0``, coordinate by coordinate, and of the amplitude; sums of squares only, so that float32 keeps its digits at
    ``alpha = 1e8``.

    Exact under every :class:`~sloc.RevealingChannel`; where the seen coordinates are a prefix one pass
    serves all times.  Channels that hide coordinate by coordinate may cut through a word: under ``Truncation(L * d)``
    ``t`` counts coordinates, under ``Retimed(Truncation(L * d), Steps(d * np.arange(L + 1)))`` words.  The law of
    ``-theta`` is that of ``theta``.  Source: Li, Karan & Chen 2025, Thm. 9 and App. C.2.3; Arora et al. 2016 (random
    walks on discourse vectors).

    Attributes:
        directions: ``[K, d]``, the unit vectors ``theta``.
        alpha: how far the last discourse vector is stretched along ``theta``, positive.
        words: ``L`` (static).
        step: Ornstein-Uhlenbeck time between words, positive.
        weights: ``[K]``, ``w_theta``; None for uniform.
        names: ``K`` distinct strings or the empty tuple.

    """

    directions: Any = field(metadata={"dtype": float})
    alpha: Any
    words: int = field(metadata={"static": True})
    step: Any = 1.0
    weights: Any = field(default=None, metadata={"dtype": float})
    names: tuple[str, ...] = field(default=(), metadata={"static": True})

    @property
    def log_weights(self) -> Array:
        """``log w_theta``, shape ``[K]``."""
        return log_mixture_weights(self.weights, self.num_components, floating(self.directions).dtype)

    @property
    def num_components(self) -> int:
        """``K``, the number of topics (static)."""
        return int(np.shape(self.directions)[0])

    @property
    def dimension(self) -> int:
        """``d`` (static)."""
        return int(np.shape(self.directions)[1])

    def validate(self) -> None:
        """Check directions, alpha, number of words, step, weights and names.

        Raises:
            InvalidInput: an argument is not as the class describes it.

        """
        directions = np.asarray(self.directions, np.float64)
        require(directions.ndim == 2 and 0 not in directions.shape, "directions", directions.shape, "a shape [K, d]")
        norms = np.linalg.norm(directions, axis=1)
        unit = bool(np.isfinite(norms).all()) and bool((np.abs(norms - 1) <= 1e-5).all())
        require(unit, "directions", self.directions, f"unit vectors (their lengths are {norms})")
        for name in ("alpha", "step"):
            value = getattr(self, name)
            require(0 < as_real(value) < np.inf, name, value, "a positive number")
        check_size(self.words, "words")
        check_mixture(self.weights, self.names, directions.shape[0])

    def path_elements(self) -> int:
        """Numbers held per draw and time, at most (the pass over all coordinates is shared by the times)."""
        return self.num_components + 4 * self.dimension

    def sample(self, key: Array, component: Array) -> Array:
        """Draw ``X ~ p^theta``: stationary noise, words around it, one amplitude; floating ``[L, d]``."""
        key_noise, key_amplitude = jax.random.split(key)
        directions = floating(self.directions)
        amplitude = jax.random.normal(key_amplitude, (), directions.dtype)
        return self._noise(key_noise) + self._signal(component, amplitude)

    def posterior_joint(self, key: Array, process: ObservationProcess, y: Observation, t: Array) -> tuple[Array, Array]:
        """Draw ``(theta, X) | Y_t = y`` under the mixture, exactly.

        ``theta | y``, the amplitude given both (Gaussian), then by Matheron's rule the noise given the rest: a draw
        of it, corrected by the smoothed difference to what was seen.

        Args:
            key: typed PRNG key.
            process: a revealing channel.
            y: an observation of ``[L, d]``.
            t: its time.

        Returns:
            ``(int32 scalar, floating [L, d])``.

        Raises:
            ContractError: the process is not a revealing channel.

        """
        if not isinstance(process, RevealingChannel):
            raise ContractError(
                f"process = {shown(process)}: KalmanDiscourse.posterior_sample expects a RevealingChannel"
            )
        key_theta, key_amplitude, key_noise = jax.random.split(key, 3)
        directions = floating(self.directions)
        increments, mean, precision = _evidence(self, y.values, y.known)
        theta = jax.random.categorical(key_theta, self.log_weights + jnp.sum(increments, 0)).astype(jnp.int32)
        normal = jax.random.normal(key_amplitude, (), directions.dtype)
        # The filter's amplitude is sqrt(alpha) xi; _signal multiplies by sqrt(alpha) again.
        root = jnp.sqrt(jnp.asarray(self.alpha, directions.dtype))
        amplitude = (mean[theta] + normal / jnp.sqrt(precision[theta])) / root
        signal = self._signal(theta, amplitude)
        noise = self._noise(key_noise)
        smoothed = _smooth(self, y.values - signal - noise, y.known)
        return theta, jnp.where(y.known, y.values, signal + noise + smoothed)

    def _signal(self, component: Array, amplitude: Array) -> Array:
        """``e^{-s} sqrt(alpha) xi theta``, ``[L, d]``."""
        directions = floating(self.directions)
        scale = jnp.sqrt(jnp.asarray(self.alpha, directions.dtype)) * amplitude
        return (scale * _template(self))[:, None] * directions[component][None, :]

    def _noise(self, key: Array) -> Array:
        """Draw ``N(C^0_s, I)`` at all words, ``[L, d]``; ``C^0`` is stationary and reversible."""
        decay, fresh = _decay(self)
        shape = (self.words, self.dimension)
        moves, words = jax.random.normal(key, (2, *shape), decay.dtype)

        def step(c: Array, z: Array) -> tuple[Array, Array]:
            c = decay * c + jnp.sqrt(fresh) * z
            return c, c

        rest = jax.lax.scan(step, moves[0], moves[1:])[1]
        return jnp.concatenate([moves[:1], rest]) + words

    # ---------------------------------------------------------------------------------------- closed forms

    def word_affinity(self, i: int, j: int, time: Any) -> np.ndarray:
        """Return ``int sqrt(p^i p^j)`` of one word at Ornstein-Uhlenbeck time ``s = time``: ``sqrt(2 phi(x))``.

        ``x = alpha e^{-2 s}``, ``phi(x) = (2 + x) / ((2 + x (1 + c)/2) (2 + x (1 - c)/2))``,
        ``c = <theta_i, theta_j>``.  Exact, float64 on the host.  Source: Li, Karan & Chen 2025, App. C.2.3.
        """
        c = self._cosine(i, j)
        x = float(self.alpha) * np.exp(-2.0 * _instants(time))
        return np.sqrt(2.0 * (2.0 + x) / ((2.0 + x * (1 + c) / 2) * (2.0 + x * (1 - c) / 2)))

    def discourse_kl(self, i: int, j: int, time: Any) -> np.ndarray:
        """Return ``KL = (1 - c^2) x^2 / (2 (1 + x))``, ``x = alpha e^{-2 s}``, between the laws of ``C_s``.

        All words at times ``>= s`` are drawn from the path of ``C`` up to there, so it bounds their KL from above and
        ``sqrt(KL / 2)`` their total variation.  Exact for ``C_s``, float64 on the host.
        """
        x = float(self.alpha) * np.exp(-2.0 * _instants(time))
        return (1.0 - self._cosine(i, j) ** 2) * x**2 / (2.0 * (1.0 + x))

    def prefix_tv(self, i: int, j: int, words: Any) -> np.ndarray:
        """Return ``TV(p^i, p^j)`` of the first ``n`` words, float64 on the host, exact up to rounding.

        With ``A = alpha g^T Sigma^{-1} g``, the signal-to-noise ratio of the template ``g`` in those words (by the
        scalar Kalman filter), ``TV = (2 / pi) arcsin(A sqrt(1 - c^2) / sqrt((2 + A)^2 - A^2 c^2))``: the likelihood
        ratio compares ``|<b, theta_i>|`` with ``|<b, theta_j>|`` for ``b ~ N(0, I + A theta theta^T)``, an orthant
        probability of two Gaussians.  This is ``TV(p_t^i, p_t^j)`` under truncation that keeps ``n`` whole words.

        Args:
            i: index of a topic.
            j: index of another.
            words: ``n``, an int or array of ints in ``0 .. L``.

        Returns:
            An array of the shape of ``words``.

        """
        n = np.asarray(as_array(words, "words"))
        inside = n.dtype.kind in "iu" and bool((n >= 0).all()) and bool((n <= self.words).all())
        require(inside, "words", words, f"numbers of words, 0 to {self.words}")
        a, c = float(self.alpha) * self._template_precision()[n], self._cosine(i, j)
        sine = math.sqrt(max(0.0, 1.0 - c * c))
        # (2 + A)^2 - A^2 c^2 - A^2 s^2 = 4 (1 + A): the arc tangent does not lose the digits next to 1.
        return 2.0 / np.pi * np.arctan2(a * sine, 2.0 * np.sqrt(1.0 + a))

    def _cosine(self, i: int, j: int) -> float:
        last = self.num_components - 1
        both = [checked_whole(k, name, 0, last) for name, k in (("i", i), ("j", j))]
        rows = np.asarray(self.directions, np.float64)[both]
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return float(rows[0] @ rows[1])

    def _template_precision(self) -> np.ndarray:
        """``g^T Sigma^{-1} g`` over the first ``n = 0 .. L`` words, ``[L + 1]``, float64."""
        step = float(self.step)
        decay, template = math.exp(-step), np.exp(-step * np.arange(self.words - 1, -1, -1.0))
        out, mean, variance = np.zeros(self.words + 1), 0.0, 1.0
        for place, g in enumerate(template):
            if place:
                mean, variance = decay * mean, decay**2 * variance - math.expm1(-2.0 * step)
            innovation = g - mean
            out[place + 1] = out[place] + innovation**2 / (1.0 + variance)
            gain = variance / (1.0 + variance)
            mean, variance = mean + gain * innovation, gain
        return out


def _instants(time: Any) -> np.ndarray:
    """Return Ornstein-Uhlenbeck times as float64; 0 and ``inf`` are some."""
    found = as_floats(time, "time")
    require(bool((found >= 0).all()), "time", time, "times, at least 0")
    return found


# --------------------------------------------------------------------------------------------
# The filters
# --------------------------------------------------------------------------------------------


def _template(population: KalmanDiscourse) -> Array:
    """``e^{-s}`` at each word, ``[L]``."""
    dtype = floating(population.directions).dtype
    times = jnp.arange(population.words - 1, -1, -1, dtype=dtype) * jnp.asarray(population.step, dtype)
    return jnp.exp(-times)


def _decay(population: KalmanDiscourse) -> tuple[Array, Array]:
    """``(e^{-step}, 1 - e^{-2 step})``."""
    step = jnp.asarray(population.step, floating(population.directions).dtype)
    return jnp.exp(-step), -jnp.expm1(-2.0 * step)


def _whiten(population: KalmanDiscourse, values: Array, known: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Kalman filter of the stationary noise, every coordinate by itself, of the words and of the template.

    Returns:
        Innovations of the words and of the template and their variance, each ``[L, d]``, then the filtered mean of
        the words' ``C^0`` and its variance, ``[L, d]``.

    """
    decay, fresh = _decay(population)
    template = _template(population)
    zeros = jnp.zeros((population.dimension,), template.dtype)

    def step(carry: tuple[Array, Array, Array], given: tuple[Array, Array, Array]) -> tuple[Any, Any]:
        mean, mean_g, predicted = carry
        value, g, seen = given
        innovation, innovation_g, spread = value - mean, g - mean_g, predicted + 1.0
        gain = jnp.where(seen, predicted / spread, zeros)
        mean, mean_g = mean + gain * innovation, mean_g + gain * innovation_g
        variance = jnp.where(seen, predicted / spread, predicted)
        ahead = (decay * mean, decay * mean_g, decay**2 * variance + fresh)
        return ahead, (innovation, innovation_g, spread, mean, variance)

    start = (zeros, zeros, zeros + 1.0)
    return jax.lax.scan(step, start, (values, template, known))[1]


def _evidence(population: KalmanDiscourse, values: Array, known: Array) -> tuple[Array, Array, Array]:
    """Filter the amplitude ``sqrt(alpha) xi`` of every topic through the coordinates, word after word.

    Returns:
        Log-densities of each coordinate given those before it, ``[L d, K]``, 0 where hidden; mean and precision of
        the amplitude after all of them, ``[K]``.

    """
    directions = floating(population.directions)
    k, d = directions.shape
    innovations, templates, spreads, _, _ = _whiten(population, values, known)
    rows = jnp.broadcast_to(directions.T[None], (population.words, d, k)).reshape(-1, k)

    def step(carry: tuple[Array, Array], given: Any) -> tuple[tuple[Array, Array], Array]:
        mean, precision = carry
        innovation, template, spread, seen, theta = given
        slope = template * theta
        variance = spread + slope**2 / precision
        residual = innovation - slope * mean
        log_density = -0.5 * (residual**2 / variance + jnp.log(2.0 * math.pi * variance))
        mean = jnp.where(seen, mean + slope / precision * residual / variance, mean)
        precision = jnp.where(seen, precision + slope**2 / spread, precision)
        return (mean, precision), jnp.where(seen, log_density, jnp.zeros_like(log_density))

    start = (jnp.zeros((k,), directions.dtype), jnp.full((k,), 1.0, directions.dtype) / population.alpha)
    given = (innovations.ravel(), templates.ravel(), spreads.ravel(), known.ravel(), rows)
    (mean, precision), increments = jax.lax.scan(step, start, given)
    return increments, mean, precision


def _smooth(population: KalmanDiscourse, values: Array, known: Array) -> Array:
    """Return ``E[C^0 | values where known]``, ``[L, d]``: Rauch-Tung-Striebel after the forward filter."""
    decay, fresh = _decay(population)
    _, _, _, mean, variance = _whiten(population, values, known)

    def step(after: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        mean, variance = given
        gain = decay * variance / (decay**2 * variance + fresh)
        now = mean + gain * (after - decay * mean)
        return now, now

    rest = jax.lax.scan(step, mean[-1], (mean[:-1], variance[:-1]), reverse=True)[1]
    return jnp.concatenate([rest, mean[-1:]])


@register_marginals(RevealingChannel, KalmanDiscourse)
def revealed_discourse(process: Any, population: Any, y: Any, t: Any) -> Array:
    """``log P(pattern) + log density of the seen coordinates``, ``[K]``, exact (Kalman filters)."""
    return jnp.sum(_evidence(population, y.values, y.known)[0], 0) + process.log_mask_prob(y.known, t)


@revealed_discourse.path
def _revealed_discourse_path(process: Any, population: Any, key: Any, x: Any, times: Any) -> Array:
    """One trajectory, ``[T, K]``: thresholds drawn once; for prefixes one pass of the filters serves all times."""
    thresholds = process.thresholds(key, x)

    def evidence(known: Array) -> Array:
        return _evidence(population, jnp.where(known, x, jnp.zeros_like(x)), known)[0]

    pattern = jax.lax.map(lambda t: process.log_mask_prob(jnp.asarray(t) < thresholds, t), times)
    if getattr(process, "reveals_prefix", False):
        out = prefix_reads(evidence(jnp.ones(x.shape, bool)), thresholds, times)
    else:
        out = jax.vmap(lambda t: jnp.sum(evidence(jnp.asarray(t) < thresholds), 0))(times)
    return out + pattern[:, None]
