"""The mixture tree of a window run: pairs from its first look, nodes from its second."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sloc.contracts import ObservationProcess, Population, component_names
from sloc.divergence.closed_forms import host_weights
from sloc.results.curve import Curve
from sloc.results.tree import MixtureTree
from sloc.windows.pair_table import PairForms, affinity_form, pair_forms
from sloc.windows.pair_times import exact_pairs, pairs_from_curves
from sloc.windows.tree_skeleton import Skeleton


class TreePlan:
    """What the first look says about the tree, and what the second has to measure for it.

    Attributes:
        skeleton: the linkage of the pairs' merge times.
        forms: closed forms of the pairs, None where they were drawn.

    """

    def __init__(self, skeleton: Skeleton, forms: PairForms | None) -> None:
        """Keep both."""
        self.skeleton: Skeleton = skeleton
        self.forms: PairForms | None = forms

    def levels(self, times: np.ndarray) -> np.ndarray:
        """Return where nodes have to be looked at, whole in float32: at ``times[0]`` (leaves), and where they merge."""
        heights = self.skeleton.heights
        inside = heights[(heights > times[0]) & (heights <= times[-1])]
        levels = np.concatenate([times[:1], inside]).astype(np.float32).astype(np.float64)
        return np.unique(levels.clip(times[0], times[-1]))

    def tree(
        self, process: ObservationProcess, population: Population, curve: Curve | None, grid: np.ndarray, delta: float
    ) -> MixtureTree:
        """Check the conditions and return the tree.

        Args:
            process: the observation process.
            population: the population.
            curve: of the skeleton's statistic on the second look's levels; None where there was no such look.
            grid: the first look's noise levels.
            delta: error level of pairs and nodes jointly.

        """
        affinity = self.forms.affinity if self.forms is not None else affinity_form(process, population)
        looked = np.asarray(curve.times, np.float64) if curve is not None else np.union1d(grid, self.levels(grid))
        exact = curve is None and self.forms is not None
        return self.skeleton.tree(process, curve, looked, self.forms, affinity, 0.0 if exact else delta)


def plan_tree(
    process: ObservationProcess, population: Population, curves: Mapping[Any, Curve], epsilon: float, delta: float
) -> TreePlan | None:
    """Link the classes by the TV curves of their pairs, exact where pairs have closed forms.

    Args:
        process: the observation process.
        population: the population.
        curves: of the first look; pairs under ``("pair", a, b)``.
        epsilon: the threshold.
        delta: error level of the merge times' intervals jointly.

    Returns:
        The plan, or None where not every pair of classes was measured.

    """
    names = component_names(population)
    number = {name: i for i, name in enumerate(names)}
    pairs = {(number[key[1]], number[key[2]]): curve for key, curve in curves.items() if key[0] == "pair"}
    k = len(names)
    if k < 2 or len(pairs) < k * (k - 1) // 2:
        return None
    pairs = {(min(i, j), max(i, j)): curve for (i, j), curve in pairs.items()}
    first = next(iter(pairs.values()))
    forms = pair_forms(process, population, epsilon) if int(first.n) == 0 else None
    if forms is not None:
        found = exact_pairs(forms, np.asarray(first.times, np.float64), epsilon)
    else:
        found = pairs_from_curves(pairs, k, epsilon, delta, float(process.horizon), process.discrete)
    return TreePlan(Skeleton.of(found, names, host_weights(population), epsilon), forms)


def tree_rows(process: str, tree: MixtureTree) -> list[dict[str, Any]]:
    """Return one flat row per node: members (a JSON list), parent, height and its interval, checks, window.

    The other columns are those of :meth:`MixtureTree.to_dataframe`.

    Args:
        process: the process's name on the command line.
        tree: its tree.

    """
    rows = tree.to_dataframe().astype(object).to_dict("records")
    for node, row in enumerate(rows):
        members = json.dumps(list(tree.subset(node)), ensure_ascii=False)
        rows[node] = {"process": process, "node": node, "members": members} | {
            str(k): None if v is None or v != v else v for k, v in row.items() if k not in ("node", "subset")
        }
    return rows


def newick_text(trees: Sequence[tuple[str, MixtureTree]]) -> str:
    """Return one Newick tree a line, its root labelled with the process."""
    return "".join(tree.to_newick(root=name) + "\n" for name, tree in trees)


def write_trees(folder: Path, trees: Sequence[tuple[str, MixtureTree]]) -> None:
    """Write ``tree.csv``, a row per node, and ``tree.nwk``, a tree a line; neither where there is no tree."""
    import pandas as pd

    if trees:
        rows = [row for name, tree in trees for row in tree_rows(name, tree)]
        pd.DataFrame(rows).to_csv(folder / "tree.csv", index=False)
        (folder / "tree.nwk").write_text(newick_text(trees), "utf-8")


def tree_record(process: str, tree: MixtureTree) -> dict[str, Any]:
    """Return what ``run.json`` holds of a tree: verdicts with the nodes at which they fail, every node, Newick."""
    conditions = {
        name: {"verdict": c.verdict, "statement": c.statement, "failing": c.failing, "open": c.unsettled}
        for name, c in tree.conditions.items()
    }
    return {
        "epsilon": tree.epsilon,
        "delta": tree.delta,
        "method": tree.method,
        "duplicates": tree.duplicates,
        "conditions": conditions,
        "newick": tree.to_newick(),
        "nodes": [{k: v for k, v in row.items() if k != "process"} for row in tree_rows(process, tree)],
    }
