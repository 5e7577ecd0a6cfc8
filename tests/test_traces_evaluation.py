"""The page that says how well recorded answers are read: no table is empty, its prose is what the results say."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import traces_recorded

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "traces_evaluation.md").read_text("utf-8")
RESULTS = next(iter((DOCS.parent / "benchmarks/results").glob("traces-*.json")))
ROWS = {row["name"]: row for row in json.loads(RESULTS.read_text("utf-8"))["rows"]}


def value(name: str) -> float:
    """Return the number of a row."""
    return float(ROWS[name]["value"])


def near(name: str, wanted: float, digits: int) -> bool:
    """Whether a row is what was written, rounded as written."""
    return abs(value(name) - wanted) <= 0.5 * 10**-digits


def saved(track: str, peer: str) -> list[float]:
    """Times fewer tokens of sequential draws, at 10, 20 and 50 draws."""
    case = "budget, {}: tokens of {} draws everywhere, {}, over sequential ones then"
    return [value(case.format(track, n, peer)) for n in (10, 20, 50)]


def histogram(words: str) -> list[float]:
    """Coverages of the histogram by the band of the share, of rows with these words."""
    kind = "90 % bands of the share, histogram inside, recorded"
    return [float(r["value"]) for n, r in ROWS.items() if n.startswith(kind) and n.endswith(words)]


LLAMA = "moves, recorded llama, 10 draws: "
CLAIMS: list[tuple[str, Callable[[], bool]]] = [
    ("in 13 of 16 cells", lambda: value("cells where sloc is better, interval excluding zero, of 16") == 13),
    ("farther in none", lambda: value("cells where sloc is worse, interval excluding zero, of 16") == 0),
    (
        "with 3 draws a position what the exact test misses with 50",
        lambda: (
            near("two stages, simulated, 100 questions: draws a position, both stages", 3, 0)
            and value("two stages, simulated, 100 questions: certified at 5 % a question, power")
            > value("two stages, simulated, 100 questions: exact test, 50 draws everywhere, power")
        ),
    ),
    ("three of nine events", lambda: value(LLAMA + "posterior, 10 %, power") == pytest.approx(100 / 3)),
    ("None of the posterior's three was false", lambda: ROWS[LLAMA + "posterior, 10 %, false discoveries"]["of"] == 3),
    (
        "find all nine at a precision of 0.90",
        lambda: (
            value(LLAMA + "posterior at its best threshold of that false discovery, power") == 100
            and near(LLAMA + "posterior at its best threshold of that false discovery, false discoveries", 10, 0)
        ),
    ),
    (
        "and recall at the default are both 0.94",
        lambda: (
            near("moves, simulated, 10 draws: posterior, 10 %, false discoveries", 6, 0)
            and near("moves, simulated, 10 draws: posterior, 10 %, power", 94, 0)
        ),
    ),
    (
        "near moves between 74 and 85 %",
        lambda: 73.5 <= min(histogram("near moves")) and max(histogram("near moves")) < 85.5,
    ),
    ("Without runs the rate at 10 draws is above its nominal 10 %", lambda: low_without_runs() > 10),
    (
        "0.0256 on llama and 0.0351 on deepseek",
        lambda: (
            near("recorded llama: mean TV of a perfect curve, the noise of the reference", 0.0256, 4)
            and near("recorded deepseek: mean TV of a perfect curve, the noise of the reference", 0.0351, 4)
        ),
    ),
    (
        "the tool's 0.0296 and 0.0517 at 50",
        lambda: (
            near("llama, 50 draws, every 1. position: mean TV, published tool", 0.0296, 4)
            and near("deepseek, 50 draws, every 1. position: mean TV, published tool", 0.0517, 4)
        ),
    ),
    ("reached on llama at every number of draws", lambda: min(saved("llama", "counts alone")) >= 5),
    ("between two and three on llama", lambda: 2 <= min(v := saved("llama", "the published tool")) and max(v) <= 3),
    ("one on deepseek;", lambda: {round(v) for v in saved("deepseek", "the published tool")} == {1}),
    (
        "gain a tenth to a half\non llama and nothing on deepseek",
        lambda: (
            1.1 <= min(v := saved("llama", "own curve")) and max(v) < 1.6 and max(saved("deepseek", "own curve")) < 1.05
        ),
    ),
]
"""What the page says in words, and what the committed results have to say for it."""


def low_without_runs() -> float:
    """Lower end of the false discoveries without runs at 10 draws."""
    name = "moves, simulated, 10 draws, 9,600 questions: posterior without runs, 10 %, false discoveries"
    return float(ROWS[name]["min"])


@pytest.mark.parametrize(("words", "holds"), CLAIMS, ids=[words[:40] for words, _ in CLAIMS])
def test_words_say_what_the_results_say(words: str, holds: Callable[[], bool]) -> None:
    assert words in PAGE, "the page says otherwise now: say here what it takes"
    assert holds(), f"the results no longer say: {words}"


def test_every_table_has_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is renamed would leave its table empty without a word."""
    import pandas as pd

    monkeypatch.chdir(DOCS)
    names: dict[str, Any] = {}
    shown = 0
    with pd.option_context("display.max_rows", None):
        for cell in re.findall(r"```\{code-cell\}[^\n]*\n:tags:[^\n]*\n(.*?)```", PAGE, re.DOTALL):
            body = ast.parse(cell).body
            last = body.pop() if isinstance(body[-1], ast.Expr) else None
            exec(compile(ast.Module(body, []), "page", "exec"), names)
            if last is not None:
                made = eval(compile(ast.Expression(last.value), "page", "eval"), names)
                assert len(made) > 0, cell
                shown += isinstance(made, pd.DataFrame)
    assert shown >= 15


def test_counts_alone_are_those_of_the_release() -> None:
    if traces_recorded.folder() is None:
        pytest.skip("no recordings: SLOC_TEST_DATA names none")
    written = re.search(r"COUNTS_HERE = \(([^)]*)\)", PAGE)
    assert written is not None
    scores = traces_recorded.peer_scores()
    for said, draws in zip(written[1].split(","), (10, 20, 30, 50), strict=True):
        counted = np.mean([scores["llama", draws, 1, "raw_linear"][row][0] for row in traces_recorded.REPORT])
        assert float(said) == pytest.approx(counted, abs=5e-5)
