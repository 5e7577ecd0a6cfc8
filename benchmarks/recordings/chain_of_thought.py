"""Chain of thought: the published curves of generations that have a window, and the printed Table 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from scipy.optimize import brentq

import sloc.bayes
from sloc.results import TraceWindows
from sloc.windows import answers_of_counts, right_wrong_table, rule_rates, trace_table, trace_windows

RESAMPLES, ASKED = 25, 400
"""Resamples of a point in the authors' code, and questions of each data set in the paper."""


def read_curves(folder: Path) -> pd.DataFrame:
    """Read the published curves: a row per generation, the share of the same answer at each kept fraction."""
    return pd.read_csv(folder / "cot_windows_llama31_8b.csv")


def kept_fractions(curves: pd.DataFrame) -> np.ndarray:
    """Kept fractions, from the names of the columns."""
    return np.asarray([float(c[2:]) for c in curves.columns if c.startswith("p_")])


def counts_of(curves: pd.DataFrame) -> np.ndarray:
    """``[Q, T]`` resamples that agree; the shares are multiples of one resample."""
    shares = curves[[c for c in curves.columns if c.startswith("p_")]].to_numpy()
    counts = np.round(shares * RESAMPLES)
    if np.abs(counts / RESAMPLES - shares).max() > 1e-9:
        raise ValueError(f"shares that are no multiples of 1/{RESAMPLES}")
    return counts.astype(int)


def names_of(curves: pd.DataFrame) -> list[str]:
    """Names of the questions."""
    return [f"{d} {i}" for d, i in zip(curves["dataset"], curves["id"], strict=True)]


def answers_of(curves: pd.DataFrame) -> pd.DataFrame:
    """Write the curves as a table of answers, one row a resample, as :func:`sloc.windows.trace_table` takes it."""
    return answers_of_counts(counts_of(curves), RESAMPLES, kept=kept_fractions(curves), questions=names_of(curves))


def window_counts(curves: pd.DataFrame) -> tuple[dict[str, Any], TraceWindows]:
    """Windows by the rule against the published list, and what exact tests certify of them."""
    found = trace_windows(trace_table(answers_of(curves)), rise=0.5, max_drop=0.3)
    frame = found.to_dataframe()
    both = trace_windows(trace_table(answers_of(curves)), rise=0.5, alpha=0.1, across="bh", correction="holm")
    before, after = frame["rule_fraction_before"], frame["rule_fraction_after"]
    rates = rule_rates(RESAMPLES, rise=0.5, null=0.45, event=0.6)
    ours = pd.Series([f"{b:g} to {a:g}" for b, a in zip(before, after, strict=True)])
    listed = pd.Series([f"{b:g} to {a:g}" for b, a in zip(curves["frac_before"], curves["frac_after"], strict=True)])
    places = listed.value_counts().sort_index()
    return {
        "generations": len(curves),
        "windows listed": len(curves),
        "windows by the rule": int((frame["rule_status"] == "resolved").to_numpy().sum()),
        "at the listed place": int((ours == listed).to_numpy().sum()),
        "places listed": {k: int(v) for k, v in places.items()},
        "places by the rule": {k: int((ours == k).to_numpy().sum()) for k in places.index},
        "certified above 0.5, each question at 5 %": sum(w.status_after == "resolved" for w in found.calibrated),
        "certified above 0.5, Benjamini-Hochberg at 10 %": len({s.question for s in both.steps if s.certified}),
        "some rise certain, each question at 5 %": len(
            {s.question for s in found.steps if s.p_any_adjusted <= found.alpha}
        ),
        "rule fires on a true rise of 0.45, worst case": rates.fires_null,
    }, found


def table_rows(curves: pd.DataFrame, folder: Path) -> list[dict[str, Any]]:
    """Table 1 beside what the published windows imply.

    Published are only generations that have a window, hence ``P(right | window)``.  With the printed difference in
    accuracy that gives the accuracy without, and with the printed difference in windows Bayes' rule gives the share of
    generations that have one; it is compared with the number listed, of 400 asked.
    """
    printed = pd.read_csv(folder / "paper_table1_dAcc_dCW.csv").set_index("dataset")
    own = right_wrong_table(np.ones(len(curves), bool), curves["orig_string_equal_truth"], list(curves["dataset"]))
    rows = []
    for record in own.set_index("group").loc[list(printed.index)].reset_index().to_dict("records"):
        name, given = record["group"], printed.loc[record["group"]]
        accuracy = float(record["accuracy_with"])
        without = accuracy + float(given["llama_dAcc"])
        rate = implied_rate(accuracy, without, float(given["llama_dCW"]))
        rows.append(
            {
                "data set": name,
                "windows listed": int(record["windows"]),
                "of them right": int(record["right"]),
                "accuracy with": accuracy,
                "accuracy drop, printed": float(given["llama_dAcc"]),
                "accuracy without, implied": without,
                "window excess, printed": float(given["llama_dCW"]),
                "share with a window, implied": rate,
                "share with a window, listed of 400": int(record["windows"]) / ASKED,
            }
        )
    return rows


