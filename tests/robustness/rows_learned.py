"""Rows of :mod:`sloc.nn` and :mod:`sloc.bayes`; they need the extras."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from sloc import bayes, nn
from sloc.bayes import GaussianMixtureModel, NumPyroPopulation
from sloc.populations import GaussianMixture
from sloc.processes import FlowMatching
from tests.robustness.common import AFTER_BEFORE, OU, row
from tests.robustness.sweep import Row
from tests.robustness.values import (
    array,
    choice,
    fraction,
    function,
    names,
    path,
    positive,
    real,
    taken,
    text,
    thing,
    times,
    whole,
)

GATES = {
    "max_r_hat": positive(1.05),
    "min_ess": positive(8.0),
    "max_shift": positive(0.5),
    "max_divergences": positive(0.5),
}
"""Gates of chains."""

STACKED = GaussianMixture(np.full((4, 2), 0.5), np.tile([[1.0], [-1.0]], (4, 1, 1)), np.ones(4))
DIAGNOSTICS = bayes.ChainDiagnostics({"a": 1.0}, {"a": 100.0}, {"a": 0.0}, (0, 0), 8)


def small():
    """Return a small network."""
    return nn.MLPDenoiser((2,), 2, width=4, depth=1, rngs=nnx.Rngs(0))


def classifier():
    """Return a small classifier."""
    return nn.NoiseClassifier((2,), 2, width=4, depth=1, rngs=nnx.Rngs(0))


def letters():
    """Return a small masked transformer."""
    return nn.MaskedTransformer(2, 3, width=4, depth=1, heads=1, rngs=nnx.Rngs(0))


def networks() -> list[Row]:
    """Return rows of :mod:`sloc.nn`."""
    p = "sloc.nn."
    schedule = thing(FlowMatching(), "a schedule")
    model = thing(small, "a network")
    x, labels = array(np.zeros((4, 2))), array(np.zeros(4, int))
    layers = {
        "width": whole(4),
        "depth": whole(1),
        "rngs": thing(lambda: nnx.Rngs(0), "rngs"),
        "dtype": taken(jnp.float32),
    }
    shape, classes = thing((2,), "a shape"), {"num_classes": whole(2, 0)}
    image = thing((4, 4), "a shape")
    return [
        row(
            p + "as_diffusion",
            lambda **given: nn.as_diffusion(**given).validate(),
            model=model,
            schedule=schedule,
            label=whole(0, 0).optional(),
            guidance=real(1.5).optional(),
            guidance_times=thing((0.1, 0.9), "two times").optional(),
            data_std=positive(1.0),
            names=names(("a", "b")),
        ),
        row(
            p + "as_masked",
            lambda **given: nn.as_masked(**given).validate(),
            model=thing(letters, "a network"),
            mask=whole(3, 0).optional().but("10**400", "-1", "a huge negative number").listed(),
            timed=taken(False),
            temperature=positive(1.0),
        ),
        row(
            p + "as_posterior",
            model=thing(classifier, "a network"),
            schedule=schedule,
            temperature=positive(1.0),
        ),
        row(
            p + "calibrate",
            model=thing(classifier, "a network"),
            schedule=schedule,
            x=x,
            labels=labels,
            repeats=whole(2),
            bins=whole(2),
        ),
        row(
            p + "fit",
            model=model,
            loss=function(_loss),
            data=thing((np.zeros((4, 2), np.float32),), "arrays"),
            steps=whole(1),
            batch=whole(2),
            rate=positive(0.002),
            warmup=fraction(0.05, low=True, high=True),
            clip=positive(1.0),
            average=fraction(0.5, low=True),
            checkpoint=path(None).optional(),
            every=positive(60.0, zero=True),
            progress=function(print).optional(),
        ),
        row(p + "load_weights", model=model),
        row(p + "save_weights", path=path("w.safetensors"), model=model, note=text("a note")),
        Row(p + "MLPDenoiser", nn.MLPDenoiser, {"shape": shape, **classes, **layers}),
        Row(p + "NoiseClassifier", nn.NoiseClassifier, {"shape": shape, "num_classes": whole(2, 1), **layers}),
        Row(p + "DiT", nn.DiT, {"shape": image, **classes, "patch": whole(2), "heads": whole(1), **layers}),
        Row(
            p + "UNet",
            nn.UNet,
            {
                "shape": image,
                **classes,
                "base": whole(8),
                "levels": whole(1),
                "rngs": layers["rngs"],
                "dtype": taken(jnp.float32),
            },
        ),
        Row(
            p + "MaskedTransformer",
            nn.MaskedTransformer,
            {
                "length": whole(2),
                "vocabulary": whole(3),
                "heads": whole(1),
                "sides": thing((1, 2), "sides of a grid").optional(),
                **layers,
            },
        ),
    ]


def _loss(model, key, x):
    return jnp.sum(x)


def posteriors() -> list[Row]:
    """Return rows of :mod:`sloc.bayes`."""
    p = "sloc.bayes."
    level, draws = fraction(0.9), whole(2).optional()
    common = {
        "posterior": thing(STACKED, "draws"),
        "times": times([0.25, 0.5]).optional(),
        "draws": draws,
        "level": level,
    }
    counts = np.array([[1, 4, 6], [2, 4, 6]])
    return [
        row(p + "window_posterior", **AFTER_BEFORE, **common, batch_size=whole(2).optional()),
        row(p + "merge_posterior", **common, batch_size=whole(2).optional()),
        row(
            p + "fit",
            model=thing(GaussianMixtureModel(2), "a model"),
            data=array(np.arange(4.0)[:, None]),
            labels=array(np.array([0, 1, -1, -1])).left_out(),
            method=choice("nuts"),
            chains=whole(2),
            warmup=whole(8, 0),
            draws=whole(8, 8),
            site=text("z").left_out(),
            observed=text("x").left_out(),
            args=taken(()),
            kwargs=taken(None),
            names=names(("a", "b")),
            relabel=taken(True),
            target_accept=fraction(0.8),
            max_tree_depth=whole(2),
            steps=whole(8),
            optimizer=taken(None),
            **GATES,
        ),
        row(
            p + "fit_changes",
            successes=array(counts),
            resamples=array(np.full((2, 3), 8)),
            kept=array([0.2, 0.4, 0.6]).optional(),
            groups=thing(None, "groups").optional(),
            right=thing(None, "truth values").optional(),
            questions=names(("a", "b")).but("a name twice"),
            chains=whole(2, 2),
            warmup=whole(8, 0),
            draws=whole(8, 8),
            **GATES,
        ),
        row(
            p + "check_chains",
            samples=thing({"a": np.zeros((2, 8))}, "samples"),
            diagnostics=thing(DIAGNOSTICS, "diagnostics"),
            **GATES,
        ),
        row(
            p + "diagnose",
            samples=thing({"a": np.random.default_rng(0).normal(size=(2, 8))}, "samples"),
            divergences=array(np.zeros(2)).optional().but("an array of rank 3"),
            switched_between=whole(0, 0),
            switched_within=positive(0.0, zero=True),
            relabelled=taken(False),
        ),
        row(
            p + "compare_windows",
            posterior=thing(None, "a posterior"),
            found=thing(None, "windows").says("found", "posterior"),
            alpha=fraction(0.1).says("alpha", "posterior"),
            any_rise=taken(False),
        ),
        Row(
            p + "GaussianMixtureModel",
            lambda **given: GaussianMixtureModel(**given),
            {
                "num_components": whole(2, 2),
                "covariance": choice("full"),
                "location": thing((0.0,), "a location").optional(),
                "scale": thing((1.0,), "scales").optional(),
                "spread": positive(1.5),
                "width": positive(2.0),
                "width_sd": positive(0.75),
                "concentration": positive(2.0),
            },
        ),
        Row(
            p + "NumPyroPopulation",
            lambda **given: NumPyroPopulation(**given),
            {
                "model": function(_model),
                "site": text("z").optional(),
                "observed": text("x").optional(),
                "params": thing(None, "parameters").optional().but("a mapping"),
                "posterior_samples": thing(None, "samples").optional().but("a mapping"),
                "args": taken(()),
                "kwargs": taken(None),
                "names": names(("a", "b")),
                "prior_draws": whole(8),
                "draws": whole(8, 2).optional(),
                "seed": whole(0, 0),
            },
        ),
    ]


def _model():
    import numpyro
    import numpyro.distributions as dist

    z = numpyro.sample("z", dist.Bernoulli(0.5))
    numpyro.sample("x", dist.Normal(2.0 * z, 1.0))


def rows() -> list[Row]:
    """Return all rows of this file."""
    return [*networks(), *posteriors()]


__all__ = ["OU", "jax", "real", "rows"]
