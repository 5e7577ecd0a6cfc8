"""Localization of an unnormalised density: the posterior mean ``E[X | Y_t]`` comes from short chains kept warm."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from sloc.contracts import ContractError, GaussianChannel, check_registered, require, shown
from sloc.contracts.extras import need
from sloc.samplers.checks import checked_count, checked_model
from sloc.samplers.localizer import Localizer, LocalizerInfo, LocalizerState
from sloc.samplers.unnormalized import Unnormalized

Array = jax.Array

ACCEPTANCE = 0.574
"""Acceptance that the steps of MALA are tuned to (Roberts & Rosenthal 1998)."""
_GAIN = 0.3
_PULL = 0.5
"""Time of one Langevin step of ``Y`` at the start, in units of its relaxation."""


class OracleChains(NamedTuple):
    """What the oracle keeps between steps: weighted chains for ``X | Y_t``.

    Attributes:
        x: ``[M, d]``.
        log_density: ``[M]``, of the target.
        gradient: ``[M, d]``, of it.
        log_weights: ``[M]``, normalised.
        log_step: log of the step of MALA.
        mean: ``[d]``, the weighted mean over the last half of the moves.
        modes: ``[M, d]``, where the chains found modes; ``[0, d]`` without jumps.
        distinct: boolean ``[M]``, which of them are the first of their kind.

    """

    x: Array
    log_density: Array
    gradient: Array
    log_weights: Array
    log_step: Array
    mean: Array
    modes: Array
    distinct: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OracleSettings:
    """How the chains are run; all of it is structure.

    Attributes:
        chains: ``M``, chains per draw.
        mcmc_steps: steps of MALA after each change of ``Y``.
        warm_steps: Langevin steps of ``Y`` at the start.
        ascent_steps: gradient steps by which each chain looks for a mode at the start.
        jumps: whether the chains jump between these modes, once after each change of ``Y``.

    """

    chains: int = field(metadata={"static": True})
    mcmc_steps: int = field(metadata={"static": True})
    warm_steps: int = field(metadata={"static": True})
    ascent_steps: int = field(metadata={"static": True})
    jumps: bool = field(metadata={"static": True})

    def evaluations(self, times: int) -> int:
        """Return how often one draw evaluates the log density with its gradient on a grid of ``times`` points."""
        rounds = self.warm_steps + times
        return self.chains * (1 + self.ascent_steps + (self.mcmc_steps + self.jumps) * rounds)


def oracle_localizer(
    process: GaussianChannel,
    target: Unnormalized,
    *,
    chains: int = 8,
    mcmc_steps: int = 2,
    warm_steps: int = 8,
    ascent_steps: int = 16,
    jumps: bool = True,
) -> Localizer:
    """Return a localization sampler of a density known up to its constant, by posterior means from short chains.

    A step freezes ``m = E[X | Y_t]`` and draws ``Y_s | Y_t, X = m`` from the process's bridge.  That is the
    exponential integrator of the localization SDE ``dU = E[X | U] dtau + dB`` in ``tau = a^2 / sigma^2``,
    ``U = a Y / sigma^2``: exact if the mean stood still, so any Gaussian channel gives the same law on a grid with the
    same SNRs; take :meth:`Unnormalized.grid`, even in log-SNR.  The mean comes from ``M`` chains for
    ``X | Y_t ~ p(x) N(a x; Y_t, sigma^2)``, kept from step to step: after a change of ``Y`` they are

    1. reweighted by the ratio of the Gaussian factors, which evaluates nothing, and resampled where fewer than half of
       them count (a sequential Monte Carlo sampler with ``M`` particles for each draw);
    2. offered one jump ``x + c_j - c_k`` from their mode ``c_k`` to another (Metropolis' rule), where the modes are
       those that the ``M`` chains climbed to at the start;
    3. moved by ``mcmc_steps`` steps of MALA (blackjax), whose step is tuned on the way.

    The start, at the last time of the grid, is Langevin within Langevin: ``Y`` is drawn from a Gaussian as wide as
    ``radius`` says, then moved ``warm_steps`` times towards ``a m`` while the chains follow.  ``finish`` draws one of
    the chains, that is from ``X | Y_{t_0}`` and not its mean, so the grid may end where one mode is left.

    **Approximate**: the law has errors of the step of the grid, of finitely many chains that may not have mixed, and of
    the start.  The weights of far modes are right as far as jumps are accepted, which they are where modes have
    like shapes; modes of unlike covariance in high dimension refuse them, and then each keeps the share of chains
    that climbed to it.  A mode that no chain of a draw climbs to is not seen by that draw.  With ``jumps=False`` and
    ``ascent_steps=0`` the chains are those of the source, and far modes always keep their shares.

    Args:
        process: a Gaussian channel.
        target: the density.
        chains: ``M``, chains for each draw.
        mcmc_steps: steps of MALA after each change of ``Y``; the mean is over the last half of them.
        warm_steps: Langevin steps of ``Y`` at the start.
        ascent_steps: gradient steps by which each chain looks for a mode at the start.
        jumps: whether chains jump between modes.

    Returns:
        A localizer for :func:`sloc.localize` with ``target`` as the population.  One draw evaluates the log density
        with its gradient ``M (1 + ascent_steps + (mcmc_steps + jumps) (T + warm_steps))`` times on a grid of ``T``
        points.

    Raises:
        ContractError: not a Gaussian channel, or not an :class:`Unnormalized`.
        InvalidInput: counts that are not whole numbers in range, what :meth:`Unnormalized.validate` refuses, and where
            blackjax (the extra ``mcmc``) is missing.

    Sources: Grenioux et al. 2024 (SLIPS; the weights and the jumps are not theirs); Del Moral et al. 2006 (weights);
    Tjelmeland & Hegstad 2001 (jumps between modes).

    """
    check_registered(target, "target", Unnormalized)
    require(isinstance(jumps, bool), "jumps", jumps, "True or False")
    settings = OracleSettings(
        checked_count(chains, "chains"),
        checked_count(mcmc_steps, "mcmc_steps"),
        checked_count(warm_steps, "warm_steps", 0),
        checked_count(ascent_steps, "ascent_steps", 0),
        jumps,
    )
    process, target = checked_model(process, target, "sample")
    if not isinstance(process, GaussianChannel):
        raise ContractError(
            f"process = {shown(process)}: oracle_localizer expects a GaussianChannel, under which X | Y_t has the "
            "target's density times a Gaussian factor"
        )
    mala_kernel()
    return Localizer(
        Partial(_start, process, target, settings),
        Partial(_step, process, target, settings),
        Partial(_finish),
    )


@functools.cache
def mala_kernel() -> tuple[Any, Any]:
    """Return blackjax's MALA: ``(state type, kernel)``."""
    mala = need("mcmc", "blackjax.mcmc.mala", "sampling an unnormalised density")
    return mala.MALAState, mala.build_kernel()


# --------------------------------------------------------------------------------------------
# Moves of the chains
# --------------------------------------------------------------------------------------------

Place = tuple[Array, Array]
"""The Gaussian factor of ``X | Y_t``, ``N(x; c, s^2)``: ``c = y / a``, ``s = sigma / a``."""


def _place(process: GaussianChannel, y: Array, t: Array) -> Place:
    a, sigma = process.coefficients(t)
    return y / a, sigma / a


def _pull(x: Array, place: Place) -> tuple[Array, Array]:
    """Log of the Gaussian factor without its constant, ``[M]``, and its gradient ``[M, d]``."""
    centre, spread = place
    gap = (centre[None, :] - x) / spread
    return -0.5 * jnp.sum(gap * gap, axis=1), gap / spread


def _mala(
    key: Array, target: Unnormalized, settings: OracleSettings, chains: OracleChains, place: Place
) -> OracleChains:
    """Run MALA on ``p(x) N(x; c, s^2)``: one evaluation for each step and chain."""
    state_type, kernel = mala_kernel()
    centre, spread = place

    def posterior(x: Array) -> Array:
        gap = (centre - x) / spread
        return target.log_density(x) - 0.5 * jnp.sum(gap * gap)

    def one(carry: Any, given: tuple[Array, Array]) -> tuple[Any, None]:
        state, log_step, total = carry
        key, late = given
        step = jnp.exp(log_step)
        keys = jax.random.split(key, settings.chains)
        state, info = jax.vmap(lambda k, s: kernel(k, s, posterior, step))(keys, state)
        accepted = jnp.mean(jnp.nan_to_num(info.acceptance_rate))
        return (state, log_step + _GAIN * (accepted - ACCEPTANCE), total + late * state.position), None

    energy, force = _pull(chains.x, place)
    first = state_type(chains.x, chains.log_density + energy, chains.gradient + force)
    n = settings.mcmc_steps
    late = (jnp.arange(n) >= n // 2).astype(chains.x.dtype)
    carry = (first, chains.log_step, jnp.zeros_like(chains.x))
    (state, log_step, total), _ = jax.lax.scan(one, carry, (jax.random.split(key, n), late))
    energy, force = _pull(state.position, place)
    return chains._replace(
        x=state.position,
        log_density=state.logdensity - energy,
        gradient=state.logdensity_grad - force,
        log_step=log_step,
        mean=jnp.exp(chains.log_weights) @ total / (n - n // 2),
    )


def _nearest(x: Array, modes: Array, distinct: Array) -> Array:
    """Index of the nearest of the distinct modes, for ``[M, d]``."""
    squares = jnp.sum(modes * modes, axis=1)[None, :] - 2.0 * x @ modes.T
    return jnp.argmin(jnp.where(distinct[None, :], squares, jnp.inf), axis=1)


def _jump(key: Array, target: Unnormalized, chains: OracleChains, place: Place) -> OracleChains:
    """Propose ``x + c_j - c_k``, ``c_k`` the nearest mode and ``c_j`` one of the distinct modes, evenly drawn.

    Metropolis' rule for ``p(x) N(x; c, s^2)``; refused unless ``c_j`` is nearest to the proposal, as reversibility
    asks.
    """
    key_mode, key_accept = jax.random.split(key)
    modes, m = chains.modes, chains.x.shape[0]
    logits = jnp.where(chains.distinct, 0.0, -jnp.inf)
    drawn = jax.random.categorical(key_mode, logits, shape=(m,))
    proposal = chains.x + modes[drawn] - modes[_nearest(chains.x, modes, chains.distinct)]
    value, gradient = jax.vmap(jax.value_and_grad(target.log_density))(proposal)
    change = value - chains.log_density + _pull(proposal, place)[0] - _pull(chains.x, place)[0]
    accept = jnp.log(jax.random.uniform(key_accept, (m,), change.dtype)) < change
    accept &= _nearest(proposal, modes, chains.distinct) == drawn
    return chains._replace(
        x=jnp.where(accept[:, None], proposal, chains.x),
        log_density=jnp.where(accept, value, chains.log_density),
        gradient=jnp.where(accept[:, None], gradient, chains.gradient),
    )


def _reweighted(key: Array, chains: OracleChains, change: Array) -> OracleChains:
    """Multiply the weights by ``exp(change)``; resample (systematically) where fewer than half the chains count."""
    logs = jax.nn.log_softmax(chains.log_weights + change)
    weights, m = jnp.exp(logs), logs.shape[0]
    offsets = (jnp.arange(m, dtype=weights.dtype) + jax.random.uniform(key, (), weights.dtype)) / m
    picked = jnp.minimum(jnp.searchsorted(jnp.cumsum(weights), offsets), m - 1)
    few = jnp.sum(weights * weights) * m > 2.0
    index = jnp.where(few, picked, jnp.arange(m))
    return chains._replace(
        x=chains.x[index],
        log_density=chains.log_density[index],
        gradient=chains.gradient[index],
        log_weights=jnp.where(few, -jnp.log(jnp.full((m,), m, logs.dtype)), logs),
    )


def _carried(
    key: Array, target: Unnormalized, settings: OracleSettings, chains: OracleChains, old: Place, new: Place
) -> OracleChains:
    """Carry the chains from one ``(y, t)`` to another: weights, which need no evaluation, then jumps and moves."""
    key_weights, key_jump, key_mala = jax.random.split(key, 3)
    chains = _reweighted(key_weights, chains, _pull(chains.x, new)[0] - _pull(chains.x, old)[0])
    if settings.jumps:
        chains = _jump(key_jump, target, chains, new)
    return _mala(key_mala, target, settings, chains, new)


# --------------------------------------------------------------------------------------------
# The localizer
# --------------------------------------------------------------------------------------------


def _first_chains(key: Array, target: Unnormalized, settings: OracleSettings) -> OracleChains:
    """Chains from ``N(centre, radius^2 I)``, each led up to a mode.

    They start independently of ``Y``: around one ``Y`` they would all climb to the same mode in far too many draws,
    which then never see the other.
    """
    m, d, dtype = settings.chains, target.dim, target.radius.dtype
    x = jnp.broadcast_to(target.centre, (m, d)) + target.radius * jax.random.normal(key, (m, d), dtype)
    evaluate = jax.vmap(jax.value_and_grad(target.log_density))

    def climb(carry: Any, _: None) -> tuple[Any, None]:
        x, value, gradient, length = carry
        higher = x + length[:, None] * gradient
        new_value, new_gradient = evaluate(higher)
        better = new_value >= value
        x, gradient = (jnp.where(better[:, None], a, b) for a, b in ((higher, x), (new_gradient, gradient)))
        return (x, jnp.where(better, new_value, value), gradient, length * jnp.where(better, 1.2, 0.5)), None

    first = (x, *evaluate(x), jnp.full((m,), target.width**2))
    (x, value, gradient, _), _ = jax.lax.scan(climb, first, None, settings.ascent_steps)
    gaps = jnp.sum((x[:, None, :] - x[None, :, :]) ** 2, axis=2)
    distinct = jnp.argmax(gaps <= d * target.width**2, axis=1) == jnp.arange(m)
    log_step = 2.0 * jnp.log(target.width) - jnp.log(jnp.asarray(d, dtype)) / 3.0
    even = jnp.full((m,), -jnp.log(jnp.asarray(m, dtype)))
    modes = x if settings.jumps else x[:0]
    return OracleChains(x, value, gradient, even, log_step, jnp.mean(x, axis=0), modes, distinct)


def _start(
    process: GaussianChannel, target: Unnormalized, settings: OracleSettings, key: Array, t: Array, y: Any = None
) -> LocalizerState:
    key_y, key_chains, key_warm = jax.random.split(key, 3)
    a, sigma = process.coefficients(t)
    given = y is not None
    if y is None:
        spread = jnp.sqrt(sigma**2 + (a * target.radius) ** 2 / target.dim)
        noise = jax.random.normal(key_y, (target.dim,), target.radius.dtype)
        y = a * jnp.broadcast_to(target.centre, (target.dim,)) + spread * noise
    chains = _first_chains(key_chains, target, settings)
    # The first round moves the chains alone, and so do all of them where y is given.
    pull = jnp.full((settings.warm_steps + 1,), 0.0 if given else _PULL, y.dtype).at[0].set(0.0)

    def warm(carry: Any, given: tuple[Array, Array]) -> tuple[Any, None]:
        y, chains = carry
        key, time = given
        key_y, key_x = jax.random.split(key)
        keep, noise = jnp.exp(-time), jax.random.normal(key_y, y.shape, y.dtype)
        aim = a * chains.mean
        moved = aim + keep * (y - aim) + jnp.sqrt(-jnp.expm1(-2.0 * time)) * sigma * noise
        old, new = _place(process, y, t), _place(process, moved, t)
        return (moved, _carried(key_x, target, settings, chains, old, new)), None

    keys = jax.random.split(key_warm, settings.warm_steps + 1)
    (y, chains), _ = jax.lax.scan(warm, (y, chains), (keys, pull))
    return LocalizerState(y, t, chains)


def _step(
    process: GaussianChannel,
    target: Unnormalized,
    settings: OracleSettings,
    key: Array,
    state: LocalizerState,
    s: Array,
) -> tuple[LocalizerState, LocalizerInfo]:
    key_y, key_x = jax.random.split(key)
    mean = state.memory.mean
    y = process.bridge(key_y, state.y, mean, s, state.t)
    old, new = _place(process, state.y, state.t), _place(process, y, s)
    chains = _carried(key_x, target, settings, state.memory, old, new)
    return LocalizerState(y, s, chains), LocalizerInfo(mean)


def _finish(key: Array, state: LocalizerState) -> Array:
    chains = state.memory
    return chains.x[jax.random.categorical(key, chains.log_weights)]
