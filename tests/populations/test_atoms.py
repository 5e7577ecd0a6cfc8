"""Class sums over labelled atoms in tiles: against their definition in float64, in memory, and lowered.

Nothing here is random beyond fixed draws: errors are those of rounding.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logsumexp

import sloc
from sloc.populations import Empirical, atoms, atoms_pallas, empirical
from sloc.processes import OrnsteinUhlenbeck

OU = OrnsteinUhlenbeck()
COUNTS = (100, 17, 43)
RATES = np.array([0.0, 1e-4, 0.03, 0.5, 2.0, 40.0], np.float32)


def problem(counts=COUNTS, d=5, batch=30, offset=0.0, seed=0):
    """Return data sorted by class (one atom stands twice), drawn atoms and noise, in float32."""
    rng = np.random.default_rng(seed)
    data = (rng.normal(size=(sum(counts), d)) + offset).astype(np.float32)
    data[-1] = data[0]
    return data, rng.integers(0, sum(counts), batch).astype(np.int32), rng.normal(size=(batch, d)).astype(np.float32)


def definition(data, counts, index, z, rates):
    """The sums from differences in float64, ``[T, K, B]``."""
    data, z, rates = (np.asarray(v, np.float64) for v in (data, z, rates))
    gap = data[index][None] - data[:, None]
    square, cross = np.sum(gap**2, axis=2), np.sum(gap * z[None], axis=2)
    logs = -0.5 * rates[:, None, None] ** 2 * square - rates[:, None, None] * cross
    parts = np.split(logs, np.cumsum(counts)[:-1], axis=1)
    return np.stack([logsumexp(p, axis=1) - np.log(p.shape[1]) for p in parts], axis=1)


@functools.partial(jax.jit, static_argnames=("counts", "kernel"))
def sums(data, counts, index, z, rates, kernel="xla"):
    return atoms.class_log_sums(data, empirical._fingerprints(data), counts, index, z, rates, kernel=kernel)


def small_tiles(monkeypatch, **sizes):
    small = atoms.Sizes(**{"atoms": 8, "tile": 64, "step": 1024, "strip": 1024, "lanes": 8, **sizes})
    monkeypatch.setitem(atoms.SIZES, jax.default_backend(), small)
    jax.clear_caches()


@pytest.mark.parametrize("height", [8, 32, None])
def test_tiles_of_any_size_give_the_definition(monkeypatch, height):
    # 8: classes of many tiles, whose sums are merged, and strips with a smaller rest; None: a tile a class.
    if height is not None:
        small_tiles(monkeypatch, atoms=height)
    data, index, z = problem(batch=150)
    found = np.asarray(sums(data, COUNTS, index, z, RATES))
    exact = definition(data, COUNTS, index, z, RATES)
    assert found.shape == exact.shape
    np.testing.assert_allclose(found, exact, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(found[0], 0.0, atol=1e-6)


@pytest.mark.parametrize(
    "rates",
    [
        np.geomspace(40, 0.01, 48),
        np.linspace(3, 1, 16),
        np.full(9, 2.0),
        np.geomspace(0.01, 40, 20),
        np.random.default_rng(0).permutation(np.geomspace(40, 0.01, 48)),
    ],
)
def test_many_rates_at_once_give_the_definition(rates):
    # Rates between their knots are taken relative to chords, those in no order each relative to its maximum.
    data, index, z = problem(counts=(300, 117, 243), batch=60)
    rates = rates.astype(np.float32)
    found = np.asarray(sums(data, (300, 117, 243), index, z, rates))
    exact = definition(data, (300, 117, 243), index, z, rates)
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("d", [4, 784])
def test_classes_of_one_atom_or_of_copies(d):
    # Their mean is the atom itself up to rounding, which high rates must not take for exact.
    rng, counts = np.random.default_rng(4), (1, 40, 300)
    data = rng.normal(size=(341, d)).astype(np.float32)
    data[1:41] = data[1]
    data -= data.mean(axis=0)
    index, z = rng.integers(0, 341, 60).astype(np.int32), rng.normal(size=(60, d)).astype(np.float32)
    index[:2] = [0, 1]
    rates = np.geomspace(400.0, 1e-2, 64).astype(np.float32)
    found, exact = np.asarray(sums(data, counts, index, z, rates)), definition(data, counts, index, z, rates)
    size, noise = np.linalg.norm(data, axis=1).max(), np.linalg.norm(z, axis=1).max()
    allowed = 1e-6 * (2 * rates**2 * size**2 + 2 * rates * noise * size) + 1e-5
    assert (np.abs(found - exact) <= allowed[:, None, None] + 1e-6 * np.abs(exact)).all()


@pytest.mark.parametrize("far", [20.0, 60.0, 300.0])
def test_one_atom_far_from_its_class_is_seen_by_low_rates(far):
    # By the mean square distance such classes seem narrow; a sum that no number holds must not pass for a small one.
    rng, counts = np.random.default_rng(3), (200, 130)
    data = rng.normal(size=(330, 4)).astype(np.float32) * 0.05
    data[[7, 250]] += np.float32(far)
    data -= data.mean(axis=0)
    index, z = rng.integers(0, 330, 90).astype(np.int32), rng.normal(size=(90, 4)).astype(np.float32)
    index[:2] = [7, 250]
    rates = np.geomspace(3.0, 1e-3, 64).astype(np.float32)
    found = np.asarray(sums(data, counts, index, z, rates))
    exact = definition(data, counts, index, z, rates)
    # What ``class_log_sums`` states: rounding of inner products, in proportion to the largest.
    size, noise = np.linalg.norm(data, axis=1).max(), np.linalg.norm(z, axis=1).max()
    allowed = 1e-6 * (2 * rates**2 * size**2 + 2 * rates * noise * size) + 1e-5
    assert (np.abs(found - exact) <= allowed[:, None, None] + 1e-6 * np.abs(exact)).all()


def test_a_chunk_of_rates_needs_one_maximum_where_exponents_are_few(monkeypatch):
    # With the slower way switched off, rates at which it is not needed come out the same.
    data, index, z = problem(counts=(300, 117, 243), batch=60)
    rates = np.geomspace(4, 0.01, 64).astype(np.float32)
    monkeypatch.setattr(atoms, "_lse", lambda x: jnp.full((x.shape[0], x.shape[1], x.shape[3]), jnp.nan))
    jax.clear_caches()
    found = np.asarray(sums(data, (300, 117, 243), index, z, rates))
    jax.clear_caches()
    np.testing.assert_allclose(found, definition(data, (300, 117, 243), index, z, rates), rtol=1e-5, atol=1e-5)


def test_an_atom_and_its_copy_are_at_distance_zero():
    data, _, z = problem()
    index = np.array([0, len(data) - 1], np.int32)
    found = np.asarray(sums(data, COUNTS, index, z[:2], np.float32([1e6])))
    # At this rate nothing else is left: the log of one atom's share, exactly, in both classes that hold it.
    np.testing.assert_allclose(found[0, [0, 2]], -np.log([[100.0] * 2, [43.0] * 2]), rtol=1e-6)
    # Far exponents are of size 1e11, where rounding alone is beyond what an exponential can hold.
    np.testing.assert_allclose(found, definition(data, COUNTS, index, z[:2], np.float32([1e6])), rtol=1e-5)


@pytest.mark.parametrize("counts", [(5, 1, 300), (8, 8), (183, 174, 178), (1,) * 40 + (2000,)])
@pytest.mark.parametrize("powers", [False, True])
def test_tiles_hold_each_atom_once_and_one_class_each(counts, powers):
    tiles = atoms.cut(counts, 256, powers)
    np.testing.assert_array_equal(tiles.rows[tiles.valid], np.arange(sum(counts)))
    assert tiles.valid.any(axis=1).all()
    owners = np.repeat(np.arange(len(counts)), counts)
    assert (owners[tiles.rows] == tiles.classes[:, None]).all()
    height = tiles.rows.shape[1]
    assert height <= 256
    assert height & (height - 1) == 0 if powers else height % 8 == 0


def test_few_places_are_wasted_on_large_classes():
    for counts in ((1000,) * 10, (6742, 5923, 5958, 6131, 5842), (178, 182, 177, 183)):
        assert atoms.cut(counts, 256).valid.mean() > 0.96


# --- accuracy of float32 ------------------------------------------------------------------------------


def test_float32_keeps_its_digits_far_from_the_origin():
    """Stated in ``class_log_sums``: d = 3072 at offset 100, after centring, against float64 on the same numbers."""
    counts = (40, 30)
    data, index, z = problem(counts, d=3072, batch=24, offset=100.0)
    data[:40] += 0.02
    population = Empirical(data, np.repeat([0, 1], counts))
    centred = np.asarray(empirical.centre_atoms(OU, population)[1].data)
    rates = np.geomspace(1e-3, 1.0, 8).astype(np.float32)
    found = np.asarray(sums(centred, counts, index, z, rates), np.float64)
    exact = definition(data, counts, index, z, rates)
    gap, truth = found[:, 0] - found[:, 1], exact[:, 0] - exact[:, 1]
    x = np.linalg.norm(centred, axis=1).max()
    bound = 1e-6 * (rates**2 * 2 * x**2 + rates * np.linalg.norm(z, axis=1).max() * 2 * x)
    assert (np.abs(gap - truth).max(axis=1) <= bound + 1e-5).all()
    # Class posteriors, the numbers that everything else is made of.
    posterior, expected = (expit(v) for v in (gap, truth))
    assert np.abs(posterior - expected).max() < 2e-4
    # Without centring the same algebra is lost.
    raw = np.asarray(sums(data, counts, index, z, rates), np.float64)
    assert np.abs(raw[-1, 0] - raw[-1, 1] - truth[-1]).max() > 100 * np.abs(gap[-1] - truth[-1]).max()


# --- memory, derivatives --------------------------------------------------------------------------------


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="tiles of other platforms are larger")
def test_nothing_of_size_draws_by_atoms_by_times_is_held():
    n, d, batch, times = 200_000, 16, 1024, 64
    shape = functools.partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    index = jax.ShapeDtypeStruct((batch,), jnp.int32)
    compiled = sums.lower(shape((n, d)), (n // 2, n // 2), index, shape((batch, d)), shape((times,))).compile()
    held = compiled.memory_analysis().temp_size_in_bytes
    # A strip, a tile and the answer; one product of all atoms and draws alone would be 800 MB, all times 52 GB.
    assert held < 64e6


def test_derivatives_in_the_rates_are_finite():
    data, index, z = problem()
    f = functools.partial(sums, data, COUNTS, index, z)
    step = np.float32(1e-2)
    _, found = jax.jvp(f, (jnp.asarray(RATES),), (jnp.ones_like(RATES),))
    exact = (definition(data, COUNTS, index, z, RATES + step) - definition(data, COUNTS, index, z, RATES - step)) / (
        2 * step
    )
    np.testing.assert_allclose(found[1:5], exact[1:5], rtol=0.02, atol=0.02)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    "rates", [[0.5, 1.0, 2.0, 40.0], [40.0, 2.0, 1.0, 0.5], np.geomspace(40, 0.01, 48), np.geomspace(40, 1.0, 48)]
)
def test_derivatives_of_many_at_once_are_finite(rates):
    # Under vmap both ways of a chunk are evaluated; the one that is not taken must not spoil the other's derivative.
    data, index, z = problem()

    def total(scale):
        return jnp.sum(sums(data, COUNTS, index, z, scale * jnp.asarray(rates, jnp.float32)))

    scales = jnp.asarray([1.0, 2.0], jnp.float32)
    found = jax.vmap(jax.grad(total))(scales)
    np.testing.assert_allclose(found, jnp.stack([jax.grad(total)(s) for s in scales]), rtol=1e-4)
    assert np.isfinite(found).all()


# --- the kernel written by hand ----------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [COUNTS, (300, 16)])
def test_the_pallas_kernel_agrees_with_the_xla_path(counts):
    data, index, z = problem(counts)
    reference = sums(data, counts, index, z, RATES)
    found = sums(data, counts, index, z, RATES, kernel="interpret")
    np.testing.assert_allclose(found, reference, rtol=2e-5, atol=2e-5)


def test_on_a_cpu_the_kernel_falls_back_and_curves_are_the_same():
    data, index, z = problem()
    if jax.default_backend() == "cpu":
        both = (sums(data, COUNTS, index, z, RATES, kernel=k) for k in ("xla", "pallas"))
        np.testing.assert_allclose(*both, rtol=2e-5, atol=2e-5)
    population = Empirical(data, np.repeat([0, 1, 2], COUNTS), kernel="pallas")
    leaves, structure = jax.tree.flatten(population)
    assert jax.tree.unflatten(structure, leaves).kernel == population.canonical().kernel == "pallas"
    assert empirical.centre_atoms(OU, population)[1].kernel == "pallas"
    assert structure != jax.tree.structure(Empirical(data, np.repeat([0, 1, 2], COUNTS)))


def test_unknown_kernels_are_refused():
    with pytest.raises(sloc.InvalidInput, match=r"kernel = 'cuda': expected xla or pallas"):
        Empirical([[0.0], [1.0]], kernel="cuda")


def operands():
    shapes = [(2, 64, 256), (2, 64, 256), (6,)]
    return [jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes]


def test_the_pallas_kernel_lowers_for_gpus():
    call = jax.jit(functools.partial(atoms_pallas.tile_log_sums, platform="cuda"))
    target = "__gpu$xla.gpu.triton"
    # The target has no promise of stability between versions, which an export would otherwise insist on.
    allowed = [jax.export.DisabledSafetyCheck.custom_call(target)]
    exported = jax.export.export(call, platforms=("cuda",), disabled_checks=allowed)(*operands())
    assert target in exported.mlir_module()


def test_the_pallas_kernel_lowers_for_tpus():
    call = jax.jit(functools.partial(atoms_pallas.tile_log_sums, platform="tpu"))
    # Lowering asks which TPU, which a machine without one must be told.
    told: dict[str, Any] = {"device_kind": "TPU v5 lite", "num_cores": 1, "platform": "tpu"}
    known = inspect.signature(jax.sharding.AbstractDevice).parameters  # the least jax asks for no platform
    device = jax.sharding.AbstractDevice(**{k: v for k, v in told.items() if k in known})
    with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((1,), ("x",), abstract_device=device)):
        exported = jax.export.export(call, platforms=("tpu",))(*operands())
    assert "tpu_custom_call" in exported.mlir_module()


def test_the_xla_path_lowers_for_every_platform():
    data, index, z = problem()
    call = jax.jit(lambda *a: sums(a[0], COUNTS, *a[1:]))
    platforms = ("cpu", "cuda", "tpu")
    assert jax.export.export(call, platforms=platforms)(data, index, z, RATES).platforms == platforms


def test_sizes_are_positive():
    assert all(min(dataclasses.astuple(s)) > 0 and s.atoms & (s.atoms - 1) == 0 for s in atoms.SIZES.values())
