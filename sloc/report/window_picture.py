"""The picture of a window run: what one sees, what is known, and when each class is decided, on one noise axis."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Revealed, component_names
from sloc.contracts.arguments import checked_all, checked_kind, checked_seed
from sloc.divergence.closed_forms import host_weights
from sloc.divergence.posteriors import posterior
from sloc.populations import Empirical
from sloc.report.noise_axis import NoiseAxis, noise_axis
from sloc.report.output import checked_picture, write_picture
from sloc.report.plots import draw_band, draw_bar
from sloc.report.sources import Source, plural
from sloc.report.style import BLUE, FAINT, INK, SOFT, new_figure, ordered_colours, styled
from sloc.report.tree_picture import plot_tree
from sloc.report.window_run import ProcessWindows, decision_order
from sloc.report.window_words import axis_label, level_words, process_title
from sloc.results.tree import MixtureTree

MASKED = "#F2C879"
"""Colour of hidden pixels: warm, so that it is no shade of grey."""
MOST_BARS = 30
"""More classes than this are drawn without names."""
MOST_LEAVES = 24
"""Trees of more classes than this are in the files, not in the picture."""
_SHOWN = 7


def plot_windows(
    results: Sequence[ProcessWindows], source: Source, path: str | os.PathLike[str] | None = None, *, seed: int = 0
) -> Any:
    """Draw a column per process: example images, class information, TV curves, windows, on a common noise axis.

    Generation runs from right to left.  Under each image stands what the exact posterior makes of it.  Below, on an
    axis of its own with the noise level as height, the mixture tree of the classes, where there is one.

    Args:
        results: one entry per process.
        source: the data; without ``source.image`` the row of images is left out.
        path: where to save the picture (its ending says in which format); nothing is saved when None.
        seed: of the examples' noise.

    Returns:
        The matplotlib figure.

    Raises:
        InvalidInput: matplotlib is not installed, no place for a file, or an ending that names no picture.
        OSError: the disk is full.

    """
    results = checked_all(results, "results", ProcessWindows, "ProcessWindows", 1)
    checked_kind(source, "source", Source, "a Source")
    path, seed = None if path is None else checked_picture(path), checked_seed(seed)
    images = source.image is not None and isinstance(source.population, Empirical)
    trees = any(_has_tree(result) for result in results)
    with styled():
        bars = min(len(results[0].classes), 40)
        heights = [1.62] * images + [1.25, 1.85, 0.55 + max(0.17 * bars, 0.5)] + [2.3] * trees
        width = 5.3 if len(results) > 1 else 7.2
        figure = new_figure(width * len(results), sum(heights) + 1.35)
        figure.get_layout_engine().set(h_pad=0.03, w_pad=0.06, hspace=0.035, wspace=0.03, rect=(0, 0.006, 1, 0.988))
        grid = figure.subplots(len(heights), len(results), squeeze=False, height_ratios=heights)
        for column, result in enumerate(results):
            axes = list(grid[:, column])
            if trees:
                draw_tree(
                    axes.pop(), result.name, result.tree if _has_tree(result) else None, source, first=column == 0
                )
            _draw_column(axes, result, source, images, first=column == 0, seed=seed)
        figure.suptitle(
            f"When is the {source.noun} decided?   {source.title}",
            fontsize=13,
            color=INK,
            x=0.012,
            ha="left",
            fontweight="bold",
        )
        if path is not None:
            write_picture(figure, path, 130)
    return figure


def _draw_column(
    axes: list[Any], result: ProcessWindows, source: Source, images: bool, *, first: bool, seed: int
) -> None:
    axis = noise_axis(result)
    for ax in axes:
        axis.apply(ax)
    for ax in axes[:-1]:
        ax.tick_params(labelbottom=False)
    title = process_title(result.name, source)
    axes[0].set_title(title[0].upper() + title[1:], fontsize=11, color=INK, fontweight="bold", pad=8)
    order = decision_order(result.classes)
    colours = dict(zip(order, ordered_colours(len(order)), strict=True))
    if images:
        _draw_images(axes.pop(0), result, source, order, axis, seed, first)
    _draw_information(axes[0], result, source, axis, first)
    _draw_tv(axes[1], result, order, colours, source, first)
    _draw_bars(axes[2], result, order, colours, source, first)
    axes[2].set_xlabel(axis_label(result.name, source), loc="left")
    axes[2].annotate(
        "◀ generation runs this way",
        (1.0, 0.0),
        xytext=(0, -27),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="center",
        color=SOFT,
        fontsize=8.5,
        annotation_clip=False,
    )


def _draw_information(ax: Any, result: ProcessWindows, source: Source, axis: NoiseAxis, first: bool) -> None:
    curve = result.curves["information"]
    draw_band(ax, curve, BLUE, width=2.0)
    ax.set_ylim(0, 1.08 * result.entropy)
    if first:
        ax.set_ylabel(f"information on\nthe {source.noun} [bits]")
    half = result.half
    if half is None:
        return
    level = result.entropy / 2
    ax.plot([half, half], [0, level], color=SOFT, linewidth=1.0, linestyle=(0, (2, 2)))
    ax.plot([half], [level], marker="o", color=BLUE, markersize=5)
    place = axis.place(half)
    ax.annotate(
        f"half is there at {level_words(result.name, half)}" + (" hidden" if result.name == "masking" else ""),
        (half, level),
        xytext=(8 if place < 0.7 else -8, 3),
        textcoords="offset points",
        color=INK,
        ha="left" if place < 0.7 else "right",
        va="bottom" if place < 0.7 else "top",
        fontsize=8.5,
    )


def _draw_tv(
    ax: Any, result: ProcessWindows, order: Sequence[str], colours: dict[str, Any], source: Source, first: bool
) -> None:
    epsilon = next(iter(result.classes.values())).epsilon
    times = result.times
    for key, curve in result.curves.items():
        if key[0] == "pair" and len(result.pairs) > 1:
            ax.plot(times, np.asarray(curve.value), color=FAINT, linewidth=0.6, zorder=1)
    for a in order:
        draw_band(ax, result.curves["class", a], colours[a], width=1.4)
    # TV(class, all) = (1 - w) TV(class, rest), so that each weight has its own threshold on this axis.
    share = dict(zip(component_names(source.population), host_weights(source.population), strict=True))
    opens = [min(epsilon / (1 - share[a]), 1.0) for a in order]
    near = max(opens)
    ax.axhspan(min(opens), near, color=FAINT, alpha=0.5, linewidth=0, zorder=0)
    for level in (1 - epsilon**2, near):
        ax.axhline(level, color=SOFT, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
    ax.set_ylim(0, 1.04)
    ax.set_yticks([0, 0.5, 1])
    ax.annotate(
        f"above {1 - epsilon**2:g}: settled",
        (1, 1 - epsilon**2),
        xytext=(-3, -3),
        fontsize=8,
        color=SOFT,
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="top",
    )
    ax.annotate(
        f"below {near:.2g}: open" if near - min(opens) < 0.02 else f"below {min(opens):.2g} to {near:.2g}: open",
        (0, near),
        xytext=(4, 2),
        fontsize=8,
        color=SOFT,
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="left",
        va="bottom",
    )
    if first:
        ax.set_ylabel(f"TV({source.noun}, rest)")
    if len(result.pairs) > 1:
        ax.annotate(
            "grey: pairs",
            (0, near),
            xytext=(4, 14),
            fontsize=8,
            color="#9a9a9a",
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="left",
            va="bottom",
        )


def _draw_bars(
    ax: Any, result: ProcessWindows, order: Sequence[str], colours: dict[str, Any], source: Source, first: bool
) -> None:
    for row, a in enumerate(order):
        draw_bar(ax, result.classes[a], row, colours[a], height=0.68)
    ax.set_ylim(len(order) - 0.4, -0.6)
    if len(order) <= MOST_BARS:
        names = [a if len(a) <= 14 else a[:13] + "…" for a in order]
        ax.set_yticks(range(len(order)), names)
    else:
        ax.set_yticks([])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)
    if first:
        ax.set_ylabel("windows\n(earliest on top)")


def _has_tree(result: ProcessWindows) -> bool:
    return result.tree is not None and 3 <= len(result.tree.names) <= MOST_LEAVES


def draw_tree(ax: Any, name: str, tree: MixtureTree | None, source: Source, *, first: bool) -> None:
    """Draw the mixture tree of a process, with the mean of every class of images under its leaf."""
    if tree is None:
        ax.set_axis_off()
        return
    population = source.population
    pictures: list[np.ndarray] = []
    if source.image is not None and isinstance(population, Empirical):
        parts = np.split(np.asarray(population.data, np.float64), np.cumsum(population.counts)[:-1])
        pictures = [part.mean(axis=0).reshape(source.image) for part in parts]

    def mean_picture(box: Any, leaf: int) -> None:
        _show(box, pictures[leaf], np.zeros(pictures[leaf].shape, bool))

    masked = name == "masking"
    plot_tree(
        tree, ax, words=(lambda t: f"{100 * t:.4g} %") if masked else None, thumbnail=mean_picture if pictures else None
    )
    # The legend of a small tree has two columns above the axes; the title stands above it.
    legend = ax.get_legend()
    rows = 1 if legend is None else -(-len(legend.get_texts()) // 2)
    ax.set_title(
        f"Mixture tree: from what noise on {plural(source.noun)} are one (TV ≤ {tree.epsilon:g})",
        fontsize=10,
        color=INK,
        loc="left",
        pad=22 if len(tree.names) >= 8 else 9 + 13 * rows,
    )
    ax.set_ylabel("noise level of\nthe merge" if first else "", color=INK)


def _draw_images(
    ax: Any, result: ProcessWindows, source: Source, order: Sequence[str], axis: NoiseAxis, seed: int, first: bool
) -> None:
    """Two rows of examples at noise levels that stand above their place on the axis."""
    ax.set_ylim(0, 1)
    ax.set_yticks([])
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="x", length=0)
    places = (np.arange(_SHOWN) + 0.5) / _SHOWN
    levels = axis.level(places)
    examples = [order[0], order[-1]] if len(order) > 1 else [order[0]]
    for row, name in enumerate(examples):
        shots = noised_examples(result, source, name, levels, seed)
        for place, (picture, hidden, label, chance) in zip(places, shots, strict=True):
            box = ax.inset_axes((place - 0.062, 0.60 - 0.52 * row, 0.124, 0.36))
            _show(box, picture, hidden)
            box.set_title(
                f"{label}  {100 * chance:.0f} %",
                y=-0.02,
                va="top",
                loc="center",
                fontsize=8,
                color=INK if chance > 0.95 else (SOFT if label == name else "#b0571a"),
                pad=0,
            )
    if first:
        ax.set_ylabel("what is seen, and\nthe likeliest label\n(orange: wrong)", labelpad=14)


def noised_examples(
    result: ProcessWindows, source: Source, name: str, levels: np.ndarray, seed: int
) -> list[tuple[np.ndarray, np.ndarray | None, str, float]]:
    """Noise one sample of a class to each level with common noise.

    Args:
        result: one process of a run.
        source: labelled images.
        name: the class.
        levels: noise levels.
        seed: chooses sample and noise.

    Returns:
        Per level the picture ``[h, w]``, which pixels are hidden (None where none can be), and the likeliest class
        with its exact posterior probability.

    """
    population = source.population
    names = component_names(population)
    population = population.canonical()
    index = names.index(name)
    key_x, key_y = jax.random.split(jax.random.fold_in(jax.random.key(seed), index))
    x = population.sample(key_x, jnp.asarray(index, jnp.int32))
    shots = []
    for level in levels:
        t = jnp.asarray(level, jnp.float32)
        y = result.process.sample(key_y, x, t)
        probability = np.exp(np.asarray(posterior(result.process, population, y, t), np.float64))
        best = int(np.argmax(probability))
        seen = isinstance(y, Revealed)
        values = np.asarray(y.values if seen else y, np.float64).reshape(source.image)
        hidden = ~np.asarray(y.known).reshape(source.image) if seen else None
        shots.append((values, hidden, names[best], float(probability[best])))
    return shots


def _show(box: Any, picture: np.ndarray, hidden: np.ndarray | None) -> None:
    from matplotlib.colors import to_rgb

    low, high = (-1.0, 1.0) if hidden is not None else (-max(1.0, np.quantile(np.abs(picture), 0.97)),) * 2
    high = abs(high)
    grey = np.clip((picture - low) / (high - low), 0, 1)
    colours = np.repeat(1 - grey[..., None], 3, axis=-1)
    if hidden is not None:
        colours[hidden] = to_rgb(MASKED)
    box.imshow(colours, interpolation="nearest", aspect="equal")
    box.set_xticks([])
    box.set_yticks([])
    for spine in box.spines.values():
        spine.set_visible(True)
        spine.set_color(FAINT)
