"""Every result is a table; curves, windows, trees and numbers are datasets and pictures too."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flax")
pytest.importorskip("numpyro")
pytest.importorskip("tokenizers")

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "_ext"))
import public_api

import sloc
import sloc.bayes
import sloc.lm
import sloc.nn
import sloc.samplers
import sloc.testing
from sloc.results import OutcomeCurve
from sloc.windows import Allocation, OutcomeCounts, rule_firing, rule_rates, trace_table, trace_windows

SHOWN = {
    *("sloc.Curve", "sloc.Estimate", "sloc.MixtureTree", "sloc.TheoremWindow", "sloc.Window"),
    *("sloc.results.OutcomeCurve", "sloc.results.ResampledCurve", "sloc.results.TraceWindows"),
    *("sloc.bayes.MergePosterior", "sloc.bayes.WindowPosterior"),
}
"""Results that are a dataset and a picture as well."""
MATERIAL = {
    "what other functions read": {
        *("sloc.windows.OutcomeCounts", "sloc.windows.RecordedDraws", "sloc.windows.Recording"),
        *("sloc.windows.TraceTable", "sloc.lm.Question"),
    },
    "a model, or part of one": {
        *("sloc.lm.DecoderConfig", "sloc.lm.LanguageModel", "sloc.lm.Prefix", "sloc.lm.Tokenizer"),
        "sloc.contracts.Marginals",
    },
}
"""Dataclasses that public functions return and that are no results."""


def public_classes() -> dict[str, type]:
    """Return the public dataclasses by their addresses."""
    symbols = [(f"{p}.{n}", v) for p in public_api.PACKAGES for n, v in public_api.public_symbols(p)]
    return {a: v for a, v in symbols if inspect.isclass(v) and dataclasses.is_dataclass(v)}


def returned() -> set[str]:
    """Return the public dataclasses that some public function says it returns, processes and populations left out."""
    symbols = [v for p in public_api.PACKAGES for _, v in public_api.public_symbols(p)]
    functions: list[Callable[..., Any]] = [
        inspect.unwrap(v) for v in symbols if public_api.is_class_or_function(v) and not inspect.isclass(v)
    ]
    words = {w for f in functions for w in re.findall(r"\w+", str(f.__annotations__.get("return", "")))}
    models = sloc.ObservationProcess, sloc.Population
    return {a for a, v in public_classes().items() if v.__name__ in words and not issubclass(v, models)}


def without(method: str, names: set[str]) -> list[str]:
    """Return those of the public classes that lack a method."""
    classes = public_classes()
    return sorted(name for name in names if not callable(getattr(classes[name], method, None)))


def test_every_result_is_a_table() -> None:
    material = set().union(*MATERIAL.values())
    results = returned() - material | SHOWN
    assert {"sloc.windows.RuleRates", "sloc.lm.WindowAccuracy", "sloc.bayes.ChangePosterior"} <= results
    assert len(results) > 30
    assert without("to_dataframe", results) == []
    # The list of what is no result is no longer than it must be.
    assert material <= returned()
    assert without("to_dataframe", material) == sorted(material)


def test_curves_windows_trees_and_numbers_are_datasets_and_pictures() -> None:
    for method in ("to_xarray", "plot"):
        assert without(method, SHOWN) == []
    others = set(public_classes()) - SHOWN
    assert without("plot", others) == sorted(others), "a class with a picture that is not on the list"
    own = {name for name in returned() if name.startswith("sloc.") and name.count(".") == 1}
    assert own <= SHOWN, "the README says that these are on the list"


def test_a_result_that_is_no_table_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sloc.windows.RuleRates, "to_dataframe")
    assert without("to_dataframe", returned() - set().union(*MATERIAL.values())) == ["sloc.windows.RuleRates"]


def outcomes() -> OutcomeCurve:
    value = np.asarray([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]])
    one = np.ones(3)
    shares = value, np.maximum(value - 0.1, 0), np.minimum(value + 0.1, 1)
    return OutcomeCurve(
        "q", ("42", "41"), np.arange(3.0), 8 * one, *shares, None, None, 0.9, one, "resolved", "by hand"
    )


def test_a_curve_of_outcomes_draws_itself() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = outcomes().plot()
    assert [line.get_ydata().tolist() for line in axes.get_lines()] == [[0.9, 0.2, 0.1], [0.1, 0.8, 0.9]]
    given = Figure().subplots()
    assert outcomes().plot(ax=given) is given


def test_a_resampled_curve_as_a_table_and_a_dataset() -> None:
    import pandas as pd

    rows = [("q", f, a) for f, own in ((0.2, "ABBB"), (0.6, "AAAB")) for a in own] + [("q", 1.0, "A")]
    curve = trace_windows(trace_table(pd.DataFrame(rows, columns=["question", "fraction", "answer"]))).curves[0]
    frame, data = curve.to_dataframe(), curve.to_xarray()
    assert frame[["kept", "time", "draws", "answer", "value"]].to_numpy().tolist() == [
        [0.2, 0.8, 4, "A", 0.25],
        [0.2, 0.8, 4, "B", 0.75],
        [0.6, 0.4, 4, "A", 0.75],
        [0.6, 0.4, 4, "B", 0.25],
    ]
    assert (frame["lower_all"] < frame["lower"]).all()
    assert data["value"].sel(answer="A").values.tolist() == [0.25, 0.75]
    assert np.allclose(data["time"], [0.8, 0.4])
    assert (data.attrs["reference"], data.attrs["alpha"]) == ("A", curve.alpha)


def test_what_allocation_drew_as_a_table() -> None:
    counts = np.asarray([[7.0, 1.0], [2.0, 6.0], [0.0, 8.0]])
    data = OutcomeCounts("q", ("42", "41"), np.arange(3.0), counts, np.full(2, np.nan))
    frame = Allocation(outcomes(), data, 2, "budget spent").to_dataframe()
    assert frame["count"].tolist() == counts.ravel().tolist()
    assert frame["answer"].tolist() == ["42", "41"] * 3


def test_the_rule_as_tables() -> None:
    rates = rule_rates(4)
    assert rates.to_dataframe().to_dict("records") == [dataclasses.asdict(rates)]
    data = OutcomeCounts("q", ("42", "41"), np.asarray([0.0, 4.0]), np.asarray([[8.0, 0.0], [1.0, 7.0]]), np.ones(1))
    fired = rule_firing(data, reference="41")
    assert fired.to_dataframe().to_dict("records") == [dataclasses.asdict(fired)]


def test_statistics_of_trajectories_as_a_table() -> None:
    mean = {"a": np.asarray([1.0, 2.0]), "b": np.arange(8.0).reshape(2, 2, 2)}
    stderr = {"a": np.asarray([0.1, 0.2]), "b": np.full((2, 2, 2), 0.5)}
    frame = sloc.samplers.LocalizationStatistics(np.asarray([0.5, 1.0]), mean, stderr, 1024).to_dataframe()
    assert list(frame.columns) == ["time", "leaf", "index", "mean", "stderr"]
    assert len(frame) == 2 * (1 + 4)
    late = frame[(frame["time"] == 1.0) & (frame["leaf"] == "['b']")]
    assert late["mean"].tolist() == [4.0, 5.0, 6.0, 7.0]
    assert late["index"].tolist() == [0, 1, 2, 3]
    alone = sloc.samplers.LocalizationStatistics(np.asarray([0.5]), np.asarray([3.0]), np.asarray([0.1]), 1024)
    assert alone.to_dataframe().to_numpy().tolist() == [[0.5, "", 0, 3.0, 0.1]]


def test_records_of_networks_chains_and_checks_as_tables() -> None:
    fitted = sloc.nn.Fitted(None, np.asarray([2.0, 1.0]), 0.1).to_dataframe()
    assert fitted.to_numpy().tolist() == [[1, 2.0], [2, 1.0]]
    bins = np.asarray([0.5, 0.9])
    found = sloc.nn.Calibration(1.0, (1.0, 0.9), (0.1, 0.0), bins, bins / 2, (8, 8), 64).to_dataframe()
    assert found.to_numpy().tolist() == [[0.5, 0.25], [0.9, 0.45]]
    chains = sloc.bayes.ChainDiagnostics({"a": 1.0, "b": 1.2}, {"b": 9.0, "a": 80.0}, {"a": 0.1, "b": 0.5}, (0, 0), 40)
    assert chains.to_dataframe().to_numpy().tolist() == [["a", 1.0, 80.0, 0.1], ["b", 1.2, 9.0, 0.5]]
    report = sloc.testing.ConformanceReport("P", 8, 1e-6, ["shapes"], ["bridge: none"], {"law": 0.5}).to_dataframe()
    assert report["kind"].tolist() == ["checked", "tested", "skipped"]
    assert report["p_value"].fillna(-1).tolist() == [-1, 0.5, -1]


def test_records_of_language_models_as_tables() -> None:
    log_likelihood = np.zeros((2, 1, 3, 2))
    log_likelihood[1, 0, -1] = [-4.0, -3.0]
    paths = sloc.lm.LikelihoodPaths(
        ("cat", "dog"), np.log([0.5, 0.5]), [[np.arange(2)], [np.arange(1)]], log_likelihood
    )
    assert paths.to_dataframe().to_numpy().tolist()[2:] == [["dog", 0, 1, "cat", -4.0], ["dog", 0, 1, "dog", -3.0]]
    window = sloc.lm.TextWindow("q#0", 2.0, 3.0, 2, 3, "so", 0.8, 0.01, "test")
    assert window.to_dataframe().to_dict("records") == [dataclasses.asdict(window)]
    lost = sloc.lm.Revision(3, "Wait", sloc.lm.Failure("no answer"), ())
    assert list(lost.to_dataframe().columns) == ["cut", "answer", "tokens"]
    assert lost.to_dataframe().empty
