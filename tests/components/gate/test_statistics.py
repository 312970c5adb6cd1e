"""The bootstrap, its intervals and Holm's adjustment."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from components.gate import statistics

RECALLS = st.tuples(st.integers(0, 20), st.integers(1, 20)).map(lambda pair: min(1.0, pair[0] / pair[1]))


def _drawn(n: int, resamples: int, seed: int = 0) -> np.ndarray:
    return np.concatenate(list(statistics.resample_indices(n, resamples, seed)))


def test_draws_are_fixed_for_all_time():
    """The indices of (seed 0, 608 requests) never change: gate reports of old releases depend on them."""
    digest = hashlib.sha256(_drawn(608, 100).astype("<i8").tobytes()).hexdigest()
    assert digest[:16] == "4b0262daa04bbb19"


def test_draws_depend_on_seed_and_length():
    """Another seed or another number of requests gives other draws."""
    assert not np.array_equal(_drawn(50, 20), _drawn(50, 20, seed=1))
    assert not np.array_equal(_drawn(50, 20)[:, :49], _drawn(49, 20))


@pytest.mark.parametrize("n", [1, 2, 7, 608, 3_001])
@pytest.mark.parametrize("at_once", [1, 10_000])
def test_draws_do_not_depend_on_the_chunk_size(n, at_once, monkeypatch):
    """Memory is bounded by drawing in chunks, and the size of a chunk changes nothing."""
    whole = _drawn(n, 41)
    monkeypatch.setattr(statistics, "INDICES_AT_ONCE", at_once)
    assert whole.shape == (41, n)
    assert np.array_equal(_drawn(n, 41), whole)


def test_draws_are_uniform():
    """Every request is drawn equally often, by a chi-square test."""
    counts = np.bincount(_drawn(100, 5_000).ravel(), minlength=100)
    assert len(counts) == 100
    assert stats.chisquare(counts).pvalue > 0.001


@given(st.lists(RECALLS, min_size=1, max_size=40))
def test_recalls_of_up_to_twenty_items_are_exact(recalls):
    """A list minus its own permutation has mean exactly 0, not 1e-17."""
    units = statistics.to_units(np.array(recalls))
    assert statistics.mean(units - units[::-1]) == 0.0
    assert statistics.mean(units) == pytest.approx(math.fsum(recalls) / len(recalls), abs=1e-12)


def test_resampled_means_are_those_of_the_drawn_requests():
    """Each resampled mean is the plain mean over the drawn indices."""
    values = np.random.default_rng(1).random(37)
    means = statistics.resampled_means({"a": statistics.to_units(values)}, 50, 9)["a"]
    assert means == pytest.approx(values[_drawn(37, 50, 9)].mean(axis=1), abs=1e-11)


def test_measures_of_equal_length_share_their_draws():
    """A measure has the same means alone as beside others, so that slices never change a primary."""
    rng = np.random.default_rng(2)
    units = {name: statistics.to_units(rng.random(n)) for name, n in (("a", 30), ("b", 31), ("c", 30))}
    together = statistics.resampled_means(units, 60, 0)
    assert list(together) == ["a", "b", "c"]
    for name, values in units.items():
        assert np.array_equal(together[name], statistics.resampled_means({name: values}, 60, 0)[name])


def test_no_requests_give_no_means():
    """An empty slice has no resampled means."""
    assert statistics.resampled_means({"a": np.empty(0, dtype=np.int64)}, 60, 0)["a"].size == 0


def test_interval_agrees_with_scipy():
    """The percentile interval is that of scipy's bootstrap, up to the noise of the draws."""
    rng = np.random.default_rng(5)
    differences = rng.choice([-1, -0.5, 0, 0, 0, 0.5, 1], 400)
    units = statistics.to_units(np.abs(differences)) * np.sign(differences).astype(np.int64)
    means = statistics.resampled_means({"d": units}, 10_000, 0)["d"]
    reference = stats.bootstrap((differences,), np.mean, method="percentile", rng=rng, n_resamples=10_000)
    expected = (reference.confidence_interval.low, reference.confidence_interval.high)
    assert statistics.two_sided_interval(means, 0.95) == pytest.approx(expected, abs=0.004)


def test_one_sided_bounds_leave_five_percent_on_each_side():
    """A one-sided 95 % bound is the end of the two-sided 90 % interval."""
    means = np.random.default_rng(0).normal(size=10_000)
    assert statistics.one_sided_bounds(means, 0.95) == pytest.approx(
        statistics.two_sided_interval(means, 0.90), abs=1e-12
    )


def test_p_is_the_share_of_resamples_not_below():
    """p of "difference ≥ −margin" counts the resamples at or above −margin."""
    assert statistics.p_not_below(np.array([-0.3, -0.1, 0.0, 0.2]), -0.1) == 0.75


def test_holm_of_a_worked_example():
    """0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02."""
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values):
    """Adjusted p ≤ 0.05 exactly where Holm's step-down test at 0.05 rejects."""
    rejected = set()
    for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] * (len(p_values) - step) > 0.05:
            break
        rejected.add(index)
    assert {i for i, p in enumerate(statistics.holm(p_values)) if p <= 0.05} == rejected


def test_standard_deviation_needs_two_values():
    """One value has no spread; two or more have the sample standard deviation."""
    units = statistics.to_units(np.array([0.25, 0.5, 1.0]))
    assert statistics.standard_deviation(units) == pytest.approx(np.std([0.25, 0.5, 1.0], ddof=1))
    assert statistics.standard_deviation(units[:1]) is None
