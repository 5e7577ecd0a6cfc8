"""Peers give the numbers that they are timed for."""

from __future__ import annotations

import numpy as np
import pytest

import sloc
from benchmarks.peers.answers import Digits
from benchmarks.peers.numpy_sums import NODES, centred, class_logs, class_logs_by_nodes, drawn, low_rates


@pytest.mark.parametrize("times", [64, 8])
def test_low_rates_from_ten_nodes_are_those_of_every_exponential(times: int) -> None:
    rng = np.random.default_rng(0)
    counts = (90, 110, 70)
    data = rng.standard_normal((sum(counts), 64)) * 0.4 + np.repeat(rng.standard_normal((3, 64)) * 0.3, counts, axis=0)
    digits = Digits(data.astype(np.float32), counts, sloc.processes.OrnsteinUhlenbeck().grid(times))
    given = centred(digits)
    chosen, (index, z) = low_rates(digits, given), drawn(digits, rng, 20)
    # At 8 times there are fewer low rates than nodes, and nothing is interpolated.
    assert [bool(c.nodes.size) for c in chosen] == [times == 64] * 3
    assert all(c.low.sum() > NODES + 2 or not c.low.any() for c in chosen)
    double = (given[0].astype(np.float64), given[1].astype(np.float64), given[2].astype(np.float64))
    exact = class_logs(digits, double, index, z.astype(np.float64))
    plain, nodes = class_logs(digits, given, index, z), class_logs_by_nodes(digits, given, chosen, index, z)
    # As near as float32 comes with every exponential.
    allowed = 2 * np.abs(plain - exact).max() + 2e-6
    assert np.abs(nodes - exact).max() <= allowed
    if times == 64:
        assert np.abs(nodes - plain)[chosen[0].low, 0].max() > 0
