"""The wrappers of :func:`sloc.measure` that ask for one thing."""

from __future__ import annotations

from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import ObservationProcess, Population, Sets, is_concrete
from sloc.divergence.measurement import MeasureOptions, measure
from sloc.divergence.statistics import TV, Clones, Information, Labels
from sloc.results import Curve, Estimate

Array = jax.Array


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

    Exact where the types have a closed form, else unbiased with a Maurer-Pontil interval of level ``1 - delta``.

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population.
        t: one time.
        a: an index, a name, or a sequence of them.
        b: likewise.
        n: trajectories, rounded up to whole blocks.
        **options: ``delta``, ``method``, ``devices``, ``tile``, ``progress`` of :func:`sloc.measure`.

    Returns:
        The estimate, in ``[0, 1]``.

    Raises:
        InvalidInput: see :func:`sloc.measure`.

    Source: Li, Karan & Chen 2025, Sect. 3.

    """
    times = jnp.reshape(t, (1,)) if not is_concrete(t) else np.reshape(np.asarray(t), (1,))
    curve = measure(key, process, population, times, {"tv": TV(a, b)}, n=n, **options)["tv"]
    parts = {k: getattr(curve, k)[0] for k in ("value", "stderr", "lower", "upper")}
    return Estimate(**parts, n=curve.n, method=curve.method)


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

    Never increases in ``t`` (data processing), so its band is tightened to a running extremum.

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population.
        times: ``[T]``, strictly increasing.
        a: an index, a name, or a sequence of them.
        b: likewise.
        n: trajectories, rounded up to whole blocks.
        **options: ``delta``, ``method``, ``devices``, ``tile``, ``progress`` of :func:`sloc.measure`.

    Returns:
        A scalar curve in ``[0, 1]``.

    Raises:
        InvalidInput: see :func:`sloc.measure`.

    Source: Li, Karan & Chen 2025, Sect. 3.

    """
    return measure(key, process, population, times, {"tv": TV(a, b)}, n=n, **options)["tv"]


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

    Unbiased; never increases in ``t``.

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population.
        times: ``[T]``, strictly increasing.
        n: trajectories, rounded up to whole blocks.
        **options: ``delta``, ``method``, ``devices``, ``tile``, ``progress`` of :func:`sloc.measure`.

    Returns:
        A scalar curve in bits, between 0 and ``H(w)``.

    Raises:
        InvalidInput: see :func:`sloc.measure`.

    """
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
        **options: ``delta``, ``method``, ``devices``, ``tile``, ``progress`` of :func:`sloc.measure`.

    Returns:
        A curve with a column per sub-population, ``[T, K]``; rows sum to one.

    Raises:
        InvalidInput: see :func:`sloc.measure`.

    Source: Li, Karan & Chen 2025, Def. 3.

    """
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
        **options: ``delta``, ``method``, ``devices``, ``tile``, ``progress`` of :func:`sloc.measure`.

    Returns:
        A scalar curve in ``[1 / K, 1]``.

    Raises:
        InvalidInput: see :func:`sloc.measure`.

    Source: Biroli et al. 2024.

    """
    return measure(key, process, population, times, {"clones": Clones()}, n=n, **options)["clones"]
