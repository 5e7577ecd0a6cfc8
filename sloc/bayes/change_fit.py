"""Fit the hierarchical change-point model to many resampled curves in one batched run."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import constrain_fn

from sloc.bayes.change_data import ChangeData, change_data
from sloc.bayes.change_mode import flat_coordinates, mode_and_scale, potential
from sloc.bayes.change_model import question_summaries, shared_parameters
from sloc.bayes.change_predict import predictive_checks
from sloc.bayes.gates import ChainDiagnostics, ChainsDisagree, check_chains, check_gates, diagnose
from sloc.contracts import require
from sloc.contracts.arguments import as_floats, as_whole, checked_all, checked_level, checked_whole
from sloc.contracts.equality import same_fields
from sloc.contracts.extras import need
from sloc.divergence.checks import checked_count, checked_key

if TYPE_CHECKING:
    import pandas as pd

Array = jax.Array
_SUMMARY_DRAWS = 40
START_SPREAD = 2.0
"""Chains start this many standard deviations of the posterior, as its mode's curvature has them, around the mode."""


@dataclass(frozen=True)
class ChangePosterior:
    """Posterior of windows over ``Q`` questions at ``T`` points, under the model of :func:`sloc.bayes.fit_changes`.

    A step is what lies between two neighbouring points; a window covers one to three of them.

    Attributes:
        samples: shared parameters, ``[chains, draws, ...]`` each.
        diagnostics: of the chains.
        sets: names of the data sets.
        kept: ``[T]`` what was kept at each point.
        numbers: ``[Q, 3]`` probability of no, one and two windows.
        steps: ``[Q, T - 1]`` probability that a step lies in a window.
        first: ``[Q, T - 1]`` probability that the first window begins at a step.
        last: ``[Q, T - 1]`` probability that the last window ends at a step.
        width: ``[Q]`` mean width in steps, given one window.
        height: ``[Q]`` mean of the level after the last window less the level before the first, a share in [-1, 1].
        checks: posterior predictive checks: statistic to (observed, mean of replicates, p-value).
        questions: ``[Q]`` names.
        replicates: statistic to its values on replicated data, one a posterior draw of those that were looked at.
        diverging: ``[chains, draws]`` bool, transitions that diverged.

    """

    samples: Mapping[str, np.ndarray]
    diagnostics: ChainDiagnostics
    sets: tuple[str, ...]
    kept: np.ndarray
    numbers: np.ndarray
    steps: np.ndarray
    first: np.ndarray
    last: np.ndarray
    width: np.ndarray
    height: np.ndarray
    checks: Mapping[str, tuple[float, float, float]]
    questions: tuple[str, ...]
    replicates: Mapping[str, np.ndarray]
    diverging: np.ndarray

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def reported(self, alpha: float = 0.1) -> np.ndarray:
        """``[Q]`` bool: the largest set of questions with ``mean_q P(no window in q | data) <= alpha``.

        The expected share of questions without a window among them is then at most ``alpha`` under the model.

        Raises:
            InvalidInput: ``alpha`` outside (0, 1).

        """
        checked_level(alpha, "alpha")
        none = self.numbers[:, 0]
        order = np.argsort(none, kind="stable")
        mean = np.cumsum(none[order]) / np.arange(1, none.size + 1)
        out = np.zeros(none.size, bool)
        # The running mean of rising numbers rises, so that these are the first ones.
        out[order[mean <= alpha]] = True
        return out

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per question: probabilities of its numbers of windows, the likeliest step, width, height."""
        import pandas as pd

        step = self.steps.argmax(axis=1)
        return pd.DataFrame(
            {
                "question": list(self.questions),
                "p_none": self.numbers[:, 0],
                "p_one": self.numbers[:, 1],
                "p_two": self.numbers[:, 2],
                "kept_before": self.kept[step],
                "kept_after": self.kept[step + 1],
                "p_step": self.steps.max(axis=1),
                "width": self.width,
                "height": self.height,
            }
        )

    def to_arviz(self) -> Any:
        """Return an ``arviz.InferenceData``.

        Groups: ``posterior`` (shared parameters by chain and draw), ``sample_stats`` (``diverging``), ``observed_data``
        and ``posterior_predictive`` (the statistics of the predictive checks, a replicate of all questions a draw).
        """
        az = need("bayes", "arviz", "to_arviz")
        names = list(self.replicates)
        stacked = np.stack([self.replicates[n] for n in names], axis=-1)
        return az.from_dict(
            posterior={n: np.asarray(v) for n, v in self.samples.items()},
            sample_stats={"diverging": self.diverging},
            observed_data={"statistics": np.asarray([self.checks[n][0] for n in names])},
            posterior_predictive={"statistics": stacked[None]},
            coords={"set": list(self.sets), "number": [1, 2], "statistic": names},
            dims={
                "set_windows": ["set", "number"],
                "windows": ["number"],
                "right": ["number"],
                "statistics": ["statistic"],
            },
        )


@functools.lru_cache(maxsize=8)
def _sampler(sets: int, warmup: int, draws: int, chains: int) -> Any:
    _, unravel = flat_coordinates(sets)

    @jax.jit
    def sample(
        key: Array, data: ChangeData, mode: Array, scale: Array, starts: Array
    ) -> tuple[dict[str, Array], Array]:
        def place(u: Array) -> Array:
            return mode + scale @ u

        kernel = NUTS(potential_fn=lambda u: potential(place(u), data, sets), max_tree_depth=7)
        mcmc = MCMC(
            kernel,
            num_warmup=warmup,
            num_samples=draws,
            num_chains=chains,
            chain_method="vectorized",
            progress_bar=False,
        )
        # Starts are at hand, so the search for valid ones need not be compiled.
        mcmc.run(key, init_params=starts, extra_fields=("diverging",))

        def shared(u: Array) -> dict[str, Array]:
            return constrain_fn(shared_parameters, (sets,), {}, unravel(place(u)), True)

        found = jax.vmap(jax.vmap(shared))(mcmc.get_samples(group_by_chain=True))
        return found, mcmc.get_extra_fields(group_by_chain=True)["diverging"]

    return sample


@jax.jit
def _summaries(shared: dict[str, Array], data: ChangeData) -> dict[str, Array]:
    """Means over draws ``[D, ...]`` of each question's summaries, one draw at a time."""

    def add(total: dict[str, Array], one: dict[str, Array]) -> tuple[dict[str, Array], None]:
        return jax.tree.map(jnp.add, total, question_summaries(one, data)), None

    first = jax.tree.map(lambda v: v[0], shared)
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(question_summaries, first, data))
    total, _ = jax.lax.scan(add, zero, shared)
    number = next(iter(shared.values())).shape[0]
    return jax.tree.map(lambda v: v / number, total)


