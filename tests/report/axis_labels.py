"""Which axes of a picture do not say what they show: asked by the tests of everything that draws."""

from __future__ import annotations

import re
from collections.abc import Iterator

from matplotlib.figure import Figure

UNITS = {"information": "[bits]", "position": "[tokens, or as recorded]"}
"""What has a unit, and how a label writes it."""
PLAIN = re.compile(
    r"noise level|fraction|TV\(|total variation|probability|P\(|share|windows\n|questions, earliest|posterior draws"
    r"|less the images' own"
)
"""What has none: levels, shares, probabilities, counts, and rows that are told by name."""


def unlabelled(figure: Figure) -> Iterator[str]:
    """Name every axis with numbers on it that nothing labels, or whose label lacks its unit.

    An axis may be labelled by the leftmost picture of its row or the lowest one of its column, or by the figure.
    """
    figure.draw_without_rendering()
    for ax in figure.axes:
        if not (ax.get_visible() and ax.axison):
            continue
        grid = ax.get_subplotspec()
        for side, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
            written = [t.get_text() for t in axis.get_ticklabels() if t.get_visible() and t.get_text()]
            if not any(re.fullmatch(r"[−\d.]+( %)?|.*\\mathdefault.*", text) for text in written):
                continue
            said = [axis.get_label_text()]
            if grid is not None:
                place = grid.colspan if side == "x" else grid.rowspan
                others = [(o, o.get_subplotspec()) for o in figure.axes if o.get_subplotspec() is not None]
                alike = [o for o, g in others if (g.colspan if side == "x" else g.rowspan) == place and o.get_visible()]
                edge = min(alike, key=lambda o: o.get_position().y0 if side == "x" else o.get_position().x0)
                said += [getattr(edge, f"get_{side}label")(), getattr(figure, f"get_sup{side}label")()]
            label = next(filter(None, said), "")
            unit = next((u for quantity, u in UNITS.items() if quantity in label), None)
            if unit not in label if unit else not PLAIN.search(label):
                yield f"{side} axis of {ax.get_title(loc='left') or ax}: {label!r}"
