"""The page that says how well recorded answers are read: no table is empty, its prose is what the results say."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable
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


HISTOGRAM = "90 % bands of the share, histogram inside, recorded"
EXPECTED = HISTOGRAM.replace("inside", "inside, expected")
CENTRAL = "central 90 % predicted for 100 further draws, recorded"
EVERY = "{} deepseek, {} draws, all 50 questions: coverage near moves"
TOOL = "{}, 50 draws, every 1. position: mean TV, published tool"
NOISE = "recorded {}: mean TV of a perfect curve, the noise of the reference"
BEST_OF_OWN = "budget, llama: tokens of 10 draws everywhere, own curve, over the least of any design"
BEST_OF_OWN += " in the Gaussian picture"
PICTURE = "budget, deepseek: mean TV of {} draws everywhere, own curve, by the Gaussian picture"
MEASURED = "deepseek, {} draws, every 1. position: mean TV"
BROKEN = "moves, simulated, {} draws, identity broken: 90 % intervals of the size of reported moves, coverage"
SIMULATED = re.compile(r"90 % bands, simulated, .*coverage")
PREDICTED = re.compile(r"90 % bands predicted for 100 further draws, recorded \w+, \d+ draws: coverage")
SIZES = "moves, simulated sentences, 10 draws: 90 % intervals of the size of reported moves, coverage"
COUNTS = re.compile(r"budget, deepseek: tokens of \d+ draws everywhere, counts alone, over sequential")


def histogram(track: str) -> list[float]:
    """Coverages near moves of the histogram by the band of the share."""
    case = f"{HISTOGRAM} {track}"
    return [float(r["value"]) for n, r in ROWS.items() if n.startswith(case) and n.endswith("near moves")]


def extent(values: Iterable[float]) -> tuple[int, int]:
    """Least and largest, to whole numbers."""
    each = list(values)
    return round(min(each)), round(max(each))


def best(track: str) -> list[float]:
    """Times fewer tokens than the published tool's, of the best design in the Gaussian picture."""
    case = "budget, {}: tokens of {} draws everywhere, the published tool, over the least of any design"
    case += " in the Gaussian picture"
    return [value(case.format(track, n)) for n in (10, 20, 50)]


def power(track: str, draws: int, detector: str) -> float:
    """Events found on recordings, per cent; of thresholds the best one's."""
    case = f"moves, recorded {track}, {draws} draws: {detector}"
    (found,) = (r for n, r in ROWS.items() if n.startswith(case) and n.endswith(", power"))
    return float(found["value"])


def behind(track: str, draws: int, other: str) -> int:
    """How many events fewer the posterior finds at 10 % than another at its best threshold."""
    case = f"moves, recorded {track}, {draws} draws: power of the posterior at 10 % less that of {other}"
    row = ROWS[f"{case} at equal false discovery, paired"]
    return -round(row["value"] * row["of"] / 100)


def false(draws: int, questions: str, detector: str = "posterior, 10 %", kind: str = "simulated") -> dict[str, Any]:
    """False discoveries on questions of their own."""
    return ROWS[f"moves, {kind}, {draws} draws, {questions} questions: {detector}, false discoveries"]


