"""The examples outside the package keep the contract, alone and inside ``Empirical``.

Each check fails by chance with probability at most 1e-9: 6e-9 for the file.
"""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from examples.outside.integer_time import ResampledLetters
from examples.outside.pytree_observation import NoisyAndKept
from examples.outside.scan_process import CorrelatedNoise
from sloc.populations import Empirical
from sloc.testing import check_population, check_process

RNG = np.random.default_rng(1)
REAL = RNG.normal(size=(6, 4)).astype(np.float32)
LETTERS = RNG.integers(0, 4, (6, 4)).astype(np.int32)
CASES = {"scan": (CorrelatedNoise(), REAL), "integer": (ResampledLetters(), LETTERS), "pytree": (NoisyAndKept(), REAL)}
OUTSIDE = Path(__file__).parents[2] / "examples" / "outside"


@pytest.mark.parametrize("case", CASES)
def test_process_conforms(case):
    process, data = CASES[case]
    assert check_process(process, data[:2], draws=4096).skipped == []


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_works_with_empirical(case):
    process, data = CASES[case]
    check_population(Empirical(data, np.arange(6) % 2), process, times=process.grid(5), draws=2048)


@pytest.mark.parametrize("path", sorted(OUTSIDE.glob("*.py")), ids=lambda p: p.name)
def test_uses_the_public_interface_only(path):
    tree = ast.parse(path.read_text())
    imported = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    imported += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    assert {name for name in imported if name.split(".")[0] == "sloc"} == {"sloc"}
    (definition,) = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    assert definition.end_lineno is not None
    lines = path.read_text().splitlines()[definition.lineno - 1 : definition.end_lineno]
    assert sum(bool(line.strip()) for line in lines) <= 30
