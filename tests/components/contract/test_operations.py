"""Settings of the loop's operation: what they refuse."""

import pytest
from pydantic import ValidationError

from components.contract.operations import MonitoringSettings, ReviewSettings


def test_an_id_is_one_persons():
    """An id under two people could be either, so four eyes could not tell them apart."""
    people = {"alice": ["alice", "slack:U1"], "ben": ["ben", "slack:U1"]}
    with pytest.raises(ValidationError, match="the id slack:U1 stands under alice and ben"):
        ReviewSettings(people=people)


def test_a_persons_id_may_be_repeated():
    assert ReviewSettings(people={"alice": ["alice", "alice"]}).people == {"alice": ("alice", "alice")}


def test_a_window_is_a_day_at_least():
    """Alarms are calibrated by days."""
    with pytest.raises(ValidationError, match="greater than or equal to 24"):
        MonitoringSettings(window_hours=23)


def test_too_few_resamples_for_the_rate_are_refused():
    """Before a release is promoted by them, and not after."""
    with pytest.raises(
        ValidationError, match=r"500 are too few for a false_alarm_rate of 0\.001; set at least"
    ):
        MonitoringSettings(false_alarm_rate=0.001)
    assert MonitoringSettings(false_alarm_rate=0.001, resamples=1_000).resamples == 1_000
