"""Plans: what is refused, meshes of one's own, precision, memory, values that are not numbers, replays."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

import sloc
from sloc.contracts import InvalidInput
from sloc.engine import NotANumber, OutOfMemory, Replayed
from sloc.engine.collecting import collect
from sloc.engine.faults import memory_advice
from sloc.engine.plan import as_plan, layout_of
from sloc.engine.streaming import stream, tally

KEY = jax.random.key(4)


@dataclass(frozen=True)
class Uniforms:
    """Draws ``[2, 1024]``; NaN in block ``broken`` and after it."""

    broken: int = 1 << 30

    def setup(self, args):
        return args

    def __call__(self, state, key):
        u = jax.random.uniform(key, (2, 1024))
        # A block is told by its key, as a user's kernel would meet it: by what it draws.
        data = jax.random.key_data(key)
        bad = jnp.any(jnp.stack([jnp.all(data == jax.random.key_data(jax.random.fold_in(KEY, b))) for b in state]))
        return jnp.where(bad, jnp.nan, u)


BROKEN = jnp.asarray([5, 9], jnp.int32)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"devices": "abacus"}, "devices = 'abacus': expected a kind of device that is here: cpu"),
        *(
            pytest.param({"devices": kind}, f"devices = {kind!r}: expected a kind of device that is here: cpu", id=kind)
            for kind in ("gpu", "cuda", "tpu")
            if jax.default_backend() == "cpu"
        ),
        ({"devices": 10_000}, "devices = 10000: expected 1 to"),
        ({"devices": []}, "devices = []: expected at least one device"),
        ({"devices": [1]}, "at least one device"),
        ({"block": 1000}, "block = 1000: expected None or a multiple of 1,024"),
        ({"block": -1024}, "block = -1024"),
        ({"axis": "x"}, "axis = 'x': expected None without mesh="),
        ({"mesh": 3}, "mesh = 3"),
        ({"precision": "exact"}, "precision = 'exact'"),
        ({"every": -1}, "every = -1"),
        ({"chunk": float("nan")}, "chunk = nan"),
        ({"progress": 3}, "progress = 3"),
        ({"replay": 3}, "replay = 3"),
        ({"checkpoint": 3}, "checkpoint = 3"),
        ({"checkpoint": __file__}, "this is a file"),
    ],
)
def test_what_cannot_be_followed_is_refused(given, words):
    with pytest.raises(InvalidInput) as caught:
        layout_of(sloc.Plan(**given))
    assert words in str(caught.value)


def test_only_plans_are_plans():
    with pytest.raises(InvalidInput, match=r"plan = 3: expected a sloc\.Plan or None"):
        as_plan(3)


def test_axes_of_a_mesh_of_ones_own():
    mesh = Mesh(np.asarray(jax.devices()[:1]).reshape(1, 1), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    with pytest.raises(InvalidInput, match="axis = None: expected one axis of the mesh: data, model"):
        sloc.Plan(mesh=mesh)
    with pytest.raises(InvalidInput, match="axis = 'rows'"):
        sloc.Plan(mesh=mesh, axis="rows")
    with pytest.raises(InvalidInput, match="devices = 1: expected None beside mesh="):
        sloc.Plan(mesh=mesh, axis="data", devices=1)
    plan = sloc.Plan(mesh=mesh, axis="data")
    assert layout_of(plan).size == 1
    args = jnp.asarray([-1], jnp.int32)
    ours, plain = (stream(Uniforms(), args, KEY, 5, plan=p) for p in (plan, None))
    np.testing.assert_array_equal(ours.mean, plain.mean)


def test_precision_is_that_of_kernels_that_ask_for_none():
    @dataclass(frozen=True)
    class Product:
        def setup(self, args):
            return args

        def __call__(self, state, key):
            text = str(jax.make_jaxpr(jnp.matmul)(state, state))
            seen.append("HIGHEST" in text)
            return jax.random.uniform(key, (1, 8))

    seen = []
    stream(Product(), jnp.eye(2), KEY, 2, plan=sloc.Plan(precision="highest"))
    assert any(seen)
    seen.clear()
    stream(Product(), jnp.eye(2), KEY, 2, plan=sloc.Plan())
    assert not any(seen)


@pytest.mark.parametrize("run", [stream, tally])
@pytest.mark.parametrize("watched", [False, True])
def test_the_block_with_a_nan_is_named_and_can_be_replayed(run, watched):
    plan = sloc.Plan(progress=(lambda *_: None) if watched else None)
    with pytest.raises(NotANumber, match=r"block 5 of key .* returned NaN in 2,048 of 2,048 values") as caught:
        run(Uniforms(), BROKEN, KEY, 12, plan=plan)
    assert caught.value.block == 5
    with pytest.raises(Replayed) as found:
        run(Uniforms(), BROKEN, KEY, 12, plan=sloc.Plan(replay=(caught.value.stage, 5)))
    assert np.isnan(found.value.values).all()
    with pytest.raises(Replayed) as clean:
        run(Uniforms(), BROKEN, KEY, 12, plan=sloc.Plan(replay=(caught.value.stage, 4)))
    np.testing.assert_array_equal(
        clean.value.values, np.asarray(jax.random.uniform(jax.random.fold_in(KEY, 4), (2, 1024)))
    )


def test_a_block_is_named_by_its_own_number_in_a_continued_run():
    with pytest.raises(NotANumber, match="block 9 of key"):
        stream(Uniforms(), BROKEN, KEY, 5, first=7)


def test_a_run_of_another_name_is_not_replayed():
    found = stream(Uniforms(), jnp.asarray([-1], jnp.int32), KEY, 3, plan=sloc.Plan(replay=("0" * 16, 1)))
    assert int(found.count) == 3 * 1024


def test_collect_reports_progress_and_a_block_size_changes_no_draw():
    seen = []
    args = jnp.asarray([-1], jnp.int32)
    one = collect(Uniforms(), args, KEY, 5, n=5000, axis=1, plan=sloc.Plan(progress=lambda *a: seen.append(a)))
    other = collect(Uniforms(), args, KEY, 5, n=5000, axis=1, plan=sloc.Plan(block=3072))
    assert seen[-1] == (5, 5)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, collect(Uniforms(), args, KEY, 5, turns=3)[:, :5000])


def test_collected_values_report_progress_and_name_what_is_nan():
    seen = []
    collect(
        Uniforms(),
        jnp.asarray([-1], jnp.int32),
        KEY,
        20,
        3,
        turns=16,
        plan=sloc.Plan(progress=lambda *a: seen.append(a)),
    )
    assert seen == [(16, 20), (20, 20)]
    with pytest.raises(NotANumber, match="block 9 of key") as caught:
        collect(Uniforms(), BROKEN, KEY, 5, 7)
    with pytest.raises(sloc.engine.Replayed) as alone:
        collect(Uniforms(), BROKEN, KEY, 5, 7, plan=sloc.Plan(replay=(caught.value.stage, 9)))
    assert np.isnan(alone.value.values).all()
    with pytest.raises(sloc.InvalidInput, match="a block from 7 to 11"):
        collect(Uniforms(), BROKEN, KEY, 5, 7, plan=sloc.Plan(replay=(caught.value.stage, 2)))


@pytest.mark.parametrize("plan", [None, sloc.Plan(block=3072)])
def test_a_collected_draw_that_is_nan_names_its_block(plan):
    with pytest.raises(NotANumber, match=r"kernel Uniforms: block 5 of key .* NaN in 2,048 of 2,048 values") as caught:
        collect(Uniforms(), BROKEN, KEY, 12, n=12_000, axis=1, plan=plan)
    assert caught.value.block == 5
    with pytest.raises(Replayed) as found:
        collect(Uniforms(), BROKEN, KEY, 12, n=12_000, axis=1, plan=sloc.Plan(replay=(caught.value.stage, 5)))
    assert np.isnan(found.value.values).all()
    with pytest.raises(InvalidInput, match="a block from 0 to 11"):
        collect(Uniforms(), BROKEN, KEY, 12, n=12_000, axis=1, plan=sloc.Plan(replay=(caught.value.stage, 12)))
    # Draws that nobody asked for do not count: block 5 begins with draw 5,120.
    assert collect(Uniforms(), BROKEN, KEY, 5, n=5_120, axis=1, plan=plan).shape == (2, 5_120)


def test_draws_that_are_nan_are_never_kept(tmp_path):
    plan = sloc.Plan(checkpoint=tmp_path, every=0)
    with pytest.raises(NotANumber, match="block 5 of key"):
        collect(Uniforms(), BROKEN, KEY, 12, n=12_000, axis=1, plan=plan)
    # What came before it is: five blocks, from which the run would go on.
    done = collect(Uniforms(), BROKEN, KEY, 5, n=5_120, axis=1)
    with pytest.raises(NotANumber, match="block 5 of key"):
        collect(Uniforms(), BROKEN, KEY, 12, n=12_000, axis=1, plan=sloc.Plan(checkpoint=tmp_path, every=0))
    assert np.isfinite(done).all()


def test_memory_complaints_say_which_setting_to_lower():
    with pytest.raises(OutOfMemory, match="lower block= of the plan"), memory_advice(16):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes")
    with pytest.raises(OutOfMemory, match="fewer times"), memory_advice(1):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes")
    with pytest.raises(RuntimeError, match="something else"), memory_advice(16):
        raise RuntimeError("something else")


def test_a_step_too_large_for_this_machine_gives_advice():
    @dataclass(frozen=True)
    class Huge:
        def setup(self, args):
            return args

        def __call__(self, state, key):
            # Four terabytes, asked for at once: refused without being touched.
            return jnp.sort(state[:, None] * jax.random.uniform(key, (1, 1 << 20)), axis=0)[:1]

    with pytest.raises(OutOfMemory, match="does not fit"):
        jax.block_until_ready(stream(Huge(), jnp.ones(1 << 20), KEY, 1))
