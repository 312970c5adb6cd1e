"""The dial for what was just listed: a serving parameter that no judged ranking has."""

from datetime import datetime, timedelta

import pytest

from components.contract.serving import ServingRankingSettings
from components.service.freshness import freshened

NOW = datetime(2026, 1, 15)
AGES = [100, 7, 0, None]
LISTED = [None if days is None else NOW - timedelta(days=days) for days in AGES]


def test_off_by_default_so_that_order_and_scores_stay():
    settings = ServingRankingSettings()
    assert settings.freshness == 0.0
    assert freshened([0.9, 0.8, 0.8, 0.1], LISTED, settings, NOW) == ([0, 1, 2, 3], [0.9, 0.8, 0.8, 0.1])


def test_the_bonus_halves_with_every_half_life_and_reorders():
    order, scores = freshened(
        [0.5, 0.45, 0.4, 0.3], LISTED, ServingRankingSettings(freshness=0.2, half_life_days=7), NOW
    )
    assert order == [2, 1, 0, 3]
    assert scores == pytest.approx([0.5 + 0.2 * 0.5 ** (100 / 7), 0.55, 0.6, 0.3])


def test_an_item_that_is_listed_later_gets_no_more_than_one_of_this_moment():
    later = [NOW + timedelta(days=3)]
    assert freshened([0.0], later, ServingRankingSettings(freshness=0.2), NOW)[1] == [0.2]
