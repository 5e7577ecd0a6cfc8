"""Views of a mixture tree: paths, transfer, Newick, networkx, tables, pictures."""

from __future__ import annotations

import re
from dataclasses import replace

import jax
import numpy as np
import pytest

from sloc import Window
from sloc.contracts import InvalidInput
from sloc.populations import GaussianMixture
from sloc.processes import OrnsteinUhlenbeck
from sloc.report.style import BLUE, ORANGE
from sloc.report.tree_picture import plot_tree
from sloc.windows.tree import mixture_tree

NAMES = ("plain", "two words", "it's", "a,b(c)", "e")
MEANS = np.array([[0.0], [40.0], [3000.0], [3060.0], [3.0e5]])


@pytest.fixture(scope="module")
def tree():
    population = GaussianMixture([0.1, 0.2, 0.3, 0.2, 0.2], MEANS, 1.0, names=NAMES)
    return mixture_tree(
        jax.random.key(1),
        OrnsteinUhlenbeck(),
        population,
        epsilon=0.1,
        method="closed-form",
        times=np.linspace(0, 16, 65),
    )


def parse(text: str) -> dict[frozenset[str], float]:
    """Read Newick: the height of every set of leaves below the root, from the lengths of the branches."""
    tokens = re.findall(r"'(?:[^']|'')*'|[(),;]|:[-+0-9.e]+|[^(),:;']+", text)
    stack: list[list] = [[]]
    heights: dict[frozenset[str], float] = {}
    for token in tokens:
        if token == "(":
            stack.append([])
        elif token == ")":
            parts = stack.pop()
            (height,) = {round(h, 8) for _, h in parts}
            names = frozenset().union(*(names for names, _ in parts))
            heights[names] = height
            stack[-1].append((names, height))
        elif token.startswith(":"):
            names, height = stack[-1].pop()
            stack[-1].append((names, height + float(token[1:])))
        elif token not in ",;":
            name = token[1:-1].replace("''", "'") if token.startswith("'") else token
            stack[-1].append((frozenset([name]), 0.0))
    return heights


def test_newick_round_trip(tree):
    expected = {frozenset(tree.subset(n.index)): n.noise_amount for n in tree.nodes if n.children}
    found = parse(tree.to_newick())
    assert found.keys() == expected.keys()
    for names, height in found.items():
        assert height == pytest.approx(expected[names], abs=1e-7)


def test_newick_names_are_quoted_where_they_must_be(tree):
    text = tree.to_newick(root="ou, 10 %")
    assert "'two words'" in text
    assert "'it''s'" in text
    assert "'a,b(c)'" in text
    assert "plain:" in text
    assert text.endswith(")'ou, 10 %';")
    assert parse(text.replace("'ou, 10 %'", "")) == parse(tree.to_newick())


def test_networkx_is_a_tree(tree):
    nx = pytest.importorskip("networkx")
    graph = tree.to_networkx()
    assert nx.is_arborescence(graph)
    root = next(n for n in graph if graph.in_degree(n) == 0)
    assert graph.nodes[root]["subset"] == NAMES
    for u, v in graph.edges:
        assert set(graph.nodes[v]["subset"]) < set(graph.nodes[u]["subset"])
        assert graph.nodes[v]["noise_amount"] < graph.nodes[u]["noise_amount"]


def test_windows_follow_the_path_downwards(tree):
    path = tree.path("it's")
    assert path[0].members == (0, 1, 2, 3, 4)
    assert path[-1].members == (2,)
    windows = tree.windows("it's")
    assert len(windows) == len(path) - 1
    assert tree.windows(2) == windows
    ends = [w.before_interval[1] for w in windows]
    assert ends == sorted(ends, reverse=True)
    for leaf in ("nobody", 5, -1, True, 1.5):
        with pytest.raises(InvalidInput, match="leaf"):
            tree.path(leaf)


def test_transfer_keeps_what_holds_at_the_wider_threshold(tree):
    same = tree.perturbed(0.0)
    assert same.epsilon == tree.epsilon
    assert [n.merged for n in same.nodes] == [n.merged for n in tree.nodes]
    far = tree.perturbed(0.01)
    assert far.epsilon == pytest.approx(np.sqrt(0.01 + 0.02))
    assert tree.verdict == far.verdict == "holds"
    for near, wide in zip(tree.nodes, far.nodes, strict=True):
        assert wide.noise_amount == near.noise_amount
        assert wide.bound > near.bound
        assert wide.merged.lower <= near.merged.lower
        assert wide.merged.upper >= near.merged.upper
        if wide.window is not None:
            assert wide.window.t_after is None
            assert wide.window.after_interval[0] == near.window.after_interval[0]
            assert wide.window.before_interval[1] == near.window.before_interval[1]
    # Errors of single classes count by their weight.
    some = tree.perturbed([0.0, 0.0, 0.0, 0.0, 0.01])
    assert tree.epsilon < some.epsilon < far.epsilon
    # What fails stays open or fails: a transfer never certifies more at the same threshold.
    for bad in (-0.1, 1.0, [0.1, 0.1], 0.6):
        with pytest.raises(InvalidInput, match="tv_error"):
            tree.perturbed(bad)


