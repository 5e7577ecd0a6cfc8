"""Ex. 7: words like a staircase: a deep mixture tree when letters are hidden in order, a flat one under diffusion."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

import sloc
from sloc import MixtureTree

from .atom_windows import exact_window, first_step_tv
from .certified import window_rows
from .masking_permuted import checked_depth, lemma, permuted, staircase
from .rows import Fit, Result, Row, same, slope

NAME, EPSILON = "Ex. 7", 0.1
LENGTHS = (4, 8, 16, 32, 64)


def trees(d: int) -> dict[str, MixtureTree]:
    """Return the mixture tree of the staircase under hiding from the left, masking at random, and diffusion."""
    population = sloc.populations.Empirical(staircase(d))
    processes = {
        "ordered masking": sloc.processes.OrderedMasking(np.arange(d)[::-1]),
        "masking": sloc.processes.Masking(),
        "diffusion": sloc.processes.OrnsteinUhlenbeck(),
    }
    return {
        name: sloc.mixture_tree(jax.random.key(8), process, population, epsilon=EPSILON, method="closed-form")
        for name, process in processes.items()
    }


def exact_depth(d: int, process: str) -> int:
    """Return the depth by looking at the words, or at how near they are.

    In order: with ``t`` letters hidden two words are either equal in what is left or not, so classes only split and
    TV is 0 or 1; a level is a ``t`` at which the largest class grows.  Under diffusion a set of ``s`` of the ``d + 1``
    words, more than one and not all, has a member and a neighbour outside, and two members at least as far from each
    other.  Members that have merged are within ``2 eps`` of each other, hence so are these two neighbours:
    ``1 - TV`` of set and rest is at least ``(1 - 2 eps) / max(s, d + 1 - s)``, too much where that is above ``eps^2``.
    Counted are the sizes at which it is not, and the whole.
    """
    if process == "diffusion":
        overlap = [(1 - 2 * EPSILON) / max(s, d + 1 - s) for s in range(2, d + 1)]
        return 1 + sum(o <= EPSILON**2 for o in overlap)
    largest = [np.unique(staircase(d)[:, : d - t], axis=0, return_counts=True)[1].max() for t in range(d + 1)]
    return int(np.count_nonzero(np.diff(largest)))


SHORT = 8
"""Letters of the words whose windows are certified."""


def ordered_tv(d: int, t: int, a: list[int], b: list[int]) -> float:
    """Return TV of two sets of words with ``t`` letters hidden in order: what is left of a word is one string."""
    seen = np.unique(staircase(d)[:, : d - t], axis=0, return_inverse=True)[1].ravel()
    laws = [np.bincount(seen[c], minlength=seen.max() + 1) / len(c) for c in (a, b)]
    return float(np.abs(laws[0] - laws[1]).sum() / 2)


def ordered_window(d: int, after: list[int], before: list[int]) -> tuple[int, int]:
    """Return the window of a set of words within a larger one, in letters hidden in order."""
    rest, beyond = ([w for w in range(d + 1) if w not in s] for s in (after, before))
    apart = [t for t in range(d + 1) if ordered_tv(d, t, after, rest) >= 1 - EPSILON**2]
    whole = [t for t in range(d + 1) if not beyond or ordered_tv(d, t, before, beyond) >= 1 - EPSILON**2]
    return max(apart), min(t for t in whole if ordered_tv(d, t, after, before) <= EPSILON)


def certified(budget: int = 30_000) -> list[Row]:
    """Return windows of two merges in order and of the only one under diffusion, exact and by draws."""
    rows, d = [], SHORT
    alone = exact_window(lambda r: first_step_tv(d, r), d, EPSILON, (1e-3, 6.0))
    population, whole = sloc.populations.Empirical(staircase(d)), list(range(d + 1))
    first, most = ([0], whole), (whole[d // 2 + 1 :], whole[d // 2 :])
    in_order, diffusion = sloc.processes.OrderedMasking(np.arange(d)[::-1]), sloc.processes.OrnsteinUhlenbeck()
    one = "holds for one number of hidden letters alone, and a certificate leaves a step on each side"
    none = "none exists: where the two have merged they are not apart from the rest"
    for name, process, sets, exact, notes in (
        ("ordered masking, {0} within all", in_order, first, ordered_window(d, *first), ("", "")),
        (f"ordered masking, {d // 2} words within {d // 2 + 1}", in_order, most, ordered_window(d, *most), ("", one)),
        ("diffusion, {0} within all", diffusion, first, alone, ("", "")),
        ("diffusion, {0} within {0, 1}", diffusion, ([0], [0, 1]), (alone[0], None), ("", none)),
    ):  # fmt: skip
        window = sloc.critical_window(
            jax.random.key(20), process, population, *sets, epsilon=EPSILON, method="monte-carlo", certify=True,
            budget=budget,
        )  # fmt: skip
        rows += window_rows(NAME, f"d = {d}, ε = {EPSILON:g}, {name}", exact, window, notes=notes)
    return rows


def run() -> Result:
    """Return depths by length, under each process, and the windows of some merges."""
    found = {d: trees(d) for d in LENGTHS}
    depths = {name: [checked_depth(found[d][name]) for d in LENGTHS] for name in ("ordered masking", "diffusion")}
    merges = {name: [found[d][name].depth for d in LENGTHS] for name in ("ordered masking", "masking", "diffusion")}
    last = LENGTHS[-1]
    rows = [
        Row(NAME, f"d = {last}, ε = {EPSILON:g}, {name}", "depth of the ε-mixture tree", exact_depth(last, name),
            *same(depths[name][-1]), "closed form, conditions certified", said, note)
        for name, said, note in (
            ("ordered masking", last, "a window for each letter (the printed process hides t + 1 letters at t)"),
            ("diffusion", None, "O(1): no merge but the last is apart from the rest"),
        )
    ]  # fmt: skip
    fits = [
        Fit(NAME, "depth ~ d in order", "d", "depth, ordered masking", *slope(LENGTHS, depths["ordered masking"]), 1.0),
        Fit(NAME, "depth O(1) under diffusion", "d", "depth, diffusion", *slope(LENGTHS, depths["diffusion"]), 0.0),
    ]
    other, more, series = permuted()
    return Result(
        rows + other + certified() + lemma(),
        fits + more,
        {"d": LENGTHS, "depths": depths, "merges": merges, "permuted": series},
    )


def draw(axes: Any, found: dict[str, Any]) -> None:
    """Draw depths against length: hidden in order against diffusion, and by the order of reading."""
    from .pictures import BLUE, GREEN, ORANGE, SKY, ticks

    read = found["permuted"]
    shares = {f"{name}, all merges": found["merges"][name] for name in ("masking", "diffusion")}
    panels = (
        ({**found["depths"], **shares}, found["d"], "levels at which the conditions hold, and merges"),
        (read["depths"], read["d"], "levels by the order of reading"),
    )
    looks = ((BLUE, "o", "-", 7), (ORANGE, "s", "-", 4), (GREEN, "^", "--", 8), (SKY, "v", "--", 4))
    for ax, (depths, lengths, title) in zip(axes, panels, strict=True):
        for (name, values), (colour, mark, line, size) in zip(depths.items(), looks, strict=True):
            ax.plot(lengths, values, color=colour, marker=mark, markersize=size, linestyle=line, label=name)
        ax.set(xscale="log", yscale="log", xlabel="letters d", ylabel="depth of the tree", title=title)
        ax.legend(fontsize=7.5)
        ticks(ax, lengths)
        ax.set_yticks([1, *lengths], labels=[str(d) for d in (1, *lengths)])
        ax.yaxis.minorticks_off()
