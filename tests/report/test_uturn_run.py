"""``sloc uturn`` at the size of every change: 500 images at 32 levels from a U-Net, and its picture."""

from __future__ import annotations

import functools
import io
import json

import jax
import numpy as np
import pytest
from rich.console import Console

from sloc import Curve
from sloc.processes import OrnsteinUhlenbeck
from sloc.report.train_command import split_digits
from sloc.report.uturn_command import UturnRequest, run_uturn
from sloc.report.uturn_curves import compared
from sloc.report.uturn_picture import shown_levels, uturn_picture


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_five_hundred_digits_at_32_levels(tmp_path, capsys):
    """As by night, but for a quarter of the sampler's steps and a network trained for seconds."""
    from flax import nnx

    from sloc import nn

    log = io.StringIO()
    # Flax does not keep the strict rules itself.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        network = nn.UNet((8, 8), 10, rngs=nnx.Rngs(0))
        loss = functools.partial(nn.denoising_loss, schedule=OrnsteinUhlenbeck())
        fitted = nn.fit(jax.random.key(0), network, loss, split_digits(0).generator, steps=200, average=0.98)
        file = nn.save_weights(tmp_path / "weights.safetensors", fitted.model, network="unet", seed="0")
        request = UturnRequest(str(file), times=32, n=500, steps=16)
        found = run_uturn(request, tmp_path / "out", resume=True, json=True, log=Console(file=log))["results"]
    capsys.readouterr()
    assert "32/32" in log.getvalue()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"curves.csv", "uturn.png", "run.json"}
    assert len((tmp_path / "out" / "curves.csv").read_text().splitlines()) == 1 + 2 * 32
    assert json.loads((tmp_path / "out" / "run.json").read_text())["results"]["times"] == found["times"]
    learned, exact = (np.array(found["curves"][name]["value"]) for name in ("model", "images"))
    # Shares of 500 draws: the standard error is at most 0.023, and all levels share their draws.
    assert learned[0] > 0.85
    assert learned[-1] < 0.5
    # It falls but for noise: six standard errors of a difference.
    assert np.diff(learned).max() < 6 * 0.032
    assert exact[0] > 0.95
    assert exact[-1] < 0.3
    # Little trained it is, but its window is not far from the images' own.
    assert found["differences"]["model, images"]["interval"][0] < 0.5


def curve(times, value, width=0.03):
    value = np.asarray(value, np.float64)
    return Curve(times, value, 0 * value + 0.01, np.clip(value - width, 0, 1), np.clip(value + width, 0, 1), 100)


@pytest.mark.parametrize("classifier", [True, False])
def test_the_picture_says_how_large_the_error_is(tmp_path, classifier, monkeypatch):
    times = np.geomspace(0.06, 3.0, 32)
    curves = {"model": curve(times, 1 / (1 + times**2)), "images": curve(times, 1 / (1 + times**3))}
    if classifier:
        curves["classifier"] = curve(times, 1 / (1 + times**1.5))
    results, kept = compared(curves), []
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", lambda self, path, **options: kept.append(self))
    uturn_picture(times, curves, np.zeros((32, 8, 8), np.float32), results, "3", tmp_path / "x.png")
    strip, above, below = kept[0].axes
    assert len(strip.artists) == len(shown_levels(times, 16))
    said = [text.get_text() for text in below.get_legend().get_texts()]
    gap = results["differences"]["model, images"]
    assert f"largest {gap['largest']:.3f}" in said[0]
    assert len(said) == len(curves) - 1
    assert len(above.get_legend().get_texts()) == len(curves) + 1
    # Each line of the lower part is its curve less the images' own.
    np.testing.assert_allclose(
        below.get_lines()[1].get_ydata(), np.asarray(curves["model"].value) - np.asarray(curves["images"].value)
    )


def test_shown_images_do_not_overlap():
    times = np.geomspace(1.0, 100.0, 1_000)
    chosen = shown_levels(times, 10)
    assert chosen[0] == 0
    assert len(chosen) == 10 + 1 or len(chosen) == 10
    assert np.diff(np.log(times[chosen])).min() >= np.log(100) / 10 - 1e-9
    assert shown_levels(np.array([1.0, 2.0]), 16) == [0, 1]