def test_a_perturbed_model_keeps_the_conditions(tree):
    # Another model within the stated error, checked by its own closed forms at the wider threshold.
    eta = 0.02
    shift = 2 * np.sqrt(2) * 0.01772  # 2 Phi(shift / 2) - 1 = eta, to four digits
    moved = MEANS + shift * np.array([[1.0], [-1], [1], [-1], [1]])
    other = GaussianMixture([0.1, 0.2, 0.3, 0.2, 0.2], moved, 1.0, names=NAMES)
    far = tree.perturbed(eta)
    own = mixture_tree(
        jax.random.key(1),
        OrnsteinUhlenbeck(),
        other,
        epsilon=far.epsilon,
        method="closed-form",
        times=np.linspace(0, 16, 65),
    )
    assert {n.members for n in own.nodes} == {n.members for n in far.nodes}
    for n, m in zip(own.nodes, far.nodes, strict=True):
        assert n.noise_amount <= m.noise_amount
    assert far.verdict == "holds"
    assert own.verdict == "holds"


def test_tables(tree):
    frame = tree.to_dataframe()
    assert len(frame) == len(tree.nodes)
    assert frame["noise_amount"].iloc[-1] == tree.root.noise_amount
    data = tree.to_xarray()
    assert data.sizes["node"] == len(tree.nodes)
    assert bool(data["subset"][-1].all())
    assert int(data["parent"][-1]) == -1
    assert data.attrs["epsilon"] == tree.epsilon
    assert "5 classes" in repr(tree)
    assert "apart holds" in repr(tree)


def test_picture(tree):
    pytest.importorskip("matplotlib")
    ax = tree.plot()
    # Five leaves, four merges: a line down from every node but the root, a bar across every merge.
    assert {t.get_text() for t in ax.get_xticklabels()} == set(NAMES)
    assert ax.get_ylim()[1] > tree.root.noise_amount
    assert len(ax.lines) >= 8 + 4


def lines_at(ax, x: float) -> list[tuple[float, float]]:
    """Ends of the upright lines at a place."""
    found = [(line.get_xdata(), line.get_ydata()) for line in ax.lines if len(line.get_xdata()) == 2]
    return [tuple(sorted(y)) for xs, y in found if xs[0] == xs[1] == x]


def test_picture_shows_heights_and_marks(tree):
    pytest.importorskip("matplotlib")
    ax = tree.plot()
    marks = {line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == "None"}
    assert marks == {n.noise_amount for n in tree.nodes if n.children}
    assert ax.get_ylim()[0] < 0
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["merged, apart from the rest"]
    # A leaf's branch runs from noise 0 to its merge.
    order = [t.get_text() for t in ax.get_xticklabels()]
    low, high = max(lines_at(ax, order.index("plain")), key=lambda ends: ends[1] - ends[0])
    assert low == 0
    assert high == pytest.approx(tree.nodes[tree.nodes[0].parent].noise_amount)


def test_picture_shows_intervals_of_merges(tree):
    pytest.importorskip("matplotlib")
    node = next(n for n in tree.nodes if n.children)
    ends = 0.9 * node.noise_amount, 1.05 * node.noise_amount
    nodes = tuple(replace(n, interval=ends) if n is node else n for n in tree.nodes)

    def bars(ax):
        return [tuple(line.get_ydata()) for line in ax.lines if line.get_color() == BLUE and len(line.get_xdata()) == 2]

    assert bars(replace(tree, nodes=nodes).plot()) == [pytest.approx(ends)]
    assert bars(tree.plot()) == []


def test_picture_breaks_an_axis_that_merges_far_from_zero():
    pytest.importorskip("matplotlib")
    drawn = []
    means = np.array([[0.0], [1000.0], [2500.0]])
    tree = mixture_tree(
        jax.random.key(1),
        OrnsteinUhlenbeck(),
        GaussianMixture(np.full(3, 1 / 3), means, 1.0, names=("a", "b", "c")),
        epsilon=0.1,
        method="closed-form",
    )
    ax = plot_tree(tree, words=lambda t: f"t{t:g}", thumbnail=lambda box, leaf: drawn.append((box, leaf)))
    ax.figure.canvas.draw()
    bottom, top = ax.get_ylim()
    assert 0 < bottom < tree.nodes[3].noise_amount < tree.root.noise_amount < top
    assert sorted(leaf for _, leaf in drawn) == [0, 1, 2]
    assert all(label.get_text().startswith("t") for label in ax.get_yticklabels())
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert "merged, not apart" in texts


def test_picture_draws_what_of_a_window_lies_on_the_branch(tree):
    pytest.importorskip("matplotlib")
    pair = next(n for n in tree.nodes if n.members == (2, 3))
    above = tree.nodes[pair.parent].noise_amount
    window = Window(0.0, (pair.noise_amount + above) / 2, None, None, "resolved", "resolved", 0.1, 0.0, 0)
    nodes = tuple(replace(n, window=window) if n is pair else n for n in tree.nodes)
    ax = replace(tree, nodes=nodes).plot()
    assert "critical window" in [t.get_text() for t in ax.get_legend().get_texts()]
    thick = [line.get_ydata() for line in ax.lines if line.get_color() == ORANGE]
    np.testing.assert_allclose(thick, [[pair.noise_amount, window.t_before]])


def test_picture_of_a_tree_without_merges(tree):
    pytest.importorskip("matplotlib")
    bare = [replace(n, noise_amount=None, interval=None) if n.children else n for n in tree.nodes]
    ax = replace(tree, nodes=tuple(bare)).plot()
    assert all("no noise level" in t.get_text() for t in ax.get_legend().get_texts()[1:])
