"""Refusals name an argument as the signature that was called does; a command names what was typed for it."""

import inspect
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from sloc.contracts import InvalidInput, named, require
from sloc.contracts.arguments import MOST_SEED
from sloc.lm.experiments.experiment import ExperimentSettings
from sloc.report.lm_demo import DemoRequest
from sloc.report.train_command import TrainRequest
from sloc.report.uturn_command import UturnRequest
from sloc.report.window_command import Settings, WindowRequest, run_window
from tests.robustness.common import PAIR, resolve
from tests.robustness.rows_windows import RECORDING

LINES = (Path(__file__).parent / "public_names.txt").read_text("utf-8").splitlines()
FUNCTIONS = [line.partition("(")[0] for line in LINES if re.match(r"[a-z_.]+\(.*\bpath\b", line)]
"""Functions alone: what classes and their methods call a path is no file that they read."""
WRITERS = ("sloc.report.plot_recorded", "sloc.report.plot_windows")
"""Take what they draw first; held by the tests of writers."""


def others(function) -> dict[str, object]:
    """What else a reader of a file must be given."""
    needed = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    if "recording" in needed:
        return {"recording": RECORDING}
    if "recordings" in needed:
        return {"recordings": [RECORDING]}
    if "model" in needed:
        from flax import nnx

        return {"model": nnx.Linear(1, 1, rngs=nnx.Rngs(0))}
    assert needed == ["path"]
    return {}


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in WRITERS])
def test_a_missing_file_is_refused_by_the_name_of_the_argument(name: str, tmp_path: Path) -> None:
    function = resolve(name)
    ending = ".json" if name.endswith("fast") else ".jsonl"
    missing = tmp_path / "none" / f"a{ending}"
    with pytest.raises(InvalidInput, match=rf"^path = {re.escape(repr(str(missing)))}: expected ") as raised:
        function(missing, **others(function))
    assert not isinstance(raised.value.__context__, TypeError)


def test_every_function_that_takes_a_path_is_looked_at() -> None:
    assert len(FUNCTIONS) >= 10
    assert set(WRITERS) <= set(FUNCTIONS)


def test_a_table_that_is_a_path_is_refused_by_the_name_of_its_argument() -> None:
    from sloc.windows import recordings_from_table

    with pytest.raises(InvalidInput, match=r"^source = 'none\.csv': expected "):
        recordings_from_table("none.csv")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n": 0}, "n = 0: "),
        ({"times": 2}, "times = 2: "),
        ({"seed": -1}, "seed = -1: "),
        ({"epsilon": 0.0}, "epsilon = 0.0: "),
        ({"delta": 1.0}, "delta = 1.0: "),
        ({"classes": ("x",)}, "classes = 'x': "),
    ],
)
def test_settings_are_refused_by_their_fields(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        Settings(**settings).validate(PAIR)
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (WindowRequest("none.csv"), "source = 'none.csv': expected digits, gaussians, or a data file that exists"),
        (WindowRequest("gaussians"), "means = None: expected a row of numbers"),
        (WindowRequest("gaussians", ("brownian",), means="4;-4"), "processes = 'brownian': expected one of ou"),
        (WindowRequest("gaussians", means="4;-4", labels="y"), "labels = y: expected no such option"),
    ],
)
def test_requests_are_refused_by_their_fields(request_: WindowRequest, said: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        run_window(request_)
    assert str(raised.value).startswith(said)


def test_an_argument_is_named_as_the_caller_does() -> None:
    with (
        pytest.raises(InvalidInput, match=r"^model = 'a': expected positive = numbers: expected few$"),
        named("model", "path", "url"),
    ):
        require(False, "path", "a", "positive = numbers: expected few")
    with pytest.raises(InvalidInput, match=r"^lanes = 0: expected more$"), named("model", "path"):
        require(False, "lanes", 0, "more")
    with pytest.raises(InvalidInput, match=r"^no such thing$"), named("model", "path"):
        raise InvalidInput("no such thing")


SEEDED = {
    "window": lambda seed: Settings(seed=seed).validate(PAIR),
    "train": lambda seed: TrainRequest(seed=seed).check(),
    "uturn": lambda seed: UturnRequest("weights", seed=seed).check(),
    "lm demo": lambda seed: DemoRequest("grammar", seed=seed).check(),
    "lm windows": lambda seed: ExperimentSettings(seed=seed).validate(),
}


@pytest.mark.parametrize("command", SEEDED)
def test_every_command_takes_the_same_seeds(command: str) -> None:
    from flax import nnx

    check = SEEDED[command]
    for seed in (0, MOST_SEED):
        check(seed)
        nnx.Rngs(seed)
        jax.random.key(seed)
        np.random.default_rng(seed)
    for seed in (-1, MOST_SEED + 1, 0.5, None):
        with pytest.raises(InvalidInput) as raised:
            check(seed)
        assert str(raised.value) == f"seed = {seed!r}: expected a whole number, from 0 to 4294967295"


def test_a_command_that_repeats_a_run_names_its_operand(tmp_path: Path) -> None:
    import json

    from typer.testing import CliRunner

    from sloc.cli import app

    (tmp_path / "a.csv").write_text("question,fraction\n")
    own = {"table": str(tmp_path / "a.csv"), "size": 0.3, "alpha": 0.1, "gap": None, "level": 0.9, "rise": 0.5}
    own |= {"max_drop": None, "correction": "holm", "across": "none", "statistic": "score", "move_alpha": 0.1}
    (tmp_path / "run.json").write_text(json.dumps({"command": "traces", "arguments": own, "results": {}}))
    for arguments in (["--from", str(tmp_path)], [own["table"]]):
        done = CliRunner().invoke(app, ["traces", *arguments])
        assert done.exit_code == 2
        assert done.stderr == f"sloc: TABLE = {own['table']}: expected at least one row below the header\n"
