"""The mixture tree of a window run: against closed forms and enumeration, and in files and words."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from sloc import MixtureTree
from sloc.populations import Empirical
from sloc.report.output import jsonable
from sloc.report.window_run import ProcessWindows, Settings, run_process
from sloc.report.window_tree import newick_text, plan_tree, tree_record, tree_rows
from sloc.report.window_words import tree_words

# Two pairs of near classes of two atoms each, in five letters: TV of any sets under masking by enumeration.
DATA = np.asarray(
    [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1], [2, 2, 2, 0, 0], [2, 2, 2, 0, 1],
     [2, 2, 3, 1, 0], [2, 2, 3, 1, 1]], np.float32
)  # fmt: skip
NAMES = ("a", "b", "c", "d")
POPULATION = Empirical(DATA, np.repeat(NAMES, 2))
TIMES = np.linspace(0.02, 0.98, 25)
SETTINGS = Settings(n=32_000, delta=1e-9, epsilon=0.3)


def law(members: tuple[int, ...], seen: np.ndarray) -> dict[tuple[float, ...], float]:
    """What is seen of the letters of a set of classes, with its probability."""
    atoms = [atom for i in members for atom in DATA[2 * i : 2 * i + 2]]
    found: dict[tuple[float, ...], float] = {}
    for atom in atoms:
        key = tuple(atom[seen].tolist())
        found[key] = found.get(key, 0.0) + 1 / len(atoms)
    return found


def exact_tv(a: tuple[int, ...], b: tuple[int, ...], t: float) -> float:
    """Sum over the 32 masks."""
    total = 0.0
    for code in range(32):
        seen = np.asarray([code >> i & 1 for i in range(5)], bool)
        p, q = law(a, seen), law(b, seen)
        gap = 0.5 * sum(abs(p.get(k, 0.0) - q.get(k, 0.0)) for k in {*p, *q})
        total += (1 - t) ** seen.sum() * t ** (5 - seen.sum()) * gap
    return total


def exact_merge(members: tuple[int, ...], epsilon: float) -> float:
    """The largest ``T_end`` among pairs of members, by bisection."""
    ends = []
    for i in members:
        for j in members:
            if i < j:
                low, high = 0.0, 1.0
                for _ in range(50):
                    middle = (low + high) / 2
                    low, high = (middle, high) if exact_tv((i,), (j,), middle) > epsilon else (low, middle)
                ends.append(high)
    return max(ends)


@pytest.fixture(scope="module")
def found() -> ProcessWindows:
    return run_process("masking", POPULATION, SETTINGS, TIMES)


def the_tree(found: ProcessWindows) -> MixtureTree:
    assert found.tree is not None
    return found.tree


def test_tree_of_sampled_pairs_holds_the_truth(found: ProcessWindows) -> None:
    # Intervals and checks hold jointly but for probability delta = 1e-9.
    tree = the_tree(found)
    assert [n.members for n in tree.nodes[4:]] == [(0, 1), (2, 3), (0, 1, 2, 3)]
    assert tree.delta == SETTINGS.delta
    assert tree.draws == 2 * found.draws
    for node in tree.nodes[4:]:
        truth = exact_merge(node.members, 0.3)
        assert node.interval is not None
        assert node.interval[0] <= truth <= node.interval[1]
        assert node.noise_amount == pytest.approx(truth, abs=0.02)
        noise, rest = float(node.noise_amount or 0.0), tuple(i for i in range(4) if i not in node.members)
        merged = max(exact_tv((i,), node.members, noise) for i in node.members)
        assert node.merged.lower <= merged <= node.merged.upper
        assert node.merged.verdict == "holds"
        # Every child of these nodes is a class, or all classes were measured: a value, not only bounds.
        assert node.merged.value == pytest.approx(merged, abs=0.02)
        if rest:
            assert node.apart.lower <= exact_tv(node.members, rest, noise) <= node.apart.upper
    # The level of a merge is one of the second look's, which measures there.
    heights = [n.noise_amount for n in tree.nodes[4:]]
    assert all(np.abs(found.refined - h).min() < 1e-6 for h in heights)


def test_repeating_a_run_repeats_the_tree(found: ProcessWindows) -> None:
    again = run_process("masking", POPULATION, SETTINGS, TIMES, refined=found.refined.tolist())
    assert tree_rows("masking", the_tree(again)) == tree_rows("masking", the_tree(found))


def test_a_tree_needs_every_pair(found: ProcessWindows) -> None:
    fewer = {k: c for k, c in found.curves.items() if k != ("pair", "a", "d")}
    assert plan_tree(found.process, POPULATION, fewer, 0.3, 0.05) is None


def test_rows_and_newick(found: ProcessWindows) -> None:
    tree = the_tree(found)
    rows = tree_rows("masking", tree)
    assert len(rows) == 7
    assert [json.loads(row["members"]) for row in rows[4:]] == [["a", "b"], ["c", "d"], ["a", "b", "c", "d"]]
    assert rows[-1]["parent"] is None
    assert {"noise_amount", "noise_low", "noise_high", "merged", "apart_lower"} <= set(rows[0])
    text = newick_text([("masking", tree), ("a process", tree)])
    assert text.endswith(")'a process';\n")
    assert text.count("\n") == 2
    record = tree_record("masking", tree)
    assert json.loads(json.dumps(jsonable(record), allow_nan=False))["conditions"]["merged"]["verdict"] == "holds"


def test_words(found: ProcessWindows) -> None:
    tree = the_tree(found)
    text = " ".join(tree_words("masking", tree, "word"))
    assert text.startswith("As noise is added, a and b merge first (TV at most 0.3 from ")
    assert "and all 4 words have merged at " in text
    nodes = [replace(n, noise_amount=None) if n.children else n for n in tree.nodes]
    assert tree_words("masking", replace(tree, nodes=tuple(nodes)), "word") == [
        "No two words merge (TV at most 0.3) at the levels looked at."
    ]
    nodes[4:6] = tree.nodes[4:6]
    assert "; not all words merge" in tree_words("masking", replace(tree, nodes=tuple(nodes)), "word")[0]


def test_the_title_stands_above_the_legend_of_a_small_tree(found: ProcessWindows) -> None:
    from sloc.report.sources import Source
    from sloc.report.style import new_axes, styled
    from sloc.report.window_picture import draw_tree

    with styled():
        ax = new_axes(7.2, 3.0)
        draw_tree(ax, found.name, found.tree, Source(POPULATION, "four", "component"), first=True)
        ax.figure.canvas.draw()
    (title,) = (t for t in (ax.title, ax._left_title, ax._right_title) if t.get_text())
    assert not title.get_window_extent().overlaps(ax.get_legend().get_window_extent())
