"""Ex. 11: three rules at unequal weights and the interwoven sampler, against walks over likelihood ratios.

Nothing here is random but what the committed table was drawn from.
"""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest

import sloc
from benchmarks.papers import context_rules, interwoven, interwoven_kernels
from sloc.contracts import InvalidInput
from tests.examples.papers_rows import FOUND, fit, holds, row
from tests.oracles import context

ZEROS = np.array([[0.95, 0.95, 0.5], [0.95, 0.05, 0.5], [0.05, 0.95, 0.5]])
WEIGHTS, EPSILON = np.array([0.1, 0.3, 0.6]), 1e-3
SERIES = FOUND["interwoven"]["series"]


def outputs(question: int) -> tuple[np.ndarray, np.ndarray]:
    """Chances of both outputs under each rule."""
    return ZEROS[:, question], 1 - ZEROS[:, question]


@pytest.fixture(scope="module")
def at_random():
    """Laws after 0 .. 34 examples with questions at random."""
    return context.grown_laws(None, lambda state: [(c / 3, None) for q in range(3) for c in outputs(q)], 34, 3)


@pytest.fixture(scope="module")
def asked():
    """Laws after 0 .. 16 examples with questions by a user who goes by the answers."""
    then = lambda asked: [(c, (asked + 1 + y) % 2) for y, c in enumerate(outputs(asked))]  # noqa: E731
    return context.grown_laws(2, then, 16, 3)


def affinities(rule: int) -> np.ndarray:
    """One example's affinity to each other rule."""
    others = [k for k in range(3) if k != rule]
    pairs = [np.sqrt(ZEROS[k] * ZEROS[rule]) + np.sqrt((1 - ZEROS[k]) * (1 - ZEROS[rule])) for k in others]
    return np.array([p.mean() for p in pairs])


@pytest.mark.parametrize("rule", [0, 2])
def test_errors_at_unequal_weights(at_random, rule):
    setting, weight = f"w* = {WEIGHTS[rule]:g}, ε = 0.001", WEIGHTS[rule]
    others = [k for k in range(3) if k != rule]
    delta = 2 - 2 * affinities(rule).max()
    holds(row("interwoven", "δ, the least", setting), delta, 1e-6)
    enough = next(n for n in range(100) if (affinities(rule) ** n <= EPSILON).all())
    said = math.ceil(math.log((1 - delta / 2) / EPSILON))
    assert (enough, said) == (34, 7)
    needed = row("interwoven", "examples whose affinity", setting)
    holds(needed, enough, 0)
    assert needed["printed"] == pytest.approx(math.log((1 - delta / 2) / EPSILON), abs=1e-8)
    bound = sum(math.sqrt(WEIGHTS[k] / weight) * a**enough for k, a in zip(others, affinities(rule), strict=True)) / 2
    free = row("interwoven", "½ Σ", setting)
    holds(free, bound, 1e-9)
    mass = context.lost_mass(at_random[enough], WEIGHTS, rule)
    claimed = EPSILON / weight
    # The mass that is left, what bounds it without draws, and what is printed.
    assert mass <= bound <= claimed
    for number, good in ((enough, True), (said, False)):
        r = row("interwoven", f"error of the next output after {number} ", setting)
        truth = context.output_error(at_random[number], WEIGHTS, rule, ZEROS)
        holds(r, truth, 1e-8)
        assert r["printed"] == free["printed"] == pytest.approx(claimed, rel=1e-8)
        assert bool(truth <= claimed) is good
        assert ("holds" in r["note"]) is good
        assert truth <= context.lost_mass(at_random[number], WEIGHTS, rule)
    assert truth > 5 * claimed


