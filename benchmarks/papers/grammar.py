"""Sclocchi et al.: a random hierarchy loses its class at one noise level, its leaves smoothly."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.windows import printed

from .grammar_deep import deep_fits
from .grammar_diffused import certified as certified_under_diffusion
from .grammar_erased import certified
from .grammar_levels import NOISE, drawn, exact_rows
from .grammar_trees import exact_by_hidden, exact_survival, grammar, survival
from .rows import Fit, Result, Row, crossing, same, slope

NAME = "Sclocchi et al."
SMALL = {"letters": 4, "rules": 2, "depth": 3}
LETTERS, RULES, DEPTHS, SIGMAS = 16, 4, (3, 4, 5, 6, 7, 8), 5
TIMES = np.linspace(0.02, 0.98, 97)


def blurred(depth: int, trees: int) -> np.ndarray:
    """Return survival of the class when every leaf is believed right with ``1 - eps + eps / v``, ``[trees, T]``.

    This is what the printed recursion is about: no leaf is erased, all are blurred alike.
    """
    population = grammar(LETTERS, RULES, depth)
    classes = jnp.arange(trees, dtype=jnp.int32) % LETTERS
    keys = jax.random.split(jax.random.key(depth), trees)
    leaves = jax.jit(jax.vmap(lambda k, c: population.sample_tree(k, c)[-1]))(keys, classes)

    @jax.jit
    def at(share: jax.Array) -> jax.Array:
        hot = jax.nn.one_hot(leaves, LETTERS).transpose(1, 2, 0)
        found = population.class_likelihoods((1 - share) * hot + share / LETTERS)
        return jnp.take_along_axis(found / jnp.sum(found, 0, keepdims=True), classes[None], 0)[0]

    return survival(np.stack([np.asarray(at(jnp.float32(t))) for t in TIMES], 1), LETTERS)


def _edges(kept: np.ndarray) -> tuple[float, float]:
    """Return where a survival curve is ½, and how far it takes from .75 to .25."""
    low, middle, high = (crossing(TIMES, np.minimum.accumulate(kept), level) for level in (0.75, 0.5, 0.25))
    return middle, high - low


def run(draws: int = 512) -> Result:
    """Return the transition of a small grammar exactly, of deep ones by draws, and how it sharpens with depth."""
    small = grammar(SMALL["letters"], SMALL["rules"], SMALL["depth"])
    exact = exact_survival(exact_by_hidden(small), SMALL["letters"], TIMES)
    said = [printed.grammar_transition(v, 2, m) for v, m in ((SMALL["letters"], SMALL["rules"]), (LETTERS, RULES))]
    middles = [_edges(exact[:, level])[0] for level in (0, -1)]
    setting = "v = 4, m = 2, s = 2, depth 3"
    rows = [
        Row(NAME, setting, "erased at which the class is half lost", middles[0], *same(middles[0]),
            "belief propagation, all trees and masks", said[0],
            "of blurred leaves in mean field, infinitely deep: erasing is another noise"),
        Row(NAME, setting, "erased at which the leaves are half lost", middles[1], *same(middles[1]),
            "belief propagation, all trees and masks", None, "smooth, and no transition"),
        *exact_rows(NAME, setting, exact, TIMES),
        *certified(NAME, small),
        *certified_under_diffusion(NAME),
    ]  # fmt: skip
    rng, widths, curves = np.random.default_rng(0), [], {}
    for depth in DEPTHS:
        values = blurred(depth, draws)
        found = _edges(values.mean(0))
        again = np.array([_edges(values[rng.integers(0, draws, draws)].mean(0)) for _ in range(200)])
        low, high = found - SIGMAS * again.std(0), found + SIGMAS * again.std(0)
        widths.append((found[1], low[1], high[1]))
        curves[str(depth)] = values.mean(0)
        if depth in (DEPTHS[0], DEPTHS[-1]):
            rows.append(
                Row(NAME, f"v = {LETTERS}, m = {RULES}, s = 2, depth {depth}", "blur at which the class is half lost",
                    None, found[0], low[0], high[0], f"{draws} trees, ±{SIGMAS} standard errors", said[1],
                    "mean field, infinite depth")
            )  # fmt: skip
    table = np.array(widths)
    rise = np.exp(np.array(DEPTHS))  # So that the slope is per level.
    fit = Fit(NAME, "class sharpens with depth", "depth (slope per level)", "ln width of the class, .75 to .25",
              *slope(rise, table[:, 0], band=(table[:, 1], table[:, 2])), None)  # fmt: skip
    deep, pools = deep_fits(NAME, LETTERS, RULES, -math.log(steepness(said[1] or 0.0)))
    more, fits, levels = drawn(NAME)
    series = {"t": TIMES, "noise": NOISE, **levels, "curves": curves, "pools": pools, "said": said, "depth": DEPTHS}
    return Result(rows + more, [fit, *deep, *fits], series)


def steepness(share: float) -> float:
    """Return ``F'(p*)``, by which the recursion tears beliefs apart at each level of the printed transition."""
    belief, h = 1 - share + share / LETTERS, 1e-6
    up, down = (printed.grammar_map(belief + e, LETTERS, 2, RULES) for e in (h, -h))
    return (up - down) / (2 * h)


def draw(axes: Any, found: dict[str, Any]) -> None:
    """Draw survival level by level under diffusion, and of the class by depth."""
    from .pictures import SOFT, ordered_colours

    left, right = axes
    levels = np.asarray(found["levels"])
    names = ["class", *(f"level {i}" for i in range(1, levels.shape[1] - 1)), "leaves"]
    for level, colour in enumerate(ordered_colours(len(names))):
        label = names[level] if level in (0, len(names) // 2, len(names) - 1) else None
        left.plot(found["noise"], levels[:, level], color=colour, linewidth=1.3, label=label)
    left.set(title="diffusion, level by level (v = 8, m = 4, depth 7)", xlabel="noise level t (OU time)")
    for depth, colour in zip(found["depth"], ordered_colours(len(found["depth"])), strict=True):
        right.plot(found["t"], found["curves"][str(depth)], color=colour, linewidth=1.3, label=f"depth {depth}")
    right.axvline(found["said"][1], color=SOFT, linestyle=":", label="ε* (printed)")
    right.set(title=f"class under blur (v = {LETTERS}, m = {RULES})", xlabel="blur ε of each leaf")
    for ax in axes:
        ax.set(ylabel="share of the symbol kept", ylim=(-0.03, 1.03))
        ax.legend(fontsize=7)
