"""Networks, losses, weights on disk and training: shapes, what the losses' minima are, resumption to the same bits."""

from __future__ import annotations

import functools
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import sloc
from sloc import nn
from sloc.contracts import InvalidInput
from sloc.processes import Masking, OrnsteinUhlenbeck
from sloc.samplers import ancestral, masked_ancestral

OU = OrnsteinUhlenbeck()
DENOISERS = {
    "mlp": functools.partial(nn.MLPDenoiser, width=32, depth=1),
    "unet": functools.partial(nn.UNet, base=8),
    "dit": functools.partial(nn.DiT, width=16, depth=1, heads=2),
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("mlp", jnp.float32),
        *(pytest.param(n, jnp.bfloat16, marks=pytest.mark.slow) for n in DENOISERS),
        *(pytest.param(n, jnp.float32, marks=pytest.mark.slow) for n in ("unet", "dit")),
    ],
)
def test_denoisers_serve_as_models(name, dtype):
    model = DENOISERS[name]((4, 4), 3, dtype=dtype, rngs=nnx.Rngs(0))
    y, log_snr = jnp.ones((2, 4, 4)), jnp.asarray([1.0, -3.0])
    out = model(y, log_snr, jnp.asarray([0, 3]))
    assert out.shape == (2, 4, 4)
    assert out.dtype == jnp.float32
    # The last layer starts at zero.
    assert float(jnp.abs(out).max()) == 0.0
    learned = nn.as_diffusion(model, OU, label=1)
    learned.validate()
    assert learned.canonical().predict(y[0], jnp.float32(1.0)).x.shape == (4, 4)


def test_other_weights_do_not_recompile():
    made = [nn.as_diffusion(nn.MLPDenoiser((2,), width=8, depth=1, rngs=nnx.Rngs(i)), OU).canonical() for i in (0, 1)]
    assert jax.tree.structure(made[0]) == jax.tree.structure(made[1])
    predict = jax.jit(lambda model, y, t: model.predict(y, t).x)
    for model in made:
        predict(model, jnp.ones(2), jnp.float32(1.0))
    assert predict._cache_size() == 1


def test_shapes_that_no_network_takes_are_refused():
    with pytest.raises(InvalidInput, match=r"shape = \(4,\): expected an image"):
        nn.UNet((4,), rngs=nnx.Rngs(0))
    with pytest.raises(InvalidInput, match="divisible by 4"):
        nn.UNet((6, 8), levels=3, rngs=nnx.Rngs(0))
    with pytest.raises(InvalidInput, match="patch = 3"):
        nn.DiT((8, 8), patch=3, rngs=nnx.Rngs(0))


def test_weights_come_back_and_others_are_named(tmp_path):
    first, other = (nn.MLPDenoiser((3,), width=8, depth=1, rngs=nnx.Rngs(i)) for i in (0, 1))
    path = nn.save_weights(tmp_path / "w.safetensors", first, note="kept")
    again = nn.load_weights(path, other)
    for a, b in zip(jax.tree.leaves(nnx.state(first)), jax.tree.leaves(nnx.state(again)), strict=True):
        np.testing.assert_array_equal(a, b)
    wider = nn.MLPDenoiser((3,), width=16, depth=1, rngs=nnx.Rngs(0))
    with pytest.raises(InvalidInput, match=r"of another shape: .*condition\.first\.bias \[8\], not \[16\]"):
        nn.load_weights(path, wider)
    deeper = nn.MLPDenoiser((3,), width=8, depth=2, rngs=nnx.Rngs(0))
    with pytest.raises(InvalidInput, match=r"missing: layers\.1\.bias"):
        nn.load_weights(path, deeper)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_before_they_draw(tmp_path, value):
    model = nn.MLPDenoiser((3,), width=8, depth=1, rngs=nnx.Rngs(0))
    broken = jax.tree.map(lambda v: v.at[..., 0].set(value), nnx.state(model, nnx.Param))
    path = nn.save_weights(tmp_path / "w.safetensors", nnx.merge(nnx.graphdef(model), broken))
    with pytest.raises(InvalidInput, match=r"w\.safetensors.*finite; NaN or infinite in: condition\.first\.bias"):
        nn.load_weights(path, model)


def test_pickles_and_other_files_are_refused(tmp_path):
    model = nn.MLPDenoiser((3,), width=8, depth=1, rngs=nnx.Rngs(0))
    file = tmp_path / "w.pkl"
    file.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InvalidInput, match="this file is pickled, and reading one can run any code"):
        nn.load_weights(file, model)
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(InvalidInput, match="expected a safetensors file"):
        nn.load_weights(file, model)
    with pytest.raises(InvalidInput, match="a safetensors file that exists"):
        nn.load_weights(tmp_path / "no", model)


