"""The wrappers of :func:`sloc.measure` that ask for one thing."""

from __future__ import annotations

from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import ObservationProcess, Population, Sets, is_concrete, require
from sloc.contracts.arguments import as_real
from sloc.divergence.checks import checked_options
from sloc.divergence.measurement import MeasureOptions, measure
from sloc.divergence.regimes import tv_by_regime
from sloc.divergence.statistics import Clones, Information, Labels
from sloc.results.curve import Curve
from sloc.results.estimate import Estimate

Array = jax.Array
_OPTIONS = ("delta", "method", "interval", "plan")


def tv(
    key: Array,
    process: ObservationProcess,
    population: Population,
    t: Any,
    a: Sets,
    b: Sets,
    *,
    n: int,
    **options: Unpack[MeasureOptions],
) -> Estimate:
    """Total variation between two sets of sub-populations at one time, ``TV(p_t^a, p_t^b)``.

    ``TV(p, q) = 1/2 int |p - q|``, the largest difference ``p(A) - q(A)`` of an event.

    Exact where the types allow it, else unbiased with an interval of level ``1 - delta``; see :func:`sloc.tv_curve`
    for the ways there.

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population.
        t: one time.
        a: an index, a name, or a sequence of them.
        b: likewise.
        n: draws, rounded up to whole blocks.
        **options: ``method`` and the other options of :func:`sloc.tv_curve`.

    Returns:
        The estimate, in ``[0, 1]``; its ``method`` says which way was taken.

    Raises:
        InvalidInput: see :func:`sloc.tv_curve`.
        ContractError: see :func:`sloc.tv_curve`.

    Source: Li, Karan & Chen 2025, Sect. 3.

    """
    checked_options(tv, options, *_OPTIONS, ways=True)
    if is_concrete(t):
        require(np.isfinite(as_real(t)), "t", t, "one finite number")
    times = jnp.reshape(t, (1,)) if not is_concrete(t) else np.reshape(np.asarray(t), (1,))
    curve = tv_by_regime(key, process, population, times, a, b, n=n, **options)
    parts = {k: getattr(curve, k)[0] for k in ("value", "stderr", "lower", "upper")}
    return Estimate(**parts, n=curve.n, method=curve.method, quantity=curve.quantity)


def tv_curve(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: Any,
    a: Sets,
    b: Sets,
    *,
    n: int,
    **options: Unpack[MeasureOptions],
) -> Curve:
    """Total variation ``TV(p_t^a, p_t^b)`` over times; the band holds for all times at once.

    Never increases in ``t`` (data processing), so its band is tightened to a running extremum.  Ways there, each
    unbiased or exact, by ``method``:

    * ``closed-form``: exact, where the types have one;
    * ``monte-carlo`` (or ``balanced``): half the draws from each side, the mean of ``tanh(|l| / 2)``; always possible;
    * ``bridge``: draws between the two sides, ``TV = 1 - Z E v``, for overlaps however small
      (:func:`sloc.divergence.bridge_overlap`);
    * ``mask-conditioned``: for labelled atoms under a revealing channel, a finite sum given each mask
      (:func:`sloc.divergence.mask_overlap`);
    * ``sobol``: for Gaussian mixtures of shared covariance, rotated scrambled Sobol' points: a point estimate of far
      less variance for two components, without an interval (:func:`sloc.divergence.tv_point`);
    * ``auto``: the closed form; else the exact sum where the order of masking is fixed; else at each time balanced
      draws or bridges, whichever pilot draws with another key show to have less variance for the seconds they take.
      Where balanced draws win at every time, or values are traced, the numbers are those of ``monte-carlo`` with
      the same key.

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population.
        times: ``[T]``, strictly increasing.
        a: an index, a name, or a sequence of them.
        b: likewise.
        n: draws (or masks) of each way that is taken, rounded up to whole blocks.  The pilot's come on top: ``n / 8``,
            at least 512 and at most 2,048.
        **options: ``method``, and ``delta``, ``interval``, ``plan`` of
            :func:`sloc.measure`.

    Returns:
        A scalar curve in ``[0, 1]``; ``method`` names the ways taken and the pilot's draws, ``n`` counts the draws
        that the numbers rest on (without the pilot's).

    Raises:
        InvalidInput: see :func:`sloc.measure`; ``mask-conditioned`` where there are no masks.
        ContractError: see :func:`sloc.measure`; ``bridge`` where the pair has none.

    Source: Li, Karan & Chen 2025, Sect. 3; the pilot: Veach & Guibas 1995, deterministic mixture sampling.

    """
    checked_options(tv_curve, options, *_OPTIONS, ways=True)
    return tv_by_regime(key, process, population, times, a, b, n=n, **options)


