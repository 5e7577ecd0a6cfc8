"""The gate compares ratios only, in the right direction, of one device, and fails past twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.regressions import LIMIT, compare, read_committed
from benchmarks.timing import Timing, at_most, ratio_row
from sloc.contracts import InvalidInput

DEVICE = "cpu: a made-up one, 2 cores"


def ratio(name: str, value: float, better: str | None = "higher") -> dict[str, Any]:
    row = {"name": name, "value": value, "unit": "", "min": value, "max": value, "rounds": 5}
    return row | ({} if better is None else {"better": better})


def result(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "suite": "windows",
        "device": DEVICE,
        "versions": {"jax": "0.10"},
        "date": "2026-01-31",
        "smoke": False,
        "rows": list(rows),
        **more,
    }


@pytest.mark.parametrize(
    ("better", "now", "then", "factor"),
    [("higher", 150.0, 300.0, 2.0), ("higher", 600.0, 300.0, 0.5), ("lower", 2.1, 1.0, 2.1), ("lower", 1.0, 2.0, 0.5)],
)
def test_what_is_worse_depends_on_the_row(better: str, now: float, then: float, factor: float) -> None:
    found = compare(result(ratio("a over b", now, better)), result(ratio("a over b", then, None)))
    assert found.rows[0].factor == pytest.approx(factor)
    assert found.failed is (factor > LIMIT)


def test_one_that_fails_is_enough_and_speed_elsewhere_does_not_make_up_for_it() -> None:
    now = result(ratio("kept", 10.0), ratio("lost", 4.9), ratio("won", 100.0))
    found = compare(now, result(ratio("kept", 10.0), ratio("lost", 10.0), ratio("won", 10.0)))
    assert [row.name for row in found.rows if row.failed] == ["lost"]
    assert found.failed


def test_times_single_numbers_and_rows_that_say_nothing_are_left_out() -> None:
    time = {"name": "run", "value": 9.0, "unit": "s", "min": 9.0, "max": 9.0, "rounds": 5}
    once = {"name": "share", "value": 0.1, "unit": "", "better": "higher"}
    said = ratio("time per trajectory at 2 n over n", 9.0, None)
    before = [{**row, "value": 1.0} for row in (time, once, said)]
    found = compare(result(time, once, said, ratio("kept", 1.0)), result(*before, ratio("kept", 1.0)))
    assert [row.name for row in found.rows] == ["kept"]


def test_new_ratios_are_named_and_a_result_without_a_common_one_is_refused() -> None:
    found = compare(result(ratio("new", 1.0), ratio("kept", 1.0)), result(ratio("kept", 1.0)))
    assert found.missing == ("new",)
    assert not found.failed
    with pytest.raises(InvalidInput, match="--against = 'windows': expected a result with at least one ratio"):
        compare(result(ratio("new", 1.0)), result(ratio("kept", 1.0)))


def test_a_ratio_that_became_nothing_fails() -> None:
    assert compare(result(ratio("a", 0.0)), result(ratio("a", 3.0))).failed
    assert compare(result(ratio("a", float("nan"))), result(ratio("a", 3.0))).failed


def test_rows_say_which_way_is_better() -> None:
    slow, fast = Timing(0.0, (2.0, 4.0, 6.0), 1.0), Timing(0.0, (1.0, 1.0, 1.0), 1.0)
    row = ratio_row("slow over fast", slow, fast, 3.0)
    assert (row["value"], row["better"], row["met"]) == (4.0, "higher", True)
    assert at_most(row, 3.0)["better"] == "lower"
    assert "better" not in ratio_row("linear?", slow, fast, better=None)
    assert "better" not in at_most({"name": "run", "value": 1.0, "unit": "s"}, 2.0)


def test_only_a_full_result_of_the_same_suite_and_device_will_do(tmp_path: Path) -> None:
    name, good = "windows-made-up.json", result(ratio("a", 1.0))
    (tmp_path / name).write_text(json.dumps(good))
    for path in (tmp_path, tmp_path / name):
        assert read_committed(path, "windows", DEVICE, name) == good

    def refusal(changed: dict[str, Any] | str, words: str) -> None:
        (tmp_path / name).write_text(changed if isinstance(changed, str) else json.dumps(changed))
        with pytest.raises(InvalidInput, match=f"--against = .*{words}"):
            read_committed(tmp_path, "windows", DEVICE, name)

    refusal(good | {"suite": "atoms"}, "of the suite windows, not atoms")
    refusal(good | {"device": "gpu: another"}, "this device")
    refusal(good | {"smoke": True}, "full run")
    refusal(good | {"rows": []}, "rows")
    refusal("{", "committed result of this device")
    with pytest.raises(InvalidInput, match=r"--against = .*absent"):
        read_committed(tmp_path / "absent.json", "windows", DEVICE, name)
