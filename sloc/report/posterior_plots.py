"""What ``.plot()`` of a posterior draws: a histogram over noise levels for each edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sloc.report.style import INK, line_styles, new_axes, styled, tidy


def plot_histograms(draws: Mapping[str, np.ndarray], title: str, time_axis: str, ax: Any = None) -> Any:
    """Draw a histogram of each edge's posterior draws; an edge that exists in no draw is left out.

    Args:
        draws: name of an edge to its draws ``[S]``.
        title: of the axes.
        time_axis: what the times are, in words.
        ax: matplotlib axes to draw into; new ones when None.

    Returns:
        The axes.

    Raises:
        InvalidInput: matplotlib is not installed.

    """
    with styled():
        ax = tidy(new_axes(5.2, 2.8) if ax is None else ax)
        styles = line_styles(len(draws))
        for (label, values), (colour, dashes) in zip(draws.items(), styles, strict=True):
            if len(values):
                ax.hist(values, bins=40, histtype="stepfilled", color=colour, alpha=0.25, label=label)
                ax.hist(values, bins=40, histtype="step", color=colour, linestyle=dashes, linewidth=1.2)
        ax.locator_params(axis="x", nbins=6)  # narrow posteriors have long numbers
        ax.set_xlabel(time_axis)
        ax.set_ylabel("posterior draws")
        ax.set_title(title, color=INK)
        if any(len(values) for values in draws.values()):
            ax.legend(fontsize=8)
    return ax
