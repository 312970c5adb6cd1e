"""Power and the requests it takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.gate import power

SDS = st.floats(0.01, 1.0)
GAINS = st.floats(0.001, 0.5)


def test_figures_of_home_depot():
    """608 requests have power 9, 25 and 73 % at 1, 2 and 4 points, and 2 points need about 2,890."""
    powers = [power.achieved_power(0.383, 608, gain, 0.95) for gain in power.GAINS]
    assert powers == pytest.approx([0.09, 0.25, 0.73], abs=0.005)
    assert power.requests_needed(0.383, 0.02, 0.8, 0.95) == pytest.approx(2_890, rel=0.01)


@given(SDS, GAINS)
def test_needed_requests_reach_the_power_and_one_fewer_does_not(sd, gain):
    """`requests_needed` is the smallest number that reaches the planned power."""
    needed = power.requests_needed(sd, gain, 0.8, 0.95)
    assert power.achieved_power(sd, needed, gain, 0.95) >= 0.8 - 1e-9
    assert needed == 1 or power.achieved_power(sd, needed - 1, gain, 0.95) < 0.8


def test_no_spread_or_no_requests():
    """Without spread nothing can be planned; without requests nothing is shown."""
    assert power.requests_needed(0.0, 0.02, 0.8, 0.95) is None
    assert power.achieved_power(0.0, 5, 0.02, 0.95) == 1.0
    assert power.achieved_power(0.0, 5, 0.0, 0.95) == 0.0
    assert power.achieved_power(0.4, 0, 0.02, 0.95) == 0.0


def test_non_inferiority_needs_a_margin():
    """A margin of 0 can be shown by no number of requests; a wider margin needs fewer."""
    assert power.requests_needed_non_inferior(0.3, 0.0, 0.8, 0.95) is None
    narrow = power.requests_needed_non_inferior(0.3, 0.01, 0.8, 0.95)
    wide = power.requests_needed_non_inferior(0.3, 0.02, 0.8, 0.95)
    assert narrow is not None and wide is not None and narrow > 3 * wide
