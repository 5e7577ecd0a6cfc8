"""The formulas of the papers as they are printed, to compare exact windows with.

Pure functions in float64 on the host.  Each says what it is a formula of, where it stands, and in what way it is loose
or wrong: the numbers here are the papers', the exact ones come from :func:`sloc.critical_window` and its relatives.
Times grow as information is lost.  Sources: Li, Karan & Chen 2025 (arXiv 2502.00921), Biroli, Bonnaire, de Bortoli &
Mezard 2024 (arXiv 2402.18491), Sclocchi, Favero & Wyart 2025 (PNAS 122).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sloc.contracts import InvalidInput, require, shown
from sloc.contracts.arguments import checked_number, checked_whole

__all__ = [
    "PrintedEdges",
    "coin_counts",
    "collapse_time",
    "critical_token_edges",
    "discourse_before_from_kl",
    "discourse_edges",
    "discourse_slack",
    "examples_needed",
    "examples_needed_corrected",
    "gaussian_mixture_edges",
    "gaussian_pair_after_from_proof",
    "gaussian_pair_edges",
    "grammar_map",
    "grammar_transition",
    "masked_pair_edges",
    "pair_clones",
    "sample_threshold",
    "sample_window",
    "speciation_time",
    "theorem_bound",
]


class PrintedEdges(NamedTuple):
    """Both edges of a window as a formula gives them, in the unit of the function that returns them.

    Attributes:
        after: ``T_after``, the less noisy edge.
        before: ``T_before``, the noisier edge.

    """

    after: float
    before: float


def theorem_bound(epsilon: float, odds: float) -> float:
    """``epsilon (1 + max(1, W) / sqrt 2)``: how far noising and denoising stays from the target, as printed.

    A loose upper bound: its own proof gives ``epsilon + max(1, W) (epsilon^2 - epsilon^4 / 2)``.
    Source: Li, Karan & Chen 2025, Theorem 2.

    Args:
        epsilon: in ``(0, 1)``.
        odds: ``W``, weight outside the target over weight inside, at least 0.

    """
    _inside("epsilon", epsilon, 0, 1)
    _inside("odds", odds, 0, math.inf, ends=True)
    return epsilon * (1 + max(1.0, odds) / math.sqrt(2))


# --------------------------------------------------------------------------------------------
# Gaussians
# --------------------------------------------------------------------------------------------


def gaussian_pair_edges(norm: float, epsilon: float) -> PrintedEdges:
    """``N(+-mu, I)`` under Ornstein-Uhlenbeck: ``ln |mu| - ln ln 1/(2 eps^2)`` and ``ln |mu| + ln 2 + ln 1/eps``.

    Loose.  Exact at equal weights are ``Phi(-|mu| e^{-T_after}) = eps^2 / 2`` and
    ``Phi(|mu| e^{-T_before}) = 1/2 + eps``.  The proof gives half of the double logarithm
    (:func:`gaussian_pair_after_from_proof`).  The printed ``T_after`` meets the definition of the window only for
    ``eps`` up to about .30.  Source: Li, Karan & Chen 2025, Ex. 1.

    Args:
        norm: ``|mu|``, positive.
        epsilon: in ``(0, 1/sqrt 2)``; the double logarithm has no value from ``1 / sqrt(2)`` on.

    """
    _inside("norm", norm, 0, math.inf)
    _inside("epsilon", epsilon, 0, math.sqrt(0.5))
    return PrintedEdges(
        math.log(norm) - math.log(math.log(1 / (2 * epsilon**2))), math.log(norm) + math.log(2) + math.log(1 / epsilon)
    )


def gaussian_pair_after_from_proof(norm: float, epsilon: float, constant: float = math.sqrt(0.5)) -> float:
    """``ln |mu| - 1/2 ln(2 ln(c / eps))``, what the proof of Ex. 1 gives for ``T_after``.

    A bound on where the posterior mass ``E[1 - pi]`` falls to ``eps``, not on the total variation of the window's
    definition: the two are not the same edge.  ``c = sqrt(1/2)`` gives ``ln |mu| - 1/2 ln ln 1/(2 eps^2)``; with the
    constant ``1/2`` of the lemma it rests on, ``ln |mu| - 1/2 ln ln 1/(4 eps^2)``.  Source: Li, Karan & Chen 2025,
    proof of Ex. 1, Lemma 7.

    Args:
        norm: ``|mu|``, positive.
        epsilon: in ``(0, c)``.
        constant: ``c``.

    """
    _inside("norm", norm, 0, math.inf)
    _inside("constant", constant, 0, math.inf)
    _inside("epsilon", epsilon, 0, constant)
    return math.log(norm) - 0.5 * math.log(2 * math.log(constant / epsilon))


def gaussian_mixture_edges(means: Any, epsilon: float) -> PrintedEdges:
    """``K`` Gaussians ``N(mu_i, I)``: ``min ln r_ij - 1/2 ln(8 ln(K/eps))`` and ``max ln r_ij + ln 1/eps``.

    ``r_ij = |mu_i - mu_j|``.  Bounds, and loose ones; their difference does not depend on the dimension but through
    the ratio of the largest to the smallest distance.  Source: Li, Karan & Chen 2025, Ex. 2.

    Args:
        means: ``[K, d]``, distinct.
        epsilon: in ``(0, 1)``.

    Raises:
        InvalidInput: means that are not finite, not distinct or of another shape, or an epsilon outside (0, 1).

    """
    _inside("epsilon", epsilon, 0, 1)
    try:
        mu = np.asarray(means, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"means = {shown(means)}: expected numbers") from error
    require(bool(np.isfinite(mu).all()), "means", means, "finite numbers")
    require(mu.ndim == 2 and len(mu) >= 2, "means", np.shape(means), "a shape [K, d] with K >= 2")
    gaps = np.linalg.norm(mu[:, None] - mu[None], axis=-1)[np.triu_indices(len(mu), 1)]
    require(bool((gaps > 0).all()), "means", means, "distinct means")
    after = math.log(gaps.min()) - 0.5 * math.log(8 * math.log(len(mu) / epsilon))
    return PrintedEdges(after, math.log(gaps.max()) + math.log(1 / epsilon))


# --------------------------------------------------------------------------------------------
# Words
# --------------------------------------------------------------------------------------------


def masked_pair_edges(distance: int, epsilon: float) -> PrintedEdges:
    """Two strings at Hamming distance ``h`` under masking: ``eps^{2/h}`` and ``(1 - eps)^{1/h}``.

    ``T_after`` is exact.  ``T_before`` bounds the distance of the two strings from each other, where the definition has
    that from their mixture: exact is ``(1 - eps / (1 - w))_+^{1/h}``, so ``(1 - 2 eps)^{1/h}`` at equal weights.
    Source: Li, Karan & Chen 2025, Ex. 3.

    Args:
        distance: ``h``, at least 1.
        epsilon: in ``(0, 1)``.

    """
    _inside("distance", distance, 1, math.inf, ends=True)
    _inside("epsilon", epsilon, 0, 1)
    return PrintedEdges(epsilon ** (2 / distance), (1 - epsilon) ** (1 / distance))


def critical_token_edges(length: int, start: int, spread: int) -> PrintedEdges:
    """Two continuations that are one before token ``a`` and disjoint up to ``eps`` from ``a + k``: ``L-a-k``, ``L-a``.

    In tokens removed.  ``T_before`` is a bound that is attained or one short of it.  ``T_after`` is not where the
    definition has it: supports that are disjoint up to ``eps`` give ``TV >= 1 - eps``, not ``1 - eps^2``.  Source: Li,
    Karan & Chen 2025, Ex. 4.

    Args:
        length: ``L``, tokens in all.
        start: ``a``, tokens before the first at which the two may differ.
        spread: ``k``, tokens it takes.

    Raises:
        InvalidInput: counts that are no whole numbers, or ``a + k > L``.

    """
    length, start, spread = (
        checked_whole(length, "length"),
        checked_whole(start, "start", 0),
        checked_whole(spread, "spread"),
    )
    require(0 <= start and 1 <= spread and start + spread <= length, "start, spread", (start, spread), "a + k <= L")
    return PrintedEdges(float(length - start - spread), float(length - start))


def coin_counts(drift: float, epsilon: float) -> PrintedEdges:
    """Coins ``1/2 +- drift`` under truncation: ``ln(2/eps^2) / (2 drift^2)`` and ``eps^2 / drift^2 - 2``.

    In tokens **kept**: ``after`` is the number from which the coins are told apart, ``before`` that up to which they
    are not.  Loose, both: exact is the total variation of two binomials (909 against 1337 at ``drift = eps = .05``).
    Tokens kept fall as time grows, so here ``after`` exceeds ``before``.  Source: Li, Karan & Chen 2025, Ex. 5.

    Args:
        drift: in ``(0, 1/2)``.
        epsilon: in ``(0, 1)``.

    """
    _inside("drift", drift, 0, 0.5)
    _inside("epsilon", epsilon, 0, 1)
    return PrintedEdges(math.log(2 / epsilon**2) / (2 * drift**2), epsilon**2 / drift**2 - 2)


def discourse_edges(alpha: float, cosine: float, epsilon: float) -> PrintedEdges:
    """A discourse vector: ``1/2 ln(alpha / phi^{-1}(eps^2))``, ``1/2 ln(alpha sqrt(1+alpha^2) sqrt(1-c^2) / eps)``.

    ``phi(x) = (2 + x) / ((2 + x (1+c)/2) (2 + x (1-c)/2))``, inverted in closed form.  ``T_after`` is an edge of the
    posterior mass, not of the definition.  ``T_before`` has a factor ``sqrt(1 + alpha^2)`` too much, which makes it
    about ``1/2 ln alpha`` too late, and needs :func:`discourse_slack` to be at most ``eps``; compare
    :func:`discourse_before_from_kl`.  Source: Li, Karan & Chen 2025, Thm. 9 (App. C.2.3).

    Args:
        alpha: positive.
        cosine: ``c``, of the angle between the two topics, in ``(-1, 1)``.
        epsilon: in ``(0, 1/sqrt 2)`` (``phi`` starts at 1/2).

    """
    _inside("alpha", alpha, 0, math.inf)
    _inside("cosine", cosine, -1, 1)
    _inside("epsilon", epsilon, 0, math.sqrt(0.5))
    y, product = epsilon**2, (1 - cosine**2) / 4
    # y (4 + 2 x + ab x^2) = 2 + x, with a + b = 1.
    inverse = ((1 - 2 * y) + math.sqrt((1 - 2 * y) ** 2 + 8 * y * product * (1 - 2 * y))) / (2 * y * product)
    before = 0.5 * math.log(alpha * math.sqrt(1 + alpha**2) * math.sqrt(1 - cosine**2) / epsilon)
    return PrintedEdges(0.5 * math.log(alpha / inverse), before)


def discourse_slack(alpha: float, time: float) -> float:
    """``e^{-T} sqrt(alpha - ln(1 + alpha))``, which must be at most ``eps`` for the printed ``T_before`` to be one.

    A bound within the proof, as printed.  Source: Li, Karan & Chen 2025, App. C.2.3.

    Args:
        alpha: positive.
        time: ``T``, the time by which the process has run.

    """
    _inside("alpha", alpha, 0, math.inf)
    _inside("time", time, 0, math.inf, ends=True)
    return math.exp(-time) * math.sqrt(alpha - math.log1p(alpha))


def discourse_before_from_kl(alpha: float, cosine: float, epsilon: float) -> float:
    """``1/2 ln(alpha sqrt(1 - c^2) / (4 eps))``: a correct and simple ``T_before`` for two topics of equal weight.

    By ``KL = (1 - c^2) x^2 / (2 (1 + x))``, ``x = alpha e^{-2t}``, and Pinsker's inequality: half of the total
    variation is at most ``x sqrt(1 - c^2) / 4``: an upper bound of the edge.  It replaces the printed formula of
    :func:`discourse_edges`.  Source: the library's own; Pinsker 1964.

    Args:
        alpha: positive.
        cosine: ``c``, in ``(-1, 1)``.
        epsilon: in ``(0, 1)``.

    """
    _inside("alpha", alpha, 0, math.inf)
    _inside("cosine", cosine, -1, 1)
    _inside("epsilon", epsilon, 0, 1)
    return 0.5 * math.log(alpha * math.sqrt(1 - cosine**2) / (4 * epsilon))


# --------------------------------------------------------------------------------------------
# Numbers of samples
# --------------------------------------------------------------------------------------------


def examples_needed(hellinger: float, epsilon: float) -> float:
    """``ln((1 - delta/2) / eps)``, the number of examples in context that is printed.

    Neither exact nor a bound, but wrong: it does not grow as rules come closer.  See
    :func:`examples_needed_corrected`.  Source: Li, Karan & Chen 2025, Cor. 3 (App. C.2.6).

    Args:
        hellinger: ``delta = sum (sqrt p - sqrt q)^2`` of one example, in ``(0, 2)``.
        epsilon: in ``(0, 1)``.

    """
    _inside("hellinger", hellinger, 0, 2)
    _inside("epsilon", epsilon, 0, 1)
    return math.log((1 - hellinger / 2) / epsilon)


def examples_needed_corrected(hellinger: float, epsilon: float) -> float:
    """``ln(1/eps) / ln(1 / (1 - delta/2))``: the number of examples whose affinity ``(1 - delta/2)^T`` is ``eps``.

    With ``delta`` the **smallest** over single other rules (a mixture of products is not a product); exact for one
    other rule, an estimate for several.  Source: the library's own, in place of Li, Karan & Chen 2025, Cor. 3.

    Args:
        hellinger: ``delta = sum (sqrt p - sqrt q)^2`` of one example, in ``(0, 2)``.
        epsilon: in ``(0, 1)``.

    """
    _inside("hellinger", hellinger, 0, 2)
    _inside("epsilon", epsilon, 0, 1)
    return math.log(1 / epsilon) / -math.log1p(-hellinger / 2)


def sample_threshold(features: int, sparsity: int, variance: float) -> float:
    """``N* = 2 k ln(n/k) / ln(1 + k/v)``, around which sparse regression turns from nothing to all.

    Exact only as ``n`` grows, an estimate at any ``n``.  Source: Li, Karan & Chen 2025, Thm. 5; Reeves, Xu & Zadik
    2019.

    Args:
        features: ``n``.
        sparsity: ``k``, in ``1 .. n``.
        variance: ``v``, of the noise, positive.

    Raises:
        InvalidInput: numbers outside their ranges, or ``k > n``.

    """
    features, sparsity = checked_whole(features, "features"), checked_whole(sparsity, "sparsity")
    require(sparsity <= features, "sparsity", sparsity, f"1 to {features}, the number of features")
    _inside("variance", variance, 0, math.inf)
    return 2 * sparsity * math.log(features / sparsity) / math.log1p(sparsity / variance)


def sample_window(samples: int, features: int, sparsity: int, variance: float, slack: float) -> PrintedEdges:
    """``[N + 2 - (1 + delta) N*, N + 2 - (1 - delta) N*]`` in samples removed, for any ``delta > 0`` and ``n`` large.

    Exact only as ``n`` grows, an estimate at any ``n``.  Source: Li, Karan & Chen 2025, Thm. 6.

    Args:
        samples: ``N``.
        features: ``n``.
        sparsity: ``k``.
        variance: ``v``.
        slack: ``delta``, positive.

    Raises:
        InvalidInput: numbers outside their ranges.

    """
    checked_whole(samples, "samples", 0)
    _inside("slack", slack, 0, math.inf)
    threshold = sample_threshold(features, sparsity, variance)
    return PrintedEdges(samples + 2 - (1 + slack) * threshold, samples + 2 - (1 - slack) * threshold)


# --------------------------------------------------------------------------------------------
# Physics
# --------------------------------------------------------------------------------------------


def speciation_time(eigenvalue: float) -> float:
    """``t_S = 1/2 ln Lambda``, where diffusion chooses a class; ``Lambda`` the leading eigenvalue of the covariance.

    A heuristic estimate, one time and no window: between two balanced Gaussians far apart it is where ``TV`` is about
    .68, but the less balanced they are, the closer to 1 is the ``TV`` there, because ``Lambda`` depends on the weights
    and ``TV`` does not.  Source: Biroli et al. 2024.

    Args:
        eigenvalue: ``Lambda``, of the data's covariance, positive.

    """
    _inside("eigenvalue", eigenvalue, 0, math.inf)
    return 0.5 * math.log(eigenvalue)


def pair_clones(norm: float, time: float, variance: float = 1.0) -> float:
    """``phi(t) = 1/2 int (G_+^2 + G_-^2) / (G_+ + G_-)``, how often two clones from one ``Y_t`` end in one class.

    ``G_+-`` is the density of ``N(+-|mu| e^{-t}, variance e^{-2t} + 1 - e^{-2t})``, the projection on the line through
    both means; equal weights.  Exact (quadrature to 1e-12).  Source: Biroli et al. 2024.

    Args:
        norm: ``|mu|``, at least 0.
        time: ``t``, positive.
        variance: of both Gaussians, at least 0.

    Raises:
        InvalidInput: numbers outside their ranges.

    """
    from scipy.integrate import quad

    _inside("norm", norm, 0, math.inf, ends=True)
    _inside("time", time, 0, math.inf)
    checked_number(variance, "variance", 0, math.inf, ends="[")
    spread = math.sqrt(variance * math.exp(-2 * time) - math.expm1(-2 * time))
    r = norm * math.exp(-time) / spread

    def integrand(x: float) -> float:
        # In units of the spread around the mean of +, whose mirror image gives the other half.
        share = 1.0 / (1.0 + math.exp(min(-2 * r * x, 700.0)))
        return math.exp(-0.5 * (x - r) ** 2) / math.sqrt(2 * math.pi) * share

    found: Any = quad(integrand, r - 40.0, r + 40.0, points=[0.0, r], epsabs=1e-13, epsrel=1e-13, limit=400)
    return float(found[0])


def collapse_time(atoms: float, dimension: int, variance: float = 1.0) -> float:
    """``t_C = 1/2 ln(1 + variance / (n^{2/d} - 1))``, where diffusion of ``n`` atoms turns to one of them.

    For atoms drawn from ``N(0, variance I_d)``; the balance of entropies in high dimension, ``ln n / d`` held fixed:
    an estimate, exact in the limit.
    Source: Biroli et al. 2024.

    Args:
        atoms: ``n``, above 1.
        dimension: ``d``.
        variance: of the data, positive.

    Raises:
        InvalidInput: numbers outside their ranges.

    """
    _inside("atoms", atoms, 1, math.inf)
    checked_whole(dimension, "dimension")
    _inside("variance", variance, 0, math.inf)
    return 0.5 * math.log1p(variance / math.expm1(2 * math.log(atoms) / dimension))


def grammar_map(belief: float, vocabulary: int, branching: int, rules: int) -> float:
    """``F(p) = (p^s + f (m-1)/(mv-1) (1-p^s)) / (p^s + f (1-p^s))``, ``f = (mv-1)/(v^s-1)``: belief one level up.

    Mean field: a symbol's children are believed right with probability ``p`` each, and what remains is spread evenly
    over all other tuples, of which ``m - 1`` belong to the right symbol and ``mv - m`` to others: an estimate.
    Source: Sclocchi, Favero & Wyart 2025 (random hierarchy model).

    Args:
        belief: ``p``, in ``[0, 1]``.
        vocabulary: ``v``.
        branching: ``s``.
        rules: ``m``, for each symbol; ``m v <= v^s``.

    """
    _grammar(vocabulary, branching, rules)
    _inside("belief", belief, 0, 1, ends=True)
    share = (rules * vocabulary - 1) / (vocabulary**branching - 1)
    right, rest = belief**branching, 1 - belief**branching
    own = (rules - 1) / (vocabulary**branching - 1)
    return (right + own * rest) / (right + share * rest)


def grammar_transition(vocabulary: int, branching: int, rules: int) -> float | None:
    """``epsilon*``, the share of leaves erased at which the class of an infinitely deep grammar is lost.

    Where ``1 - epsilon + epsilon / v`` is the fixed point of :func:`grammar_map` strictly between ``1/v`` and 1, which
    exists where ``F'(1) = s m (v-1) / (v^s - 1) < 1``.  Mean field, hence near the exact value and not equal to it.
    Source: Sclocchi, Favero & Wyart 2025.

    Args:
        vocabulary: ``v``.
        branching: ``s``.
        rules: ``m``, for each symbol; ``m v <= v^s``.

    Returns:
        The share, or None where there is no such fixed point.

    """
    from scipy.optimize import brentq

    _grammar(vocabulary, branching, rules)
    low, high = 1 / vocabulary + 1e-9, 1 - 1e-9

    def gap(p: float) -> float:
        return grammar_map(p, vocabulary, branching, rules) - p

    if gap(low) >= 0 or gap(high) <= 0:
        return None
    root: Any = brentq(gap, low, high, xtol=1e-14)
    return (1 - float(root)) / (1 - 1 / vocabulary)


def _grammar(vocabulary: int, branching: int, rules: int) -> None:
    v, s, m = checked_whole(vocabulary, "vocabulary", 2), checked_whole(branching, "branching", 2), rules
    require(s * math.log2(v) < 1000, "branching", branching, "v^s below 2^1000")
    most = v ** (s - 1)
    require(1 <= checked_whole(m, "rules") <= most, "rules", m, f"1 to {most}: unambiguous rules need m v <= v^s")


def _inside(name: str, value: float, low: float, high: float, *, ends: bool = False) -> None:
    checked_number(value, name, low, high, ends="[]" if ends else "")