def test_a_mixture_of_the_others_would_mislead(at_random):
    # The affinity to a mixture of products is no power of that of one example.
    both = [k for k in range(3) if k != 0]
    rest = [WEIGHTS[both] @ law[both] / WEIGHTS[both].sum() for law in at_random[:9]]
    affinity = [float(np.sqrt(law[0] * other).sum()) for law, other in zip(at_random, rest, strict=False)]
    note = row("interwoven", "δ, the least", "w* = 0.1, ε = 0.001")["note"]
    assert f"{2 - 2 * affinity[1]:.3f}" in note
    assert affinity[8] != pytest.approx(affinity[1] ** 8, rel=0.05)


def test_the_mass_at_other_weights(at_random):
    assert SERIES["w"] == list(context_rules.SHARES)
    for w, found, bound, printed in zip(*(SERIES[k] for k in ("w", "lost", "bound", "printed")), strict=True):
        weights = np.array([w, (1 - w) / 3, 2 * (1 - w) / 3])
        assert found == pytest.approx(context.lost_mass(at_random[34], weights, 0), rel=1e-6)
        want = (np.sqrt(weights[1:] / w) * affinities(0) ** 34).sum() / 2
        assert bound == pytest.approx(want, rel=1e-6)
        assert found <= bound <= printed == pytest.approx(EPSILON / w)
    # A bound: the mass grows more gently than it as rules get rarer, about as the root that the free bound has.
    f = fit("interwoven", "exact E[1-π]")
    assert -1 < f["low"] <= -0.5 <= f["high"] < 0


@pytest.mark.parametrize(("name", "setting"), [("as it is", ", as it is"), ("interwoven", ", interwoven")])
def test_windows_with_and_without_a_user(at_random, asked, name, setting):
    laws = at_random if name == "as it is" else asked
    tv = np.array([context.mixed_tv(laws[n], WEIGHTS, 0) for n in range(17)])
    np.testing.assert_allclose(SERIES["tv"][name], tv, atol=1e-9)
    after = 16 - np.flatnonzero(tv >= 1 - 0.2**2).min()
    before = 16 - np.flatnonzero(0.9 * tv <= 0.2).max()
    for quantity, truth in (("T_after", after), ("T_before", before)):
        r = row("interwoven", quantity, setting)
        holds(r, truth, 0)
        assert r["found"] == truth
        assert r["high"] - r["low"] <= 1
    assert SERIES["edges"][name] == [after, before]


def test_written_questions_move_the_window():
    own, woven = SERIES["edges"]["as it is"], SERIES["edges"]["interwoven"]
    # It begins later, with small talk, and is over sooner, with questions that tell.
    assert woven[1] < own[1]
    assert woven[0] > own[0]


def test_a_kernel_that_answers_is_refused_by_how_much():
    # Bayes after one example whose output is 0, for each question that the model may ask.
    posterior = WEIGHTS[:, None] * ZEROS
    posterior /= posterior.sum(0)
    truth = np.abs(np.log(posterior / WEIGHTS[:, None])).max()
    r = row("interwoven", "change of a log posterior")
    holds(r, truth, 1e-9)
    assert r["method"] == "refused"
    assert r["high"] - r["low"] <= 0.01 + 1e-9


@pytest.mark.nightly
def test_the_sampler_takes_questions_and_refuses_answers():
    woven = interwoven_kernels.weave(interwoven_kernels.ask, np.arange(1, 32, 2))
    population, grid = context_rules.rules(16), np.arange(33)
    words = np.asarray(
        sloc.localize(jax.random.key(5), interwoven_kernels.PROCESS, population, grid=grid, n=1_024, localizer=woven)
    )
    questions, answers = words[:, ::2], words[:, 1::2] - 3
    assert (questions[:, 0] == 2).all()
    np.testing.assert_array_equal(questions[:, 1:], (questions[:, :-1] + 1 + answers[:, :-1]) % 2)
    with pytest.raises(InvalidInput, match=r"Assumption 1.* 2\.61 nats"):
        interwoven_kernels.weave(interwoven_kernels.answer, 30)
    assert interwoven.EXAMPLES == 16
