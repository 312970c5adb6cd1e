"""How long a search goes on."""

import time

import pytest

from components.contract.errors import ConfigError
from components.tuning.limits import Limits, limits_of


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((0.0, None, 1), "--minutes is 0"),
        ((-1.0, None, 1), "--minutes is -1"),
        ((float("nan"), None, 1), "--minutes is nan"),
        ((float("inf"), None, 1), "--minutes is inf"),
        ((1.0, 0, 1), "--trials is 0"),
        ((1.0, None, 0), "--parallel is 0"),
    ],
)
def test_a_budget_of_nothing_is_refused(arguments, named):
    with pytest.raises(ConfigError, match=named):
        limits_of(*arguments)


def test_trials_begin_while_time_places_and_their_number_allow():
    """The trials that run count as trials of the study."""
    limits = limits_of(60, 5, 2)
    assert limits.room(finished=3, running=1)
    assert not limits.room(finished=3, running=2)
    assert not limits.room(finished=4, running=1)
    limits.stop.set()
    assert limits.over() and not limits.room(0, 0)
    assert not Limits(time.monotonic() - 1, None, 9).room(0, 0)