OTHERS = ("change points (BIC)", "own curve", "smoothed counts", "plain rule")
LLAMA = "moves, recorded llama, 10 draws: "
MANY = {"simulated": ("9,600", "3,200", "1,600", "800"), "simulated sentences": ("8,000", "2,000", "2,000", "2,000")}
CLAIMS: list[tuple[str, Callable[[], bool]]] = [
    (
        "in all 16 cells, every interval excluding zero",
        lambda: value("cells where sloc is better, interval excluding zero, of 16") == 16,
    ),
    (
        "cover simulated truths more often than that (of sentences near moves, at 10 draws, as often)",
        lambda: (
            [n for n, r in ROWS.items() if SIMULATED.match(n) and r["min"] <= 90]
            == ["90 % bands, simulated, 10 draws, sentences: coverage near moves"]
        ),
    ),
    (
        "bands predicted for further draws of recordings hold them",
        lambda: all(r["min"] > 90 for n, r in ROWS.items() if PREDICTED.fullmatch(n)),
    ),
    (
        "of simulated curves are false less often than the 10 % promised",
        lambda: all(
            false(draws, questions, kind=kind)["max"] < 10
            for kind, each in MANY.items()
            for draws, questions in zip((10, 20, 30, 50), each, strict=True)
        ),
    ),
    (
        "with 3 draws a position at least as many moves as the exact test with 50",
        lambda: (
            near("two stages, simulated, 100 questions: draws a position, both stages", 3, 0)
            and value("two stages, simulated, 100 questions: certified at 5 % a question, power")
            > value("two stages, simulated, 100 questions: exact test, 50 draws everywhere, power")
        ),
    ),
    (
        "of deepseek's reported questions (two have one) the share's own band holds the histogram less often",
        lambda: all(
            ROWS[n]["questions"] == 2 and value(n) < value(n.replace("inside, recorded", "inside, expected, recorded"))
            for n in (f"{HISTOGRAM} deepseek, {d} draws: coverage near moves" for d in (10, 20, 30, 50))
        ),
    ),
    (
        "of all fifty (eight have\none) at 20 draws alone. Of these eight the central 90 % predicted hold 81 to 86 %",
        lambda: (
            [d for d in (10, 20, 30, 50) if value(EVERY.format(HISTOGRAM, d)) < value(EVERY.format(EXPECTED, d))]
            == [20]
            and all(ROWS[EVERY.format(CENTRAL, d)]["questions"] == 8 for d in (10, 20, 30, 50))
            and extent(value(EVERY.format(CENTRAL, d)) for d in (10, 20, 30, 50)) == (81, 86)
        ),
    ),
    (
        "at 10 draws it misses five of nine events that change points have",
        lambda: behind("llama", 10, OTHERS[0]) == 5 and behind("llama", 10, OTHERS[1]) < 0,
    ),
    (
        "at 20 draws four of nine that these and the best cut of its own curve have",
        lambda: behind("llama", 20, OTHERS[0]) == behind("llama", 20, OTHERS[1]) == 4,
    ),
    (
        "On deepseek it finds at least as many of eight as any other",
        lambda: all(behind("deepseek", draws, other) <= 0 for draws in (10, 20, 30, 50) for other in OTHERS),
    ),
    (
        "the posterior's probabilities find all nine, too",
        lambda: all(power("llama", d, "posterior at its best threshold") == 100 for d in (10, 20, 30, 50)),
    ),
    (
        "most of llama's are smaller in truth than they look there",
        lambda: value("moves, recorded llama: events that exceed 0.3 in 100 other draws") < 60,
    ),
    (
        "on simulated curves by token more false ones than the 10 % promised (14 to 18 %)",
        lambda: (
            extent(
                value(f"moves, simulated, {d} draws: posterior of moves above 0.25, 10 %, false discoveries")
                for d in (10, 20, 30, 50)
            )
            == (14, 18)
        ),
    ),
    (
        "without them it is at 10 % for tokens at 10 draws",
        lambda: (r := false(10, "9,600", "posterior without runs, 10 %"))["min"] < 10 < r["max"],
    ),
    (
        "Power with them and without differs by half a point at most",
        lambda: all(
            r["min"] <= 0 <= r["max"] and abs(r["value"]) < 0.5 for n, r in ROWS.items() if n.endswith("runs, paired")
        ),
    ),
    (
        "runs predict them neither better nor worse than steps that forget",
        lambda: all(r["min"] < 0 < r["max"] for n, r in ROWS.items() if "log-evidence of runs" in n),
    ),
    (
        "none of what it reported was false",
        lambda: all(
            not r["value"] for n, r in ROWS.items() if "exact test, 5 %, false" in n and n.startswith("moves, ")
        ),
    ),
    (
        "Of sentences it certifies too few\nbelow 50 draws to say",
        lambda: (
            all("met" not in false(d, "2,000", "exact test, 5 %", "simulated sentences") for d in (20, 30))
            and false(50, "2,000", "exact test, 5 %", "simulated sentences")["met"]
        ),
    ),
    ("at 10 draws four of nine events", lambda: value(LLAMA + "posterior, 10 %, power") == pytest.approx(400 / 9)),
    ("None of the posterior's four was false", lambda: ROWS[LLAMA + "posterior, 10 %, false discoveries"]["of"] == 4),
    (
        "find all nine at a precision of 0.90",
        lambda: (
            value(LLAMA + "posterior at its best threshold of that false discovery, power") == 100
            and near(LLAMA + "posterior at its best threshold of that false discovery, false discoveries", 10, 0)
        ),
    ),
    (
        "at the default is 0.96 and recall 0.93",
        lambda: (
            near("moves, simulated, 10 draws: posterior, 10 %, false discoveries", 4, 0)
            and near("moves, simulated, 10 draws: posterior, 10 %, power", 93, 0)
        ),
    ),
    (
        "76 to 90 % of the time on llama, 82 to 94 % on deepseek",
        lambda: extent(histogram("llama")) == (76, 90) and extent(histogram("deepseek")) == (82, 94),
    ),
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
    (
        "sizes are held 82 % of the\ntime (73 to 90 %): undecided",
        lambda: near(SIZES, 82, 0) and extent((ROWS[SIZES]["min"], ROWS[SIZES]["max"])) == (73, 90),
    ),
    ("reached on llama at every number of draws", lambda: min(saved("llama", "counts alone")) >= 5),
    (
        "about eight at 10\ndraws, five at 20 and three at 50 (its intervals hold five)",
        lambda: (
            [round(v) for v in saved("deepseek", "counts alone")] == [8, 5, 3]
            and all(r["min"] < 5 < r["max"] for n, r in ROWS.items() if COUNTS.match(n))
        ),
    ),
    (
        "about two and a half on llama, one on deepseek",
        lambda: (
            all(2.4 < v < 2.8 for v in saved("llama", "the published tool"))
            and {round(v) for v in saved("deepseek", "the published tool")} == {1}
        ),
    ),
    (
        "gain 14 to 22 %\non llama,",
        lambda: extent(100 * v for v in saved("llama", "own curve")) == (114, 122),
    ),
    (
        "they lose a quarter at 10 and 20 draws; every interval holds neither gain nor loss",
        lambda: (
            all(0.7 < v < 0.8 for v in saved("deepseek", "own curve")[:2])
            and all(r["min"] < 1 < r["max"] for n, r in ROWS.items() if "own curve, over sequential" in n)
        ),
    ),
    (
        "makes a token of a smoothed curve worth 1.3\nat most",
        lambda: all(value(n) < 1.3 for n in ROWS if "own curve, over the least of any design" in n),
    ),
    (
        "three to four times on llama, about twice on deepseek",
        lambda: [round(10 * v) for v in best("llama")] == [32, 31, 37] and all(1.7 < v < 2.4 for v in best("deepseek")),
    ),
    (
        "draws about 0.015 and 0.038 are its own",
        lambda: all(
            abs(np.sqrt(value(TOOL.format(track)) ** 2 - value(NOISE.format(track)) ** 2) - own) < 5e-4
            for track, own in (("llama", 0.015), ("deepseek", 0.038))
        ),
    ),
    (
        "on llama, at 10 draws, sequential draws do nearly as well as it",
        lambda: 0.9 < saved("llama", "own curve")[0] / value(BEST_OF_OWN) < 1,
    ),
    (
        "on deepseek its errors are up to a fifth smaller",
        lambda: 0.75 < min(value(PICTURE.format(d)) / value(MEASURED.format(d)) for d in (10, 20, 50)) < 0.85,
    ),
    (
        "a few thousandths of a draw's variance lie between branches",
        lambda: all(0 < value(n) < 0.5 for n in ROWS if "variance of a draw that lies between branches" in n),
    ),
    (
        "sizes are then covered less often than they say, oftener with more draws",
        lambda: (held := [value(BROKEN.format(d)) for d in (10, 20, 30, 50)]) == sorted(held) and held[-1] < 90,
    ),
]
"""What the page says in words, and what the committed results have to say for it."""


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
