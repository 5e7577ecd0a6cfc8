"""What a benchmark says of the machine it ran on, and that it does not leave a peer out unasked."""

from __future__ import annotations

import importlib.util

import pytest

from benchmarks import machine, samplers


def test_only_a_smoke_run_goes_without_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not machine.has_peer("diffrax", smoke=True)
    with pytest.raises(ModuleNotFoundError, match=r"diffrax is not installed.*--smoke"):
        # Before anything is measured.
        next(samplers.run(1, False, ("reverse diffusion",)))
