"""What a benchmark says of the machine it ran on, and that it does not leave a peer out unasked."""

from __future__ import annotations

import importlib.util
import re
import subprocess

import pytest

from benchmarks import atoms, machine, samplers


def test_only_a_smoke_run_goes_without_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not machine.has_peer("diffrax", smoke=True)
    # Before anything is measured.
    with pytest.raises(ModuleNotFoundError, match=r"diffrax is not installed.*--smoke"):
        next(samplers.run(1, False, ("reverse diffusion",)))
    with pytest.raises(ModuleNotFoundError, match=r"torch is not installed.*--smoke"):
        next(atoms.run(1, False, ("peers",)))


def test_the_commit_is_named_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    own = machine.commit()
    assert own is None or re.fullmatch(r"[0-9a-f]{40,64}\+?", own)

    def no_git(*arguments: object, **options: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)
    assert machine.commit() is None
    assert list(machine.code()) == ["versions"]
