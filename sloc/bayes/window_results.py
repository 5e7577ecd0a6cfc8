"""What is found when posterior draws are pushed through windows: posteriors of edges and of merge heights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.bayes.gates import rank_r_hat
from sloc.contracts import NOISE_AXIS
from sloc.contracts.arguments import checked_number
from sloc.contracts.equality import same_fields
from sloc.contracts.extras import need
from sloc.results.pictures import draw
from sloc.results.status import STATUSES

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True, repr=False)
class EdgePosterior:
    """Posterior of one edge of a window.

    Attributes:
        name: what it is the edge of.
        draws: ``[S]``, the edge of each posterior draw; censored at the ends of the grid, see ``codes``.
        codes: int32 ``[S]``, positions in :data:`sloc.results.STATUSES`.
        level: of the credible interval.
        data_variance: variance over posterior draws of the edge itself (from draws where it is resolved).
        numeric_variance: variance that sampling adds to each entry of ``draws``; 0 where curves are exact.
        chains: chains that the draws come from, in equal parts, one after the other (1 where not known).

    """

    name: str
    draws: np.ndarray
    codes: np.ndarray
    level: float
    data_variance: float
    numeric_variance: float
    chains: int = 1

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    @property
    def exists(self) -> np.ndarray:
        """``[S]``, ``1[status of s is not empty]``: the edge exists, resolved, inverted or censored by the grid."""
        return self.codes != STATUSES.index("empty")

    @property
    def status_probs(self) -> dict[str, float]:
        """Posterior probability of each status that occurs, ``sum_s 1[status of s] / S``."""
        return {s: float((self.codes == i).mean()) for i, s in enumerate(STATUSES) if (self.codes == i).any()}

    def quantile(self, q: float) -> float | None:
        """Posterior quantile of the edge given that it exists; None where it is censored, or never exists.

        ``inf {t : P(edge <= t | it exists) >= q}``.

        Args:
            q: the level, in [0, 1].

        Raises:
            InvalidInput: a level outside.

        """
        q = checked_number(q, "q", 0.0, 1.0, ends="[]", what="a level")
        values, codes = self.draws[self.exists], self.codes[self.exists]
        if not len(values):
            return None
        low = np.where(codes == STATUSES.index("below_grid"), -np.inf, values)
        full = np.sort(np.where(codes == STATUSES.index("above_grid"), np.inf, low))
        picked = float(np.quantile(full, q, method="inverted_cdf"))
        return picked if np.isfinite(picked) else None

    @property
    def median(self) -> float | None:
        """Posterior median given that the edge exists, the quantile at ``1/2``."""
        return self.quantile(0.5)

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """Credible interval given that the edge exists, quantiles at ``(1 -+ level) / 2``; None for a censored end."""
        tail = (1 - self.level) / 2
        return self.quantile(tail), self.quantile(1 - tail)

    @property
    def data_share(self) -> float | None:
        """Share of the variance that is the data's, ``data / (data + numeric)``: the rest is sampling noise."""
        total = self.data_variance + self.numeric_variance
        return None if not np.isfinite(total) or total <= 0 else self.data_variance / total

    @property
    def r_hat(self) -> float | None:
        """Rank-normalised split R-hat of the edge over the chains; None with one chain or unresolved draws.

        ``sqrt(((n - 1) / n W + B / n) / W)``, see :func:`sloc.bayes.diagnose`.
        """
        size = len(self.draws) // self.chains
        if self.chains < 2 or size < 8 or not self.exists.all():
            return None
        return rank_r_hat(self.draws[: size * self.chains].reshape(self.chains, size))

    def __repr__(self) -> str:
        """Return the median, the interval and the statuses."""
        show = lambda v: "-" if v is None else f"{v:.4g}"  # noqa: E731
        low, high = self.interval
        share = self.data_share
        return (
            f"{self.name}: {show(self.median)} [{show(low)}, {show(high)}] ({self.level:.0%}; "
            + ", ".join(f"{s} {p:.1%}" for s, p in self.status_probs.items())
            + ("" if share is None else f"; the data's share of the variance {share:.1%}")
            + ")"
        )


@dataclass(frozen=True, repr=False)
class WindowPosterior:
    """Posterior of a critical window ``[T_after, T_before]`` given data.

    Attributes:
        after: posterior of ``T_after``.
        before: posterior of ``T_before``.
        times: the grid ``[T]``.
        epsilon: the threshold.
        method: how the curves were got.
        n: trajectories for each posterior draw, both halves together (0 where exact).
        name: what the window is of.
        time_axis: what its times are, as a picture writes it along them.

    """

    after: EdgePosterior
    before: EdgePosterior
    times: np.ndarray
    epsilon: float
    method: str
    n: int
    name: str
    time_axis: str = NOISE_AXIS

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row for each edge: median, interval, data's share, status probabilities."""
        return _table([self.after, self.before])

    def to_xarray(self) -> xr.Dataset:
        """Return the draws and codes of both edges, ``[draw]``."""
        import xarray as xr

        data = {}
        for label, edge in (("t_after", self.after), ("t_before", self.before)):
            data[label] = ("draw", edge.draws)
            data[f"{label}_code"] = ("draw", edge.codes)
        return xr.Dataset(data, attrs={"epsilon": self.epsilon, "method": self.method, "statuses": list(STATUSES)})

    def to_arviz(self) -> Any:
        """Return an ``arviz.InferenceData`` with the edges in its posterior group, by chain and draw."""
        edges = {"t_after": self.after, "t_before": self.before}
        return _inference_data(edges)

    def plot(self, ax: Any = None) -> Any:
        """Draw both posteriors as histograms over time; returns the matplotlib axes."""
        return _histograms({"T_after": self.after, "T_before": self.before}, self.name, self.time_axis, ax)

    def __repr__(self) -> str:
        """Return both edges."""
        return f"WindowPosterior({self.name}, epsilon={self.epsilon:g}, {self.method}\n  {self.after}\n  {self.before})"


