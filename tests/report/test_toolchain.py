"""The command line keeps clear of a faulty part of the compiler, and only where it is faulty."""

from __future__ import annotations

import pytest

from sloc.report.toolchain import YNNPACK_FAULTS, leave_out_ynnpack

FLAG = "--xla_cpu_experimental_ynn_fusion_type="


@pytest.mark.parametrize("faulty", YNNPACK_FAULTS)
@pytest.mark.parametrize("given", ["", "--xla_force_host_platform_device_count=2"])
def test_the_flag_is_added_to_what_stands_there(faulty, given):
    environment = {"XLA_FLAGS": given} if given else {}
    assert leave_out_ynnpack(environment, faulty)
    assert environment["XLA_FLAGS"] == f"{given} {FLAG}".strip()


def test_what_the_user_says_stands():
    environment = {"XLA_FLAGS": FLAG + "-reduce"}
    assert not leave_out_ynnpack(environment, YNNPACK_FAULTS[0])
    assert environment == {"XLA_FLAGS": FLAG + "-reduce"}


def test_other_versions_are_left_alone():
    # XLA ends the process at a flag it does not know.
    environment: dict[str, str] = {}
    assert not leave_out_ynnpack(environment, "0.10.1")
    assert environment == {}
