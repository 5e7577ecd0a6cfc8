"""Settings that every test runs under: strict promotion, warnings as errors, reproducible examples."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jax
import pytest

# Mixed dtypes and ranks are where silent float64s and silent broadcasting come from.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Code that leans on other libraries is not asked to keep rules which those do not keep themselves.
RELAXED = ("bayes", "nn", "lm")

# A first call compiles, so a deadline or a "too slow" would measure the compiler.
hypothesis.settings.register_profile(
    "sloc",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("sloc")


TIERS = Path(__file__).parent / "tiers.toml"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Move tests to the tiers that ``tiers.toml`` names for them; refuse a pattern that names none.

    Only a whole collection can tell that a pattern names nothing: files given by name are a part of it.
    """
    named = [(item, *item.nodeid.removeprefix("tests/").partition("::")[::2]) for item in items]
    idle = []
    for tier, patterns in tomllib.loads(TIERS.read_text(encoding="utf-8")).items():
        for pattern in patterns:
            file, _, test = pattern.partition("::")
            found = False
            for item, path, name in named:
                if path == file and fnmatch.fnmatchcase(name, test):
                    item.own_markers[:] = [m for m in item.own_markers if m.name not in ("slow", "nightly")]
                    item.add_marker(tier)
                    found = True
            if not found:
                idle.append(pattern)
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS
    if whole and idle:
        raise pytest.UsageError(f"{TIERS.name} names tests that are not there: {', '.join(idle)}")


@pytest.fixture(scope="module", autouse=True)
def _promotion(request: pytest.FixtureRequest) -> Iterator[None]:
    """Relax the promotion rules in the folders named by ``RELAXED``."""
    parts = request.path.relative_to(Path(__file__).parent).parts
    with contextlib.ExitStack() as stack:
        if parts[0] in RELAXED:
            stack.enter_context(jax.numpy_dtype_promotion("standard"))
            stack.enter_context(jax.numpy_rank_promotion("allow"))
        yield


def _memory_maps() -> int:
    """Return how many memory maps this process holds; 0 where the platform does not tell."""
    try:
        with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
            return sum(1 for _ in maps)
    except OSError:
        return 0


@pytest.fixture(scope="module", autouse=True)
def _compiled_code() -> Iterator[None]:
    """Let compiled code go after a module that leaves too much: Linux allows a process 65,530 memory maps by default.

    Each compiled function takes a few of them, and past the limit the compiler crashes.
    """
    yield
    if _memory_maps() > 25_000:
        jax.clear_caches()


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of outside data named by ``SLOC_TEST_DATA``; skip where it is not set."""
    named = os.environ.get("SLOC_TEST_DATA")
    if not named:
        pytest.skip("SLOC_TEST_DATA is not set: this test needs outside data")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"SLOC_TEST_DATA = {named!r}: expected a folder")
    return folder