def test_a_run_that_is_cut_off_goes_on_to_the_same_bits(tmp_path):
    x = jax.random.normal(jax.random.key(0), (64, 2))
    loss = functools.partial(nn.denoising_loss, schedule=OU)

    def run(checkpoint=None, progress=None):
        model = nn.MLPDenoiser((2,), width=8, depth=1, rngs=nnx.Rngs(0))
        return nn.fit(
            jax.random.key(1),
            model,
            loss,
            (x, None),
            steps=75,
            batch=16,
            checkpoint=checkpoint,
            every=0.0,
            progress=progress,
        )

    def stop(done, steps, value):
        if done >= 50:
            raise KeyboardInterrupt

    whole, place = run(), tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(place, stop)
    resumed = run(place)
    assert np.isnan(resumed.losses[:50]).all()
    np.testing.assert_array_equal(resumed.losses[50:], whole.losses[50:])
    for a, b in zip(jax.tree.leaves(nnx.state(whole.model)), jax.tree.leaves(nnx.state(resumed.model)), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(InvalidInput, match="state of a run of 10 steps"):
        nn.fit(jax.random.key(1), whole.model, loss, (x, None), steps=10, checkpoint=place)


def test_a_loss_that_is_not_a_number_names_its_step():
    model = nn.MLPDenoiser((2,), width=8, depth=1, rngs=nnx.Rngs(0))
    with pytest.raises(FloatingPointError, match="the loss of step 0 is not a number"):
        nn.fit(jax.random.key(0), model, lambda m, k, x: jnp.nan * m(x, x[:, 0]).sum(), (jnp.ones((8, 2)),), steps=2)
    with pytest.raises(InvalidInput, match="common leading axis"):
        nn.fit(jax.random.key(0), model, nn.denoising_loss, (jnp.ones((8, 2)), jnp.ones(7)), steps=2)


def test_labels_outside_the_classes_are_refused():
    model = nn.MLPDenoiser((2,), 2, width=8, depth=1, rngs=nnx.Rngs(0))
    loss = functools.partial(nn.denoising_loss, schedule=OU)
    x = jnp.ones((3, 2))
    with pytest.raises(InvalidInput, match=r"labels = \[2\]: expected labels of the model, whole numbers from 0 to 1"):
        nn.fit(jax.random.key(0), model, loss, (x, jnp.asarray([0, 1, 2])), steps=1)
    with pytest.raises(InvalidInput, match="label = 2: expected a label of the model"):
        nn.as_diffusion(model, OU).conditioned(2)
    classifier = nn.NoiseClassifier((2,), 2, width=8, depth=1, rngs=nnx.Rngs(0))
    with pytest.raises(InvalidInput, match=r"labels = \[-1\]"):
        nn.calibrate(jax.random.key(0), classifier, OU, np.ones((4, 2)), np.array([0, 1, -1, 0]))
    with pytest.raises(InvalidInput, match="at least 4"):
        nn.calibrate(jax.random.key(0), classifier, OU, np.ones((3, 2)), np.array([0, 1, 0]))
    with pytest.raises(InvalidInput, match=r"temperature = 0\.0"):
        nn.as_posterior(classifier, OU, 0.0)


class Overconfident(nnx.Module):
    """The exact posterior of two points, its logits multiplied."""

    num_classes = 2

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, y, log_snr):
        # log p(+1) - log p(-1) = 2 a y / sigma^2.
        snr = jnp.exp(log_snr)
        a, variance = jnp.sqrt(snr / (1 + snr)), 1 / (1 + snr)
        margin = self.factor * a * y[:, 0] / variance
        return jnp.stack([margin, -margin], axis=1)


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_calibration_finds_by_how_much_a_classifier_is_too_sure(factor):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2_000)
    x = np.where(labels[:, None] == 0, 1.0, -1.0).astype(np.float32)
    model = Overconfident(factor)
    found = nn.calibrate(jax.random.key(0), model, OU, x, labels, repeats=32)
    # 32,000 noised copies: the temperature's standard error is below 1 %, the reliability error's noise below 0.5 %.
    assert found.temperature == pytest.approx(factor, rel=0.06)
    assert found.reliability_error[1] < 0.01
    assert found.examples == (1_000, 1_000)
    if factor > 1:
        assert found.reliability_error[0] > 0.02
        assert found.nats[1] < found.nats[0] - 0.01
    posterior = nn.as_posterior(model, OU, found.temperature)
    t, y = 0.7, 0.4
    a, sigma = OU.coefficients(t)
    want = 1 / (1 + np.exp(-2 * a * y / sigma**2))
    assert float(jnp.exp(posterior(jnp.asarray([y]), jnp.float32(t))[0])) == pytest.approx(want, rel=0.03)


@pytest.mark.slow
def test_a_denoiser_learns_two_points():
    points = np.array([[1.0, 1.0], [-1.0, -1.0]], np.float32)
    model = nn.MLPDenoiser((2,), 2, width=64, depth=2, rngs=nnx.Rngs(0))
    loss = functools.partial(nn.denoising_loss, schedule=OU)
    fitted = nn.fit(jax.random.key(0), model, loss, (points, np.array([0, 1])), steps=600, batch=128, average=0.99)
    assert fitted.losses[-50:].mean() < 0.6 * fitted.losses[:10].mean()
    learned = nn.as_diffusion(fitted.model, OU)
    for label in (0, 1):
        own = learned.conditioned(label)
        x = sloc.localize(jax.random.key(1), OU, own, grid=own.grid(32, 0.05), n=256, localizer=ancestral(own))
        assert (np.sign(x) == np.sign(points[label])).mean() > 0.98
        assert np.abs(x.mean(0) - points[label]).max() < 0.15


