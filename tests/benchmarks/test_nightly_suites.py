"""By night every suite runs, against the committed result of this very device where there is one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import machine, nightly_suites
from benchmarks.runner import file_name


def committed(folder: Path, suite: str, device: str, **more: Any) -> None:
    row = {"name": "a over b", "value": 2.0, "unit": "", "min": 2.0, "max": 2.0, "rounds": 5, **more}
    result = {
        "suite": suite,
        "device": device,
        "versions": {"jax": "0.10"},
        "date": "2026-01-31",
        "smoke": False,
        "rows": [row],
    }
    (folder / file_name(suite, smoke=False)).write_text(json.dumps(result))


def test_a_suite_is_held_against_this_device_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = machine.device_name()
    committed(tmp_path, "windows", here, better="higher")
    committed(tmp_path, "atoms", here.replace(", ", ", other vectors, ", 1), better="higher")
    committed(tmp_path, "structures", here)
    ran: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, int(command[3] == "windows"))

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(machine, "device_name", lambda: here)
    out = str(tmp_path / "out")
    names = ["windows", "atoms", "structures", "samplers"]
    # One that fails does not keep the others from running.
    assert nightly_suites.main([*names, "--out", out, "--against", str(tmp_path)]) == 1
    assert [command[1:6] for command in ran] == [["-m", "benchmarks", name, "--out", out] for name in names]
    assert ran[0][6:] == ["--against", str(tmp_path)]
    assert all(command[0] == sys.executable and not command[6:] for command in ran[1:])
    said = capsys.readouterr().err
    assert "failed: windows\n" in said
    assert "a result of this device" in said
    assert "structures: the committed result has no ratio" in said


def test_a_suite_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert nightly_suites.main(["winter"]) == 2
    assert "SUITE = 'winter'" in capsys.readouterr().err
