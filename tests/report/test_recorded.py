"""The command and the page of recorded branches: whole or absent, escaped, self-contained."""

from __future__ import annotations

import gzip
import io
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from sloc.cli import app
from sloc.contracts import InvalidInput
from sloc.report.command_run import print_notes
from sloc.report.page_parts import STYLE, page
from sloc.report.recorded_analysis import analyse
from sloc.report.recorded_command import is_recorded, read_recordings, run_recorded
from sloc.report.recorded_report import _alternatives, plot_outcomes, plot_recorded, recorded_page
from sloc.windows.likely_moves import posterior_moves
from sloc.windows.outcome_curves import OutcomeCounts, outcome_curve
from sloc.windows.recorded import Branch, Recording
from sloc.windows.recorded_file import read_store, write_store
from sloc.windows.recorded_tests import recorded_exact_moves
from sloc.windows.rule_errors import rule_rates
from sloc.windows.traces_table import trace_table
from tests.public_outputs import hold_outputs


def store(row, seed=0):
    """A question that is decided at token 10, with markup in every text."""
    rng = np.random.default_rng(seed)
    branches = []
    for t in range(20):
        before = t < 10
        # What the fork allows: .3 of what comes after it, .7 of the other token's "<A>".
        p = [0.715, 0.285] if before else [0.05, 0.95]
        answers = [["<A>", "B&"][a] for a in rng.choice(2, 20, p=p)]
        taken = 0.3 if t == 9 else 0.999
        branches.append(
            {"t": t, "tok_id": t, "tok_p": taken, "is_base": True, "answers": answers, "cont_lens": [5] * 20}
        )
        if t == 9:
            other = {
                "t": t,
                "tok_id": 99,
                "tok_p": 0.7,
                "is_base": False,
                "answers": ["<A>"] * 20,
                "cont_lens": [5] * 20,
            }
            branches.append(other)
    base = {"gen_ids": list(range(20)), "token_texts": ["<script>alert(1)</script>"] * 20}
    return {
        "meta": {"row_id": row, "question": "is <b>this</b> & that?"},
        "idxs": list(range(20)),
        "categories": ["<A>", "B&"],
        "branches": branches,
        "base": base,
    }


@pytest.fixture
def folder(tmp_path):
    """Two questions as a release would hold them."""
    where = tmp_path / "release"
    where.mkdir()
    for row in range(2):
        (where / f"row{row:03d}.json.gz").write_bytes(gzip.compress(json.dumps(store(row, row)).encode()))
    return where


def test_the_folder_holds_everything(folder, tmp_path):
    out = tmp_path / "out"
    record = run_recorded(folder, out)
    names = {p.name for p in out.iterdir()}
    tables = {"moves.csv", "exact.csv", "rule.csv", "questions.csv", "curves.csv"}
    assert names == {*tables, "traces.jsonl.gz", "traces.png", "report.html", "run.json"}
    hold_outputs("traces FOLDER", out)
    assert record["results"]["moves"] == 2
    for found in record["results"]["found"]:
        assert found["start"] < 10 <= found["stop"]
    recordings, _ = read_store(out / "traces.jsonl.gz")
    assert recordings == read_recordings(folder)[0]
    again = run_recorded(out / "traces.jsonl.gz", None)
    assert again["results"]["found"] == record["results"]["found"]


def test_exact_tests_and_the_rule_stand_beside_the_moves(folder, tmp_path):
    """Of two branches at the fork plain draws are mixed; what the tables say is what the functions say of them."""
    out = tmp_path / "out"
    record = run_recorded(folder, out)
    exact, rule, moves = (pd.read_csv(out / f"{n}.csv", dtype={"question": str}) for n in ("exact", "rule", "moves"))
    assert record["results"]["certified"] == {"bh": 2, "holm": 2}
    assert record["results"]["rule_fires"] == 2
    recordings, _ = read_recordings(folder)
    for across in ("holm", "bh"):
        wanted = recorded_exact_moves(recordings, tau=0.3, alpha=0.1, across=across)
        own = exact.query("across == @across")
        assert np.allclose(own["adjusted"], [m.adjusted for m in wanted.moves])
        assert (own["start"] < 10).all()
        assert (own["stop"] >= 10).all()
    assert moves.loc[moves["found"], ["certified_holm", "certified_bh", "rule_fires"]].to_numpy().all()
    rates = rule_rates(20, rise=0.5, null=0.25, event=0.6)
    assert np.allclose(rule["misses"], rates.misses)
    assert np.allclose(rule["fires_flat"], rates.fires_flat)
    assert rule["answer"].tolist() == ["B&", "B&"]
    page = (out / "report.html").read_text("utf-8")
    assert "2 by Benjamini-Hochberg, 2 by Holm" in page