@dataclass(frozen=True, repr=False)
class MergePosterior:
    """Posterior of a mixture tree: when pairs and clusters of sub-populations merge, and which clusters there are.

    Attributes:
        pairs: ``inf {t : TV(p_t^i, p_t^j) <= epsilon}`` for each pair ``(i, j)``, ``i < j``.
        heights: of the ``K - 1`` merges of the tree (complete linkage), lowest first.
        linkage: ``[S, K - 1, 4]``, the tree of each draw in SciPy's convention (the halves' mean times where curves
            are sampled).
        names: of the sub-populations.
        epsilon: the threshold.
        method: how the curves were got.
        n: trajectories for each posterior draw, both halves together (0 where exact).
        time_axis: what its times are, as a picture writes it along them.

    """

    pairs: Mapping[tuple[str, str], EdgePosterior]
    heights: tuple[EdgePosterior, ...]
    linkage: np.ndarray
    names: tuple[str, ...]
    epsilon: float
    method: str
    n: int
    time_axis: str = NOISE_AXIS

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    @property
    def clusters(self) -> dict[tuple[str, ...], float]:
        """``P(the tree has a node S | data)`` by the members ``S``, likeliest first (root left out)."""
        counts: Counter[tuple[int, ...]] = Counter()
        k = len(self.names)
        for merges in self.linkage[:, : k - 2, :2].astype(int):
            sets: list[tuple[int, ...]] = [(i,) for i in range(k)]
            for a, b in merges:
                sets.append(tuple(sorted(sets[a] + sets[b])))
            counts.update(sets[k:])
        return {tuple(self.names[i] for i in s): c / len(self.linkage) for s, c in counts.most_common()}

    @property
    def _edges(self) -> dict[str, EdgePosterior]:
        return {e.name: e for e in (*self.pairs.values(), *self.heights)}

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row for each pair and for each merge."""
        return _table([*self.pairs.values(), *self.heights])

    def to_xarray(self) -> xr.Dataset:
        """Return draws and codes by edge and draw, and the linkage arrays."""
        import xarray as xr

        names, edges = list(self._edges), list(self._edges.values())
        data = {
            "height": (("edge", "draw"), np.stack([e.draws for e in edges])),
            "code": (("edge", "draw"), np.stack([e.codes for e in edges])),
            "linkage": (("draw", "merge", "field"), self.linkage),
        }
        attrs = {"epsilon": self.epsilon, "method": self.method, "statuses": list(STATUSES)}
        fields = ["left", "right", "height", "size"]
        return xr.Dataset(data, coords={"edge": names, "field": fields}, attrs=attrs)

    def to_arviz(self) -> Any:
        """Return an ``arviz.InferenceData`` with pair and merge heights in its posterior group."""
        return _inference_data(self._edges)

    def plot(self, ax: Any = None) -> Any:
        """Draw the posteriors of the merges as histograms over time; returns the matplotlib axes."""
        title = f"merges at epsilon = {self.epsilon:g}"
        return _histograms({e.name: e for e in self.heights}, title, self.time_axis, ax)

    def __repr__(self) -> str:
        """Return the merges and the likeliest clusters."""
        lines = [f"MergePosterior(epsilon={self.epsilon:g}, {self.method}", *map(repr, self.heights)]
        likely = [f"{{{', '.join(s)}}} {p:.1%}" for s, p in list(self.clusters.items())[:6]]
        return "\n  ".join(lines + (["clusters: " + "; ".join(likely)] if likely else [])) + ")"


def _histograms(edges: Mapping[str, EdgePosterior], title: str, time_axis: str, ax: Any) -> Any:
    drawn = {label: edge.draws[edge.exists] for label, edge in edges.items()}
    return draw("histograms", drawn, title=title, time_axis=time_axis, ax=ax)


def _table(edges: list[EdgePosterior]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for edge in edges:
        low, high = edge.interval
        statuses = {f"P({s})": p for s, p in edge.status_probs.items()}
        rows.append(
            {
                "edge": edge.name,
                "median": edge.median,
                "low": low,
                "high": high,
                "level": edge.level,
                "data_share": edge.data_share,
                "r_hat": edge.r_hat,
                **statuses,
            }
        )
    return pd.DataFrame(rows)


def _inference_data(edges: Mapping[str, EdgePosterior]) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        az = need("bayes", "arviz", "to_arviz")

        def shaped(edge: EdgePosterior, values: np.ndarray) -> np.ndarray:
            size = len(values) // edge.chains
            return values[: size * edge.chains].reshape(edge.chains, size)

        return az.from_dict(
            posterior={n: shaped(e, e.draws) for n, e in edges.items()},
            sample_stats={f"{n} code": shaped(e, e.codes) for n, e in edges.items()},
        )
