"""Mixture trees against exact trees from closed forms."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.spatial.distance import pdist, squareform
from scipy.special import erf

from sloc import TV, measure
from sloc.contracts import InvalidInput
from sloc.populations import Empirical, GaussianMixture
from sloc.processes import Masking, OrderedMasking, OrnsteinUhlenbeck
from sloc.windows.linkage import complete_linkage, linkage_on_host
from sloc.windows.pair_table import pair_forms
from sloc.windows.pair_times import joint_bands
from sloc.windows.tree import mixture_tree
from sloc.windows.tree_evidence import cluster_bounds, overlap_bounds
from sloc.windows.tree_nodes import Layout
from sloc.windows.tree_statistics import NodeTable, PairTable, members_of, parents_of

KEY = jax.random.key(0)
OU = OrnsteinUhlenbeck()
MEANS = np.array([[0.0, 0.0], [40.0, 0.0], [3000.0, 0.0], [3060.0, 0.0]])
FOUR = GaussianMixture(np.full(4, 0.25), MEANS, 1.0, names=("a", "b", "c", "d"))


def merge_time(distance: float, epsilon: float) -> float:
    """``T_end`` of two unit Gaussians under OU: ``erf(distance e^-t / sqrt 8) = epsilon``."""
    from scipy.special import erfinv

    return max(0.0, float(np.log(distance / (np.sqrt(8) * erfinv(epsilon)))))


@pytest.mark.parametrize("k", [2, 3, 17, 60])
def test_linkage_is_that_of_scipy(k):
    distances = pdist(np.random.default_rng(k).normal(size=(k, 3)))
    mine, theirs = linkage_on_host(squareform(distances)), scipy_linkage(distances, "complete")
    theirs[:, :2] = np.sort(theirs[:, :2], axis=1)
    np.testing.assert_array_equal(mine, theirs)


def test_linkage_ends_and_is_vmappable_whatever_it_is_given():
    tables = jax.random.uniform(KEY, (3, 6, 6)).at[1, 2, 3].set(np.nan).at[2].set(0.0)
    found = np.asarray(jax.jit(jax.vmap(complete_linkage))(tables))
    assert found.shape == (3, 5, 4)
    assert (found[:, -1, 3] == 6).all()
    assert (found[2, :, 2] == 0).all()


def test_four_gaussians_have_their_exact_tree():
    tree = mixture_tree(KEY, OU, FOUR, epsilon=0.1, method="closed-form")
    assert [n.members for n in tree.nodes[4:]] == [(0, 1), (2, 3), (0, 1, 2, 3)]
    expected = [merge_time(d, 0.1) for d in (40, 60, 3060)]
    np.testing.assert_allclose([n.noise_amount for n in tree.nodes[4:]], expected, rtol=1e-12)
    assert tree.verdict == "holds"
    assert (tree.delta, tree.draws) == (0.0, 0)


def test_sampled_nodes_agree_with_the_exact_tree():
    # One joint band at delta = 1e-9: that is the false-alarm rate of every containment below.
    tree = mixture_tree(KEY, OU, FOUR, epsilon=0.1, n=16_384, delta=1e-9)
    assert tree.verdict == "holds"
    # At the root every class was measured against all others, so there is a value.
    y = np.linspace(-12, 12, 24_001)
    at = MEANS[:, 0] * np.exp(-tree.root.noise_amount)
    density = np.exp(-((y[:, None] - at + at.mean()) ** 2) / 2) / np.sqrt(2 * np.pi)
    exact = max(0.5 * np.trapezoid(np.abs(density[:, i] - density.mean(1)), y) for i in range(4))
    assert tree.root.merged.lower <= exact <= tree.root.merged.upper
    assert tree.root.merged.value == pytest.approx(exact, abs=0.02)
    outer, inner = tree.windows("c")
    for window in (outer, inner):
        assert window.resolved
        assert window.t_after < window.t_before
    # {c} within {c, d}: half the TV of the pair (T_before); d is all that is near (T_after, to 1e-10).
    low, high = inner.before_interval
    assert low <= merge_time(60, 0.2) <= high
    low, high = inner.after_interval
    exact = squareform(erf(pdist(MEANS) * np.exp(-low) / np.sqrt(8)))[2]
    assert exact[3] >= 0.99  # the rest weighs three times as much, so it is apart no later than the pair
    assert high < inner.before_interval[0]


def test_all_monte_carlo_finds_the_tree_and_its_heights():
    # delta = 1e-9 bounds the chance that an interval misses.
    tree = mixture_tree(
        KEY, OU, FOUR, epsilon=0.3, n=8_192, delta=1e-9, method="monte-carlo", times=np.linspace(0.5, 9.5, 37)
    )
    assert [n.members for n in tree.nodes[4:]] == [(0, 1), (2, 3), (0, 1, 2, 3)]
    for node, d in zip(tree.nodes[4:], (40, 60, 3060), strict=True):
        assert node.interval[0] <= merge_time(d, 0.3) <= node.interval[1]
        assert node.interval[1] - node.interval[0] < 1.5


@pytest.mark.parametrize(
    ("order", "depth"),
    [
        (np.array([2, 0, 1, 4, 3]), 3),
        (np.arange(5)[::-1], 5),
        # Each depth compiles anew.
        *(pytest.param(np.arange(d)[::-1], d, marks=pytest.mark.slow) for d in (4, 8, 16)),
    ],
    ids=lambda v: "".join(map(str, v)) if isinstance(v, np.ndarray) else str(v),
)
def test_ordered_masking_is_a_caterpillar_of_depth_d_in_its_natural_order(order, depth):
    d = len(order)
    # Atom i has ones at its first i coordinates; the last coordinate to be hidden splits first.
    atoms = np.tril(np.ones((d + 1, d), int), -1)
    tree = mixture_tree(KEY, OrderedMasking(order), Empirical(atoms), epsilon=0.1, n=2_048)
    steps = np.argsort(order) + 1
    sets = {n.members: n.noise_amount for n in tree.nodes[d + 1 :]}
    assert tree.depth == depth
    assert sorted(sets.values()) == list(range(1, d + 1))
    for members, noise in sets.items():
        inside = atoms[list(members)]
        differ = (inside != inside[0]).any(axis=0)
        assert noise == steps[differ].max()
    assert tree.verdict == "holds"


def test_merges_of_equal_height_are_one_node():
    atoms = np.array([[0, 0], [1, 0], [2, 0], [0, 1]])
    tree = mixture_tree(KEY, OrderedMasking(np.arange(2)), Empirical(atoms), epsilon=0.1, n=2_048)
    assert [n.members for n in tree.nodes[4:]] == [(0, 1, 2), (0, 1, 2, 3)]
    assert len(tree.nodes[4].children) == 3
    assert tree.conditions["nested"].verdict == "holds"


@settings(max_examples=20)
@given(st.permutations(range(7)), st.integers(0, 5))
def test_the_tree_does_not_depend_on_the_order_of_the_classes(order, seed):
    rng = np.random.default_rng(seed)
    means, w = rng.normal(size=(7, 3)) * 20, rng.dirichlet(np.full(7, 5.0))
    names = tuple("abcdefg")
    first = mixture_tree(KEY, OU, GaussianMixture(w, means, 1.0, names=names), epsilon=0.2, method="closed-form")
    order = list(order)
    second = mixture_tree(
        KEY,
        OU,
        GaussianMixture(w[order], means[order], 1.0, names=tuple(names[i] for i in order)),
        epsilon=0.2,
        method="closed-form",
    )

    def sets(tree):
        return {frozenset(tree.subset(n.index)): n for n in tree.nodes}

    a, b = sets(first), sets(second)
    assert a.keys() == b.keys()
    for subset, node in a.items():
        assert node.noise_amount == pytest.approx(b[subset].noise_amount, rel=1e-12)
        assert (node.merged.verdict, node.apart.verdict) == (b[subset].merged.verdict, b[subset].apart.verdict)


def test_a_condition_that_fails_is_flagged_where_it_does():
    # Evenly spaced means: {a, b} has merged only when its neighbour c is long no longer apart.
    population = GaussianMixture(np.full(3, 1 / 3), np.array([[0.0], [10.0], [20.5]]), 1.0)
    for method in ("closed-form", "auto"):
        tree = mixture_tree(KEY, OU, population, epsilon=0.1, n=4_096, delta=1e-9, method=method)
        assert tree.conditions["merged"].verdict == "holds"
        assert tree.conditions["nested"].verdict == "holds"
        assert tree.conditions["apart"].verdict == "fails"
        assert tree.conditions["apart"].failing == (3,)


@pytest.mark.parametrize("method", ["closed-form", "monte-carlo"])
def test_duplicate_classes_merge_at_zero_and_are_named(method):
    population = GaussianMixture(np.full(3, 1 / 3), np.array([[0.0], [0.0], [30.0]]), 1.0, names=("x", "y", "z"))
    tree = mixture_tree(KEY, OU, population, epsilon=0.1, n=4_096, delta=1e-9, method=method)
    assert tree.duplicates == (("x", "y"),)
    assert tree.nodes[3].members == (0, 1)
    assert tree.nodes[3].noise_amount == 0
    assert tree.conditions["nested"].verdict == "holds"


def test_an_epsilon_without_edges_has_statuses_not_numbers():
    tree = mixture_tree(
        KEY, OU, FOUR, epsilon=1e-6, n=2_048, delta=1e-9, method="monte-carlo", times=np.linspace(0.5, 3, 8)
    )
    assert tree.root.noise_amount is None
    assert tree.root.status == "above_grid"
    assert all(w.t_before is None and w.status_before != "resolved" for w in tree.windows("a"))


def test_node_and_pair_tables_are_the_tvs_of_measure():
    rng = np.random.default_rng(3)
    k = 5
    population = GaussianMixture(rng.dirichlet(np.full(k, 4.0)), rng.normal(size=(k, 2)) * 2, 1.0)
    linkage = linkage_on_host(pair_forms(OU, population, 0.2).merge)
    linkage[1:3, 2] = linkage[2, 2]  # force a node with three or more children
    layout, members = Layout.of(linkage), members_of(linkage[:, :2], k)
    parents = parents_of(linkage[:, :2], np.asarray(layout.kept), k)
    times, nodes = np.array([0.3, 1.0]), layout.kept[:-1]
    sets = {("apart", c): TV(members[c], ~members[c]) for c in nodes}
    sets |= {("within", c): TV(members[c], members[parents[c]]) for c in nodes}
    table = NodeTable(tuple((int(a), int(b)) for a, b in linkage[:, :2]), layout.kept, tuple(population.weights))
    pairs = PairTable(((0, 1), (4, 2)))
    asked = sets | {"table": table, "pairs": pairs, "p0": TV(0, 1), "p1": TV(4, 2)}
    # The same draws serve all, so only rounding differs.
    found = measure(KEY, OU, population, times, asked, n=4_096, method="monte-carlo")
    expected = np.stack([found[name].value for name in sets], axis=1)
    np.testing.assert_allclose(found["table"].value, expected, atol=3e-6)
    np.testing.assert_allclose(found["pairs"].value, np.stack([found["p0"].value, found["p1"].value], 1), atol=1e-6)
    # Single curves give the band that columns of one curve have, jointly over both.
    value, lower, upper = joint_bands([found["p0"], found["p1"]], found["p0"].n // k, 0.05)
    np.testing.assert_allclose(value, found["pairs"].value, atol=1e-6)
    np.testing.assert_allclose(lower, found["pairs"].lower, atol=1e-5)
    np.testing.assert_allclose(upper, found["pairs"].upper, atol=1e-5)
    assert (upper - lower >= np.stack([c.upper - c.lower for c in (found["p0"], found["p1"])], 1)).all()


def test_bounds_from_pairs_hold_for_sets():
    # 1-d mixtures, TV of sets by quadrature.
    rng = np.random.default_rng(5)
    k = 6
    w, means = rng.dirichlet(np.full(k, 3.0)), rng.normal(size=(k, 1)) * 4
    population = GaussianMixture(w, means, 1.0)
    forms = pair_forms(OU, population, 0.2)
    linkage = linkage_on_host(forms.merge)
    members = members_of(linkage[:, :2], k)
    parents = parents_of(linkage[:, :2], np.arange(2 * k - 1), k)
    beside = np.zeros_like(members)
    beside[:-1] = members[parents[:-1]] & ~members[:-1]
    times = np.array([0.0, 0.5, 1.5])
    low, high, near_low, near_high = cluster_bounds(
        linkage[:, :2].astype(int), members, beside, w, times, forms.tv, forms.affinity
    )
    y = np.linspace(-30, 30, 60_001)
    for t, time in enumerate(times):
        density = np.exp(-((y[:, None] - means[:, 0] * np.exp(-time)) ** 2) / 2) / np.sqrt(2 * np.pi)

        def law(mask, density=density):
            return density[:, mask] @ w[mask] / w[mask].sum()

        for c in range(2 * k - 2):
            for other, bound in ((~members[c], (low, high)), (beside[c], (near_low, near_high))):
                exact = 0.5 * np.abs(law(members[c]) - law(other)).sum() * (y[1] - y[0])
                assert bound[0][t, c] - 1e-6 <= exact <= bound[1][t, c] + 1e-6


def test_sums_over_cuts_are_those_of_the_definition():
    # Heights that tie make nodes with many children, whose rest of the parent is not one sibling.
    rng = np.random.default_rng(2)
    k = 12
    population = GaussianMixture(rng.dirichlet(np.full(k, 3.0)), rng.normal(size=(k, 2)) * 3, 1.0)
    forms, w = pair_forms(OU, population, 0.2), np.asarray(population.weights, np.float64)
    linkage = linkage_on_host(forms.merge)
    linkage[3:6, 2] = linkage[5, 2]
    linkage[8:, 2] = linkage[-1, 2]
    members = members_of(linkage[:, :2], k)
    parents = parents_of(linkage[:, :2], np.asarray(Layout.of(linkage).kept), k)
    beside = np.zeros_like(members)
    beside[:-1] = members[parents[:-1]] & ~members[:-1]
    _, high, _, near_high = cluster_bounds(
        linkage[:, :2].astype(int), members, beside, w, np.array([0.7]), forms.tv, forms.affinity
    )
    alpha = 1 - forms.tv(0.7)
    for c in range(2 * k - 2):
        for other, bound in ((~members[c], high), (beside[c], near_high)):
            a, b = w * members[c] / w[members[c]].sum(), w * other / w[other].sum()
            assert bound[0, c] == pytest.approx(1 - a @ alpha @ b, abs=1e-9)


def test_bounds_on_overlaps_of_mixtures():
    # Against quadrature, from parts that are far, near, and of uneven weights.
    rng = np.random.default_rng(7)
    y = np.linspace(-60, 60, 120_001)
    for trial in range(12):
        sizes, scale = rng.integers(1, 6, 2), [0.5, 3.0, 12.0][trial % 3]
        left, right = (rng.dirichlet(np.full(n, 0.7)) for n in sizes)
        means = [rng.normal(size=n) * scale for n in sizes]
        gaps = np.abs(means[0][:, None] - means[1][None, :])
        alpha, affinity = 1 - erf(gaps / np.sqrt(8)), np.exp(-(gaps**2) / 8)
        p, q = (
            (np.exp(-((y[:, None] - m) ** 2) / 2) / np.sqrt(2 * np.pi)) @ w
            for m, w in zip(means, (left, right), strict=True)
        )
        exact = np.minimum(p, q).sum() * (y[1] - y[0])
        for bc in (affinity, None):
            low, high = overlap_bounds(alpha, bc, left, right)
            assert low - 1e-6 <= exact <= high + 1e-6
        if sizes.max() == 1:
            assert low == pytest.approx(exact, abs=1e-6)
            assert high == pytest.approx(exact, abs=1e-6)


def test_certificates_of_random_gaussians_agree_with_quadrature():
    # Thirty means on a line at three scales: what is certified without a draw is true, and little is left open.
    rng = np.random.default_rng(4)
    k, epsilon = 30, 0.3
    means = np.repeat(rng.normal(size=3) * 1e4, 10) + np.repeat(rng.normal(size=10) * 200, 3) + rng.normal(size=k) * 8
    population = GaussianMixture(np.full(k, 1 / k), means[:, None], 1.0)
    tree = mixture_tree(KEY, OU, population, epsilon=epsilon, method="closed-form")
    verdicts = [n.apart.verdict for n in tree.nodes]
    assert verdicts.count("open") <= len(verdicts) // 5
    assert {"holds", "fails"} <= set(verdicts[k:])
    for node in tree.nodes[:-1]:
        inside = np.zeros(k, bool)
        inside[list(node.members)] = True
        at = means * np.exp(-node.noise_amount)
        y = np.unique(np.concatenate([m + np.linspace(-8, 8, 1601) for m in at]))
        density = np.exp(-((y[:, None] - at) ** 2) / 2) / np.sqrt(2 * np.pi)
        exact = 0.5 * np.trapezoid(np.abs(density[:, inside].mean(1) - density[:, ~inside].mean(1)), y)
        assert node.apart.lower - 1e-4 <= exact <= node.apart.upper + 1e-4
        for child in node.members:
            assert 0.5 * np.trapezoid(np.abs(density[:, child] - density[:, inside].mean(1)), y) <= epsilon + 1e-4


@pytest.mark.parametrize(
    ("process", "population"),
    [
        (OU, GaussianMixture(np.full(5, 0.2), np.arange(10.0).reshape(5, 2) ** 2, 0.5)),
        (OU, Empirical(np.arange(10.0).reshape(5, 2) ** 2)),
        (Masking(), Empirical(np.arange(10).reshape(5, 2) % 4)),
        (OrderedMasking(np.arange(2)), Empirical(np.arange(10).reshape(5, 2) % 4)),
    ],
    ids=["gaussians", "noised atoms", "masked atoms", "ordered atoms"],
)
def test_blocks_of_pairs_are_parts_of_the_table(process, population):
    forms, rows, columns = pair_forms(process, population, 0.1), np.array([3, 0]), np.array([1, 2, 4])
    alpha, affinity = forms.between(0.6, rows, columns)
    np.testing.assert_allclose(alpha, 1 - forms.tv(0.6)[np.ix_(rows, columns)], atol=1e-12)
    np.testing.assert_allclose(affinity, forms.affinity(0.6)[np.ix_(rows, columns)], atol=1e-12)


def test_noised_atoms_are_gaussians_of_no_covariance():
    atoms = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0], [60.0, 0.0]])
    forms = pair_forms(OU, Empirical(atoms, np.arange(4)), 0.1)
    for i, j in ((0, 1), (1, 3), (0, 3)):
        t = forms.merge[i, j]
        a, sigma = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
        gap = np.linalg.norm(atoms[i] - atoms[j])
        assert erf(a * gap / sigma / np.sqrt(8)) == pytest.approx(0.1, rel=1e-9)
    assert forms.merge[0, 2] == 0
    assert forms.tv(0.0)[0, 2] == 0
    assert forms.tv(0.0)[0, 1] == 1


@pytest.mark.parametrize("shape", ["scalar", "diagonal", "full"])
def test_pair_forms_solve_for_epsilon(shape):
    rng = np.random.default_rng(1)
    root = rng.normal(size=(3, 3))
    cov = {"scalar": 0.5, "diagonal": np.array([0.2, 1.0, 3.0]), "full": root @ root.T + 0.1 * np.eye(3)}[shape]
    population = GaussianMixture(np.full(4, 0.25), rng.normal(size=(4, 3)) * 6, cov)
    forms = pair_forms(OU, population, 0.1)
    for i in range(4):
        for j in range(i):
            if forms.merge[i, j] > 0:
                assert forms.tv(forms.merge[i, j])[i, j] == pytest.approx(0.1, rel=1e-9)
            else:
                assert forms.tv(0.0)[i, j] <= 0.1
    masked = pair_forms(Masking(), Empirical(np.array([[0, 0, 0], [1, 0, 0], [1, 1, 1]])), 0.1)
    np.testing.assert_allclose(masked.merge[0], [0, 0.9, 0.9 ** (1 / 3)])


def test_a_thousand_classes_without_draws():
    rng = np.random.default_rng(0)
    k = 1_000
    centres = np.repeat(rng.normal(size=(50, 3)) * 1e6, 20, axis=0)
    population = GaussianMixture(np.full(k, 1 / k), centres + 100 * rng.normal(size=(k, 3)), 1.0)
    tree = mixture_tree(KEY, OU, population, epsilon=0.1, times=np.linspace(0.0, 20.0, 5))
    assert tree.draws == 0
    groups = {n.members for n in tree.nodes}
    assert all(tuple(range(20 * g, 20 * g + 20)) in groups for g in range(50))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": 1.0}, "epsilon"),
        ({"delta": 0.0}, "delta"),
        ({"n": 1}, "n = 1"),
        ({"method": "guess"}, "method"),
        ({"times": [2.0, 1.0]}, "times"),
    ],
)
def test_bad_input_is_refused(change, word):
    with pytest.raises(InvalidInput, match=word):
        mixture_tree(KEY, OU, FOUR, **({"epsilon": 0.1} | change))


def test_one_class_and_a_missing_closed_form_are_refused():
    with pytest.raises(InvalidInput, match="two"):
        mixture_tree(KEY, OU, GaussianMixture([1.0], [[0.0]], 1.0), epsilon=0.1)
    wide = GaussianMixture(np.full(2, 0.5), np.zeros((2, 1)), np.array([[[1.0]], [[2.0]]]))
    with pytest.raises(InvalidInput, match="closed-form"):
        mixture_tree(KEY, OU, wide, epsilon=0.1, method="closed-form")


def test_pairs_that_cannot_decide_are_not_sampled():
    # Neighbours across the gap in the middle meet where the two ends do, and are too close to be what decides.
    half = np.array([0.0, 1.0, 2.6, 3.6, 6.4, 7.4, 9.0, 10.0])
    means = np.concatenate([half, half + 15.0])[:, None] * 50
    cov = np.linspace(1.0, 1.1, 16)[:, None, None]
    population = GaussianMixture(np.full(16, 1 / 16), means, cov)
    tree = mixture_tree(KEY, OU, population, epsilon=0.2, n=8_192, delta=1e-9, times=np.linspace(0.5, 9, 24))
    assert "of 120, the others by affinities" in tree.method
    assert {tuple(range(8)), tuple(range(8, 16)), (0, 1, 2, 3), (4, 5, 6, 7)} <= {n.members for n in tree.nodes}
    # Each height lies in its interval up to the little that covariances between 1 and 1.1 change under so much noise.
    for node in tree.nodes[16:]:
        diameter = float(np.ptp(means[list(node.members)]))
        assert node.interval[0] - 0.01 <= merge_time(diameter, 0.2) <= node.interval[1] + 0.01