def rare(question, axis="position"):
    """Of 150 draws at each of twelve positions one or two of the full generation's answer, which no merging leaves."""
    rng, branches = np.random.default_rng(7), []
    for t in range(12):
        answers = rng.permutation(np.r_[np.zeros(148 if t < 6 else 2), np.ones(1 if t < 6 else 147), [2.0]])
        branches.append(Branch(t / 12 if axis == "fraction" else float(t), "", 1.0, False, answers.astype(int)))
    return Recording(question, ("A", "B", "C"), tuple(branches), axis=axis, reference="C")


def test_tests_see_the_answers_that_merging_takes_away():
    """Curves and the posterior have rare answers merged; exact tests and the rule ask of what was recorded."""
    recording = rare("q")
    assert recording.merged().categories == ("A", "B", "Other")
    found = analyse([recording])
    assert found.curves[0].categories == ("A", "B", "Other")
    wanted = recorded_exact_moves([recording], tau=0.3, alpha=0.1)
    own = found.beside.exact.query("across == 'bh'")
    assert own["p_value"].tolist() == [m.p_value for m in wanted.moves]
    assert "B" in wanted.found[0].rising
    assert "A" not in wanted.found[0].rising
    assert wanted.moves[0].categories == ("A", "B", "C")
    assert found.beside.rule["answer"].tolist() == ["C"]


def test_a_store_of_two_axes_is_refused(tmp_path):
    """Four tokens are no distance between fractions: nothing would have been asked of those."""
    file = write_store(tmp_path / "both.jsonl", [rare("tokens"), rare("parts", "fraction")])
    ran = CliRunner().invoke(app, ["traces", str(file), "--out", str(tmp_path / "out")])
    assert ran.exit_code == 2
    said = " ".join(re.sub(r"[^\w'.,()=:;-]+", " ", ran.output).split())
    assert "axis = 'position' (question 'tokens') and 'fraction' (question 'parts'): expected one axis for all" in said
    assert not (tmp_path / "out").exists()
    for recording, gap in ((rare("tokens"), 4.0), (rare("parts", "fraction"), 1 / 12)):
        assert analyse([recording]).gap == pytest.approx(gap)


def test_where_nothing_moves_nothing_is_certified(tmp_path):
    """The fork without its other token and with one law throughout: no exact move, and the rule is silent."""
    flat = store(0)
    rng = np.random.default_rng(5)
    for branch in flat["branches"]:
        branch["answers"] = ["<A>" if x < 0.5 else "B&" for x in rng.random(20)]
    file = tmp_path / "row000.json"
    file.write_text(json.dumps(flat))
    results = run_recorded(file, None)["results"]
    assert (results["certified"], results["rule_fires"]) == ({"bh": 0, "holm": 0}, 0)


def test_what_the_draws_leave_open_is_said(folder, tmp_path):
    """Weights of the priors, kept mass, settled pairs and undecided questions, in the tables and on the page."""
    poor = store(2)
    poor["branches"] = [b | {"answers": b["answers"][:1], "cont_lens": [5]} for b in poor["branches"][:1]]
    poor["branches"][0]["tok_p"] = 0.4
    (folder / "row002.json").write_text(json.dumps(poor))
    out = tmp_path / "out"
    results = run_recorded(folder, out)["results"]
    questions = pd.read_csv(out / "questions.csv").set_index("question")
    assert questions["moves_status"].tolist() == ["resolved", "resolved", "undecided"]
    assert questions["curve_status"].tolist() == ["resolved", "resolved", "undecided"]
    assert results["questions_undecided"] == 1
    assert np.allclose(questions.filter(like="prior_weight_").sum(axis=1), 1)
    assert questions.loc[2, "kept_mass_least"] == 0.4
    curves = pd.read_csv(out / "curves.csv")
    own = curves.query("question == 2")
    assert own.query("position == 0")["kept_mass"].eq(0.4).all()
    assert own.query("position > 0")["kept_mass"].isna().all()
    # Only pairs over the fork can move: one where either position is 9 or before and the other is after it.
    assert questions.loc[0, ["pairs", "pairs_settled"]].tolist() == [16, 12]
    page = (out / "report.html").read_text("utf-8")
    assert "24 of 32 pairs of positions cannot move by more than 0.3, whatever the draws" in page
    assert "Bands called 90 % are the central 96 % of the posterior" in page
    assert "Smoothing: curves are averages over 3 priors" in page
    assert "weights of the priors" in page
    assert "1 of 3 questions are undecided" in page
    assert "kept mass 0.400 at least" in page
    short = recorded_page(*page_parts(folder), limit=1)
    assert short.count("<section>") == 1
    assert "2 more are in" in short


