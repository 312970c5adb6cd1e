"""LambdaRank on top of the first stage's score."""

import sys

import numpy as np
import pytest

from components.contract.errors import ConfigError, DataError
from components.ranking import model
from components.ranking.features import FEATURES
from components.ranking.model import LABELS, Growth, Lists, Ranker, labels_of, list_weights
from components.ranking.ranker_files import REPORT_FILE, carried, open_rankers

SMALL = Growth(trees=20, learning_rate=0.1, leaves=7, fewest_in_leaf=10)


def lists(requests=150, size=20, seed=0) -> Lists:
    """The first stage's score says nothing; what is wanted has a high demand."""
    rng = np.random.default_rng(seed)
    values = rng.random((requests * size, len(FEATURES))).astype(np.float32)
    values[:, 0] *= 0.01
    wanted = values[:, FEATURES.index("demand")] + 0.1 * rng.standard_normal(len(values)) > 0.9
    return Lists(values, wanted.astype(float), np.full(requests, size))


def mean_gain(of: Lists, scores: np.ndarray) -> float:
    """Of the first three places."""
    best = np.argsort(-scores.reshape(-1, 20), axis=1)[:, :3]
    return float(np.take_along_axis(of.gains.reshape(-1, 20), best, axis=1).mean())


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    return Ranker.fit(lists(), SMALL)


def test_the_trees_learn_what_the_first_stage_does_not_know(ranker):
    others = lists(seed=1)
    assert mean_gain(others, ranker.scores(others.features)) > 3 * mean_gain(others, others.features[:, 0])
    assert max(ranker.importance(), key=ranker.importance().get) == "demand"


def test_the_same_lists_give_the_same_model_to_the_last_byte(ranker):
    assert Ranker.fit(lists(), SMALL).text == ranker.text


def test_a_saved_model_scores_as_the_fitted_one(ranker):
    values = lists(seed=2).features
    assert Ranker(ranker.text).scores(values).tolist() == ranker.scores(values).tolist()


def test_no_tree_leaves_the_first_stages_score_as_it_is(ranker):
    values = lists(seed=2).features
    one = ranker.scores(values, trees=1)
    assert not np.array_equal(one, ranker.scores(values))
    assert np.abs(one - values[:, 0]).max() < np.abs(ranker.scores(values) - values[:, 0]).max()


def test_contributions_sum_up_to_the_score(ranker):
    values = lists(requests=3, seed=3).features
    added = ranker.contributions(values)
    assert added.shape == (60, len(FEATURES) + 1)
    assert added.sum(axis=1) == pytest.approx(ranker.scores(values), abs=1e-5)


def test_a_score_never_falls_where_text_rises():
    """What is shared was wanted less in these lists, by chance; the trees may not say so."""
    made = lists()
    text = FEATURES.index("text")
    made.gains[:] = made.features[:, text] < 0.3
    fitted = Ranker.fit(made, SMALL)
    values = np.repeat(made.features[:1], 50, axis=0)
    values[:, text] = np.linspace(0, 1, 50)
    assert (np.diff(fitted.scores(values)) >= -1e-6).all()


def test_gains_of_a_frequent_query_keep_their_differences():
    """Each is small where there were many searches; a list without any, and an empty one, have no label."""
    gains = np.array([0.025, 0.25, 0.0, 4.0, 1.0, 0.0, 0.0, 0.001])
    made = Lists(np.zeros((8, 1)), gains, np.array([3, 2, 2, 0, 1]))
    assert labels_of(made).tolist() == [LABELS / 10, LABELS, 0, LABELS, LABELS / 4, 0, 0, LABELS]


def test_larger_gains_pull_harder():
    made = lists()
    first, second = (FEATURES.index(name) for name in ("price", "demand"))
    made.features[:, first] = np.arange(len(made.gains)) % 20 == 3
    made.features[:, second] = np.arange(len(made.gains)) % 20 == 7
    made.gains[:] = 0
    made.gains[made.features[:, first] > 0] = 4
    made.gains[made.features[:, second] > 0] = 1
    scores = Ranker.fit(made, SMALL).scores(made.features)
    assert scores[made.features[:, first] > 0].min() > scores[made.features[:, second] > 0].max()


