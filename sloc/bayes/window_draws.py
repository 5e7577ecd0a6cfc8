"""Windows as quantities with posteriors: every posterior draw of a mixture is pushed through its window's edges."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.bayes.posterior_draws import MixturePosterior, as_populations
from sloc.bayes.window_results import EdgePosterior, MergePosterior, WindowPosterior
from sloc.contracts import (
    GaussianChannel,
    ObservationProcess,
    Population,
    Sets,
    component_mask,
    component_names,
    require,
    set_name,
)
from sloc.divergence import TV, measure
from sloc.divergence.checks import as_times, checked_count, checked_key, checked_level, checked_method, checked_pair
from sloc.divergence.statistics import disjoint_pair
from sloc.populations import GaussianMixture
from sloc.results.status import STATUSES
from sloc.windows.edge_codes import edges_from_curves, window_codes

Array = jax.Array
_GRID = 64
_TILE_ELEMENTS = 1 << 20
"""Numbers in flight: draws side by side times trajectories times components times times."""
Pair = tuple[tuple[bool, ...], tuple[bool, ...]]


def _exact(process: ObservationProcess, stacked: Population, pairs: tuple[Pair, ...]) -> bool:
    if not isinstance(process, GaussianChannel) or type(stacked) is not GaussianMixture:
        return False
    if np.ndim(stacked.covariances) > 3:
        return False
    for a, b in pairs:
        left, right, part, _ = disjoint_pair(np.asarray(a), np.asarray(b))
        if part.any() and (left.sum() != 1 or right.sum() != 1):
            return False
    return True


def _closed_curve(process: Any, mixture: GaussianMixture, times: Array, pair: Pair) -> Array:
    """Log odds of ``TV`` of two Gaussians of one covariance, nested sets included, at all times; ``[T]``."""
    left, right, part, whole = disjoint_pair(np.asarray(pair[0]), np.asarray(pair[1]))
    if not part.any():
        return jnp.full_like(times, -jnp.inf)
    gap = mixture.means[int(left.argmax())] - mixture.means[int(right.argmax())]
    cov, d = mixture.covariances, gap.shape[0]
    if cov.ndim == 2:
        values, vectors = jnp.linalg.eigh(cov)
        gap, cov = jnp.matmul(vectors.T, gap, precision=jax.lax.Precision.HIGHEST), jnp.maximum(values, 0.0)
    a, sigma = process.coefficients(times)
    v = (a**2)[:, None] * jnp.broadcast_to(cov, (d,))[None] + (sigma**2)[:, None]
    squared = jnp.sum((a[:, None] * gap[None]) ** 2 / v, axis=1)
    w = mixture.weights
    ratio = jnp.sum(jnp.where(part, w, 0.0)) / jnp.sum(jnp.where(whole, w, 0.0))
    r = jnp.sqrt(squared / 8)
    # 1 - TV is formed without cancellation, so that thresholds close to one are met at the right time.
    return jnp.log(ratio * jax.lax.erf(r)) - jnp.log(jnp.maximum(1 - ratio, 0.0) + ratio * jax.lax.erfc(r))


def _logit(tv: Array) -> Array:
    """Curves are interpolated in log odds, where they are nearly straight."""
    low = jnp.finfo(tv.dtype).eps / 2
    clipped = jnp.clip(tv, low, 1 - low)
    return jnp.log(clipped) - jnp.log1p(-clipped)


def _finite(log_odds: Array) -> Array:
    """Keep interpolation away from infinities, far outside of any threshold."""
    return jnp.clip(log_odds, -100.0, 100.0)


@functools.partial(jax.jit, static_argnames=("pairs", "sides", "n", "exact", "batch", "window"))
def _push(
    key: Array,
    process: Any,
    stacked: Any,
    times: Array,
    thresholds: Array,
    *,
    pairs: tuple[Pair, ...],
    sides: tuple[str, ...],
    n: int,
    exact: bool,
    batch: int,
    window: bool,
) -> Any:
    """Edges of every posterior draw from two independent halves of trajectories (the same twice where exact).

    Returns:
        Values and codes, ``[S, 2, Q]``: by draw, half and question.

    """
    discrete = process.discrete

    def edges(curves: list[Array]) -> tuple[Array, Array]:
        found = [
            edges_from_curves(times, _finite(c), h, s, discrete=discrete)  # pyright: ignore[reportArgumentType]
            for c, h, s in zip(curves, thresholds, sides, strict=True)
        ]
        if window:
            after, rest = found[0], found[1:]
            before = rest[0] if sides[1:2] == ("first",) else (jnp.zeros_like(after[0]), jnp.zeros_like(after[1]))
            apart = rest[-1] if rest and sides[-1] == "last" else None
            found = list(window_codes(after, before, apart))
        return jnp.stack([v for v, _ in found]), jnp.stack([c for _, c in found])

    def one(given: tuple[Array, Any]) -> tuple[Array, Array]:
        index, population = given
        if exact:
            value, code = edges([_closed_curve(process, population, times, p) for p in pairs])
            return jnp.stack([value, value]), jnp.stack([code, code])
        statistics = [TV(np.asarray(a), np.asarray(b)) for a, b in pairs]
        asked: dict[Any, TV] = dict(enumerate(statistics))

        def half(key: Array) -> tuple[Array, Array]:
            curves = measure(key, process, population, times, asked, n=n, method="monte-carlo", devices=1, tile=1)
            return edges([_logit(jnp.asarray(curves[i].value)) for i in asked])

        return jax.vmap(half)(jax.random.split(jax.random.fold_in(key, index), 2))

    count = stacked.log_weights.shape[0]
    return jax.lax.map(one, (jnp.arange(count), stacked), batch_size=batch)


def _compiles() -> int:
    """How many programs :func:`_push` holds."""
    return int(_push._cache_size())  # pyright: ignore[reportAttributeAccessIssue]


def _prepared(
    process: Any, posterior: Any, draws: int | None, times: Any, n: int
) -> tuple[Any, Any, Any, np.ndarray, Array, int]:
    stacked = as_populations(posterior, draws)
    first = jax.tree.map(lambda v: v[0], stacked)
    process, first = checked_pair(process, first)
    for name in ("weights", "means", "covariances"):
        values = np.asarray(getattr(stacked, name))
        require(bool(np.isfinite(values).all()), f"posterior.{name}", values, "finite numbers")
    grid = process.grid(_GRID) if times is None else times
    shown, device = as_times(process, first, grid)
    require(len(shown) >= 2, "times", times, "at least two times")
    stacked = jax.tree.map(lambda v: jnp.asarray(v, device.dtype if not process.discrete else None), stacked)
    each = max(1, _TILE_ELEMENTS // (2 * max(n // 2, 1) * len(shown) * first.num_components))
    return process, stacked, first, shown, device, each


def _posteriors(
    values: Any, codes: Any, labels: list[str], level: float, exact: bool, chains: int
) -> list[EdgePosterior]:
    values, codes = np.asarray(values, np.float64), np.asarray(codes)
    edges = []
    for q, label in enumerate(labels):
        pair, code = values[:, :, q], codes[:, :, q]
        # Halves that disagree on the status: the first speaks, as a single run of half the draws would.
        both = np.isin(code, [STATUSES.index("resolved"), STATUSES.index("inverted")]).all(axis=1)
        draw = np.where(code[:, 0] == code[:, 1], pair.mean(axis=1), pair[:, 0])
        good = pair[both]
        total = float(good.mean(axis=1).var(ddof=1)) if len(good) > 2 else float("nan")
        noise = float(((good[:, 0] - good[:, 1]) ** 2).mean() / 4) if len(good) and not exact else 0.0
        edges.append(EdgePosterior(label, draw, code[:, 0], level, max(total - noise, 0.0), noise, chains))
    return edges


def window_posterior(
    key: Array,
    process: ObservationProcess,
    posterior: MixturePosterior | GaussianMixture,
    after: Sets,
    before: Sets,
    *,
    epsilon: float,
    times: Any = None,
    draws: int | None = 1000,
    n: int = 4096,
    level: float = 0.9,
    method: str = "auto",
    batch_size: int | None = None,
) -> WindowPosterior:
    """Posterior of the critical window of ``after`` within ``before``, given the data behind a posterior.

    Each posterior draw of the mixture has a window (the edges of :func:`sloc.critical_window`); their law is the
    window's posterior.  Curves are exact where a draw's TVs have closed forms (one covariance, sets that nest down
    to single sub-populations), else from ``n`` trajectories of each draw's own, in two independent halves: the
    covariance of the halves is the data's share of the variance, the rest is sampling noise.  All draws run in one
    compiled program.

    Args:
        key: typed PRNG key.
        process: the observation process.
        posterior: a fit, or a Gaussian mixture whose leaves have a first axis of draws.
        after: an index, a name, or a sequence of them; inside ``before``.
        before: likewise; all of them is allowed.
        epsilon: threshold in ``(0, 1)``.
        times: the grid; default ``process.grid(64)``.
        draws: posterior draws to push, evenly spaced; None takes all, more than there are means all.
        n: trajectories for each posterior draw, rounded up to blocks of 1,024 in each half.
        level: of the credible intervals.
        method: ``auto``, ``closed-form`` or ``monte-carlo``.
        batch_size: posterior draws side by side; None chooses so that memory stays small.

    Returns:
        The posterior of both edges, with probabilities of each status.

    Raises:
        InvalidInput: ``after`` not inside ``before``, sets unknown, levels outside ``(0, 1)``, bad times, sub-
            populations that are not Gaussian, no closed form where one is asked for.

    Source: Li, Karan & Chen 2025, Def. 4.

    """
    key, n, method = checked_key(key), checked_count(n), checked_method(method)
    epsilon, level = checked_level(epsilon, "epsilon"), checked_level(level, "level")
    process, stacked, first, shown, device, each = _prepared(process, posterior, _most(posterior, draws), times, n)
    inner, outer = component_mask(first, after, "after"), component_mask(first, before, "before")
    require(bool((outer | ~inner).all()), "after", after, f"a part of before = {before!r}")
    require(not inner.all(), "after", after, "a proper part of all sub-populations")
    high = 1 - epsilon**2
    asked: list[tuple[np.ndarray, np.ndarray, float, str]] = [(inner, ~inner, high, "last")]
    if (outer & ~inner).any():
        asked.append((inner, outer, epsilon, "first"))
    if (~outer).any():
        asked.append((outer, ~outer, high, "last"))
    name = f"{set_name(first, inner)} within {'all' if outer.all() else set_name(first, outer)}"
    values, codes, how, used = _run(key, process, stacked, device, asked, n, method, batch_size or each, True)
    chains = posterior.chains if isinstance(posterior, MixturePosterior) else 1
    edges = _posteriors(values, codes, ["T_after", "T_before"], level, used == 0, _dividing(chains, len(values)))
    return WindowPosterior(edges[0], edges[1], np.asarray(shown, np.float64), epsilon, how, used, name)


def merge_posterior(
    key: Array,
    process: ObservationProcess,
    posterior: MixturePosterior | GaussianMixture,
    *,
    epsilon: float,
    times: Any = None,
    draws: int | None = 1000,
    n: int = 4096,
    level: float = 0.9,
    method: str = "auto",
    batch_size: int | None = None,
) -> MergePosterior:
    """Posterior of the heights at which sub-populations become indistinguishable.

    For each posterior draw, ``h_ij = inf {t : TV(p_t^i, p_t^j) <= epsilon}`` for all pairs, and the single-linkage
    tree of these heights (``TV(p^i, p^S) <= max_{j in S} TV(p^i, p^j)``).  Exact for Gaussians of one covariance.

    Args:
        key: typed PRNG key.
        process: the observation process.
        posterior: see :func:`window_posterior`.
        epsilon: threshold in ``(0, 1)``.
        times: the grid; default ``process.grid(64)``.
        draws: posterior draws to push.
        n: trajectories for each posterior draw.
        level: of the credible intervals.
        method: ``auto``, ``closed-form`` or ``monte-carlo``.
        batch_size: posterior draws side by side.

    Returns:
        The posterior of the pairs' heights and of the ``K - 1`` merges; heights are censored by the grid.

    Raises:
        InvalidInput: see :func:`window_posterior`.

    """
    key, n, method = checked_key(key), checked_count(n), checked_method(method)
    epsilon, level = checked_level(epsilon, "epsilon"), checked_level(level, "level")
    process, stacked, first, shown, device, each = _prepared(process, posterior, _most(posterior, draws), times, n)
    del shown
    k, names = first.num_components, component_names(first)
    eye = np.eye(k, dtype=bool)
    index = [(i, j) for i in range(k) for j in range(i + 1, k)]
    asked = [(eye[i], eye[j], epsilon, "first") for i, j in index]
    values, codes, how, used = _run(key, process, stacked, device, asked, n, method, batch_size or each, False)
    chains = _dividing(posterior.chains if isinstance(posterior, MixturePosterior) else 1, len(values))
    labels = [f"{names[i]} with {names[j]}" for i, j in index]
    pairs = _posteriors(values, codes, labels, level, used == 0, chains)
    values, codes = np.asarray(values, np.float64), np.asarray(codes)
    trees = np.stack([_linkage(values[:, h], index, k) for h in range(2)], axis=1)
    # The cophenetic table's distinct heights are the merges: the minimum spanning tree has K - 1 edges.
    merges = np.stack([_merges(values[:, h], index, k) for h in range(2)], axis=1)
    picked = np.take_along_axis(codes, merges[..., 1].astype(int), axis=2)
    heights = _posteriors(merges[..., 0], picked, [f"merge {m + 1}" for m in range(k - 1)], level, used == 0, chains)
    by_name = {(names[i], names[j]): e for (i, j), e in zip(index, pairs, strict=True)}
    return MergePosterior(by_name, tuple(heights), trees.mean(axis=1), epsilon, how)


def _merges(values: np.ndarray, index: list[tuple[int, int]], k: int) -> np.ndarray:
    """Heights of the ``K - 1`` merges and the pair that makes each: ``[S, K - 1, 2]`` (Kruskal)."""
    out = np.zeros((len(values), k - 1, 2))
    for s, row in enumerate(values):
        group, done = list(range(k)), 0
        for q in np.argsort(row, kind="stable"):
            i, j = (group[g] for g in index[q])
            if i != j:
                out[s, done] = row[q], q
                group, done = [i if g == j else g for g in group], done + 1
    return out


def _linkage(values: np.ndarray, index: list[tuple[int, int]], k: int) -> np.ndarray:
    """Least over paths of the largest height on the path, ``[S, K, K]``."""
    table = np.zeros((len(values), k, k))
    for q, (i, j) in enumerate(index):
        table[:, i, j] = table[:, j, i] = values[:, q]
    for m in range(k):
        table = np.minimum(table, np.maximum(table[:, :, m, None], table[:, m, None, :]))
    return table


def _run(
    key: Array, process: Any, stacked: Any, times: Array, asked: Any, n: int, method: str, batch: int, window: bool
) -> tuple[Any, Any, str, int]:
    pairs = tuple((tuple(a.tolist()), tuple(b.tolist())) for a, b, _, _ in asked)
    exact = method != "monte-carlo" and _exact(process, stacked, pairs)
    if method == "closed-form":
        require(exact, "method", method, "draws of one covariance and sets that nest down to single sub-populations")
    # In float64: 1 - epsilon^2 leaves few digits of epsilon in float32.
    thresholds = jnp.asarray([np.log(c / (1 - c)) for _, _, c, _ in asked], jnp.result_type(float))
    count = stacked.log_weights.shape[0]
    half = max(n // 2, 2)
    values, codes = _push(
        key,
        process,
        stacked,
        times,
        thresholds,
        pairs=pairs,
        sides=tuple(s for _, _, _, s in asked),
        n=half,
        exact=exact,
        batch=int(min(max(batch, 1), count)),
        window=window,
    )
    return values, codes, "exact curves" if exact else "monte carlo, exact marginals", 0 if exact else 2 * half


def _most(posterior: Any, draws: int | None) -> int | None:
    if draws is None:
        return None
    draws = checked_count(draws, "draws")
    total = posterior.draws if isinstance(posterior, MixturePosterior) else len(np.asarray(posterior.weights))
    return min(draws, total)


def _dividing(chains: int, draws: int) -> int:
    return chains if draws % chains == 0 else 1
