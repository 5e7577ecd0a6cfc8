"""Templates say where choices become known, and the authors' own counts and curve follow from that."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest

from sloc.contracts import InvalidInput
from sloc.lm.answers import RegexTask, Template, TemplateTask, same_choices_curve
from sloc.lm.experiments.cuts import Cuts
from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
from sloc.lm.experiments.questions import Question
from sloc.lm.experiments.structured import template_jumps
from tests.lm.scripted import Coin

TEMPLATE = Template.read("1. The {cat|cow|dog} is {red|blue}. 2. It {ran|hid}.")


def test_points_are_where_a_choice_differs() -> None:
    text = "1. The cow is blue. 2. It hid. And more."
    assert TEMPLATE.choices(text) == ("cow", "blue", "hid")
    points = TEMPLATE.points(text)
    assert points is not None
    assert [(text[: p.before], text[p.before : p.after]) for p in points] == [
        ("1. The ", "co"),
        ("1. The cow is ", "b"),
        ("1. The cow is blue. 2. It ", "h"),
    ]
    # By tokens: the cut before the token that holds the place, and the one after it.
    pieces = ["1.", " The", " c", "ow is", " blue.", " 2. It hid", "."]
    tokens = TEMPLATE.token_points(pieces)
    assert tokens is not None
    assert [(p.before, p.after) for p in tokens] == [(2, 4), (4, 5), (5, 6)]
    assert [(p.before, p.after) for p in TEMPLATE.token_points(pieces[1:], "1.") or ()] == [(1, 3), (3, 4), (4, 5)]
    assert TEMPLATE.choices("1. The fox") is None
    assert TEMPLATE.points("none") is None


def test_fill_and_read_are_inverse() -> None:
    for choices in itertools.product(*TEMPLATE.blanks):
        assert TEMPLATE.choices(TEMPLATE.fill(choices)) == choices


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none", "at least one blank"),
        ("a {b}", "template, blank 1 = .*at least two alternatives"),
        ("a {b|}", "at least two alternatives"),
        ("a {b|bc}", "alternatives of which none begins another"),
        ("a {b|b}", "alternatives of which none begins another"),
    ],
)
def test_templates_that_are_none(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Template.read(text)


def test_the_predicted_curve_is_bayes() -> None:
    law = {("a", "x"): 0.4, ("a", "y"): 0.2, ("b", "x"): 0.3, ("b", "y"): 0.1}
    template = Template.read("{a|b}-{x|y}")
    points = template.points("b-x")
    assert points is not None
    assert same_choices_curve(law, ("b", "x"), points, [0, 1, 2, 3]).tolist() == pytest.approx([0.3, 0.75, 0.75, 1.0])
    with pytest.raises(InvalidInput, match="choices of positive probability"):
        same_choices_curve(law, ("c", "x"), points, [0])


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_authors_counts_and_curve(test_data: Path) -> None:
    """Their curve of one text jumps at the five predicted places, by the ratios of their own counts of tuples.

    The text itself is not published, only its length and where its blanks stand; a template with blanks at those
    places has the same layout.  Their curve counts equal texts, which say more than equal choices: it has one small
    step more, and only the ratios over single blanks are compared.
    """
    folder = test_data / "data" / "blink_of_an_eye"
    places = [int(r["word_char_pos"]) for r in rows(folder / "structured_Tpoints_NDBKP.csv")]
    length = int(rows(folder / "structured_Tpoints_NDBKP.csv")[0]["string_len"])
    options = ("NP", "CD", "RB", "KD", "SP")
    fixed = [b - a - 1 for a, b in itertools.pairwise([-1, *places, length])]
    template = Template(tuple("_" * n for n in fixed), tuple(tuple(o) for o in options))
    law = {
        tuple(r[f"b{i}"] for i in range(1, 6)): float(r["count"]) for r in rows(folder / "structured_tuple_counts.csv")
    }
    assert len(law) == 28
    choices = ("N", "D", "B", "K", "P")
    text = template.fill(choices)
    assert len(text) == length
    points = template.points(text)
    assert points is not None
    told = rows(folder / "structured_Tpoints_NDBKP.csv")
    for point, row in zip(points, told, strict=True):
        # Their T points, on their grid of hundredths of the characters.
        assert np.floor(100 * point.before / length) / 100 == float(row["T_before_kept_frac(README Tlower)"])
        assert np.ceil(100 * point.after / length) / 100 == pytest.approx(float(row[told_after(row)]), abs=0.0101)
    curve = rows(folder / "structured_curve_NDBKP.csv")
    kept = np.asarray([float(r["frac_chars_kept"]) for r in curve])
    same = np.asarray([float(r["p_same_string"]) for r in curve])
    steps = np.flatnonzero(np.diff(same) > 0.02 * same[:-1])
    jumps = [(kept[i] * length, kept[i + 1] * length) for i in steps]
    inside = [any(a < p.after and b > p.before - 2 for a, b in jumps) for p in points]
    assert all(inside), "each choice is a jump of their curve"
    strays = [j for j in jumps if not any(j[0] < p.after + 1 and j[1] > p.before - 1 for p in points)]
    assert len(strays) == 1, "the one step where the text differs and the choices do not"
    predicted = same_choices_curve(law, choices, points, [p.after for p in points])
    # From the second blank on their texts differ in the choices alone, up to a few per cent of other wordings.
    at = [same[np.searchsorted(kept * length, p.after)] for p in points]
    assert at[-1] == predicted[-1] == 1.0
    assert np.allclose(np.asarray(at[1:]), predicted[1:], atol=0.1)


def told_after(row: dict[str, str]) -> str:
    return next(k for k in row if k.startswith("T_after"))


class Chain(Coin):
    """Fills the template, each blank with its last choice with probability a half, token by token."""

    name = "chain"

    def _text(self, draw):
        own = [o[-1] if draw.random() < 0.5 else o[0] for o in TEMPLATE.blanks]
        return ["1. ", "The ", own[0], " is ", own[1], ". 2. ", "It ", own[2], "."]


def test_measured_jumps_are_where_they_are_predicted() -> None:
    experiment = run_experiment(
        Chain(), [Question("q", "?")], TemplateTask(TEMPLATE), ExperimentSettings(Cuts("token"), 200, generations=3)
    )
    jumps = template_jumps(experiment)
    assert len(jumps) == 3
    law = dict.fromkeys(itertools.product(*[(o[0], o[-1]) for o in TEMPLATE.blanks]), 0.125)
    for jump in jumps:
        assert jump.coincide, "the exact tests hold at 0.05 over all steps of each text; seeds are fixed"
        assert len(jump.certified) >= 2
        exact = same_choices_curve(law, jump.choices, jump.points, [p.before for p in jump.points])
        # Nine shares of 200 draws: Hoeffding gives 2 exp(-400 0.25^2) = 3e-11 for each.
        assert np.abs(jump.before - exact).max() < 0.25
        assert jump.after[-1] == 1.0
        assert jump.to_dataframe()["jump"].min() > 0.03
    # From the start: the law of the whole text.
    chosen = [tuple(answer.split(",")) for g in experiment.graded for answer in g.answers[None][0]]
    assert len(chosen) == 600
    assert set(chosen) == set(law)


def test_only_templates_cut_by_tokens_are_compared() -> None:
    settings = ExperimentSettings(Cuts("token"), 2)
    other = run_experiment(Coin(), [Question("q", "?")], RegexTask("right"), settings)
    with pytest.raises(InvalidInput, match="an experiment of a TemplateTask"):
        template_jumps(other)
    fractions = run_experiment(
        Chain(), [Question("q", "?")], TemplateTask(TEMPLATE), ExperimentSettings(Cuts("fraction"), 2)
    )
    with pytest.raises(InvalidInput, match="cuts by token or sentence"):
        template_jumps(fractions)


def test_texts_that_begin_with_blanks() -> None:
    class Blank(Chain):
        def _text(self, draw):
            return ["\n", *super()._text(draw)]

    experiment = run_experiment(
        Blank(), [Question("q", "?", prefill="\n")], TemplateTask(TEMPLATE), ExperimentSettings(Cuts("token"), 50)
    )
    (jump,) = template_jumps(experiment)
    assert [p.before for p in jump.points] == [3, 5, 8]
