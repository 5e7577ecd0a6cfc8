"""Biroli et al.: when diffusion chooses a class, when it collapses on an atom, and how often clones agree."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

import sloc
from sloc.windows import printed
from sloc.windows.edges import edge_on_grid

from .atom_clones import half_time
from .rows import Fit, Result, Row, crossing, same, slope
from .speciation_windows import scaling, windows

NAME, NORM, RATE = "Biroli et al.", 4.0, 0.5
DIMENSIONS = (4, 6, 8, 10)
SIGMAS = 5
"""Half-width of the intervals of collapse in standard errors: with an atom a class, the rigorous band is too wide."""
PROCESS = sloc.processes.OrnsteinUhlenbeck()


def pair(size: float, weight: float) -> sloc.populations.GaussianMixture:
    """Return ``N(+-mu, I)`` in the plane with ``|mu| = size``, the first of a given weight."""
    return sloc.populations.GaussianMixture([weight, 1 - weight], [[size, 0.0], [-size, 0.0]])


def leading_eigenvalue(size: float, weight: float) -> float:
    """Return ``Lambda = 1 + 4 w (1 - w) |mu|^2``, of the covariance of the data."""
    return 1 + 4 * weight * (1 - weight) * size**2


def two_gaussians_tv(size: float, t: float) -> float:
    """Return ``2 Phi(|mu| e^{-t}) - 1``."""
    return float(2 * norm.cdf(size * math.exp(-t)) - 1)


def clones(r: float, weight: float = 0.5) -> float:
    """Return ``E sum pi^2`` for ``N(+-r, 1)`` by quadrature."""

    def kept(share: float, z: float) -> float:
        log_odds = 2 * r * (z + r) + math.log(share / (1 - share))
        return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0

    total: Any = [
        share * quad(lambda z: norm.pdf(z) * kept(share, z), -12, 12, epsabs=1e-12, limit=200)[0]  # noqa: B023
        for share in (weight, 1 - weight)
    ]
    return float(sum(total))


def atoms(d: int) -> np.ndarray:
    """Return ``e^{d/2}`` atoms of ``N(0, I_d)``."""
    return np.random.default_rng(d).normal(size=(round(math.exp(RATE * d)), d))


def collapse(d: int, n: int) -> sloc.Curve:
    """Return how often two clones agree on the atom, against noise."""
    said = printed.collapse_time(len(atoms(d)), d)
    times = np.geomspace(said / 8, 10 * said, 40)
    return sloc.clone_agreement(
        jax.random.key(d), PROCESS, sloc.populations.Empirical(atoms(d)), times, n=n, delta=0.01
    )


def run(n: int = 100_000) -> Result:
    """Return speciation, clones and collapse."""
    rows, key = [], jax.random.key(9)
    said = printed.speciation_time(leading_eigenvalue(NORM, 0.5))
    at = sloc.tv(key, PROCESS, pair(NORM, 0.5), said, 0, 1, n=n, delta=1e-6, method="monte-carlo")
    half: Any = brentq(lambda t: clones(NORM * math.exp(-t)) - 0.75, 0.1, 4)
    grid = np.linspace(0.2, 4, 77)
    curve = sloc.clone_agreement(key, PROCESS, pair(NORM, 0.5), grid, n=n, delta=1e-6)
    edge = edge_on_grid(grid, curve.value, curve.lower, curve.upper, 0.75, "last")
    agree = sloc.clone_agreement(key, PROCESS, pair(NORM, 0.5), [said], n=4 * n, delta=1e-6)
    setting, how = f"|μ| = {NORM:g}, w = ½", f"{int(curve.n):,} draws"
    far = printed.speciation_time(leading_eigenvalue(100, 0.01))
    far_tv = sloc.tv(key, PROCESS, pair(100, 0.01), far, 0, 1, n=2)
    share, least, most = (float(np.asarray(v)[0]) for v in (agree.value, agree.lower, agree.upper))
    assert edge.interval is not None
    rows += [
        Row(NAME, setting, "TV at t_S", two_gaussians_tv(NORM, said), float(at.value), float(at.lower),
            float(at.upper), f"{int(at.n):,} draws", None,
            f"t_S = {said:.4f} lies inside the window, at no edge of it"),
        Row(NAME, setting, "t at which clones agree ¾", float(half), edge.value, *edge.interval, how, said,
            "t_S is close to half way, for balanced classes"),
        Row(NAME, setting, "φ(t_S), clones that agree", clones(NORM * math.exp(-said)), share, least, most,
            f"{int(agree.n):,} draws", printed.pair_clones(NORM, said), "exact as printed"),
        Row(NAME, "|μ| = 100, w = 0.01", "TV at t_S", two_gaussians_tv(100, far),
            *same(float(far_tv.value)), far_tv.method, None,
            "Λ knows the weights, TV does not: at t_S the classes are still wholly apart"),
    ]  # fmt: skip
    widths, curves = [], {}
    for d in DIMENSIONS:
        found = collapse(d, n=16_384)
        t = np.asarray(found.times, np.float64)
        value, spread = np.asarray(found.value, np.float64), SIGMAS * np.asarray(found.stderr, np.float64)
        low, high = value - spread, value + spread
        falls = [np.minimum.accumulate(v) for v in (value, low, high)]
        cuts = [[crossing(t, v, level) for level in (0.9, 0.5, 0.25)] for v in falls]
        cut = (cuts[0][1], cuts[1][1], cuts[2][1])
        ratio = [cuts[0][2] / cuts[0][0], cuts[1][2] / cuts[2][0], cuts[2][2] / cuts[1][0]]
        widths.append(np.log(ratio))
        number = printed.collapse_time(len(atoms(d)), d)
        exact_half, error = half_time(atoms(d), number)
        how = f"± {error:.1g}: draws in double precision" if error else "a sum over a lattice"
        rows.append(
            Row(NAME, f"{len(atoms(d))} atoms of N(0, I), d = {d}", "t at which clones agree on the atom half the time",
                exact_half, *cut, f"{int(found.n):,} draws, ±{SIGMAS:g} standard errors", number,
                f"printed: asymptotic in d at ln n / d = ½; exact {how}")
        )  # fmt: skip
        curves[str(d)] = {"t": t / number, "value": value}
    table = np.array(widths)
    fit = Fit(NAME, "collapse sharpens", "d", "ln of t(.25) / t(.9)",
              *slope(DIMENSIONS, table[:, 0], band=(table[:, 1], table[:, 2])), -0.5)  # fmt: skip
    exact = [clones(NORM * math.exp(-t)) for t in grid]
    tv = 2 * norm.cdf(NORM * np.exp(-grid)) - 1
    series = {"t": grid, "clones": exact, "tv": tv, "said": said, "collapse": curves}
    more, by_dimension = scaling()
    return Result(rows + windows(), [fit, *more], {**series, "scaling": by_dimension})


def draw(axes: Any, found: dict[str, Any]) -> None:
    """Draw speciation and collapse."""
    from .pictures import BLUE, GREEN, SOFT, ordered_colours

    left, right = axes
    left.plot(found["t"], found["tv"], color=BLUE, label="TV of the classes")
    left.plot(found["t"], found["clones"], color=GREEN, linestyle="--", label="φ, clones agree")
    left.axvline(found["said"], color=SOFT, linestyle=":", label="t_S = ½ ln Λ")
    left.set(xlabel="noise level t (OU time)", ylabel="probability", ylim=(0, 1.03), title="speciation, |μ| = 4")
    left.legend(fontsize=7.5)
    curves = found["collapse"]
    for (d, curve), colour in zip(curves.items(), ordered_colours(len(curves)), strict=True):
        right.plot(curve["t"], curve["value"], color=colour, label=f"d = {d}, n = e^(d/2)")
    right.axvline(1, color=SOFT, linestyle=":", label="t_C")
    right.set(xscale="log", xlabel="noise level, t / t_C", ylabel="clones agree on the atom", title="collapse")
    right.legend(fontsize=7.5)