def page_parts(folder):
    """Curves and moves of a folder."""
    found = analyse(read_recordings(folder)[0])
    return found.curves, found.moves


def test_notes_that_are_not_printed_are_counted():
    out = Console(file=io.StringIO(), width=100)
    print_notes([f"n{i}" for i in range(25)], out)
    assert out.file.getvalue().splitlines()[19:] == ["note: n19", "... and 5 more notes (--json has all)"]


def test_a_run_of_branches_is_repeated_from_its_record(folder, tmp_path):
    first, again = tmp_path / "out", tmp_path / "again"
    arguments = ["--gap", "3", "--level", "0.8", "--rise", "0.35"]
    ran = CliRunner().invoke(app, ["traces", str(folder), *arguments, "--out", str(first)])
    assert ran.exit_code == 0, ran.output
    record = json.loads((first / "run.json").read_text())
    saved = record["arguments"]
    assert {k: saved[k] for k in ("gap", "level", "size", "alpha")} == {
        "gap": 3.0,
        "level": 0.8,
        "size": 0.35,
        "alpha": 0.1,
    }
    assert CliRunner().invoke(app, ["traces", "--from", str(first), "--out", str(again)]).exit_code == 0
    for file in first.iterdir():
        if file.suffix not in (".png", ".json"):
            assert (again / file.name).read_bytes() == file.read_bytes(), file.name
    assert json.loads((again / "run.json").read_text()) | {"seconds": record["seconds"]} == record
    refused = CliRunner().invoke(app, ["traces", "--from", str(first), "--gap", "2"])
    assert "no other options beside it" in refused.output
    wrong = CliRunner().invoke(app, ["traces", "--from", str(folder / "row000.json.gz")])
    assert wrong.exit_code == 2
    assert "--from = " in wrong.output


def test_the_page_is_escaped_and_whole(folder, tmp_path):
    run_recorded(folder, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "is &lt;b&gt;this&lt;/b&gt; &amp; that?" in page
    assert page.count("<svg") == 2
    # Nothing is fetched: what looks like an address names a vocabulary.
    assert not re.search(r'(?:src|href)="(?!#)', page)


@pytest.mark.parametrize("said", ["\a", "\0", "\x1b[0m"])
def test_a_page_of_traces_is_a_page_like_the_others_and_holds_what_html_can(folder, said):
    recordings, _ = read_recordings(folder)
    spoilt = []
    for r in recordings:
        meta = {**r.meta, "meta": {"question": f"asked {said}"}, "base": {"token_texts": [f"token {said}"] * 20}}
        spoilt.append(
            replace(r, question=f"name {said}{r.question}", categories=(f"left {said}", f"right {said}"), meta=meta)
        )
    found = analyse(spoilt)
    assert found.moves.found
    own = {r.question: r for r in spoilt}
    text = recorded_page(found.curves, found.moves, own, [f"note {said}"], f"title {said}")
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text.encode().decode())
    for word in ("title", "note", "asked", "token", "name", "left", "right"):
        assert re.search(rf"{word} \ufffd", text), word
    # The head of the pages of language models: nothing is fetched, no script runs, one look.
    begin, _, _ = page("", []).partition("<title>")
    assert text.startswith(begin)
    assert "default-src 'none'" in begin
    assert STYLE in text


