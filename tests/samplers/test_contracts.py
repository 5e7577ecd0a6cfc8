"""What is missing is named, with what can be used instead; kernels lower for every platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import ContractError, InvalidInput
from sloc.engine.streaming import count_traces
from sloc.populations import GaussianMixture, MarkovChains
from sloc.processes import OrnsteinUhlenbeck, Truncation
from sloc.samplers import (
    clone_frequencies,
    euler_reverse,
    exact_localizer,
    label_frequencies,
    localization_statistics,
)
from sloc.samplers.exact import has_joint
from sloc.samplers.experiment_kernel import ExperimentKernel
from sloc.samplers.localization import LocalizeKernel, observation

MIXTURE = GaussianMixture([0.3, 0.7], [[0.0, 2.0], [1.5, -0.5]], 0.8)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NoBridge(sloc.ObservationProcess):
    """Sampling alone."""

    def sample(self, key, x, t):
        return x + t * jax.random.normal(key, x.shape)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NoPosterior(sloc.Population):
    """Sampling alone."""

    weights: Any

    @property
    def log_weights(self):
        return jnp.log(jnp.asarray(self.weights))

    def sample(self, key, component):
        return jax.random.normal(key, (2,))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OwnPosterior(GaussianMixture):
    """Replaces the draw of X and says nothing of its label."""

    def posterior_sample(self, key, process, y, t):
        return y


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OwnJoint(NoPosterior):
    """Says how X and its label are drawn together, and nothing else; under much noise, as before it."""

    def posterior_joint(self, key, process, y, t):
        label = jnp.asarray(1, jnp.int32)
        return label, jnp.full((2,), 7.0) + 0.0 * y


def test_who_draws_x_with_its_label_draws_x():
    own = OwnJoint([0.5, 0.5])
    drawn = sloc.localize(jax.random.key(0), OrnsteinUhlenbeck(), own, grid=[0.5, 1.0], n=8)
    assert np.allclose(drawn, 7.0)
    labels, x = sloc.forward_reverse(jax.random.key(0), OrnsteinUhlenbeck(), own, 0, 0.5, n=8)
    assert (np.asarray(labels) == 1).all()
    assert np.allclose(x, 7.0)
    with pytest.raises(ContractError, match=r"NoPosterior does not define posterior_joint\("):
        NoPosterior([0.5, 0.5]).posterior_joint(jax.random.key(0), OrnsteinUhlenbeck(), jnp.zeros(2), jnp.float32(1))


def test_missing_methods_are_named():
    with pytest.raises(ContractError, match=r"NoBridge does not define bridge\(key, y, x, s, t\).*forward_reverse"):
        exact_localizer(NoBridge(), MIXTURE)
    nothing = NoPosterior([0.5, 0.5])
    with pytest.raises(
        ContractError, match=r"NoPosterior does not define posterior_sample.*label_curve.*euler_reverse"
    ):
        exact_localizer(OrnsteinUhlenbeck(), nothing)
    with pytest.raises(ContractError, match="NoPosterior does not define posterior_sample"):
        sloc.forward_reverse(jax.random.key(0), OrnsteinUhlenbeck(), nothing, 0, 0.5, n=10)
    with pytest.raises(ContractError, match=r"GaussianMixture\.posterior_sample expects"):
        sloc.forward_reverse(jax.random.key(0), NoBridge(), MIXTURE, 0, 0.5, n=10, feature=lambda x: 0)
    with pytest.raises(ContractError, match=r"cannot be evaluated under process NoBridge.*feature="):
        sloc.forward_reverse(jax.random.key(0), NoBridge(), OwnPosterior(*MIXTURE_FIELDS), 0, 0.5, n=10)


MIXTURE_FIELDS = ([0.3, 0.7], [[0.0, 2.0], [1.5, -0.5]], 0.8)


def test_a_joint_draw_is_not_inherited_over_another_posterior():
    assert has_joint(MIXTURE)
    assert not has_joint(OwnPosterior(*MIXTURE_FIELDS))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"t": [0.5, 0.2]}, "t = .*strictly increasing"),
        ({"t": -1.0}, "t = -1.0: expected times that are not negative"),
        ({"init": "c"}, "init = 'c': expected one of the names"),
        ({"n": 1.5}, "n = 1.5: expected a whole number"),
        ({"clones": 0}, "clones = 0: expected a whole number"),
        ({"grid": [0.1]}, "grid = .*if, and only if, localizer="),
        ({"feature": "x"}, "feature = 'x': expected a function"),
        ({"feature": lambda x: x[0]}, "feature.x. = .*expected an integer label"),
        ({"feature": lambda x: x > 0}, "feature.x. = .*expected a scalar label"),
        ({"key": 3}, "key = 3: expected a typed PRNG key"),
    ],
)
def test_bad_input_is_refused(keywords, message):
    given = {"key": jax.random.key(0), "init": 0, "t": 0.5, "n": 10} | keywords
    with pytest.raises(InvalidInput, match=message):
        sloc.forward_reverse(given.pop("key"), OrnsteinUhlenbeck(), MIXTURE, given.pop("init"), given.pop("t"), **given)


@pytest.mark.parametrize("through", ["forward_reverse", "label_frequencies", "clone_frequencies"])
@pytest.mark.parametrize(
    ("feature", "message"),
    [
        (lambda x: int(x[0] > 0), "ConcretizationTypeError"),
        (lambda x: "left", "TypeError: Value 'left'|ValueError: invalid literal"),
        (lambda x: x[1, 2], "IndexError"),
        (lambda: 0, "TypeError: .*takes 0 positional arguments"),
    ],
)
def test_features_that_cannot_be_traced_are_refused(through, feature, message):
    runs = {"forward_reverse": sloc.forward_reverse, "label_frequencies": label_frequencies}
    run: Any = runs.get(through, clone_frequencies)
    given = {"init": 0, "t": 0.5, "n": 10, "feature": feature}
    given |= {"num_labels": 2} if through == "label_frequencies" else {}
    before = count_traces()
    with pytest.raises(InvalidInput, match=rf"feature = <function .*: expected a function x -> int .*({message})"):
        run(jax.random.key(0), OrnsteinUhlenbeck(), MIXTURE, **given)
    assert count_traces() == before


def test_labels_that_are_not_counted_are_refused():
    def feature(x):
        return 1 + (x[0] > 0.5).astype(jnp.int32)

    given = (jax.random.key(0), OrnsteinUhlenbeck(), MIXTURE, [0, 1], 0.3)
    with pytest.raises(
        InvalidInput, match=r"feature = .*labels 0 \.\. 1, as num_labels = 2 says; .* of 1,024 draws have"
    ):
        label_frequencies(*given, n=1024, feature=feature, num_labels=2)


@pytest.mark.parametrize(
    ("statistic", "message"),
    [
        (lambda y, t: "text", "TypeError"),
        (lambda y, t: float(y[0]), "ConcretizationTypeError"),
        (lambda y: y, "TypeError"),
        (lambda y, t: None, "it returned None"),
        (lambda y, t: jax.lax.complex(y, y), "it returned ShapeDtypeStruct.*complex64"),
    ],
)
def test_statistics_that_are_no_numbers_are_refused(statistic, message):
    before = count_traces()
    with pytest.raises(InvalidInput, match=rf"statistic = <function .*real numbers; .*{message}"):
        localization_statistics(jax.random.key(0), OrnsteinUhlenbeck(), MIXTURE, statistic, grid=3, n=10)
    assert count_traces() == before


CHAINS = MarkovChains(np.full((2, 2), 0.5), np.full((2, 2, 2), 0.5), 3)


@pytest.mark.parametrize("case", ["exact", "euler", "experiment"])
def test_kernels_lower_for_every_platform(case):
    ou, mixture = OrnsteinUhlenbeck(), MIXTURE.canonical()
    grid, slots = jnp.asarray([0.1, 0.5, 1.0]), jnp.asarray([0, -1, 1], jnp.int32)
    args: Any
    if case == "experiment":
        kernel: Any = ExperimentKernel(1, None, "frequencies", 2, 2)
        args = (Truncation(3), CHAINS.canonical(), jnp.log(jnp.array([0.5, 0.5])), jnp.arange(3), None, None)
    else:
        kernel = LocalizeKernel(observation, 2)
        args = ((exact_localizer if case == "exact" else euler_reverse)(ou, mixture), grid, slots)
    leaves, structure = jax.tree.flatten(args)

    def block(key_data, *leaves):
        return kernel(kernel.setup(jax.tree.unflatten(structure, leaves)), jax.random.wrap_key_data(key_data))

    exported = jax.export.export(jax.jit(block), platforms=("cpu", "cuda", "tpu"))(
        jax.random.key_data(jax.random.key(0)), *leaves
    )
    assert exported.platforms == ("cpu", "cuda", "tpu")