def fit_changes(
    key: Array,
    successes: Any,
    resamples: Any,
    *,
    kept: Any = None,
    groups: Any = None,
    right: Any = None,
    questions: Any = None,
    chains: int = 2,
    warmup: int = 200,
    draws: int = 200,
    max_r_hat: float = 1.05,
    min_ess: float = 50.0,
    max_shift: float = 0.5,
    max_divergences: float = 0.05,
) -> ChangePosterior:
    """Posterior of windows over many questions by a hierarchical change-point model.

    Counts ``successes[q, t] ~ Bin(resamples[q, t], p_q(t))``; ``p_q`` is flat but for ``K`` in {0, 1, 2} windows.
    Question ``q`` of data set ``s`` with covariate ``r`` (was the full generation right) has

    * ``K`` by the softmax of ``(0, a_s1 + b_1 r, a_s2 + b_2 r)``, ``a_s`` normal around a mean of all data sets;
    * its window at step ``i`` with probability ``~ exp(g_1 log u_i + g_2 log(1 - u_i))``, ``u_i`` in (0, 1) the step's
      place; two windows take two steps, the product of both;
    * width ``w`` in {1, 2, 3} steps (one window) by a Dirichlet;
    * level before ``~ Beta(m_b c_b, (1 - m_b) c_b)``, after ``~ Beta(m_a c_a, ...)``, flat ``~ Beta(m_f c_f, ...)``;
      between and inside uniform.

    Windows and levels of each question are summed out exactly; NUTS runs over the shared parameters, all questions in
    one compiled program, in coordinates in which the posterior is nearly a standard normal.  Source: the library's own;
    NUTS, Hoffman & Gelman 2014.

    Args:
        key: typed PRNG key.
        successes: ``[Q, T]`` answers that agree with the full generation's.
        resamples: ``[Q, T]`` how many, or one number.  Sums are in single precision: log-likelihoods err by about
            ``1e-7 n log n`` of the ``n`` resamples of a question, so that some thousands a point are the most that
            windows are told from.
        kept: ``[T]`` what was kept at each point, increasing; evenly spaced in (0, 1) when None.
        groups: ``[Q]`` data set of each question.
        right: ``[Q]`` whether the full generation was right.
        questions: ``[Q]`` names.
        chains: at least 2.
        warmup: transitions of each chain before draws are kept.
        draws: of each chain, after warm-up.
        max_r_hat: gate on the rank-normalised split R-hat.
        min_ess: gate on the effective sample size over all chains.
        max_shift: gate on the distance of a chain's mean from that of all, in standard deviations.
        max_divergences: gate on the share of divergent transitions of a chain.

    Returns:
        The posterior.

    Raises:
        InvalidInput: counts or settings out of range.
        ChainsDisagree: the chains disagree, or summaries of their draws are not finite (too many resamples a point);
            carries the diagnostics.

    """
    key = checked_key(key)
    warmup = checked_whole(warmup, "warmup", 0)
    chains, draws = checked_count(chains, "chains"), checked_count(draws, "draws")
    require(as_whole(chains) >= 2, "chains", chains, "at least 2, or nothing can be said about whether they agree")
    require(as_whole(draws) >= 8, "draws", draws, "at least 8, or nothing can be said about a chain")
    gates = dict(max_r_hat=max_r_hat, min_ess=min_ess, max_shift=max_shift, max_divergences=max_divergences)
    check_gates(**gates)
    data, sets = change_data(successes, resamples, groups, right)
    count, points = data.group.shape[0], data.steps + 1
    places = (np.arange(points) + 0.5) / points if kept is None else as_floats(kept, "kept")
    rising = places.shape == (points,) and bool(np.isfinite(places).all() and (np.diff(places) > 0).all())
    require(rising, "kept", places, f"{points} rising numbers")
    names = (
        tuple(str(i) for i in range(count))
        if questions is None
        else tuple(str(q) for q in checked_all(questions, "questions", (str, int, np.integer), "names"))
    )
    require(len(names) == count, "questions", len(names), f"{count} names")
    key_run, key_check, key_start = jax.random.split(key, 3)
    mode, scale = (jnp.asarray(v, jnp.float32) for v in mode_and_scale(data, len(sets)))
    # Wider than the posterior, so that chains which agree have come from apart.
    starts = START_SPREAD * jax.random.normal(key_start, (chains, mode.size))
    found, diverging = _sampler(len(sets), int(warmup), draws, chains)(key_run, data, mode, scale, starts)
    host = {n: np.asarray(v) for n, v in found.items()}
    diagnostics = diagnose(host, np.asarray(diverging))
    check_chains(host, diagnostics, **gates)
    chosen = np.unique(np.linspace(0, chains * draws - 1, min(_SUMMARY_DRAWS, chains * draws)).astype(int))
    thinned = {n: jnp.asarray(v.reshape(-1, *v.shape[2:])[chosen]) for n, v in host.items()}
    summary = {n: np.asarray(v) for n, v in _summaries(thinned, data).items()}
    endless = [n for n, v in summary.items() if not np.isfinite(v).all()]
    if endless:
        most = int(np.max(np.asarray(resamples)))
        raise ChainsDisagree(
            f"{', '.join(endless)} of some questions are not finite and are not given: single precision does not hold "
            f"the likelihood of {most} resamples a point",
            diagnostics,
            host,
        )
    counts = np.asarray(successes), np.broadcast_to(np.asarray(resamples), np.shape(successes))
    rng = np.random.default_rng(np.asarray(jax.random.bits(key_check, (4,))).tolist())
    checks, replicates = predictive_checks(rng, {n: np.asarray(v) for n, v in thinned.items()}, data, *counts)
    return ChangePosterior(
        host,
        diagnostics,
        sets,
        places,
        questions=names,
        checks=checks,
        replicates=replicates,
        diverging=np.asarray(diverging, bool),
        **summary,
    )
