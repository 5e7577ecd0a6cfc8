"""Whether chains agree: rank-normalised split R-hat, effective sizes, shifts between chains, divergences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_array, as_floats, checked_kind, checked_number, checked_whole

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ChainDiagnostics:
    """What the chains of a fit look like.

    Attributes:
        r_hat: largest rank-normalised split R-hat (bulk and folded) of each site.
        ess: smallest effective sample size of each site, over all chains.
        shift: of each site, the largest distance of a chain's mean from the mean of all, in standard deviations
            within chains.
        divergences: divergent transitions of each chain (0 for variational fits).
        draws: draws per chain.
        switched_between: chains whose labels differ from those of the first, before relabelling.
        switched_within: share of draws whose labels differ from those of most draws of their chain.
        relabelled: whether labels were put in one order.

    """

    r_hat: Mapping[str, float]
    ess: Mapping[str, float]
    shift: Mapping[str, float]
    divergences: tuple[int, ...]
    draws: int
    switched_between: int = 0
    switched_within: float = 0.0
    relabelled: bool = False

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per site: R-hat, effective size, largest shift of a chain."""
        import pandas as pd

        names = list(self.r_hat)
        columns = {k: [getattr(self, k)[n] for n in names] for k in ("r_hat", "ess", "shift")}
        return pd.DataFrame({"site": names, **columns})

    def __str__(self) -> str:
        """One line for each site, worst first."""
        names = sorted(self.r_hat, key=lambda n: -self.r_hat[n])
        lines = [
            f"  {n}: R-hat {self.r_hat[n]:.3f}, effective size {self.ess[n]:.0f}, largest shift of a chain "
            f"{self.shift[n]:.2f} sd"
            for n in names
        ]
        labels = f"{self.switched_between} chains and {self.switched_within:.1%} of draws in another order" + (
            ", relabelled" if self.relabelled else ""
        )
        return "\n".join([*lines, f"  divergences by chain: {list(self.divergences)}; labels: {labels}"])


class ChainsDisagree(RuntimeError):
    """Chains that do not agree, so that their average would mean nothing.

    Attributes:
        diagnostics: the :class:`ChainDiagnostics` that say so.
        samples: the draws, ``[chains, draws, ...]`` for each site, to look at.

    """

    def __init__(self, message: str, diagnostics: ChainDiagnostics, samples: Mapping[str, Any] | None = None) -> None:
        """Keep the diagnostics."""
        super().__init__(f"{message}\n{diagnostics}")
        self.diagnostics: ChainDiagnostics = diagnostics
        self.samples: Mapping[str, Any] | None = samples


class LabelSwitching(ChainsDisagree):
    """Draws name the sub-populations in different orders, and relabelling was switched off or is not possible."""


def rank_r_hat(draws: np.ndarray) -> float:
    """Rank-normalised split R-hat, the larger of bulk and folded.

    Args:
        draws: ``[chains, draws]`` of one number.

    Returns:
        1 where all draws are the same, ``inf`` where only chains differ.

    Source: Vehtari, Gelman, Simpson, Carpenter & Buerkner 2021, eqs. 3-4 and 14.

    """
    draws = np.asarray(draws, np.float64)
    if not np.isfinite(draws).all():
        return float("inf")
    half = draws.shape[1] // 2
    split = np.concatenate([draws[:, :half], draws[:, -half:]])
    # Rounding is no disagreement: a Cholesky factor's corner, say, is one up to its last bit.
    if np.ptp(split) <= 1e-6 * max(1.0, float(np.abs(split).max())):
        return 1.0
    return max(_r_hat(_normal_scores(split)), _r_hat(_normal_scores(np.abs(split - np.median(split)))))


def _normal_scores(split: np.ndarray) -> np.ndarray:
    from scipy.stats import norm, rankdata

    ranks = rankdata(split, axis=None).reshape(split.shape)
    return norm.ppf((ranks - 0.375) / (split.size + 0.25))


def _r_hat(split: np.ndarray) -> float:
    n = split.shape[1]
    within = split.var(axis=1, ddof=1).mean()
    between = n * split.mean(axis=1).var(ddof=1)
    if within <= 0:
        return float("inf") if between > 0 else 1.0
    return float(np.sqrt((within * (n - 1) / n + between / n) / within))


def _columns(values: np.ndarray) -> np.ndarray:
    flat = np.asarray(values, np.float64).reshape(*values.shape[:2], -1)
    spread = np.ptp(flat, axis=(0, 1)) > 1e-6 * np.maximum(1.0, np.abs(flat).max(axis=(0, 1)))
    return flat[:, :, spread | ~np.isfinite(spread)]


