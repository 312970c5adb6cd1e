"""Empirical Bayes with a prior from the texts."""

import numpy as np
import pytest

from components.ranking.credibility import Credibility


def world(n=600, d=8, seed=0):
    """Items whose true rate follows their vector, counted over exposures of which a third is 0."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, d)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    truth = 1.0 + 0.8 * vectors[:, 0] + 0.1 * rng.standard_normal(n)
    exposure = np.where(rng.random(n) < 1 / 3, 0.0, rng.uniform(0.5, 20.0, n))
    total = rng.poisson(np.maximum(truth, 0.05) * exposure).astype(float)
    return vectors, truth, total, exposure


def test_an_item_that_nobody_saw_gets_its_prior_and_the_prior_follows_the_text():
    vectors, truth, total, exposure = world()
    fitted = Credibility.fit(vectors, total, exposure)
    rates = fitted.rates(vectors, total, exposure)
    unseen = exposure == 0
    assert rates[unseen] == pytest.approx(fitted.prior(vectors[unseen]))
    assert np.corrcoef(rates[unseen], truth[unseen])[0, 1] > 0.9


def test_an_estimate_is_nearer_to_the_truth_than_the_observed_rate_and_than_the_prior():
    vectors, truth, total, exposure = world()
    fitted = Credibility.fit(vectors, total, exposure)
    seen = (exposure > 0) & (exposure < 5)

    def error(values):
        return np.mean((values - truth[seen]) ** 2)

    estimated = error(fitted.rates(vectors, total, exposure)[seen])
    assert estimated < 0.5 * error(total[seen] / exposure[seen])
    assert estimated < 1.05 * error(fitted.prior(vectors[seen]))


def test_a_rate_moves_smoothly_with_the_exposure_so_that_being_new_is_no_step():
    vectors, _, total, exposure = world()
    fitted = Credibility.fit(vectors, total, exposure)
    few = np.asarray([0.0, 1e-6, 1e-3])
    rates = fitted.rates(np.repeat(vectors[:1], 3, axis=0), few * 9.0, few)
    assert np.abs(np.diff(rates)).max() < 0.05


def test_much_that_was_observed_outweighs_the_prior():
    vectors, _, total, exposure = world()
    fitted = Credibility.fit(vectors, total, exposure)
    (rate,) = fitted.rates(vectors[:1], np.asarray([7e9]), np.asarray([1e9]))
    assert rate == pytest.approx(7.0, rel=1e-3)


def test_where_nothing_was_observed_every_rate_is_0():
    vectors = np.eye(3, dtype=np.float32)
    nothing = np.zeros(3)
    fitted = Credibility.fit(vectors, nothing, nothing)
    assert fitted.mean == 0.0
    assert fitted.rates(vectors, nothing, nothing).tolist() == [0.0, 0.0, 0.0]


def test_a_given_noise_shrinks_more_where_single_observations_vary_more():
    vectors, _, total, exposure = world()
    calm, wild = (Credibility.fit(vectors, total, exposure, noise).strength for noise in (0.01, 1.0))
    assert wild > calm


def test_where_observations_never_differ_an_unseen_item_still_has_its_prior():
    vectors, _, _, exposure = world()
    fitted = Credibility.fit(vectors, 4.0 * exposure, exposure, noise=0.0)
    assert fitted.rates(vectors, 4.0 * exposure, exposure) == pytest.approx(4.0)
