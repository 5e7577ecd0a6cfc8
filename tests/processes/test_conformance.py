"""Every built-in process passes the public conformance suite.

Each call fails by chance with probability at most 1e-9: 1e-8 for the file.
"""

from __future__ import annotations

import numpy as np
import pytest

from sloc import processes
from sloc.testing import check_process

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(2, 4)).astype(np.float32)
BITS = np.asarray([[0, 1, 1, 0, 1], [1, 1, 0, 0, 1]], np.int32)
LETTERS = np.asarray([[[0, 1], [3, 2]], [[2, 1], [3, 0]]], np.int32)

CASES = {
    "OrnsteinUhlenbeck": (processes.OrnsteinUhlenbeck(), REAL),
    "VarianceExploding": (processes.VarianceExploding(), REAL.reshape(2, 2, 2)),
    "FlowMatching": (processes.FlowMatching(), REAL),
    "Masking, letters": (processes.Masking(), LETTERS),
    "Masking, continuous": (processes.Masking(), REAL),
    "OrderedMasking": (processes.OrderedMasking([2, 0, 3, 1]), LETTERS),
    "Truncation": (processes.Truncation(5), BITS),
    "BinarySymmetric": (processes.BinarySymmetric(), BITS),
}


@pytest.mark.parametrize("case", CASES)
def test_conforms(case):
    process, xs = CASES[case]
    report = check_process(process, xs, draws=4096)
    assert report.skipped == []
    assert any(line.startswith("family") for line in report.checked)


def test_every_process_is_here():
    exported = {name for name in processes.__all__ if isinstance(getattr(processes, name), type)}
    families = {
        "GaussianChannel",
        "LinearGaussianChannel",
        "MemorylessChannel",
        "ObservationProcess",
        "Revealed",
        "RevealingChannel",
    }
    assert {type(process).__name__ for process, _ in CASES.values()} == exported - families