def diagnose(
    samples: Mapping[str, Any],
    divergences: Any = None,
    *,
    switched_between: int = 0,
    switched_within: float = 0.0,
    relabelled: bool = False,
) -> ChainDiagnostics:
    """Compute the diagnostics of draws: estimates, by which chains are refused and nothing is certified.

    ``R-hat = sqrt(((n - 1) / n W + B / n) / W)`` over halves of chains, in normal scores of ranks (of the draws, and of
    their distances from the median): ``W`` the mean variance within, ``B / n`` the variance of the means.  The shift is
    ``max_c |mean_c - mean| / sqrt(W)`` of whole chains.

    Source: R-hat and effective sample size, Vehtari et al. 2021.

    Args:
        samples: sites to ``[chains, draws, ...]``.
        divergences: ``[chains, draws]`` booleans, or None.
        switched_between: see :class:`ChainDiagnostics`.
        switched_within: likewise.
        relabelled: likewise.

    Returns:
        The diagnostics; parts of a site that are constant are left out.

    Raises:
        InvalidInput: samples of unlike shapes, or numbers outside their ranges.

    """
    from numpyro.diagnostics import effective_sample_size

    r_hat, ess, shift = {}, {}, {}
    chains, draws = _checked_samples(samples)
    switched_between = checked_whole(switched_between, "switched_between", 0)
    checked_number(switched_within, "switched_within", 0, ends="[")
    for name, values in samples.items():
        columns = _columns(np.asarray(values))
        each = np.moveaxis(columns, 2, 0)
        r_hat[name] = max((rank_r_hat(c) for c in each), default=1.0)
        sizes = [float(effective_sample_size(c)) for c in each if (c.std(axis=1) > 0).all()]
        ess[name] = min(sizes, default=float(chains * draws) if not len(each) else 0.0)
        means, sds = columns.mean(axis=1), np.sqrt(columns.var(axis=1).mean(axis=0))
        gaps = np.abs(means - means.mean(axis=0)).max(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            shift[name] = float(np.max(gaps / sds, initial=0.0))
    counts = np.zeros(chains, int) if divergences is None else _counted(divergences, chains)
    return ChainDiagnostics(
        r_hat, ess, shift, tuple(int(c) for c in counts), draws, switched_between, switched_within, relabelled
    )


def check_gates(**gates: Any) -> None:
    """Refuse gates that are no positive numbers, before any chain is run.

    Raises:
        InvalidInput: names the gate.

    """
    for name, value in gates.items():
        checked_number(value, name, 0)


def _checked_samples(samples: Any) -> tuple[int, int]:
    good = isinstance(samples, Mapping) and len(samples) > 0
    require(good, "samples", samples, "sites and their draws, [chains, draws, ...]")
    shapes = {np.shape(as_array(values, "samples"))[:2] for values in samples.values()}
    require(len(shapes) == 1 and len(min(shapes)) == 2, "samples", shapes, "draws [chains, draws, ...] of one number")
    chains, draws = min(shapes)
    require(draws >= 4, "samples", draws, "at least 4 draws of each chain")
    return chains, draws


def _counted(divergences: Any, chains: int) -> np.ndarray:
    found = as_floats(divergences, "divergences")
    good = found.ndim >= 1 and found.shape[0] == chains and bool(np.isin(found, (0, 1)).all())
    require(good, "divergences", divergences, f"True or False for each draw of {chains} chains")
    return found.reshape(chains, -1).sum(axis=1).astype(int)


def check_chains(
    samples: Mapping[str, Any],
    diagnostics: ChainDiagnostics,
    *,
    max_r_hat: float,
    min_ess: float,
    max_shift: float,
    max_divergences: float,
) -> None:
    """Refuse chains that disagree.

    They do where ``max R-hat > max_r_hat``, ``max shift > max_shift``, ``min ess < min_ess``, or where more transitions
    of a chain diverged than the limit.

    Source: Vehtari et al. 2021 for R-hat and effective sample size; the shift is the library's own.

    Args:
        samples: the draws, kept in the exception.
        diagnostics: their diagnostics.
        max_r_hat: largest rank-normalised split R-hat accepted.
        min_ess: least effective sample size accepted.
        max_shift: largest distance of a chain's mean from the mean of all, in standard deviations within chains.
        max_divergences: largest share of divergent transitions accepted in any chain.

    Raises:
        ChainsDisagree: a limit is broken; the message says which, the exception carries the diagnostics.

    """
    _checked_samples(samples)
    checked_kind(diagnostics, "diagnostics", ChainDiagnostics, "what diagnose returns")
    check_gates(max_r_hat=max_r_hat, min_ess=min_ess, max_shift=max_shift, max_divergences=max_divergences)
    broken = []
    for table, limit, word, worse in (
        (diagnostics.r_hat, max_r_hat, "R-hat", max),
        (diagnostics.shift, max_shift, "shift of a chain", max),
        (diagnostics.ess, min_ess, "effective size", min),
    ):
        name = worse(table, key=lambda n: table[n])
        if (table[name] < limit) if worse is min else not (table[name] <= limit):
            broken.append(f"{word} of {name} is {table[name]:.3g} (limit {limit:g})")
    share = max(diagnostics.divergences, default=0) / max(diagnostics.draws, 1)
    if share > max_divergences:
        broken.append(f"{share:.1%} of the transitions of a chain diverged (limit {max_divergences:.1%})")
    if broken:
        raise ChainsDisagree("the chains do not agree and are not averaged: " + "; ".join(broken), diagnostics, samples)