def one_click_lists(gain: float, size=20, requests=150) -> Lists:
    """In half of the lists the cheap item was clicked, in the other half the demanded one, with `gain`."""
    values = np.zeros((requests * size, len(FEATURES)), dtype=np.float32)
    place, half = np.arange(len(values)) % size, np.arange(len(values)) // size % 2
    values[:, FEATURES.index("price")] = place == 3
    values[:, FEATURES.index("demand")] = place == 7
    gains = np.where(half == 0, place == 3, gain * (place == 7))
    return Lists(values, gains, np.full(requests, size))


def test_of_lists_with_one_click_each_the_larger_gain_pulls_harder():
    """A click at a place that one in ten looks at weighs ten times one at a place that all look at."""

    def lead(made: Lists) -> float:
        """By how much the demanded item is before the cheap one."""
        scores = Ranker.fit(made, SMALL).scores(made.features[:20])
        return float(scores[7] - scores[3])

    assert lead(one_click_lists(1.0)) == pytest.approx(0.0, abs=0.05)
    assert lead(one_click_lists(10.0)) > 0.5


def test_lists_weigh_as_their_largest_gains_and_one_on_average():
    """The mean is over lists with a relevant item; one without has no lambdas, whatever it weighs."""
    made = Lists(np.zeros((7, 1)), np.array([1.0, 0.0, 9.0, 0.0, 3.0, 0.0, 0.0]), np.array([2, 3, 0, 2]))
    assert list_weights(made).tolist() == [0.2, 0.2, 1.8, 1.8, 1.8, 0.0, 0.0]
    nothing = Lists(np.zeros((2, 1)), np.zeros(2), np.array([2]))
    assert list_weights(nothing).tolist() == [0.0, 0.0]


def test_a_damaged_model_is_named_and_so_is_one_of_other_features(ranker):
    with pytest.raises(DataError, match="cannot be read"):
        Ranker("no model")
    with pytest.raises(DataError, match="other features"):
        Ranker(ranker.text.replace("price_fit", "price_gap"))


def test_without_lightgbm_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ConfigError, match="pip install lightgbm"):
        Ranker.fit(lists(requests=2), SMALL)


def test_without_the_systems_openmp_the_message_names_it(monkeypatch):
    """What ctypes raises on an image without libgomp."""

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "lightgbm":
                raise OSError("libgomp.so.1: cannot open shared object file")

    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(ConfigError, match=r"libgomp\.so\.1: cannot open shared object file"):
        Ranker.fit(lists(requests=2), SMALL)


def test_a_folder_of_rankers_is_opened_as_it_was_written(ranker, tmp_path):
    assert open_rankers(tmp_path / "none") is None
    assert carried(tmp_path) == []
    (tmp_path / REPORT_FILE).write_text('{"candidates": 50}')
    assert carried(tmp_path) == [], "a report alone is no second stage"
    (tmp_path / "search.txt").write_text(ranker.text)
    opened = open_rankers(tmp_path)
    assert (opened.candidates, list(opened.by_entrance)) == (50, ["search"])
    assert carried(tmp_path) == ["search.txt", REPORT_FILE]


def test_a_damaged_description_is_named(tmp_path):
    (tmp_path / REPORT_FILE).write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        open_rankers(tmp_path)


def test_a_ranker_of_an_earlier_versions_features_reads_its_own(monkeypatch):
    """It serves, and is judged, as it was; what it does not read adds nothing."""
    of = lists()
    fewer = Lists(of.features[:, :-1], of.gains, of.sizes)
    monkeypatch.setattr(model, "FEATURES", FEATURES[:-1])
    earlier = Ranker.fit(fewer, SMALL)
    before = earlier.scores(fewer.features)
    monkeypatch.undo()
    loaded = Ranker(earlier.text)
    assert loaded.scores(of.features).tolist() == before.tolist()
    told = loaded.contributions(of.features[:5])
    assert told.shape == (5, len(FEATURES) + 1) and not told[:, -2].any()
    assert told.sum(axis=1) == pytest.approx(before[:5], abs=1e-4)