def cells(page):
    """The rows of a page's tables as texts."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)
    return [[re.sub(r"<[^>]*>", "", c) for c in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)] for row in rows]


def test_alternatives_of_a_move_are_those_that_were_recorded(folder, tmp_path):
    """Each kept token at the move with its probability and what its continuations answered, and no position besides."""
    run_recorded(folder, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    table = [row for row in cells(page) if len(row) == 4]
    head = ["position", "next token", "probability", "answers"]
    wanted = []
    for row in range(2):
        taken = store(row, row)["branches"][9]
        assert taken["is_base"]
        share = taken["answers"].count("<A>") / 20
        said = ", ".join(f"{name} {s:.2f}" for name, s in (("&lt;A&gt;", share), ("B&amp;", 1 - share)) if s >= 0.005)
        wanted += [head, ["9", "9 (taken)", "0.300", said], ["9", "99", "0.700", "&lt;A&gt; 1.00"]]
    assert table == wanted


def test_a_move_between_single_tokens_has_no_alternatives(folder):
    """Without the other token nothing could have been taken instead."""
    (one, *_), _ = read_recordings(folder)
    alone = replace(one, branches=tuple(b for b in one.branches if b.taken)).merged()
    moves = posterior_moves([one.merged()])
    (move,) = moves.found
    assert "next token" in _alternatives(move, one)
    assert "next token" not in _alternatives(move, alone)


def test_the_picture_has_a_panel_a_question_those_with_moves_first(folder, tmp_path):
    recordings, _ = read_recordings(folder)
    flat = OutcomeCounts("no $move$", ("A", "B"), np.arange(20.0), np.full((20, 2), 9.0), np.full(19, 0.01))
    curves = [outcome_curve(flat), *(outcome_curve(r) for r in recordings)]
    moves = posterior_moves([flat, *recordings])
    figure = plot_recorded(curves, moves, tmp_path / "all.pdf")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["0: 1 move", "1: 1 move", r"no \$move\$: 0 moves"]
    # A shaded range for each move, besides a band for each answer.
    assert [len(ax.patches) for ax in figure.axes] == [1, 1, 0]
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["all.pdf"]
    some = plot_recorded(curves, moves, limit=1)
    assert len(some.axes) == 1
    assert some.get_supxlabel() == "2 more questions not drawn"
    with pytest.raises(InvalidInput, match="limit = 0"):
        plot_recorded(curves, moves, limit=0)


def test_every_shown_answer_is_named_and_answers_beyond_the_palette_are_counted():
    """Labels that begin with "_" are answers like others; of nine answers seven are drawn."""
    names = ("_none", "B", *(f"_{i}" for i in range(7)))
    for number, left in ((2, ""), (7, ""), (9, "and 2 more not drawn")):
        counts = OutcomeCounts("q", names[:number], np.arange(3.0), np.full((3, number), 20.0), np.full(2, 0.01))
        ax = plot_outcomes(outcome_curve(counts))
        told = ax.get_legend()
        assert [text.get_text() for text in told.get_texts()] == list(names[: min(number, 7)])
        assert told.get_title().get_text() == left


def test_the_command_takes_recorded_branches(folder, tmp_path):
    assert is_recorded(folder)
    assert not is_recorded(tmp_path / "absent.csv")
    result = CliRunner().invoke(app, ["traces", str(folder), "--rise", "0.4", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["arguments"]["size"] == 0.4
    refused = CliRunner().invoke(app, ["traces", str(folder), "--across", "bh"])
    assert refused.exit_code != 0
    assert "--across = bh: expected no such option with recorded branches" in refused.output
    beyond = CliRunner().invoke(app, ["traces", str(folder), "--rise", "1.5"])
    assert "--rise = 1.5: expected a size" in beyond.output


def test_a_bad_file_leaves_nothing(folder, tmp_path):
    (folder / "row002.json.gz").write_bytes(b"\x1f\x8bnot")
    with pytest.raises(InvalidInput, match="cut in the middle"):
        run_recorded(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def branch_table(axis="position", per_branch=True, questions=1):
    """A share that rises by 0.9 if branches count by their weights, and by nothing if they are pooled evenly."""
    rows = []
    for q in range(questions):
        for t in range(20):
            hits = {"x": 0 if t < 10 else 20, "y": 20 if t < 10 else 0}
            for name, weight in (("x", 0.95), ("y", 0.05)):
                kept = 3 * t if axis == "position" else t / 20
                first = 0 if per_branch or name == "x" else 20
                answers = ["A"] * hits[name] + ["B"] * (20 - hits[name])
                rows += [(f"q{q}", kept, name, weight, name == "x", first + i, a) for i, a in enumerate(answers)]
    columns = ["question", axis, "branch", "branch_weight", "taken", "draw", "answer"]
    return pd.DataFrame(rows, columns=columns).assign(reference="A")


@pytest.mark.parametrize("axis", ["position", "fraction"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.parquet"])
def test_the_command_counts_a_table_of_branches_by_their_weights(tmp_path, name, axis):
    """Draws numbered within each branch, as the format has them; over all branches; and not numbered."""
    file = tmp_path / name
    shapes = (branch_table(axis), branch_table(axis, False), branch_table(axis).drop(columns="draw"))
    for frame in shapes if name == "a.csv" else shapes[:1]:
        if ".csv" in name:
            frame.to_csv(file, index=False)
        elif name.endswith(".parquet"):
            frame.to_parquet(file)
        else:
            frame.to_json(file, orient="records", lines=True)
        result = CliRunner().invoke(app, ["traces", str(file), "--json"])
        assert result.exit_code == 0, result.output
        said = json.loads(result.output)["results"]
        # Of fractions, pairs are neighbours: a distance of tokens would leave none to be certified.
        assert min(said["certified"].values()) >= 1
        if axis == "position":
            best, *_ = said["found"]
            assert abs(0.5 * (best["start"] + best["stop"]) / 3 - 9.5) < 2
            assert best["rising"] == "A"


def test_a_table_of_branches_without_their_weights_is_refused(tmp_path):
    file = tmp_path / "a.csv"
    branch_table().drop(columns="branch_weight").to_csv(file, index=False)
    refused = CliRunner().invoke(app, ["traces", str(file)])
    assert refused.exit_code != 0
    assert "branch_weight" in refused.output
    branch_table().to_csv(file, index=False)
    refused = CliRunner().invoke(app, ["traces", str(file), "--across", "bh"])
    assert refused.exit_code != 0
    assert "--across" in refused.output
    with pytest.raises(InvalidInput, match=r"no `branch_weight` without `weight`"):
        trace_table(branch_table().drop(columns="draw"))
    assert not is_recorded(tmp_path / "absent.jsonl.gz")


def test_a_question_of_one_answer_of_several_is_a_status(tmp_path):
    """Five categories of which one was ever seen: merging rare ones leaves two, and none of the tables says silent."""
    said = {**store(0), "categories": ["<A>", "B&", "C", "D", "E"]}
    for branch in said["branches"]:
        branch["answers"] = ["<A>"] * 20
    file = tmp_path / "row000.json"
    file.write_text(json.dumps(said))
    run_recorded(file, tmp_path / "out")
    assert pd.read_csv(tmp_path / "out" / "rule.csv")["status"].tolist() == ["one answer"]
    (recording,), _ = read_recordings(file)
    for given in (recording, recording.merged()):
        assert outcome_curve(given).status == "one answer"
        assert posterior_moves([given]).statuses == {"0": "one answer"}
        exact = recorded_exact_moves([given])
        assert exact.statuses == {"0": "one answer"}
        assert not exact.moves


def test_many_notes_are_folded_away(folder):
    """Moves stand in the order of the questions, and fifty notes do not push curves out of sight; they are escaped."""
    recordings, _ = read_recordings(folder)
    found = analyse([replace(r, question=q) for r, q in zip(recordings, ("10", "9"), strict=True)])
    few, many = ([f"note <{i}>" for i in range(n)] for n in (9, 12))
    page = recorded_page(found.curves, found.moves, notes=many)
    assert page.index("note &lt;7&gt;") < page.index("<details><summary") < page.index("note &lt;8&gt;")
    assert "4 more notes" in page
    assert "note &lt;11&gt;" in page
    assert "<details" not in recorded_page(found.curves, found.moves, notes=few)
    table = page[: page.index("</table>")]
    assert table.index(">10<") < table.index(">9<")
