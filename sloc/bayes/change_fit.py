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
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn

from sloc.bayes.change_data import ChangeData, change_data
from sloc.bayes.change_model import change_model, question_summaries
from sloc.bayes.change_predict import predictive_checks
from sloc.bayes.gates import ChainDiagnostics, check_chains, diagnose
from sloc.contracts import require
from sloc.divergence.checks import checked_count, checked_key

if TYPE_CHECKING:
    import pandas as pd

Array = jax.Array
_SUMMARY_DRAWS = 40


@dataclass(frozen=True)
class ChangePosterior:
    """Posterior of windows over many questions.

    Attributes:
        samples: shared parameters, ``[chains, draws, ...]`` each.
        diagnostics: of the chains.
        sets: names of the data sets.
        kept: ``[T]`` what was kept at each point.
        numbers: ``[Q, 3]`` probability of no, one and two windows.
        steps: ``[Q, T - 1]`` probability that a step lies in a window.
        width: ``[Q]`` mean width in steps, given one window.
        height: ``[Q]`` mean of the level after the last window less the level before the first.
        checks: posterior predictive checks: statistic to (observed, mean of replicates, p-value).
        questions: ``[Q]`` names.

    """

    samples: Mapping[str, np.ndarray]
    diagnostics: ChainDiagnostics
    sets: tuple[str, ...]
    kept: np.ndarray
    numbers: np.ndarray
    steps: np.ndarray
    width: np.ndarray
    height: np.ndarray
    checks: Mapping[str, tuple[float, float, float]]
    questions: tuple[str, ...]

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
        """Return an ``arviz.InferenceData`` with the shared parameters, by chain and draw."""
        import arviz as az

        return az.from_dict(
            posterior={n: np.asarray(v) for n, v in self.samples.items()},
            coords={"set": list(self.sets)},
            dims={"set_windows": ["set", "number"], "offset": ["set", "number"]},
        )


@functools.lru_cache(maxsize=8)
def _sampler(sets: int, warmup: int, draws: int, chains: int) -> Any:
    @jax.jit
    def sample(key: Array, data: ChangeData, starts: dict[str, Array]) -> tuple[dict[str, Array], Array]:
        # Starts are at hand, so the search for valid ones need not be compiled.
        kernel = NUTS(
            potential_fn=lambda free: potential_energy(change_model, (data, sets), {}, free), max_tree_depth=7
        )
        mcmc = MCMC(
            kernel,
            num_warmup=warmup,
            num_samples=draws,
            num_chains=chains,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(key, init_params=starts, extra_fields=("diverging",))
        free = mcmc.get_samples(group_by_chain=True)
        found = jax.vmap(jax.vmap(lambda one: constrain_fn(change_model, (data, sets), {}, one, True)))(free)
        return found, mcmc.get_extra_fields(group_by_chain=True)["diverging"]

    return sample


def chain_starts(key: Array, data: ChangeData, sets: int, chains: int) -> dict[str, Array]:
    """Unconstrained starts, ``[chains, ...]``: the middle of the prior, a little apart."""
    middle: dict[str, Array] = {
        "windows": jnp.asarray([0.0, -1.5]),
        "spread": jnp.asarray(0.5),
        "offset": jnp.zeros((sets, 2)),
        "right": jnp.zeros(2),
        "place": jnp.zeros(2),
        "width": jnp.asarray([4.0, 2.0, 1.0]) / 7.0,
    }
    for name, mean in (("before", 0.35), ("after", 0.65), ("flat", 0.5)):
        middle |= {f"{name}_mean": jnp.asarray(mean), f"{name}_size": jnp.asarray(2.7)}
    free = unconstrain_fn(change_model, (data, sets), {}, middle)
    return {
        n: v + 0.1 * jax.random.normal(jax.random.fold_in(key, i), (chains, *v.shape))
        for i, (n, v) in enumerate(sorted(free.items()))
    }


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
    draws: Any,
    *,
    kept: Any = None,
    groups: Any = None,
    right: Any = None,
    questions: Any = None,
    chains: int = 2,
    warmup: int = 200,
    samples: int = 200,
    max_r_hat: float = 1.05,
    min_ess: float = 50.0,
    max_shift: float = 0.5,
    max_divergences: float = 0.05,
) -> ChangePosterior:
    """Posterior of windows over many questions (the model: :mod:`sloc.bayes.change_model`).

    Windows and levels of each question are summed out exactly; NUTS runs over the shared parameters, all questions in
    one compiled program.

    Args:
        key: typed PRNG key.
        successes: ``[Q, T]`` answers that agree with the full generation's.
        draws: ``[Q, T]`` resamples, or one number.
        kept: ``[T]`` what was kept at each point, increasing; evenly spaced in (0, 1) when None.
        groups: ``[Q]`` data set of each question.
        right: ``[Q]`` whether the full generation was right.
        questions: ``[Q]`` names.
        chains: at least 2.
        warmup: transitions of each chain before draws are kept.
        samples: draws of each chain.
        max_r_hat: gate on the rank-normalised split R-hat.
        min_ess: gate on the effective sample size over all chains.
        max_shift: gate on the distance of a chain's mean from that of all, in standard deviations.
        max_divergences: gate on the share of divergent transitions of a chain.

    Returns:
        The posterior.

    Raises:
        InvalidInput: counts or settings out of range.
        ChainsDisagree: the chains disagree; carries the diagnostics.

    """
    key = checked_key(key)
    chains, samples = checked_count(chains, "chains"), checked_count(samples, "samples")
    require(chains >= 2, "chains", chains, "at least 2, or nothing can be said about whether they agree")
    require(samples >= 8, "samples", samples, "at least 8, or nothing can be said about a chain")
    data, sets = change_data(successes, draws, groups, right)
    count, points = data.group.shape[0], data.steps + 1
    places = (np.arange(points) + 0.5) / points if kept is None else np.asarray(kept, np.float64)
    require(places.shape == (points,) and bool((np.diff(places) > 0).all()), "kept", places, f"{points} rising numbers")
    names = tuple(str(i) for i in range(count)) if questions is None else tuple(str(q) for q in questions)
    require(len(names) == count, "questions", len(names), f"{count} names")
    key_run, key_check, key_start = jax.random.split(key, 3)
    starts = chain_starts(key_start, data, len(sets), chains)
    found, diverging = _sampler(len(sets), int(warmup), samples, chains)(key_run, data, starts)
    host = {n: np.asarray(v) for n, v in found.items()}
    gated = {n: v for n, v in host.items() if n not in ("offset",)}
    diagnostics = diagnose(gated, np.asarray(diverging))
    check_chains(
        host,
        diagnostics,
        max_r_hat=max_r_hat,
        min_ess=min_ess,
        max_shift=max_shift,
        max_divergences=max_divergences,
    )
    chosen = np.unique(np.linspace(0, chains * samples - 1, min(_SUMMARY_DRAWS, chains * samples)).astype(int))
    thinned = {n: jnp.asarray(v.reshape(-1, *v.shape[2:])[chosen]) for n, v in host.items()}
    summary = {n: np.asarray(v) for n, v in _summaries(thinned, data).items()}
    counts = np.asarray(successes), np.broadcast_to(np.asarray(draws), np.shape(successes))
    rng = np.random.default_rng(np.asarray(jax.random.bits(key_check, (4,))).tolist())
    checks = predictive_checks(rng, {n: np.asarray(v) for n, v in thinned.items()}, data, *counts)
    return ChangePosterior(host, diagnostics, sets, places, questions=names, checks=checks, **summary)
