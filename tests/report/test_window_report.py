"""Windows of a whole data set: what is read off the curves, where the noise levels lie, words, tables, picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

from sloc import Curve, Window
from sloc.contracts import InvalidInput, component_names
from sloc.divergence.closed_forms import host_weights
from sloc.divergence.integrands import entropy_bits
from sloc.populations import Empirical
from sloc.report.sources import Source, load_file_source, parse_image, parse_matrix, scaled
from sloc.report.tables import edge_text, windows_frame, windows_table
from sloc.report.window_picture import NoiseAxis, noise_axis, noised_examples, plot_windows
from sloc.report.window_run import (
    ProcessWindows,
    Settings,
    decision_order,
    run_pilot,
    run_process,
    spread_times,
)
from sloc.report.window_words import listed, summary_paragraph
from sloc.results import Status
from sloc.windows.edges import Edge
from tests.report.axis_labels import unlabelled

SETTINGS = Settings(n=60_000, times=16)


@pytest.fixture(scope="module")
def source() -> Source:
    # Two patterns that differ in one pixel, and a third that differs from both in all four.
    data = np.asarray([[0, 0, 0, 0], [1, 0, 0, 0], [2, 2, 2, 2]], np.float32)
    return Source(Empirical(data, ["a", "b", "c"]), "three patterns", "pattern", "pixel", (2, 2))


@pytest.fixture(scope="module")
def masked(source: Source) -> ProcessWindows:
    pilot = run_pilot("masking", source.population, SETTINGS)
    return run_process("masking", source.population, SETTINGS, pilot.times)


def test_intervals_hold_the_closed_form(masked: ProcessWindows) -> None:
    # a and b differ in one pixel: TV = 1 - t, so t_after = eps^2 = 0.01 and t_before = 1 - eps = 0.9.  c differs from
    # both in all four: TV = 1 - t^4 to each; t_after = 0.01^(1/4).  Closed forms are exact here: no false alarms.
    pair = masked.pairs["a", "b"]
    assert pair.t_before == pytest.approx(0.9, abs=1e-9)
    assert masked.pairs["a", "c"].t_after == pytest.approx(0.01**0.25, abs=1e-9)


def test_class_windows_hold_the_truth(masked: ProcessWindows) -> None:
    # TV(c, {a, b}) = 1 - t^4 and TV(c, all) = (2/3)(1 - t^4).  Both intervals hold at once but for probability 0.05;
    # the Maurer-Pontil band is so wide that the true failure rate is far below 1e-8.
    window = masked.classes["c"]
    truth_after, truth_before = 0.01**0.25, (1 - 0.15) ** 0.25
    for value, interval, truth in (
        (window.t_after, window.after_interval, truth_after),
        (window.t_before, window.before_interval, truth_before),
    ):
        assert interval is not None
        assert interval[0] <= truth <= interval[1]
        assert value is None or interval[0] <= value <= interval[1]


def test_most_different_pattern_is_decided_first(masked: ProcessWindows) -> None:
    assert decision_order(masked.classes)[0] == "c"
    assert decision_order(masked.pairs)[-1] == ("a", "b")


def test_half_of_the_information(masked: ProcessWindows) -> None:
    # I(t) for these patterns: all four hidden t^4, first seen 1 - t, else {a, b} against c.
    assert masked.entropy == pytest.approx(np.log2(3))
    assert masked.half_interval is not None
    grid = np.linspace(0, 1, 100001)
    lost = grid**4 * np.log2(3) + (grid - grid**4) * (2 / 3)
    truth = grid[np.argmin(np.abs(lost - np.log2(3) / 2))]
    assert masked.half_interval[0] <= truth <= masked.half_interval[1]


def test_noise_levels(masked: ProcessWindows) -> None:
    times = masked.times
    assert times.shape == (16,)
    assert (np.diff(times) > 0).all()
    assert 0 < times[0] < times[-1] <= 1


def test_spread_times_are_dense_where_curves_move() -> None:
    t = np.linspace(0, 10, 101)
    value = 1 / (1 + np.exp(8 * (t - 4)))
    curve = Curve(t, value, 0 * t, value, value, 0)
    times = spread_times(t, [curve], [1.0], 40, 0.1)
    assert len(times) == 40
    assert times[0] == 0
    assert np.mean(np.abs(times - 4) < 1.5) > 0.85


def test_same_seed_same_windows_whatever_else_runs(source: Source, masked: ProcessWindows) -> None:
    again = run_process("masking", source.population, SETTINGS, masked.times)
    np.testing.assert_array_equal(again.curves["information"].value, masked.curves["information"].value)


def test_words_and_tables(source: Source, masked: ProcessWindows) -> None:
    text = summary_paragraph(masked, source)
    assert "pixel masking" in text
    assert "Decided first: pattern c (opens at" in text
    frame = windows_frame([masked])
    assert list(frame["kind"]) == ["class"] * 3 + ["pair"] * 3
    assert windows_table(masked, source).row_count == 3
    assert windows_table(masked, source, limit=1).row_count == 2
    assert edge_text(None, None) == "-"
    assert edge_text(0.5, (0.4, 0.6)) == "0.5 [0.4, 0.6]"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"


def window_of(after: float | None, before: float | None, *statuses: Status) -> Window:
    status_after, status_before = statuses or ("resolved", "resolved")
    return Window(after, before, None, None, status_after, status_before, 0.1, 0.05, 1)


def words_of(masked: ProcessWindows, source: Source, *windows: Window) -> str:
    """Return the sentences on the classes alone."""
    text = summary_paragraph(
        replace(
            masked,
            classes=dict(zip("abc", windows, strict=False)),
            pairs={},
            half=0.5,
            half_interval=None,
            half_status="resolved",
            tree=None,
        ),
        source,
    )
    return text.split("is there at 50.0 %. ")[1]


def test_windows_without_edges_are_spoken_of(source: Source, masked: ProcessWindows) -> None:
    never = window_of(None, 0.9, "below_grid", "resolved")
    assert words_of(masked, source, never, never) == (
        "a and b are not decided at the levels looked at (open at 90.0 %, not settled at the levels looked at)."
    )
    unknown = window_of(None, None, "unresolved", "unresolved")
    assert "no order" in words_of(masked, source, unknown, unknown, unknown)
    assert words_of(masked, source, window_of(0.5, 0.9), never, unknown) == (
        "Decided: pattern a (opens at 90.0 %, settled at 50.0 %). Not settled at the levels looked at: b (opens at "
        "90.0 %). The draws do not tell at which level c is settled."
    )
    early = window_of(None, None, "above_grid", "above_grid")
    assert "Decided first: pattern b (open at every level looked at, settled at every level" in words_of(
        masked, source, window_of(0.5, 0.9), early
    )


def pair(after: float, low: float, high: float) -> Window:
    return replace(window_of(after, None), after_interval=(low, high))


def pair_words(masked: ProcessWindows, source: Source, *windows: Window) -> str:
    pairs = dict(zip([("a", "b"), ("b", "c"), ("a", "c")], windows, strict=False))
    return summary_paragraph(replace(masked, classes={}, pairs=pairs, tree=None), source)


def test_pairs_whose_intervals_overlap_are_in_no_order(source: Source, masked: ProcessWindows) -> None:
    apart, near, last = pair(0.8, 0.7, 0.9), pair(0.75, 0.65, 0.85), pair(0.2, 0.1, 0.3)
    assert pair_words(masked, source, apart, last).endswith(
        "Of the 2 pairs, a and b (80.0 %) are told apart first, and last b and c (20.0 %)."
    )
    # Two share the first place: neither is called last.
    assert pair_words(masked, source, apart, near, last).endswith(
        "Of the 3 pairs, a and b (80.0 %) or b and c (75.0 %) are told apart first, and last a and c (20.0 %)."
    )
    assert pair_words(masked, source, apart, near).endswith("no order of the 2 pairs that are told apart.")
    assert "pairs" not in pair_words(masked, source, apart, window_of(None, None, "below_grid", "below_grid"))


def test_nouns_have_plurals(source: Source, masked: ProcessWindows) -> None:
    assert masked.tree is not None
    text = summary_paragraph(masked, replace(source, noun="class"))
    assert "classs" not in text
    assert "classes" in text


def test_classes_with_one_window_are_decided_together(source: Source, masked: ProcessWindows) -> None:
    one = window_of(0.5, 0.9)
    assert words_of(masked, source, one, one) == "a and b are decided together (open at 90.0 %, settled at 50.0 %)."
    text = words_of(masked, source, one, window_of(0.5, 0.8))
    assert text == "a and b are settled at 50.0 % together (a opens at 90.0 %, b opens at 80.0 %)."
    at_zero = window_of(0.0, 0.9)
    assert "settled at 0.0 %" in words_of(masked, source, at_zero, at_zero)


def test_atom_shared_by_two_classes_is_never_settled() -> None:
    # One atom in both classes: TV <= 1/2 at every level, so that no level settles them.
    data = np.asarray([[0, 0], [1, 1], [0, 0], [2, 2]], np.float32)
    population = Empirical(data, ["x", "x", "y", "y"])
    found = run_process("masking", population, SETTINGS, run_pilot("masking", population, SETTINGS).times)
    text = summary_paragraph(found, Source(population, "two", "class", "pixel"))
    assert "x and y are not decided at the levels looked at" in text
    assert "Decided" not in text
    assert "alf of the class information (0.50 of 1.00 bits) is there" in text


@pytest.mark.parametrize(
    ("edge", "words"),
    [
        (Edge(0.5, (0.25, 0.75), "resolved"), "is there at 50.0 % (between 25.0 % and 75.0 %)."),
        (Edge(None, (0.0, 0.1), "below_grid"), "Half of the pattern information (0.79 of 1.58 bits) is there at none"),
        (Edge(None, (0.9, 1.0), "above_grid"), "is there at every level looked at."),
        (Edge(None, (0.2, 0.4), "unresolved"), "is there; it is between 20.0 % and 40.0 %."),
        (Edge(None, None, "unresolved"), "The draws do not tell at which level half of the pattern information"),
    ],
)
def test_half_is_spoken_of(source: Source, masked: ProcessWindows, edge: Edge, words: str) -> None:
    assert words in summary_paragraph(
        replace(masked, half=edge.value, half_interval=edge.interval, half_status=edge.status), source
    )


def test_picture(source: Source, masked: ProcessWindows, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    figure = plot_windows([masked], source, file)
    assert file.read_bytes().startswith(b"\x89PNG")
    assert len(figure.axes) == 5
    images = [box for box in figure.axes[0].child_axes if box.images]
    assert len(images) == 14
    means = [box.images[0] for box in figure.axes[4].child_axes]
    assert len(means) == 3
    assert [t.get_text() for t in figure.axes[4].get_xticklabels()] == ["b", "a", "c"]
    assert len(plot_windows([replace(masked, tree=None)], replace(source, image=None)).axes) == 3
    assert not list(unlabelled(figure))
    # The axes of noise, as of a run under diffusion.
    assert not list(unlabelled(plot_windows([masked, replace(masked, name="ou")], source)))


def test_examples_are_noised_and_judged(source: Source, masked: ProcessWindows) -> None:
    shots = noised_examples(masked, source, "c", np.asarray([1e-6, 1.0]), seed=0)
    seen, hidden, label, chance = shots[0]
    np.testing.assert_array_equal(seen, np.full((2, 2), 2.0))
    assert hidden is not None
    assert not hidden.any()
    assert (label, chance) == ("c", pytest.approx(1.0))
    assert shots[1][1] is not None
    assert shots[1][1].all()
    assert shots[1][3] == pytest.approx(1 / 3, abs=1e-6)


@pytest.mark.parametrize("scale", ["linear", "log", "capacity"])
def test_noise_axis_place_inverts_level(scale: str) -> None:
    axis = NoiseAxis(0.1, 0.99, scale)
    assert axis.level(0.0) == pytest.approx(0.1)
    assert axis.level(1.0) == pytest.approx(0.99)
    assert axis.place(float(axis.level(0.37))) == pytest.approx(0.37, abs=1e-3)


def test_masking_has_a_capacity_axis(masked: ProcessWindows) -> None:
    assert noise_axis(masked).scale == "capacity"


def test_entropy_of_weights(source: Source) -> None:
    assert float(entropy_bits(host_weights(source.population))) == pytest.approx(np.log2(3))


def test_scaling() -> None:
    x = np.asarray([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    standard = scaled(x, "standard")
    np.testing.assert_allclose(standard[:, 0], [-np.sqrt(1.5), 0, np.sqrt(1.5)], rtol=1e-6)
    np.testing.assert_array_equal(standard[:, 1], np.zeros(3))
    np.testing.assert_allclose(scaled(x, "-1,1"), 2 * x / 5 - 1, rtol=1e-6)
    assert scaled(np.arange(4), "none").dtype.kind == "i"
    with pytest.raises(InvalidInput, match="scale"):
        scaled(x, "1,-1")


def test_texts_that_are_no_numbers() -> None:
    assert parse_matrix("4,0;-4,0", "m").tolist() == [[4, 0], [-4, 0]]
    assert parse_image("8x6") == (8, 6)
    for text in ("", "1,,2", "a"):
        with pytest.raises(InvalidInput, match="m = "):
            parse_matrix(text, "m")
    for text in ("8", "8x", "0x8", "8x8x8"):
        with pytest.raises(InvalidInput, match="image"):
            parse_image(text)


def test_missing_labels_in_a_table(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("x,y\n1,a\n2,\n3,b\n")
    with pytest.raises(InvalidInput, match="1 have none"):
        load_file_source(file, None, None, None, None)


@pytest.mark.parametrize(
    ("words", "names"),
    [("NA,b,NA,b", ["NA", "b"]), ("10,9,10,9", ["9", "10"]), ("1,nan,1,nan", ["1", "nan"]), ("1_0,10,1_0,10", None)],
)
def test_labels_in_a_csv_file(tmp_path: Path, words: str, names: list[str] | None) -> None:
    file = tmp_path / "data.csv"
    file.write_text("x,y\n" + "".join(f"{i},{word}\n" for i, word in enumerate(words.split(","))))
    population = load_file_source(file, None, None, None, None).population
    assert list(component_names(population)) == (names or ["10", "1_0"])


@pytest.mark.parametrize("kind", ["npz", "csv", "parquet"])
@pytest.mark.parametrize("word", ["a\0b", "a\0", "\ud800"])
def test_labels_that_no_file_of_results_holds_are_refused(tmp_path: Path, kind: str, word: str) -> None:
    """Before anything is computed; and no two labels become one because arrays drop a NUL at a label's end."""
    file, labels = tmp_path / f"a.{kind}", [word, "a", "b"] * 2
    if kind == "npz" and not word.endswith("\0"):
        np.savez(file, x=np.arange(6.0), y=np.asarray(labels))
    elif kind == "parquet" and word != "\ud800":
        pd.DataFrame({"x": np.arange(6.0), "y": labels}).to_parquet(file)
    elif kind == "csv" and word != "\ud800":
        pd.DataFrame({"x": np.arange(6.0), "y": labels}).to_csv(file, index=False)
    else:
        pytest.skip("a file of this kind cannot hold this label")
    with pytest.raises(InvalidInput, match=r"^labels = 'y': expected for each label a text without NUL"):
        load_file_source(file, "x", "y", None, None)


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "data.csv"
    file.write_text("x,y\n1,a\n")

    def broken(self: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", broken)
    with pytest.raises(InvalidInput, match=r"can be read \(Input/output error\)"):
        load_file_source(file, None, None, None, None)


def test_settings_are_checked_against_the_population(source: Source) -> None:
    SETTINGS.validate(source.population)
    with pytest.raises(InvalidInput, match="classes"):
        replace(SETTINGS, classes=("z",)).validate(source.population)
    with pytest.raises(InvalidInput, match="devices = "):
        replace(SETTINGS, devices=jax.local_device_count() + 1).validate(source.population)
