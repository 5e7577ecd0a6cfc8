"""What a benchmark says of the machine it ran on, and that it does not leave a peer out unasked."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import atoms, atoms_large, machine, samplers, subprocesses, windows_gaussians


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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx avx2 avx512f avx512dq\n", "cpu: AMD EPYC, AVX-512, "),
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx avx2 fma\n", "cpu: AMD EPYC, AVX2, "),
        ("BogoMIPS\t: 50.00\nFeatures\t: fp asimd evtstrm sve\n", ", SVE, "),
        ("model name\t: A\n", "cpu: A, "),
    ],
)
def test_machines_of_one_name_are_told_apart_by_their_vectors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    assert re.search(rf"^(cpu: .*)?{re.escape(words)}\d+ cores$", machine.device_name())


def test_ceilings_on_an_accelerator_are_programs_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU compiles what a GPU would run: one fused loop with all exponentials, and a copy that is one too."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    size = machine.sizes()
    # A gigabyte, and enough exponentials for each number that is read and written.
    assert (size.copied, size.repeats) == (1 << 28, 64)
    monkeypatch.setattr(machine, "sizes", lambda smoke=False: machine.Sizes(4096, 64, 4096, 2, 4096, 64))
    compiled = machine.repeated_exp(64).lower(jnp.ones(4096)).compile()
    text = compiled.as_text()
    assert text is not None
    assert "while" not in text
    assert len(re.findall(r"= \S+ fusion\(", text)) == 1
    # Each number is read and written once.
    cost = compiled.cost_analysis()
    assert isinstance(cost, dict)
    assert cost["transcendentals"] == 64 * 4096
    call, exps = machine.exponentials(repeats=100)
    assert exps == 64 * 4096
    np.testing.assert_allclose(np.asarray(call())[0], 0.7034674, rtol=1e-6)  # x = exp(-x / 2)
    name, copy = machine._copy(4096)
    assert "device" in name
    assert isinstance(copy(), jax.Array)
    rows = machine.ceilings(1)
    assert rows["copy"]["name"] == "ceiling: copy of the device's memory, bytes read and written"
    assert all(row["value"] > 0 for row in rows.values())


def test_matrix_products_behind_the_ceiling_are_of_the_highest_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    plain = jnp.matmul
    monkeypatch.setattr(jnp, "matmul", lambda a, b, precision=None: asked.append(precision) or plain(a, b))
    machine.ceilings(1, smoke=True)
    assert asked == [jax.lax.Precision.HIGHEST]


def test_sizes_and_targets_follow_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert windows_gaussians.alone(False) is None
    assert atoms_large.large(False) == atoms_large.Large(60_000, 784, 4096, 64, seconds=45.0, peak=4e9)
    assert atoms.wanted(False) == (16_384, 0.6)
    for backend in ("gpu", "tpu"):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        alone, large, (draws, share) = windows_gaussians.alone(False), atoms_large.large(False), atoms.wanted(False)
        assert alone is not None
        assert alone.dimension == 1
        if backend == "gpu":
            # At the rate that is wanted it takes long enough for nothing else to show.
            assert alone.rate == 1e11
            assert alone.n * windows_gaussians.TIMES / 1e11 > 0.5
            assert large.n >= 1_000_000
            assert (large.atoms, large.d, large.times, large.seconds, large.ceiling) == (60_000, 784, 64, 30.0, 0.5)
            assert draws >= 1_000_000
            assert share == 0.5
        else:
            assert (alone.rate, large.seconds, large.ceiling, share) == (None, None, None, None)
        assert windows_gaussians.alone(True) == windows_gaussians.Alone(1 << 16)


def test_two_gaussians_alone_are_checked_and_their_shares_shown() -> None:
    rows = list(windows_gaussians.alone_rows(windows_gaussians.Alone(1 << 14, 1, 1 << 12, 1e3), 1, 1e9, 1e8))
    rate = next(row for row in rows if row["unit"] == "/s")
    assert (rate["target"], rate["met"]) == (">= 1000", True)
    seconds = next(row["value"] for row in rows if row["name"].endswith("sloc, run"))
    shares = [row["value"] for row in rows if "share of" in row["name"]]
    np.testing.assert_allclose(shares, [n / seconds for n in (64 * 2**14 / 1e9, 64 * 2**14 / 1e9 + 2**15 / 1e8)])


def test_large_atoms_show_what_binds(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"first": 9.0, "seconds": 4.0, "peak": {"resident": 5, "device": 7}}
    monkeypatch.setattr(atoms_large, "measured", lambda *args, **environment: found)
    monkeypatch.setattr(
        atoms_large, "large", lambda smoke: atoms_large.Large(100, 10, 20, 8, seconds=3.0, peak=6.0, ceiling=0.5)
    )
    rows = list(atoms_large.large_rows(False, {"exp": {"value": 1.6e4}, "matmul": {"value": 4e4}}))
    by_unit = {row["name"].rpartition(": ")[2]: row for row in rows if row["name"].startswith("large: 100 atoms")}
    assert by_unit["time"]["met"] is False
    assert by_unit["peak resident"]["met"] is True
    assert by_unit["peak on the device"]["value"] == 7
    assert by_unit["floor by exp and matrix products over time"]["value"] == pytest.approx((1.0 + 2.0) / 4)
    share = by_unit["share of the binding ceiling"]
    assert (share["value"], share["note"], share["met"]) == (pytest.approx(0.5), "matrix products bind", True)
    # The ends are shown beside it, and have no target.
    assert sum(row["name"].endswith(": time") for row in rows) == 1 + len(atoms_large.ENDS)
    assert sum("met" in row for row in rows) == 3


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel keeps a process's peak for good")
def test_a_peak_can_be_forgotten() -> None:
    code = """
import numpy as np
from benchmarks.machine import forget_peak, peak_memory
held = np.ones(1 << 25)
before = peak_memory()["resident"]
del held
assert forget_peak()
after = peak_memory()["resident"]
again = np.ones(1 << 24)
print(before, after, peak_memory()["resident"], again[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    before, after, again, _ = map(float, done.stdout.split())
    assert before - after > 0.9 * 2**28
    assert 0.9 * 2**27 < again - after < 1.1 * 2**27


def test_memory_that_does_not_grow_is_held_to_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([100.0, 103.0, 100.0, 94.0])

    def found(code: str, few: int, n: int, case: str, **environment: str) -> dict[str, object]:
        return {"seconds": 1.0, "peak": next(peaks), "first": 200.0, "forgot": True}

    monkeypatch.setattr(subprocesses, "measured", found)
    ratios = [row for row in subprocesses.memory_rows(False) if row["unit"] == ""]
    # 6 % less is as far from equal as 6 % more.
    assert [(row["target"], row["met"]) for row in ratios] == [("within 0.05 of 1", True), ("within 0.05 of 1", False)]


def test_rates_behind_other_floors_are_measured() -> None:
    for row in (machine.byte_steps(1, smoke=True), machine.written_out_normals(1, smoke=True)):
        assert row["name"].startswith("ceiling: ")
        assert row["value"] == row["max"] > 0
        assert row["rounds"] == 3
    ceilings = {"exp": {"value": 2.0}, "matmul": {"value": 64.0}}
    # Three draws of five steps, each 16 normals at 32/s, 8 exps at 2/s, 4 x 8 x 16 flop at 64/s.
    assert samplers.diffusion_floor(3, 5, 32.0, ceilings) == pytest.approx(15 * (0.5 + 4.0 + 8.0))
