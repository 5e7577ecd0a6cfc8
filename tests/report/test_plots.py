"""What ``.plot()`` draws: that it shows the numbers of the result, for every status, and touches no global state."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import jax
import matplotlib as mpl
import numpy as np
import pytest

import sloc
from sloc import Curve, Estimate, TheoremWindow, Window
from sloc.contracts import InvalidInput
from sloc.populations import ProductCategorical
from sloc.processes import BinarySymmetric, Masking, OrderedMasking, Permuted, Truncation
from sloc.report import page_parts, recorded_report, style, traces_picture
from sloc.report.plots import plot_curve, plot_estimate, plot_theorem_window, plot_window
from sloc.report.posterior_plots import plot_histograms
from sloc.report.style import new_axes, ordered_colours

TIMES = np.linspace(0.1, 3.0, 12)
VALUE = np.exp(-TIMES)
CURVE = Curve(TIMES, VALUE, 0 * VALUE, VALUE - 0.05, VALUE + 0.05, 1024, "monte carlo", "information", "bits")
WINDOW = Window(0.5, 2.0, (0.4, 0.6), (1.9, 2.2), "resolved", "resolved", 0.1, 0.05, 1024, "monte carlo", "cat")


def texts(ax) -> str:
    return " ".join(t.get_text() for t in ax.texts)


def drawn(ax) -> None:
    ax.figure.canvas.draw()


def test_curve_shows_values_band_and_unit() -> None:
    ax = CURVE.plot()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), VALUE)
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx((VALUE - 0.05).min())
    assert band.max() == pytest.approx((VALUE + 0.05).max())
    assert ax.get_ylabel() == "information [bits]"
    drawn(ax)


def test_curve_with_labels_has_a_line_each() -> None:
    two = [np.stack([v, v / 2], axis=1) for v in (VALUE, 0 * VALUE, VALUE, VALUE)]
    ax = plot_curve(Curve(TIMES, *two, 0, "exact", "label", "", ("a", "b")))
    assert [line.get_label() for line in ax.lines] == ["a", "b"]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), VALUE / 2)
    drawn(ax)


def test_two_curves_in_one_picture_are_told_apart() -> None:
    other = replace(CURVE, quantity="TV(a, b)", unit="")
    ax = other.plot(CURVE.plot())
    first, second = ax.lines
    assert first.get_color() != second.get_color()
    assert first.get_linestyle() != second.get_linestyle()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["information", "TV(a, b)"]
    assert ax.get_ylabel() == "information [bits], TV(a, b)"
    assert CURVE.plot().get_legend() is None


def test_lines_that_coincide_differ_in_their_dashes() -> None:
    same = [np.stack([v, v], axis=1) for v in (VALUE, 0 * VALUE, VALUE, VALUE)]
    first, second = plot_curve(Curve(TIMES, *same, 0, "exact", "label", "", ("c", "d"))).lines
    assert first.get_linestyle() != second.get_linestyle()
    assert first.get_color() != second.get_color()


@pytest.mark.parametrize("plot", [lambda ax: plot_curve(CURVE, ax), lambda ax: plot_window(WINDOW, ax)])
def test_axes_of_a_caller_get_the_same_frame_as_new_ones(plot) -> None:
    figure = mpl.figure.Figure()
    own, new = plot(figure.subplots()), plot(None)
    for side in ("top", "right", "left", "bottom"):
        assert own.spines[side].get_visible() == new.spines[side].get_visible(), side
    assert not own.spines["top"].get_visible()


WORDS = ProductCategorical(np.array([[[0.9, 0.1]] * 4, [[0.1, 0.9]] * 4]), names=("cat", "dog"))


@pytest.mark.parametrize(
    ("process", "says"),
    [
        (Masking(), "share t of coordinates hidden"),
        (Truncation(4), "coordinates hidden at the end t"),
        (OrderedMasking([2, 0, 1, 3]), "coordinates hidden t"),
        (Permuted(Truncation(4), [3, 1, 0, 2]), "coordinates hidden at the end t"),
        (BinarySymmetric(), "noise level t"),
    ],
)
def test_an_axis_of_times_says_what_they_are(process, says) -> None:
    label, key = f"{says}  (generation runs right to left)", jax.random.key(0)
    times = [1, 2, 3] if process.discrete else [0.1, 0.2, 0.3]
    curve = sloc.tv_curve(key, process, WORDS, times, "cat", "dog", n=1024)
    assert curve.plot().get_xlabel() == label
    assert sloc.find_window(curve, epsilon=0.3).plot().get_xlabel() == label
    assert sloc.find_window(curve, rise=0.1).plot().get_xlabel() == label
    assert curve.to_xarray()["time"].attrs["long_name"] == label
    window = sloc.critical_window(key, process, WORDS, "cat", ["cat", "dog"], epsilon=0.3, times=times, n=1024)
    assert window.plot().get_xlabel() == label
    assert "time_axis" not in window.to_dataframe()
    labels = sloc.label_curve(key, process, WORDS, times, "cat", n=1024)
    assert labels.column("dog").time_axis == label
    theorem = sloc.theorem2(key, process, WORDS, "cat", "cat", epsilon=0.3, times=times, n=1024)
    assert theorem.plot().get_xlabel() == label
    tree = sloc.mixture_tree(key, process, WORDS, epsilon=0.3, times=times, n=1024)
    assert tree.plot().get_ylabel() == f"{says}  (generation runs downwards)"
    assert tree.to_xarray()["noise_amount"].attrs["long_name"] == label


def test_posteriors_are_drawn_in_the_style() -> None:
    before = dict(mpl.rcParams)
    ax = plot_histograms({"T_after": VALUE, "T_before": 1 + VALUE, "never": VALUE[:0]}, "cat", "share t of words")
    assert ax.get_xlabel() == "share t of words"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["T_after", "T_before"]
    assert not ax.spines["top"].get_visible()
    assert dict(mpl.rcParams) == before


def test_colours_have_one_source() -> None:
    assert page_parts.COLOURS is recorded_report.COLOURS is style.LINES
    assert {traces_picture.SAME, traces_picture.RULE, traces_picture.CERTIFIED} == {
        style.BLUE,
        style.ORANGE,
        style.GREEN,
    }
    own = re.compile(
        "|".join(c for n, c in vars(style).items() if n.isupper() and str(c).startswith("#")), re.IGNORECASE
    )
    package = Path(style.__file__).parents[1]
    assert not [f.name for f in package.rglob("*.py") if f.name != "style.py" and own.search(f.read_text("utf-8"))]


def test_wide_times_are_logarithmic() -> None:
    assert plot_curve(CURVE).get_xscale() == "linear"
    assert plot_curve(replace(CURVE, times=np.geomspace(1e-4, 7, 12))).get_xscale() == "log"


def test_given_axes_are_used() -> None:
    ax = new_axes()
    assert plot_curve(CURVE, ax) is ax
    assert plot_estimate(Estimate(0.5, 0.1, 0.4, 0.6, 100, "mc"), ax) is ax


def test_estimate_shows_interval() -> None:
    ax = Estimate(0.5, 0.1, 0.4, 0.65, 100, "monte carlo").plot()
    assert list(ax.lines[0].get_xdata()) == [0.4, 0.65]
    assert list(ax.lines[1].get_xdata()) == [0.5]
    assert "0.5" in texts(ax)
    assert "n = 100" in ax.get_xlabel()
    drawn(ax)


def test_estimate_names_its_quantity() -> None:
    ax = Estimate(0.5, 0.1, 0.4, 0.65, 100, "monte carlo", "TV(a, b)").plot()
    assert ax.get_xlabel() == "TV(a, b)\n(monte carlo, n = 100)"


def test_window_is_a_bar_between_its_edges() -> None:
    ax = WINDOW.plot()
    bar = ax.patches[0]
    assert bar.get_x() == pytest.approx(0.5)
    assert bar.get_width() == pytest.approx(1.5)
    assert "cat" in ax.get_title(loc="left")
    assert "t_after = 0.5" in texts(ax)
    drawn(ax)


@pytest.mark.parametrize(
    ("changes", "bars", "word"),
    [
        ({"t_before": None, "before_interval": (2.9, np.inf), "status_before": "above_grid"}, 1, "above_grid"),
        ({"t_after": None, "after_interval": None, "status_after": "empty"}, 1, "empty"),
        ({"t_after": 2.0, "t_before": 0.5, "status_after": "inverted", "status_before": "inverted"}, 1, "t_after = 2"),
        (
            {
                "t_after": None,
                "t_before": None,
                "after_interval": None,
                "before_interval": None,
                "status_after": "unresolved",
                "status_before": "unresolved",
            },
            0,
            "unresolved",
        ),
    ],
    ids=["above grid", "empty", "inverted", "unresolved"],
)
def test_window_without_an_edge_says_why(changes: dict, bars: int, word: str) -> None:
    ax = plot_window(replace(WINDOW, **changes))
    assert len(ax.patches) == bars
    assert word in texts(ax)
    drawn(ax)


def test_inverted_window_is_hollow() -> None:
    turned = replace(WINDOW, t_after=2.0, t_before=0.5, status_after="inverted", status_before="inverted")
    assert plot_window(turned).patches[0].get_facecolor()[3] == 0.0
    assert plot_window(WINDOW).patches[0].get_facecolor()[3] > 0.0


def test_theorem_window_marks_bound_and_window() -> None:
    result = TheoremWindow(0.5, 2.0, None, None, "resolved", "resolved", 0.1, 0.17, CURVE, 0.11, CURVE, CURVE)
    ax = result.plot()
    labels = ax.get_legend_handles_labels()[1]
    assert labels == ["certificate", "misassignment", "Hellinger bound", "printed bound", "window"]
    drawn(ax)
    assert "window" not in plot_theorem_window(replace(result, t_end=None)).get_legend_handles_labels()[1]


def test_global_style_is_left_alone(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    plot_curve(CURVE).figure.savefig(tmp_path / "curve.png")
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or mpl.pyplot.get_fignums() == []


def test_missing_matplotlib_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InvalidInput, match=r"matplotlib.*sloc\[viz\]"):
        plot_curve(CURVE)


def test_colours_keep_their_order_without_colour_vision() -> None:
    # Luminance must grow along the order, so that it can be read in grey.
    colours = np.asarray(ordered_colours(10))[:, :3]
    luminance = colours @ np.asarray([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()
    assert luminance[-1] < 0.85
