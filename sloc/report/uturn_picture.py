"""The picture of ``sloc uturn``: what comes back of one image, the curves, and how far they are from the images'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sloc.report.noise_axis import NoiseAxis
from sloc.report.output import write_picture
from sloc.report.style import BLUE, FAINT, GREEN, ORANGE, SOFT, new_figure, styled
from sloc.results.curve import Curve

MODEL, IMAGES, CLASSIFIER = "model", "images", "classifier"
"""Names of the curves in the results."""
_LOOKS: dict[str, dict[str, Any]] = {
    MODEL: dict(color=BLUE, marker="o", ms=3, label="trained model"),
    IMAGES: dict(color=ORANGE, ls="--", label="the images themselves, exact"),
    CLASSIFIER: dict(color=GREEN, ls="-.", label="a calibrated classifier, unseen images"),
}
_SHOWN = 16
"""At most so many images fit side by side."""


def uturn_picture(
    times: np.ndarray, curves: Mapping[str, Curve], first: np.ndarray, results: Any, start: str, path: Path
) -> None:
    """Draw what one image becomes at the levels, the curves with the model's window, and the differences.

    Args:
        times: ``[T]``, ascending.
        curves: by name, among them the images' own.
        first: ``[T, H, W]``, what one image becomes, in [-1, 1].
        results: windows and differences (:func:`sloc.report.uturn_curves.compared`).
        start: the digit.
        path: the file to write.

    """
    with styled():
        figure = new_figure(8, 7)
        strip, above, below = figure.subplots(3, 1, height_ratios=[0.5, 3, 1.6], sharex=True)
        NoiseAxis(times[0] / 1.12, times[-1] * 1.12, "log").apply(above)
        _strip(strip, times, first, start)
        for name, curve in curves.items():
            above.fill_between(times, curve.lower, curve.upper, color=_LOOKS[name]["color"], alpha=0.2, lw=0)
            above.plot(times, curve.value, **_LOOKS[name])
        low, high = results["curves"][MODEL]["window"]
        if low is not None and high is not None:
            above.axvspan(low, high, color=FAINT, alpha=0.6, lw=0, zorder=0, label="model's window, 90 % to 50 %")
        above.set(ylabel=f"P(a {start} comes back)", ylim=(-0.02, 1.02))
        above.legend()
        _differences(below, times, curves, results["differences"])
        below.set_xlabel("noise level t  (Ornstein–Uhlenbeck; generation runs right to left)")
        write_picture(figure, path, 120)


def shown_levels(times: np.ndarray, most: int) -> list[int]:
    """Return the levels whose images are shown: the first, and each that lies far enough from the last one shown."""
    places = np.log(times)
    gap, chosen = (places[-1] - places[0]) / most, [0]
    for i in range(1, len(places)):
        if places[i] - places[chosen[-1]] >= gap:
            chosen.append(i)
    return chosen


def _strip(ax: Any, times: np.ndarray, first: np.ndarray, start: str) -> None:
    from matplotlib.colors import Normalize
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    for i in shown_levels(times, _SHOWN):
        norm, zoom = Normalize(-1, 1), 22 / first.shape[1]
        image = OffsetImage(first[i], cmap="gray_r", norm=norm, interpolation="nearest", zoom=zoom)
        ax.add_artist(AnnotationBbox(image, (times[i], 0.5), pad=0.12, bboxprops=dict(lw=0.4, edgecolor=SOFT)))
    ax.set_ylim(0, 1)
    ax.set_axis_off()
    ax.set_title(f"one {start}, noised to t and brought back by the model")


def _differences(ax: Any, times: np.ndarray, curves: Mapping[str, Curve], differences: Any) -> None:
    """Draw each curve less the images' own, with what the bands of both allow."""
    own = curves[IMAGES]
    ax.axhline(0, **{k: v for k, v in _LOOKS[IMAGES].items() if k != "label"})
    for name, curve in curves.items():
        if name == IMAGES:
            continue
        low, high = np.asarray(curve.lower) - own.upper, np.asarray(curve.upper) - own.lower
        gap = next(v for pair, v in differences.items() if set(pair.split(", ")) == {name, IMAGES})
        said = "largest {:.3f}, interval {:.3f} to {:.3f}".format(gap["largest"], *gap["interval"])
        ax.fill_between(times, low, high, color=_LOOKS[name]["color"], alpha=0.2, lw=0)
        words = {MODEL: "model's error", CLASSIFIER: "classifier"}[name]
        ax.plot(times, np.asarray(curve.value) - own.value, **(_LOOKS[name] | {"label": f"{words}: {said}"}))
    # Room for the words above what is drawn.
    least, most = ax.get_ylim()
    ax.set(ylabel="less the images' own", ylim=(least, most + 0.45 * (most - least)))
    ax.legend(loc="upper left")