MODELS = {"llama": "Llama-3.1-8B-Instruct", "phi3": "Phi-3", "qwen25": "Qwen-2.5"}
"""Models of Table 1, by the names of the columns."""


def printed_rows(folder: Path) -> list[dict[str, Any]]:
    """Table 1 as it is printed: a data set a row; of each model the difference in accuracy and in critical windows."""
    printed = pd.read_csv(folder / "paper_table1_dAcc_dCW.csv")
    return [
        {"data set": str(row["dataset"])}
        | {
            f"{name}, {word}": float(row[f"{column}_{word}"])
            for column, name in MODELS.items()
            for word in ("dAcc", "dCW")
        }
        for row in printed.to_dict("records")
    ]


def computed_rows(curves: pd.DataFrame) -> list[dict[str, Any]]:
    """What :func:`sloc.windows.right_wrong_table` makes of the published generations: None where they do not say.

    All of them have a window, so that there is no accuracy without one and no difference of either kind.
    """
    own = right_wrong_table(
        trace_windows(trace_table(answers_of(curves)), rise=0.5, max_drop=0.3).to_dataframe()["rule_status"].to_numpy()
        == "resolved",
        curves["orig_string_equal_truth"],
        list(curves["dataset"]),
    ).rename(columns={"group": "data set"})
    frame = own.astype(object)
    rows = frame.where(frame.notna(), None).to_dict("records")
    return sorted(rows, key=lambda row: str(row["data set"]))


def implied_rate(accuracy_with: float, accuracy_without: float, excess: float) -> float | None:
    """Share ``w`` of generations with a window at which ``P(window | wrong) - P(window | right)`` is ``excess``.

    The difference is 0 at ``w = 0`` and ``w = 1`` and has one maximum between; the smaller root is returned, None where
    the maximum lies below ``excess``.
    """

    def gap(w: float) -> float:
        wrong = w * (1 - accuracy_with) / (w * (1 - accuracy_with) + (1 - w) * (1 - accuracy_without))
        right = w * accuracy_with / (w * accuracy_with + (1 - w) * accuracy_without)
        return wrong - right - excess

    grid = np.linspace(1e-4, 1 - 1e-4, 2_000)
    values = np.asarray([gap(float(w)) for w in grid])
    top = int(values.argmax())
    if values[top] < 0:
        return None
    root: Any = brentq(gap, 1e-6, float(grid[top])) if values[top] > 0 else grid[top]
    return float(root)


def posterior_rows(curves: pd.DataFrame, tests: TraceWindows) -> dict[str, Any]:
    """Fit the hierarchical change-point model to the published curves, and hold it against the tests."""
    right = curves["orig_string_equal_truth"].to_numpy() == 1
    found = sloc.bayes.fit_changes(
        jax.random.key(0),
        counts_of(curves),
        RESAMPLES,
        kept=kept_fractions(curves),
        groups=list(curves["dataset"]),
        right=right,
        questions=names_of(curves),
        draws=400,
    )
    some = sloc.bayes.compare_windows(found, tests, any_rise=True)
    above = sloc.bayes.compare_windows(found, tests)
    effect = found.samples["right"].reshape(-1, 2)[:, 0]
    low, high = np.quantile(effect, [0.05, 0.95])
    likeliest = found.steps.argmax(axis=1)
    listed = np.searchsorted(found.kept, curves["frac_before"].to_numpy() - 1e-9)
    return {
        "reported at 10 %": int(found.reported().sum()),
        "mean probability of one window": float(found.numbers[:, 1].mean()),
        "mean probability of two windows": float(found.numbers[:, 2].mean()),
        "mean height, given by the model": float(found.height.mean()),
        "mean observed rise of the listed step": float(curves["jump"].to_numpy().mean()),
        "likeliest step is the listed one": float((likeliest == listed).mean()),
        "agree with the test of any rise": some.agree,
        "table against the test of any rise": some.counts,
        "same step as the test of any rise": some.same_place_share,
        "agree with the test of a rise of 0.5": above.agree,
        "table against the test of a rise of 0.5": above.counts,
        "same step as the test of a rise of 0.5": above.same_place_share,
        "log-odds of one window, right against wrong": [float(effect.mean()), float(low), float(high)],
        "largest R-hat": max(found.diagnostics.r_hat.values()),
        "predictive checks": {name: list(v) for name, v in found.checks.items()},
    }
