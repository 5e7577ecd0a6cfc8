"""Which estimator of a small overlap: pilot draws compare balanced draws with the pairwise bridge.

Neither sampler may judge itself: 256 balanced draws at ``alpha = 1e-8`` see only tiny values and a tiny variance.
Half the pilot is drawn from each, and both second moments are taken under the mixture of the two laws
(deterministic-mixture importance sampling, Veach & Guibas 1995), where every integrand is bounded.  With
``m = (p_A + p_B) / 2``, ``g`` and ``Z`` as in ``sloc.divergence.bridges`` and ``h = min(p_A, p_B)``,

    balanced: ``int h^2 / m``,   bridge: ``Z int h^2 / g``,   ``alpha = int h``.

These draws are plain.  The choice asks only which of two variances is the larger, and where that is close it hardly
matters; where an edge lies, which points of low discrepancy do tell better, is for ``sloc.windows.certify``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import ObservationProcess, Population, Sets, component_mask, is_concrete, require
from sloc.contracts.arguments import as_real
from sloc.divergence.bridge_setup import BridgeProblem, bridge_problem, has_bridge
from sloc.divergence.bridges import TOLERANCE, densities, raise_violation, set_densities
from sloc.divergence.checks import as_times, checked_count, checked_key, checked_pair
from sloc.engine.plan import Plan
from sloc.engine.streaming import stream
from sloc.populations.discrete import draw_letters

Array = jax.Array
Estimator = Literal["balanced", "bridge"]

_BLOCK = 256
"""Pilot draws come in blocks of this size, half from each sampler."""


@dataclass(frozen=True)
class PilotReport:
    """What the pilot found, per time.

    Attributes:
        times: ``[T]``.
        overlap: ``[T]``, rough ``alpha`` between the disjoint parts of the sets.
        balanced: ``[T]``, variance of one balanced draw, for that ``alpha``.
        bridge: ``[T]``, variance of one bridge draw.
        n: pilot draws.

    """

    times: np.ndarray
    overlap: np.ndarray
    balanced: np.ndarray
    bridge: np.ndarray
    n: int

    @property
    def choice(self) -> tuple[Estimator, ...]:
        """The estimator of smaller variance at each time."""
        return tuple("bridge" if b < m else "balanced" for b, m in zip(self.bridge, self.balanced, strict=True))


@dataclass(frozen=True)
class PilotKernel:
    """One block of pilot draws: ``alpha / Z``, ``M_balanced / Z`` and ``M_bridge / Z^2``, all bounded by 2."""

    def setup(self, args: tuple[BridgeProblem, Array, Any]) -> tuple[BridgeProblem, Array, Any]:
        """Nothing is left to prepare."""
        return args

    def __call__(self, state: tuple[BridgeProblem, Array, Any], key: Array) -> Array:
        """Return ``[T, 4, R]``: the three values and the share of refused draws; one unit is a draw from each law."""
        problem, log_z, population = state
        key_pair, key_side, key_x, key_y = jax.random.split(key, 4)
        half = _BLOCK // 2
        uniforms = jax.random.uniform(key_pair, (2, half), problem.share.dtype)
        keys, keys_x = jax.random.split(key_y, half), jax.random.split(key_x, half)
        # Sides alternate, as in balanced draws.
        mass_a = jnp.exp(problem.log_a)[None, :]
        mass_b = jnp.exp(problem.log_b)[None, :]
        source = jax.random.uniform(key_side, (half,), problem.share.dtype)
        from_a = jnp.arange(half, dtype=jnp.int32) % 2 == 0
        component = jnp.where(
            from_a, problem.left[draw_letters(source, mass_a)], problem.right[draw_letters(source, mass_b)]
        )
        x = jax.vmap(population.sample)(keys_x, component)

        def values(log_g: Array, log_min: Array, log_m: Array, log_z: Array, excess: Array) -> Array:
            log_v = log_min - log_g
            log_rho = log_g - log_z - log_m
            v, v_excess = jnp.exp(log_v), jnp.exp(log_v + excess)
            # rho / (1 + rho) and its product with rho Z = g / m, written so that neither overflows.
            share = jax.nn.sigmoid(log_rho)
            x = jnp.exp(log_min - log_m)
            # Asked of the logarithm: compiled for CPU, the exponential of a NaN need not be one.
            nothing = jnp.isnan(log_v + excess)
            refused = nothing | (v_excess > 1.0 + TOLERANCE)
            parts = (2 * v * share, 2 * v * x * share, 2 * v * v_excess * share)
            clean = [jnp.where(nothing, jnp.zeros_like(p), p) for p in parts]
            return jnp.stack([*clean, refused.astype(v.dtype)])

        def at(given: tuple[Array, Array, Array, Array]) -> Array:
            t, share, log_z, alive = given
            row = draw_letters(uniforms[0], jnp.sum(share, axis=1)[None, :])
            column = draw_letters(uniforms[1], share[row])
            i, j = problem.left[row], problem.right[column]
            log_g, log_min, log_m, excess = densities(problem, keys, i, j, t)
            first = values(log_g, log_min, log_m, log_z, excess)
            y = jax.vmap(lambda k, x: problem.process.sample(k, x, t))(keys, x)
            log_p = jax.vmap(lambda y: problem.log_ratios(y, t))(y)
            second = values(*set_densities(problem, log_p), log_z, jnp.zeros((), share.dtype))
            # Only the bridge's draws can break a promise; a balanced draw outside one side has v = 0 / 0.
            second = jnp.concatenate([second[:3], jnp.zeros_like(second[3:])])
            return jnp.where(alive, 0.5 * (first + second), jnp.zeros_like(first))

        return jax.lax.map(at, (problem.times, problem.share, log_z, problem.alive))


def compare_estimators(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: Any,
    a: Sets,
    b: Sets,
    *,
    n: int = 2048,
    plan: Plan | None = None,
) -> PilotReport:
    """Estimate by pilot draws what one draw of either estimator is worth, at each time.

    Variances are per draw.  A draw of either is one sample and its log-marginals, but balanced draws go through the
    shortcuts of :func:`sloc.measure` and may be several times faster, which :func:`sloc.tv_curve` allows for.  Use
    draws of another key for the estimate itself, so that the choice does not depend on them.

    Args:
        key: typed PRNG key of the pilot.
        process: the observation process.
        population: a population with a bridge under it.
        times: ``[T]``, strictly increasing.
        a: an index, a name, or a sequence of them.
        b: likewise; not the same set as ``a``.
        n: pilot draws, rounded up to blocks of 256.
        plan: devices, block size, checkpoints, progress (:class:`sloc.Plan`); None for the default.

    Returns:
        The report; its variances are estimates, with no guarantee.

    Raises:
        InvalidInput: see :func:`~sloc.divergence.bridge_overlap`; traced values; equal sets.
        ContractError: no bridge is known for the pair.
        BridgeViolation: a pilot draw of the bridge broke ``v <= 1``; names the pair and the time.

    """
    key = checked_key(key)
    process, population = checked_pair(process, population)
    shown, device_times = as_times(process, population, times)
    n = checked_count(n)
    require(is_concrete(process, population, times), "process, population, times", "traced", "concrete values")
    left, right = component_mask(population, a, "a"), component_mask(population, b, "b")
    problem, log_z, _ = bridge_problem(process, population, shown, device_times, left, right)
    require(problem is not None, "b", b, "another set than a: their overlap is 1 at all times")
    assert problem is not None
    blocks = max(2, -(-n // _BLOCK))
    finite = np.where(np.isfinite(log_z), log_z, 0.0)
    args = (problem, jnp.asarray(finite, problem.share.dtype), problem.population)
    _, mean, _ = stream(PilotKernel(), args, key, blocks, plan=plan).on_host()
    if np.any(mean[:, 3] > 0):
        # Not passed over for the other estimator: who gave the bridge relies on it elsewhere.
        raise_violation(problem, key, blocks)
    z = np.exp(log_z)
    overlap = z * mean[:, 0]
    balanced = np.maximum(z * mean[:, 1] - overlap**2, 0.0)
    bridge = np.maximum(z**2 * mean[:, 2] - overlap**2, 0.0)
    return PilotReport(np.asarray(shown), overlap, balanced, bridge, blocks * _BLOCK)


def choose_estimator(
    key: Array,
    process: ObservationProcess,
    population: Population,
    t: Any,
    a: Sets,
    b: Sets,
    *,
    n: int = 2048,
    plan: Plan | None = None,
) -> Estimator:
    """Name the estimator of ``1 - TV(p_t^a, p_t^b)`` that has less variance per draw, by pilot draws only.

    ``Var 2 sigma(-|l|)`` of balanced draws is set beside ``Z^2 Var v`` of bridges; ``"balanced"`` where no bridge is
    known, and where the sets are equal.

    Source: the library's own.

    Args:
        key: typed PRNG key of the pilot; use another for the estimate.
        process: the observation process.
        population: the population.
        t: one time.
        a: an index, a name, or a sequence of them.
        b: likewise.
        n: pilot draws.
        plan: devices, block size, checkpoints, progress (:class:`sloc.Plan`); None for the default.

    Returns:
        ``"balanced"`` or ``"bridge"``.

    Raises:
        InvalidInput: see ``compare_estimators``.
        BridgeViolation: a pilot draw of the bridge broke ``v <= 1``.

    """
    checked = checked_pair(process, population)
    same = np.array_equal(component_mask(population, a, "a"), component_mask(population, b, "b"))
    if same or not has_bridge(*checked):
        return "balanced"
    times = [as_real(t)]
    require(np.isfinite(times[0]), "t", t, "one finite number")
    report = compare_estimators(key, process, population, times, a, b, n=n, plan=plan)
    return report.choice[0]
