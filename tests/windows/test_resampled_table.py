"""Tables of recorded answers: three formats read alike, every bad one refused with its own message."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from sloc.contracts import InvalidInput
from sloc.windows import answers_of_counts, read_trace_table, trace_table


def frame(**columns):
    """Return a good little table: one question, two points of two resamples, and its full answer."""
    data = {"question": ["q"] * 5, "fraction": [0.5, 0.1, 0.5, 1.0, 0.1], "answer": ["A", "B", "A", "A", "A"]}
    return pd.DataFrame({**data, **columns}).dropna(axis=1, how="all")


def save(table, folder, kind):
    """Write a table in one of the formats."""
    path = folder / f"answers.{kind}"
    if kind.startswith("csv"):
        table.to_csv(path, index=False)
    elif kind.startswith("jsonl"):
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_formats_and_row_order_do_not_matter(tmp_path, kind):
    table = frame().sample(frac=1.0, random_state=3)
    question = read_trace_table(save(table, tmp_path, kind)).questions[0]
    assert (question.question, question.reference, question.answers, question.full) == ("q", "A", ("A", "B"), 1.0)
    assert question.kept.tolist() == [0.1, 0.5]
    assert question.counts.tolist() == [[1, 1], [2, 0]]
    assert question.frequency.tolist() == [[0.5, 0.5], [1.0, 0.0]]
    assert question.draws.tolist() == [2, 2]
    assert question.equal.all()
    assert question.hoeffding.tolist() == [2.0, 2.0]


def test_answers_are_text_and_numbers_agree_with_themselves(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [(0.1, 1), (0.1, 1.0), (0.1, "1"), (0.1, True), (1.0, 1)]
    path.write_text("\n".join(json.dumps({"question": 7, "fraction": f, "answer": a}) for f, a in rows))
    question = read_trace_table(path).questions[0]
    assert question.question == "7"
    assert question.answers == ("1", "True")
    assert question.counts.tolist() == [[3, 1]]
    path = tmp_path / "a.csv"
    path.write_text("Question, Fraction ,ANSWER\nq,0.1,NA\nq,0.1,None\nq,1,NA\n")
    assert read_trace_table(path).questions[0].answers == ("NA", "None")


def test_the_full_answer_may_be_a_column():
    table = frame(reference=["B", None, None, None, None], fraction=[0.5, 0.1, 0.5, 0.1, 0.1])
    question = trace_table(table).questions[0]
    assert question.reference == "B"
    assert question.counts.tolist() == [[1, 2], [0, 2]]


def test_positions_end_with_the_full_generation():
    rows = [(3, "B"), (3, "A"), (7, "A"), (7, "A"), (12, "A")]
    table = pd.DataFrame(rows, columns=["position", "answer"]).assign(question="q")
    question = trace_table(table).questions[0]
    assert (question.kept.tolist(), question.full, question.reference) == ([3, 7], 12, "A")
    question = trace_table(table.iloc[:4].assign(reference="A")).questions[0]
    assert (question.kept.tolist(), question.full) == ([3, 7], 7)
    question = trace_table(table.assign(reference="A")).questions[0]
    assert (question.kept.tolist(), question.full) == ([3, 7], 12)
    with pytest.raises(InvalidInput, match=r"full generation's answer = 'absent'.*single row"):
        trace_table(table.iloc[:4])


def test_weights_count_and_zero_weights_do_not():
    table = frame(weight=[1, 3, 1, 1, 1])
    question = trace_table(table).questions[0]
    assert np.allclose(question.frequency, [[0.25, 0.75], [1, 0]])
    assert question.equal.tolist() == [False, True]
    assert np.allclose(question.hoeffding, [16 / 10, 2])
    assert np.allclose(question.chernoff, [4 / 3, 2])
    same = trace_table(frame(weight=[1e300, 3e-9, 1e300, 1, 1e-9])).questions[0]
    assert np.allclose(same.frequency, question.frequency)
    extra = pd.concat([frame(weight=1.0), frame(weight=0.0)[:1]])
    table = trace_table(extra)
    assert table.questions[0].draws.tolist() == [2, 2]
    assert table.notes == ("1 rows of weight 0 left out",)


def test_a_draw_repeated_with_the_same_answer_counts_once():
    table = frame(draw=[0, 1, 1, 0, 0])
    found = trace_table(pd.concat([table, table.iloc[:2]]))
    assert found.questions[0].draws.tolist() == [2, 2]
    assert found.notes == ("2 repeated rows of the same draw counted once",)


BAD = {
    "no question": (lambda: frame().drop(columns="question"), "column `question`"),
    "no answer": (lambda: frame().drop(columns="answer"), "column `answer`"),
    "no fraction": (lambda: frame().drop(columns="fraction"), "column `fraction` or a column `position`"),
    "both": (lambda: frame(position=1), "not both"),
    "no rows": (lambda: frame().iloc[:0], "at least one row"),
    "answer None": (lambda: frame(answer=["A", None, "A", "A", "A"]), r"answer, row 2 = (None|nan).*missing \(1 of 5"),
    "answer NaN": (lambda: frame(answer=["A", np.nan, "A", "A", "A"]), "answer, row 2 = nan.*missing"),
    "answer empty": (lambda: frame(answer=["A", " ", "A", "A", "A"]), "answer, row 2 = ' '.*missing"),
    "question empty": (lambda: frame(question=["q", "", "q", "q", "q"]), "question, row 2.*missing"),
    "percent": (lambda: frame(fraction=[50, 10, 50, 100, 10]), r"fraction, row 1 = .*\[0, 1\] \(5 of 5"),
    "negative fraction": (lambda: frame(fraction=[0.5, -0.1, 0.5, 1, 0.1]), r"fraction, row 2.*\[0, 1\]"),
    "fraction text": (lambda: frame(fraction=["half", 0.1, 0.5, 1, 0.1]), "fraction, row 1 = 'half'"),
    "fraction missing": (lambda: frame(fraction=[np.nan, 0.1, 0.5, 1, 0.1]), "fraction, row 1 = nan"),
    "negative position": (lambda: frame(position=[5, -1, 5, 9, 1]).drop(columns="fraction"), "position, row 2"),
    "infinite position": (lambda: frame(position=[5, 1, 5, np.inf, 1]).drop(columns="fraction"), "position, row 4"),
    "negative weight": (lambda: frame(weight=[1, 1, -2, 1, 1]), "weight, row 3 = .*not negative"),
    "missing weight": (lambda: frame(weight=[1, 1, np.nan, 1, 1]), "weight, row 3 = nan"),
    "infinite weight": (lambda: frame(weight=[1, 1, np.inf, 1, 1]), "weight, row 3 = inf"),
    "one resample": (lambda: frame().iloc[:4], r"fraction 0.1: 1 resample: .*at least 2.*\(one allows no"),
    "one of weight": (lambda: frame(weight=[1, 0, 1, 1, 1]), "fraction 0.1: 1 resample"),
    "nothing resampled": (lambda: frame(fraction=1.0, answer="A"), "no resampled answers"),
    "no full": (lambda: frame(fraction=[0.5, 0.1, 0.5, 0.1, 0.1]), "full generation's answer = 'absent'"),
    "two full": (lambda: frame(fraction=[1, 0.1, 1, 1, 0.1], answer=list("ABBAA")), "at fraction 1 = .*contradict"),
    "two references": (lambda: frame(reference=list("AABAA")), r"reference = \['A', 'B'\].*contradict"),
    "reference and full": (lambda: frame(reference="B"), "reference and answer at fraction 1.*contradict"),
    "draw contradicts": (lambda: frame(draw=[0, 3, 1, 0, 3]), "fraction 0.1, draw 3: .*contradict.*'B'.*'A'"),
    "draw missing": (lambda: frame(draw=[0, 1, None, 1, 2]), "draw, row 3"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_refused_with_their_own_message(name):
    make, message = BAD[name]
    with pytest.raises(InvalidInput, match=message):
        trace_table(make())


def test_files_that_are_none_or_of_no_kind_are_refused(tmp_path):
    for name, content, message in (
        ("none.csv", None, "a file that exists"),
        ("empty.csv", "", "not empty"),
        ("empty.jsonl", "", "not empty"),
        ("empty.parquet", "", "not empty"),
        ("blank.csv", "\n\n", "no column"),
        ("blank.jsonl", "\n \n", "at least one line"),
        ("header.csv", "question,fraction,answer\n", "at least one row"),
        ("answers.xlsx", "x", "ends in one of"),
        ("twice.csv", "question,answer,Answer,fraction\nq,A,A,1\n", "names that differ"),
        ("list.jsonl", "[1, 2]\n", r"line 1 = \[1, 2\]: expected a JSON object"),
        ("binary.csv", b"\xff\xfe\x00question\x81", "complete CSV"),
        ("binary.parquet", b"not parquet at all", "complete Parquet"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(InvalidInput, match=message):
            read_trace_table(path)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InvalidInput, match="this is a folder"):
        read_trace_table(tmp_path / "folder.csv")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "csv.gz", "jsonl.gz"])
def test_a_file_cut_in_the_middle_is_refused(tmp_path, kind):
    table = pd.concat([frame(answer=[f'a long "quoted" answer, number {i}'] * 5, question=f"q{i}") for i in range(40)])
    path = save(table, tmp_path, kind)
    whole = path.read_bytes()
    assert len(read_trace_table(path).questions) == 40
    # The cut falls inside a quoted answer, not between rows, where nothing could tell.
    cut = whole.rindex(b"number") if kind in ("csv", "jsonl") else len(whole) // 2
    path.write_bytes(whole[:cut])
    with pytest.raises(InvalidInput, match="cut in the middle"):
        read_trace_table(path)


def test_a_csv_row_that_ends_early_or_late_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    good = "question,fraction,answer\nq,0.5,A\nq,0.5,A\nq,1,A\n"
    path.write_text(good + "q,0.5")
    with pytest.raises(InvalidInput, match=r"answer, row 4.*missing"):
        read_trace_table(path)
    for extra in ("q,0.5,A,surplus\n", "q,0.5,A,surplus,more\n"):
        path.write_text(good + extra)
        with pytest.raises(InvalidInput, match="complete CSV"):
            read_trace_table(path)
    path.write_text("question,fraction,answer\nq,0.5,A,s\nq,0.5,A,s\nq,1,A,s\n")
    with pytest.raises(InvalidInput, match="complete CSV"):
        read_trace_table(path)


def test_an_unreadable_file_is_refused(tmp_path, monkeypatch):
    path = save(frame(), tmp_path, "csv")

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pd, "read_csv", denied)
    with pytest.raises(InvalidInput, match=r"can be read.*Permission denied"):
        read_trace_table(path)


def test_a_plain_gzip_name_on_plain_text_is_refused(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_text("question,fraction,answer\n")
    with pytest.raises(InvalidInput, match=r"can be read|complete"):
        read_trace_table(path)
    with gzip.open(tmp_path / "b.csv.gz", "wt") as f:
        f.write("question,fraction,answer\nq,0.5,A\nq,0.5,A\nq,1,A\n")
    assert read_trace_table(tmp_path / "b.csv.gz").rows == 3


def test_counts_of_agreement_come_back_from_their_table():
    counts = np.asarray([[0, 3, 7], [7, 2, 5]])
    table = trace_table(answers_of_counts(counts, 7, kept=[0.1, 0.4, 0.9], questions=["b", "a"]))
    assert [q.question for q in table.questions] == ["b", "a"]
    for question, own in zip(table.questions, counts, strict=True):
        assert question.reference == "same"
        assert question.kept.tolist() == [0.1, 0.4, 0.9]
        assert question.draws.tolist() == [7, 7, 7]
        assert question.counts[:, question.answers.index("same")].tolist() == own.tolist()
    assert answers_of_counts(counts, 7, kept=[0.1, 0.4, 0.9])["question"].unique().tolist() == ["0", "1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(counts=[[8, 1]]), "whole numbers from 0 to 7"),
        (dict(counts=[[0.5, 1]]), "whole numbers"),
        (dict(counts=[1, 2]), r"shape \[Q, T\]"),
        (dict(draws=0), "draws = 0"),
        (dict(kept=[0.1]), "2 kept fractions"),
        (dict(kept=[0.1, 1.0]), r"fractions in \[0, 1\)"),
        (dict(questions=["a", "b"]), "1 names"),
    ],
)
def test_counts_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InvalidInput, match=message):
        answers_of_counts(**{"counts": [[1, 2]], "draws": 7, "kept": [0.1, 0.2], **change})
