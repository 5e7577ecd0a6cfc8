"""The Gaussian picture of a posterior, against the algebra done at once."""

from __future__ import annotations

import numpy as np

from sloc.windows.draw_design import design_of, posterior_design, wary_steps
from sloc.windows.outcome_curves import OutcomeCounts, outcome_posterior

rng = np.random.default_rng(0)
STEPS, SHARES = rng.gamma(0.5, 0.01, (11, 3)), rng.dirichlet(np.ones(3), 12)
DRAWS = rng.integers(0, 5, 12).astype(float)


def test_the_covariance_is_that_of_a_walk_seen_in_noise():
    design = design_of(STEPS, SHARES, DRAWS)
    for a in range(3):
        walk = 0.25 + np.concatenate([[0.0], np.cumsum(STEPS[:, a])])
        prior = np.minimum.outer(walk, walk)
        seen = np.flatnonzero(DRAWS)
        noise = np.diag(design.noise[a, seen] / DRAWS[seen])
        by_hand = prior - prior[:, seen] @ np.linalg.solve(prior[np.ix_(seen, seen)] + noise, prior[seen])
        assert np.allclose(design.covariance[a], by_hand, atol=1e-9)


def test_gains_are_what_draws_take_off_at_least():
    """Exactly so for few draws: roots by their tangents."""
    design = design_of(STEPS, SHARES, DRAWS)
    for batch, off in ((4.0, 0.5), (1e-3, 1e-3)):
        gains = design.gains(batch)
        for t in range(12):
            again = design_of(STEPS, SHARES, DRAWS + batch * (np.arange(12) == t))
            assert np.allclose(design.after(t, batch).covariance, again.covariance, atol=1e-9)
            assert (1 - off) * (design.loss - again.loss) <= gains[t] <= (design.loss - again.loss) * (1 + 1e-6)


def test_the_loss_is_the_expected_total_variation():
    design = design_of(STEPS, SHARES, DRAWS + 1)
    errors = rng.normal(size=(200_000, 3)) * np.sqrt(design.variance[:, 4])
    tv = 0.5 * np.abs(errors).sum(axis=1)
    own = np.sqrt(design.variance[:, 4] / (2 * np.pi)).sum()
    # Seven standard errors.
    assert abs(tv.mean() - own) < 7 * tv.std() / np.sqrt(tv.size)


def test_a_posterior_paints_its_steps():
    flat = OutcomeCounts("q", ("A", "B"), np.arange(5.0), np.full((5, 2), 4.0), np.asarray([0.0, 0.9, 0.0, 0.0]))
    design = posterior_design(outcome_posterior(flat))
    correlation = design.covariance[0] / np.sqrt(np.outer(design.variance[0], design.variance[0]))
    assert correlation[2, 4] > 0.99
    assert correlation[1, 2] < correlation[0, 1]


def test_wary_steps_are_where_mass_leaves():
    shares = np.asarray([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]])
    added = wary_steps(shares, np.asarray([0.0, 0.64]))
    assert (added[0] == 0).all()
    assert np.allclose(added[1], 0.2 * 0.64 * (0.125 + 0.01))
    posterior = outcome_posterior(OutcomeCounts("q", ("A", "B"), np.arange(3.0), shares * 4, np.full(2, 0.8)))
    plain, wary = posterior_design(posterior), posterior_design(posterior, np.full(2, 0.64))
    assert (wary.variance > plain.variance).all()