@pytest.mark.slow
def test_a_masked_transformer_learns_which_letters_go_together():
    words = np.array([[0, 0, 1, 1], [1, 1, 0, 0], [2, 2, 2, 2]], np.int32)
    model = nn.MaskedTransformer(4, 3, width=32, depth=1, heads=2, rngs=nnx.Rngs(0))
    fitted = nn.fit(jax.random.key(0), model, nn.masked_loss, (words,), steps=400, batch=64, average=0.99)
    # The entropy of the words is log 3, and the loss bounds it from above.
    assert 0.9 * np.log(3) < fitted.losses[-100:].mean() < 2.0
    learned = nn.as_masked(fitted.model)
    x = sloc.localize(
        jax.random.key(1), Masking(), learned, grid=np.linspace(0, 1, 33), n=512, localizer=masked_ancestral(learned)
    )
    known = (x[:, None, :] == words[None]).all(axis=2).any(axis=1)
    # By chance 3 of 81 words are.
    assert known.mean() > 0.5


class Constant:
    """Equal laws of two letters for every token, whatever is seen."""

    vocabulary = 2

    def __call__(self, tokens):
        return jnp.zeros((*tokens.shape, 2))


class ExactPair:
    """The exact laws of two letters that agree nine times in ten."""

    vocabulary = 2

    def __call__(self, tokens):
        other = tokens[:, ::-1, None]
        agree = jnp.where(other == jnp.arange(2), jnp.log(0.9), jnp.log(0.1))
        return jnp.where(other < 2, agree, jnp.log(0.5))


def test_the_masked_loss_is_the_bound_on_nats():
    x = jnp.zeros((7, 5), jnp.int32)
    # As many tokens weigh L / k as are hidden, k: nothing is left to chance.
    for seed in range(3):
        assert float(nn.masked_loss(Constant(), jax.random.key(seed), x)) == pytest.approx(5 * np.log(2), rel=1e-5)
    pairs = np.random.default_rng(0).permutation([[0, 0], [1, 1]] * 9_000 + [[0, 1], [1, 0]] * 1_000)
    # Of the exact laws the bound is the entropy, 1.02.  A sequence's loss has a standard deviation of 1.0, the mean of
    # these 0.007, of which 0.05 is seven; without the weights L / k it would be 0.86.
    entropy = np.log(2) - 0.9 * np.log(0.9) - 0.1 * np.log(0.1)
    found = float(nn.masked_loss(ExactPair(), jax.random.key(0), jnp.asarray(pairs)))
    assert found == pytest.approx(entropy, abs=0.05)


def test_tokens_are_told_apart_by_their_places():
    for sides in ((64,), (8, 8), (2, 3, 4)):
        model = nn.MaskedTransformer(math.prod(sides), 2, sides=sides, width=48, depth=1, rngs=nnx.Rngs(0))
        told = np.asarray(model.places[...])
        # As large as the letters, whose entries have variance one.
        assert (told**2).mean() == pytest.approx(1.0, rel=1e-5)
        gaps = ((told[:, None] - told[None]) ** 2).mean(2) + 2 * np.eye(len(told))
        assert gaps.min() > 0.05
    with pytest.raises(InvalidInput, match=r"sides = \(8, 7\): expected sides of a grid of 64 tokens"):
        nn.MaskedTransformer(64, 2, sides=(8, 7), rngs=nnx.Rngs(0))


@pytest.mark.slow
def test_a_masked_transformer_learns_which_places_go_together():
    half = jax.random.randint(jax.random.key(2), (512, 8), 0, 2)
    words = jnp.concatenate([half, half], axis=1)
    model = nn.MaskedTransformer(16, 2, width=32, depth=1, heads=2, rngs=nnx.Rngs(0))
    fitted = nn.fit(jax.random.key(0), model, nn.masked_loss, (words,), steps=300, batch=64, rate=4e-3, average=0.9)
    # Letters alone cost 16 log 2 = 11.1 nats, the words 8 log 2 = 5.5.
    assert fitted.losses[-50:].mean() < 7.0


@pytest.mark.slow
def test_a_classifier_learns_the_posterior_of_two_points():
    points = np.array([[1.0], [-1.0]], np.float32)
    model = nn.NoiseClassifier((1,), 2, width=32, depth=1, rngs=nnx.Rngs(0))
    loss = functools.partial(nn.classification_loss, schedule=OU)
    fitted = nn.fit(jax.random.key(0), model, loss, (points, np.array([0, 1])), steps=600, batch=128, average=0.99)
    posterior = nn.as_posterior(fitted.model, OU)
    t, y = 0.7, np.linspace(-1.5, 1.5, 7).astype(np.float32)
    a, sigma = OU.coefficients(t)
    want = 1 / (1 + np.exp(-2 * a * y / sigma**2))
    found = np.exp([posterior(jnp.asarray([v]), jnp.float32(t))[0] for v in y])
    np.testing.assert_allclose(found, want, atol=0.12)
