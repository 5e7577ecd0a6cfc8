"""``check_process`` finds each deliberate error and names it; the same processes unbroken pass.

A broken process passes, and a test here fails by chance, with probability far below 1e-9: the errors
are many times what the draws resolve.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.contracts import InvalidInput, ObservationProcess
from sloc.processes import BinarySymmetric
from sloc.testing import ConformanceError, ConformanceReport, check_process
from sloc.testing.conformance import Trials
from sloc.testing.density_laws import check_density
from tests.testing import broken, ill_formed

BITS = np.asarray([[0, 1, 1, 0], [1, 1, 0, 0]], np.int32)
REAL = np.asarray([[0.0, 1.0, -1.0, 0.5], [0.2, 0.9, 1.0, -0.5]], np.float32)

LAWS = [
    (broken.LogProbTooSure(), BITS, r"LogProbTooSure.log_prob is not consistent with sample at t = .*: p = "),
    (broken.LogProbConstant(), BITS, r"log_prob is not consistent with sample"),
    (broken.LogProbIgnoresHalf(), REAL, r"log_prob is not consistent with sample"),
    (broken.LogProbInfinite(), BITS, r"log_prob (at t = .* is \[-inf\] for a draw|is not consistent with sample)"),
    (broken.DegradeTooStrong(), BITS, r"degrade\(0.\d+ -> 0.\d+\) is not consistent with sample\(0.\d+\): p = "),
    (broken.SharedFlip(), BITS, r"degrade\(.*\) is not consistent with sample"),
    (broken.BridgeForgetsY(), BITS, r"bridge\(.*\) is not consistent with sample\(.*\) followed by degrade: p = "),
    (broken.BridgeAlone(), REAL, r"bridge\(.*\) is not consistent with sample\(.*\): p = "),
    (broken.WrongCoefficients(), REAL, r"coefficients: .* is not consistent with sample"),
    (broken.WrongInverse(), REAL, r"time_of_log_snr does not invert coefficients"),
    (broken.GrowingSignal(), REAL, r"GrowingSignal: a / sigma does not decrease in t"),
    (broken.WrongCountLaw(), REAL, r"count_law .* is not consistent with sample"),
    (
        broken.WrongHiddenProbability(),
        REAL,
        r"WrongHiddenProbability\.hidden_probability is not consistent with sample at t = .*: claimed .*, seen .*: p",
    ),
    (broken.NoPrefix((1, 2, 0, 3)), REAL, r"NoPrefix\.reveals_prefix is True, and a pattern at t = .* is no prefix"),
    (broken.WrongMaskProb(), REAL, r"log_mask_prob\([01]+\) is not consistent with sample"),
    (broken.WrongThresholds(), REAL, r"thresholds: .* is not consistent with sample"),
    (
        broken.WrongMatrices(np.eye(4), 0.4 * np.eye(4) + 0.6),
        REAL,
        r"matrices: .* is not consistent with sample",
    ),
    (broken.WrongTransition(), BITS, r"transition\[.*\] is not consistent with sample"),
    (broken.NegativeChance(), BITS, r"NegativeChance\.transition\[.*\] at t = .* is not a probability: \["),
    (
        ill_formed.TransitionOf(lambda p: 0.9 * p),
        BITS,
        r"TransitionOf\.transition: rows do not sum to 1$",
    ),
    (
        ill_formed.TransitionOf(lambda p: p[0]),
        BITS,
        r"TransitionOf\.transition has shape \(2,\): expected \(q, q\)$",
    ),
    *(
        (
            ill_formed.LogProbElsewhere(value),
            BITS,
            r"LogProbElsewhere\.log_prob at t = .* is NaN or \+inf for a draw that came from another input$",
        )
        for value in (np.nan, np.inf)
    ),
    (ill_formed.DegradeNotANumber(), REAL, r"DegradeNotANumber\.degrade\(.* -> .*\) gives NaN$"),
    (ill_formed.DegradeOutside(), BITS, r"DegradeOutside\.log_prob of a draw of degrade\(0.05 -> 0.15\) is NaN$"),
    (ill_formed.BridgeNotANumber(), REAL, r"BridgeNotANumber\.bridge\(.* <- .*\) gives NaN$"),
    (
        broken.NeverForgets(),
        REAL,
        r"NeverForgets\.horizon = 1 is not consistent with sample\(1\), which still tells input 0 from input 1: p = ",
    ),
    (broken.DensityCalledMass(), REAL, r"DensityCalledMass\.has_density is False, but draws of sample do not repeat"),
    (broken.MassCalledDensity(), BITS, r"MassCalledDensity\.has_density is True, but draws of sample repeat: log_prob"),
    *(
        (
            broken.OffByAFactor(nats),
            REAL,
            r"OffByAFactor\.log_prob is not normalised at t = 0\.1 \(input 0\): draws of sample among those of a "
            r"reference claimed in 0\.\d+ of 8192 draws, seen in 0\.\d+: p = ",
        )
        for nats in (17.0, -3.0)
    ),
    (
        broken.MassOffByAFactor(),
        BITS,
        r"log_prob is not normalised at t = .*: the 1\d observations seen have a mass of 1\.3",
    ),
    (
        broken.MassOffByAFactor(-0.3),
        BITS,
        r"log_prob is not normalised at t = .*: the observation \[0, 1, 1, 0\] claimed in 0\.6.* seen in 0\.8.*: p = ",
    ),
]
FORMS = [
    (broken.LogProbVector(), r"log_prob returns .*expected a scalar"),
    (broken.DegradeLosesDtype(), r"degrade returns .*float32.*: sample returns .*int32"),
    (broken.GridBackwards(), r"grid\(9\) is not increasing"),
    (broken.GridBeyond(), r"grid\(9\) leaves \(0, 0.5\]"),
    (broken.ShapeChanges(), r"shapes or dtypes change with t"),
    (broken.NotTraceable(), r"log_prob fails under jax.jit: TracerBoolConversionError"),
    (broken.JitDiffers(), r"log_prob: jit and no jit differ"),
    (broken.Unregistered(), r"register_dataclass"),
    (broken.UnhashableStatic(), r"a static field must be hashable"),
    (broken.ValidatesTooEarly(), r"flatten and unflatten"),
    (broken.TextLeaf(), r"leaf of type str"),
    (object(), r"subclass of sloc.ObservationProcess"),
    (ill_formed.NoSample(), r"^NoSample does not define sample\(key, x, t\)$"),
    (
        ill_formed.LosesAField(),
        r"^LosesAField\.rate does not survive flatten and unflatten: it must be a leaf or a static",
    ),
    (ill_formed.LogProbRaises(), r"^LogProbRaises\.log_prob fails without jit: TypeError: .*shape"),
    (ill_formed.LogProbInteger(), r"^LogProbInteger\.log_prob returns int32: expected floating$"),
    (ill_formed.OnTheHost(None), r"^OnTheHost\.log_prob fails under jax\.vmap: "),
    (ill_formed.OnTheHost("expand_dims"), r"^OnTheHost\.log_prob: vmap inside shard_map and a loop differ: \["),
    (ill_formed.SpreadsItself(), r"^SpreadsItself\.log_prob fails inside jax\.shard_map: "),
    (
        ill_formed.GridOf(lambda n, grid: np.linspace(0.1, 0.4, 9)),
        r"^GridOf\.grid\(3\) has shape \(9,\): expected at mo",
    ),
    (
        ill_formed.GridOf(lambda n, grid: grid[None]),
        r"^GridOf\.grid\(9\) has shape \(1, 9\): expected at most 9 times$",
    ),
    (ill_formed.GridOf(lambda n, grid: grid[1:]), r"^GridOf\.grid\(9\) has 8 times: expected 9$"),
    (ill_formed.GridOf(lambda n, grid: np.append(grid[1:], np.nan)), r"^GridOf\.grid\(9\) is not finite: \["),
    (ill_formed.StepsInFloats(4), r"^StepsInFloats\.grid\(9\) has dtype float64: discrete time is int32$"),
]


@pytest.mark.parametrize(("process", "xs", "message"), LAWS, ids=lambda v: type(v).__name__)
def test_wrong_law_is_found(process, xs, message):
    with pytest.raises(ConformanceError, match=message):
        check_process(process, xs, draws=8192, times=None if xs is REAL else [0.05, 0.15, 0.3])


@pytest.mark.parametrize(("process", "message"), FORMS, ids=lambda v: type(v).__name__)
def test_wrong_form_is_found(process, message):
    with pytest.raises(ConformanceError, match=message):
        check_process(process, BITS, draws=64)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SampleOnly(ObservationProcess):
    """The least that is a process, on a pytree ``x``."""

    horizon = 1.0

    def sample(self, key, x, t):
        return {"sum": (1.0 - t) * (x["a"] + x["b"]) + t * jax.random.normal(key)}


def test_what_is_not_defined_is_skipped_and_reported():
    report = check_process(SampleOnly(), {"a": jnp.arange(3.0), "b": jnp.ones(3)}, draws=64)
    assert isinstance(report, ConformanceReport)
    assert report.skipped == ["log_prob: not defined", "degrade: not defined", "bridge: not defined"]
    assert report.p_values == {"horizon": 1.0}
    assert "skipped  bridge" in str(report)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NoGrid(SampleOnly):
    """No end and no grid."""

    horizon = np.inf


def test_times_may_stand_in_for_a_grid():
    xs = [{"a": jnp.float32(0.0), "b": jnp.float32(1.0)}, {"a": jnp.float32(2.0), "b": jnp.float32(1.0)}]
    assert "grid: not defined (infinite horizon)" in check_process(NoGrid(), xs, draws=64, times=[0.5, 2.0]).skipped
    with pytest.raises(ConformanceError, match="grid"):
        check_process(NoGrid(), xs, draws=64)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MaskedAndNoisy(ObservationProcess):
    """A bit that may be hidden beside a number with noise."""

    horizon = np.inf
    has_density = True

    def sample(self, key, x, t):
        k_bit, k_number = jax.random.split(key)
        seen = jax.random.bernoulli(k_bit, jnp.exp(-t))
        return {"bit": jnp.where(seen, x["bit"], -1), "number": x["number"] + t * jax.random.normal(k_number)}

    def log_prob(self, y, x, t):
        bit = jnp.where(y["bit"] == -1, jnp.log1p(-jnp.exp(-t)), jnp.where(y["bit"] == x["bit"], -t, -jnp.inf))
        return bit + jax.scipy.stats.norm.logpdf(y["number"], x["number"], t)


def test_what_draws_do_not_show_of_the_normalisation_is_reported():
    def skipped(process, xs, times):
        report = ConformanceReport(type(process).__name__, 512, 1e-9)
        check_density(Trials(process.canonical(), xs, np.float32(times), 512, 1e-9, report), jax.random.key(0))
        return report.skipped, report.checked

    mixed = {"bit": jnp.asarray([0, 1]), "number": jnp.asarray([0.0, 1.0])}
    assert skipped(MaskedAndNoisy(), mixed, [0.3, 1.0]) == (
        ["normalisation of log_prob: not shown (some coordinates continuous, some not)"],
        ["has_density: True, as draws show"],
    )
    # Of 64 letters no word is seen twice.
    assert skipped(broken.MassOffByAFactor(0.0), jnp.eye(64, dtype=jnp.int32)[:2], [0.3, 0.4]) == (
        ["normalisation of log_prob: not shown (observations that do not repeat)"],
        ["has_density: False, as draws show"],
    )
    short = skipped(broken.MassOffByAFactor(0.0), BITS, [0.3, 0.4])
    assert short == ([], ["has_density: False, as draws show", "log_prob: normalised (input 0)"])


def test_false_alarm_is_kept():
    # Two calls, each failing with probability at most 1e-3; the keys are fixed, so the answer is too.
    for seed in range(2):
        check_process(BinarySymmetric(), BITS, draws=512, key=jax.random.key(seed), false_alarm=1e-3, times=[0.1, 0.3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"xs": BITS[:1]}, "xs"),
        ({"xs": [BITS[0]]}, "xs"),
        ({"times": [0.3, 0.1]}, "times"),
        ({"times": [0.3, 0.7]}, "times"),
        ({"draws": 3}, "draws"),
        ({"false_alarm": 0.5}, "false_alarm"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        check_process(BinarySymmetric(), **{"xs": BITS, "draws": 64, **arguments})