def information_curve(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: Any,
    *,
    n: int,
    **options: Unpack[MeasureOptions],
) -> Curve:
    """Information ``I(theta; Y_t) = H(w) - E H(pi(Y_t))`` in bits over times: a window without an epsilon.

    Exact where what is seen has finitely many patterns that can be summed over, else unbiased where posteriors are
    exact; never increases in ``t``.  There are sums for labelled atoms, :class:`~sloc.populations.MarkovChains` and
    :class:`~sloc.populations.ProductCategorical` under channels that hide in a fixed order (truncation, ordered
    masking; words of letters up to 4 million probabilities), and for identical coins under every channel that tells
    how many letters are seen (two thousand tosses under masking,
    more where their number is fixed).  For a sequence, steps of the curve are then the exact information of each
    token (:func:`sloc.windows.information_density`).

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population.
        times: ``[T]``, strictly increasing.
        n: trajectories, rounded up to whole blocks.
        **options: ``delta``, ``method``, ``interval``, ``plan`` of :func:`sloc.measure`.

    Returns:
        A scalar curve in bits, between 0 and ``H(w)``.

    Raises:
        InvalidInput: ``method`` is ``closed-form`` and there is no such sum; see :func:`sloc.measure`.

    Source: Shannon 1948.

    """
    checked_options(information_curve, options, *_OPTIONS)
    return measure(key, process, population, times, {"i": Information()}, n=n, **options)["i"]


def label_curve(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: Any,
    init: Sets,
    *,
    n: int,
    **options: Unpack[MeasureOptions],
) -> Curve:
    """Law of the label after noising ``init`` to ``t`` and denoising: ``P(theta' | init) = E_{p_t^init}[pi_theta']``.

    The feature curve of the forward-reverse experiment without reverse sampling (Rao-Blackwell, unbiased).

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population.
        times: ``[T]``, strictly increasing.
        init: where trajectories start: an index, a name, or a sequence of them.
        n: trajectories, rounded up to whole blocks.
        **options: ``delta``, ``method``, ``interval``, ``plan`` of :func:`sloc.measure`.

    Returns:
        A curve with a column per sub-population, ``[T, K]``; rows sum to one.

    Raises:
        InvalidInput: see :func:`sloc.measure`.

    Source: Li, Karan & Chen 2025, Def. 3.

    """
    checked_options(label_curve, options, *_OPTIONS)
    return measure(key, process, population, times, {"labels": Labels(init)}, n=n, **options)["labels"]


def clone_agreement(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: Any,
    *,
    n: int,
    **options: Unpack[MeasureOptions],
) -> Curve:
    """Probability that two reverse runs from one ``Y_t`` agree on ``theta``: ``E sum_theta pi_theta(Y_t)^2``.

    Unbiased, without reverse sampling; never increases in ``t``; falls to ``sum_theta w_theta^2``.

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population.
        times: ``[T]``, strictly increasing.
        n: trajectories, rounded up to whole blocks.
        **options: ``delta``, ``method``, ``interval``, ``plan`` of :func:`sloc.measure`.

    Returns:
        A scalar curve in ``[1 / K, 1]``.

    Raises:
        InvalidInput: see :func:`sloc.measure`.

    Source: Biroli et al. 2024.

    """
    checked_options(clone_agreement, options, *_OPTIONS)
    return measure(key, process, population, times, {"clones": Clones()}, n=n, **options)["clones"]
