"""``sloc train`` and ``sloc uturn``: the split shares nothing, short runs write whole folders, bad input is refused."""

from __future__ import annotations

import dataclasses
import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

import sloc
from sloc import Curve, forward_reverse
from sloc.cli import app
from sloc.contracts import InvalidInput
from sloc.divergence import tv_lower_bound
from sloc.engine import NotANumber
from sloc.populations import Empirical
from sloc.processes import OrnsteinUhlenbeck
from sloc.report.checkpoints import checkpoint_folder, read_failure
from sloc.report.replay_command import run_replay
from sloc.report.run_record import repeated
from sloc.report.train_command import TrainRequest, held_out, run_train, split_digits
from sloc.report.uturn_command import FILES, UturnRequest, run_uturn
from sloc.report.uturn_curves import classifier_curve, crossing, largest_difference
from sloc.windows import certified_limits
from tests.public_outputs import hold_outputs


def test_the_three_parts_share_no_image_and_are_all_of_them():
    parts = split_digits(3)
    sizes = [len(part[0]) for part in (parts.generator, parts.judge, parts.test)]
    assert sizes == [1078, 539, 180]
    again = split_digits(3)
    np.testing.assert_array_equal(parts.judge[0], again.judge[0])
    assert not np.array_equal(parts.judge[0], split_digits(4).judge[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(source="faces"), "source = 'faces': expected digits"),
        (dict(model="gan"), "model = 'gan': expected one of unet"),
        (dict(steps=0), "steps = 0"),
        (dict(seed=-1), "seed = -1"),
        (dict(guidance=float("nan")), "guidance = nan: expected a number that is finite"),
    ],
)
def test_bad_requests_are_refused(options, message):
    with pytest.raises(InvalidInput, match=message):
        run_train(TrainRequest(**options), None)


