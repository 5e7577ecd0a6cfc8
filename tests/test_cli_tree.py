"""``sloc tree``: what it writes is the tree of :func:`sloc.mixture_tree`, and can be repeated exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import pandas as pd
import pytest
from typer.testing import CliRunner

import sloc
from sloc.cli import app
from sloc.populations import GaussianMixture
from sloc.processes import OrnsteinUhlenbeck
from tests.public_outputs import hold_outputs

MEANS = "9,1;9,-1;-9,1.5;-9,-1.5"
FOUR = ["tree", "gaussians", "--means", MEANS, "--n", "2048", "--times", "16", "--seed", "3"]


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = tmp_path_factory.mktemp("runs") / "first"
    result = run(*FOUR, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    return out, result


def test_the_folder_holds_the_tree_of_the_library(first: tuple[Path, Any]) -> None:
    out, result = first
    assert sorted(p.name for p in out.iterdir()) == ["run.json", "tree.csv", "tree.nwk", "tree.png"]
    assert (out / "tree.png").read_bytes().startswith(b"\x89PNG")
    means = [[float(v) for v in row.split(",")] for row in MEANS.split(";")]
    ou = OrnsteinUhlenbeck()
    tree = sloc.mixture_tree(
        jax.random.fold_in(jax.random.key(3), 0),
        ou,
        GaussianMixture([0.25] * 4, means, names=("0", "1", "2", "3")),
        epsilon=0.1,
        times=ou.grid(16),
        n=2048,
    )
    assert (out / "tree.nwk").read_text() == tree.to_newick(root="ou") + "\n"
    frame = pd.read_csv(out / "tree.csv")
    assert len(frame) == len(tree.nodes)
    record = json.loads(result.stdout)
    assert record["command"] == "tree"
    found = record["results"]["processes"]["ou"]["conditions"]
    assert {k: c["verdict"] for k, c in found.items()} == {k: c.verdict for k, c in tree.conditions.items()}
    hold_outputs("tree", out)


def test_run_json_repeats_the_run_exactly(first: tuple[Path, Any], tmp_path: Path) -> None:
    out, again = first[0], tmp_path / "again"
    result = run("tree", "--from", out / "run.json", "--out", again)
    assert result.exit_code == 0, result.output
    for name in ("tree.csv", "tree.nwk"):
        assert (again / name).read_bytes() == (out / name).read_bytes()
    # A person reads the merges, lowest first, and the three conditions.
    assert "{0, 1}" in result.stdout
    assert "nested: holds" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tree"], "SOURCE"),
        (["tree", "gaussians"], "--means = nothing: "),
        ([*FOUR, "--process", "brownian"], "--process"),
        ([*FOUR, "--epsilon", "1.5"], "--epsilon"),
        ([*FOUR, "--classes", "0"], "--classes"),
        (["tree", "--from", "nowhere", "--n", "5"], "no other options"),
        (["tree", "--from", "{window}"], "the run.json of a tree run"),
        (["window", "--from", "{tree}"], "the run.json of a window run"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    first: tuple[Path, Any], tmp_path: Path, arguments: list[str], words: str
) -> None:
    record = json.loads((first[0] / "run.json").read_text())
    other = tmp_path / "run.json"
    other.write_text(json.dumps(record | {"command": "window"}))
    filled = [a.replace("{window}", str(other)).replace("{tree}", str(first[0])) for a in arguments]
    result = run(*filled, "--out", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_another_run_is_kept_unless_overwritten(first: tuple[Path, Any]) -> None:
    result = run(*FOUR, "--out", first[0])
    assert result.exit_code == 2
    assert "already holds one" in result.stderr