def test_resume_needs_a_folder():
    with pytest.raises(InvalidInput, match="resume"):
        run_train(TrainRequest(), None, resume=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_short_run_writes_a_whole_folder(tmp_path, capsys):
    out = tmp_path / "run"
    request = TrainRequest(model="mlp", steps=400, samples=32)
    # Flax does not keep the strict rules itself.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        answer = run_train(request, out, resume=True, json=True)
    assert json.loads(capsys.readouterr().out) == answer
    names = {file.name for file in out.iterdir()}
    assert names == {"weights.safetensors", "losses.csv", "samples.png", "run.json"}
    hold_outputs("train", out)
    # Nothing is left beside it.
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    found = answer["results"]
    assert found["accuracy_real"] > 0.95
    # By chance it is 0.1.
    assert found["accuracy_generated"] > 0.5

    request = UturnRequest(str(out / "weights.safetensors"), times=6, n=64, steps=16)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        answer = run_uturn(request, tmp_path / "uturn", json=True)
    assert json.loads(capsys.readouterr().out) == answer
    assert {file.name for file in (tmp_path / "uturn").iterdir()} == {"curves.csv", "uturn.png", "run.json"}
    hold_outputs("uturn", tmp_path / "uturn")
    found = answer["results"]
    assert set(found["curves"]) == {"model", "images"}
    learned, exact = (found["curves"][name]["value"] for name in ("model", "images"))
    # Little noise is undone by anything, and from pure noise a 3 comes back as often as any digit.
    assert learned[0] > 0.9
    assert exact[0] > 0.95
    assert learned[-1] < 0.5
    gap = found["differences"]["model, images"]
    assert 0 <= gap["interval"][0] <= gap["largest"] <= gap["interval"][1]


@pytest.mark.nightly
@pytest.mark.usefixtures("relaxed")
@pytest.mark.filterwarnings("default")
def test_the_u_net_by_night(tmp_path, capsys):
    network, classifier = tmp_path / "unet", tmp_path / "classifier"
    found = run_train(TrainRequest(), network, json=True)["results"]
    assert found["accuracy_real"] > 0.95
    assert found["accuracy_generated"] >= 0.95
    run_train(TrainRequest(model="classifier"), classifier, json=True)
    files = [str(folder / "weights.safetensors") for folder in (network, classifier)]
    request = UturnRequest(files[0], times=32, n=500, steps=64, classifier=files[1])
    found = run_uturn(request, tmp_path / "uturn", json=True)["results"]
    windows = {name: curve["window"] for name, curve in found["curves"].items()}
    # A window in each curve, and none of them where another curve has nothing to say.
    assert all(None not in window for window in windows.values())
    assert found["differences"]["model, images"]["interval"][1] < 0.5
    capsys.readouterr()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network that was never trained, and a classifier: as files of ``sloc train``."""
    from flax import nnx

    from sloc import nn

    folder = tmp_path_factory.mktemp("weights")
    network = nn.MLPDenoiser((8, 8), 10, rngs=nnx.Rngs(0))
    classifier = nn.NoiseClassifier((8, 8), 10, rngs=nnx.Rngs(0))
    return (
        nn.save_weights(folder / "model.safetensors", network, network="mlp", seed="0"),
        nn.save_weights(
            folder / "classifier.safetensors", classifier, network="classifier", seed="0", temperature="1.5"
        ),
    )


@pytest.fixture
def relaxed():
    """Flax does not keep the strict rules itself."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("relaxed")
@pytest.mark.filterwarnings("default")
def test_a_run_cut_off_goes_on_to_the_same_numbers(weights, tmp_path, monkeypatch, capsys):
    pytest.importorskip("orbax.checkpoint")
    request = UturnRequest(str(weights[0]), times=5, n=40, steps=3, classifier=str(weights[1]))
    whole = run_uturn(request, None, json=True)["results"]
    out = tmp_path / "out"
    drawn = []

    def counted(*arguments, **options):
        drawn.append(options["grid"].shape)
        if len(drawn) == 4:
            raise KeyboardInterrupt
        return forward_reverse(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr("sloc.report.uturn_curves.forward_reverse", counted)
        with pytest.raises(KeyboardInterrupt):
            run_uturn(request, out, resume=True, json=True)
    folder = checkpoint_folder(out)
    assert not out.exists()
    stages = json.loads((folder / "stages" / "manifest.json").read_text())["stages"]
    assert len(stages) == 3
    with pytest.raises(InvalidInput, match="differs in n"):
        run_uturn(dataclasses.replace(request, n=41), out, resume=True)
    assert read_failure(fail_note(folder))[0] == "uturn"
    again = run_uturn(request, out, resume=True, json=True)["results"]
    assert again == whole
    assert not folder.exists()
    assert {file.name for file in out.iterdir()} == {"curves.csv", "uturn.png", "run.json"}
    assert set(again["curves"]) == {"model", "images", "classifier"}
    # What the folder records is the request that was made, of files that are as they were.
    assert repeated(UturnRequest, out, "uturn", *FILES) == request
    once_more = run_uturn(repeated(UturnRequest, out, "uturn", *FILES), tmp_path / "more", json=True)["results"]
    assert once_more == again
    assert (tmp_path / "more" / "curves.csv").read_bytes() == (out / "curves.csv").read_bytes()
    capsys.readouterr()


def fail_note(folder):
    """Note a failure in a checkpoint folder, as a run that met NaN does."""
    (folder / "failure.json").write_text(json.dumps({"stage": "s", "block": 0, "message": ""}))
    return folder


def test_crossings():
    times = np.array([1.0, 2.0, 3.0])
    assert crossing(times, np.array([1.0, 0.8, 0.2]), 0.5) == pytest.approx(2.5)
    assert crossing(times, np.array([0.4, 0.3, 0.2]), 0.5) is None
    assert crossing(times, np.array([1.0, 0.9, 0.8]), 0.5) is None


def test_the_largest_difference_and_its_interval():
    times = np.array([1.0, 2.0])
    a = Curve(times, np.array([0.9, 0.5]), 0 * times, np.array([0.8, 0.4]), np.array([0.95, 0.6]), 10)
    b = Curve(times, np.array([0.8, 0.1]), 0 * times, np.array([0.7, 0.05]), np.array([0.9, 0.2]), 10)
    found = largest_difference(a, b)
    assert found["largest"] == pytest.approx(0.4)
    assert found["at"] == 2.0
    # 0.4 - 0.2 and 0.6 - 0.05, at the second time.
    assert found["interval"] == pytest.approx([0.2, 0.55])


def two_points(y, t):
    """The exact log posterior of +1 and -1 under OU."""
    a = jnp.exp(-t)
    return jax.nn.log_softmax(2 * a * y[0] / (1 - a**2) * jnp.asarray([0.5, -0.5]))


def test_a_right_classifier_gives_the_exact_label_curve():
    process, times = OrnsteinUhlenbeck(), np.array([0.3, 1.0, 2.0])
    atoms = Empirical(np.array([[1.0], [-1.0]], np.float32), ["a", "b"])
    exact = sloc.label_curve(jax.random.key(1), process, atoms, times, "a", n=200_000).column("a")
    x = np.ones((400, 1), np.float32)
    found = classifier_curve(jax.random.key(0), process, two_points, x, 0, times, 1e-9)
    # 400 times 64 draws; the band has an error level of 1e-9.
    assert (np.asarray(found.lower) <= np.asarray(exact.value) + 0.005).all()
    assert (np.asarray(found.upper) >= np.asarray(exact.value) - 0.005).all()
    np.testing.assert_allclose(found.value, exact.value, atol=0.02)
    assert found.delta == 1e-9


def test_a_classifier_of_nan_is_named_with_its_level():
    def broken(y, t):
        return jnp.where(t > 0.5, jnp.nan, two_points(y, t))

    x = np.ones((8, 1), np.float32)
    with pytest.raises(InvalidInput, match=r"classifier\(y, 1\) = .*probabilities"):
        classifier_curve(jax.random.key(0), OrnsteinUhlenbeck(), broken, x, 0, np.array([0.3, 1.0, 2.0]), 0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(times=1), "times = 1"),
        (dict(delta=1.0), "delta = 1.0"),
        (dict(start="x"), "start = 'x'"),
        (dict(), "a safetensors file that exists"),
    ],
)
def test_bad_uturns_are_refused(options, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        run_uturn(UturnRequest(str(tmp_path / "none"), **options), None)


def test_files_of_other_networks_are_refused(weights, tmp_path):
    from flax import nnx

    from sloc import nn

    network, classifier = (str(w) for w in weights)
    with pytest.raises(InvalidInput, match=r"weights = .*a network that draws"):
        run_uturn(UturnRequest(classifier), None)
    with pytest.raises(InvalidInput, match=r"classifier = .*sloc train --model classifier"):
        run_uturn(UturnRequest(network, classifier=network), None)
    small = nn.MLPDenoiser((8, 8), 10, width=16, rngs=nnx.Rngs(0))
    other = nn.save_weights(tmp_path / "other.safetensors", small, network="mlp")
    with pytest.raises(InvalidInput, match=r"of another shape: condition\.first\.bias \[16\], not \[256\]"):
        run_uturn(UturnRequest(str(other)), None)
    pickled = tmp_path / "model.pt"
    pickled.write_bytes(pickle.dumps([1]))
    result = CliRunner().invoke(app, ["uturn", str(pickled)])
    assert result.exit_code == 2
    assert "this file is pickled" in result.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("relaxed")
@pytest.mark.filterwarnings("default")
def test_a_network_that_answers_nan_is_named_with_its_level_and_draw(tmp_path):
    from flax import nnx

    from sloc import nn

    network = nn.MLPDenoiser((8, 8), 10, rngs=nnx.Rngs(0))
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    # Weights that are finite, so that they are taken, and sums of them that are not.
    broken = nnx.merge(graph, jax.tree.map(lambda v: v * 1e30, params), rest)
    path = nn.save_weights(tmp_path / "nan.safetensors", broken, network="mlp")
    request = UturnRequest(str(path), times=2, n=4, steps=2)
    with pytest.raises(NotANumber, match=r"NaN at t = 0\.0\d+ \(time 0\), draw 0 of key"):
        run_uturn(request, None)
    pytest.importorskip("orbax.checkpoint")
    with pytest.raises(NotANumber):
        run_uturn(request, tmp_path / "out", resume=True)
    found = run_replay(tmp_path / "out", json=True)
    assert (found["command"], found["block"]) == ("uturn", 0)
    assert any(a["nan"] > 0 for a in found["arrays"])


def test_resuming_a_uturn_needs_a_folder(weights):
    with pytest.raises(InvalidInput, match="resume"):
        run_uturn(UturnRequest(str(weights[0]), times=2, n=1, steps=1), None, resume=True)


@pytest.mark.slow
@pytest.mark.usefixtures("relaxed")
@pytest.mark.filterwarnings("default")
def test_a_classifier_is_trained_and_calibrated(tmp_path, capsys):
    out = tmp_path / "classifier"
    found = run_train(TrainRequest(model="classifier", steps=400), out, json=True)["results"]
    assert json.loads(capsys.readouterr().out)["results"] == found
    # It says less than nothing (log 10 nats), and means what it says within a few percent.
    assert found["nats"][1] < 1.2
    assert found["nats"][1] < found["nats"][0] + 0.01
    assert found["reliability_error"][1] < 0.06
    assert {file.name for file in out.iterdir()} == {"weights.safetensors", "losses.csv", "run.json"}
    with pytest.raises(InvalidInput, match="weights"):
        run_uturn(UturnRequest(str(out / "weights.safetensors")), None)
    check_certified_limits(out / "weights.safetensors", found["temperature"])


def check_certified_limits(file, temperature):
    """Hold what the classifier certifies against the exact TV of the digits that it never saw."""
    from flax import nnx

    from sloc import nn

    process, names = OrnsteinUhlenbeck(), [str(k) for k in range(10)]
    network = nn.load_weights(file, nn.NoiseClassifier((8, 8), 10, rngs=nnx.Rngs(0)))
    data = Empirical(*held_out(split_digits(0)))
    times = np.asarray(process.time_of_log_snr(np.linspace(2.0, -6.0, 8)))
    even, odd = names[::2], names[1::2]
    posterior = nn.as_posterior(network, process, temperature)
    # False alarm 1e-9: frequencies of independent draws from the atoms, one for each, spread less than binomial ones.
    below = tv_lower_bound(jax.random.key(0), process, posterior, data, times, even, odd, delta=1e-9)
    exact = sloc.measure(jax.random.key(1), process, data, times, {"tv": sloc.TV(even, odd)}, n=65_536)["tv"]
    assert (np.asarray(below.lower) <= np.asarray(exact.value) + 6 * np.asarray(exact.stderr)).all()
    assert below.lower[0] > 0.5
    limits = certified_limits(below, epsilon=0.3)
    assert (limits.certified_before, limits.law) == ("from below", "the data")
    assert times[0] < limits.before_interval[0] < times[-1]
