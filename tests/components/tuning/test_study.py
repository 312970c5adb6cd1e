"""The study: proposals, early stops, and what a killed search leaves for the next call."""

import threading
from collections import Counter

import pytest

from components.contract.errors import StorageError
from components.contract.tuning import Dimension, TuneSettings
from components.tuning.study import FILE, Study

RATE = {"learning_rate": Dimension(low=1e-5, high=1e-2, log=True)}
EPOCHS = {"max_epochs": Dimension(low=1, high=3)}


def study(tmp_path, space=None, startup_trials: int = 2) -> Study:
    return Study(tmp_path / "abc", TuneSettings(space=space or RATE, startup_trials=startup_trials))


def test_debut_yamls_own_values_come_first_and_only_once(tmp_path):
    """Also where the search was ended before they were tried."""
    study(tmp_path).begin_with({"learning_rate": 1e-4})
    again = study(tmp_path)
    again.begin_with({"learning_rate": 1e-4})
    first, second = again.propose(), again.propose()
    assert first.values == {"learning_rate": 1e-4}
    assert second.values != first.values
    again.done(first.number, 0.4, 10.0)
    again.done(second.number, 0.5, 10.0)
    assert [(one.recall, one.configured) for one in again.finished()] == [(0.5, False), (0.4, True)]


def test_values_that_debut_yaml_has_now_are_its_own(tmp_path):
    """Pasted from an earlier call: they are tried next, or have been; the earlier ones are some values."""
    first = study(tmp_path)
    first.begin_with({"learning_rate": 1e-4})
    for recall in (0.1, 0.3):
        first.done(first.propose().number, recall, 1.0)
    best = first.finished()[0].values
    for values, waits in ((best, False), ({"learning_rate": 7e-4}, True)):
        again = study(tmp_path)
        again.begin_with(values)
        assert [one.configured for one in again.finished()] == [values == best, False]
        again.begin_with(values)
        if waits:
            assert again.propose().values == values
            assert again.propose().values != values


def test_a_later_call_goes_on_and_draws_no_trial_again(tmp_path):
    """With the same seed: three calls of two random trials give six different values."""
    drawn = []
    for _ in range(3):
        search = study(tmp_path, startup_trials=100)
        for proposal in (search.propose(), search.propose()):
            drawn.append(proposal.values["learning_rate"])
            search.done(proposal.number, 0.1, 1.0)
    assert len(set(drawn)) == 6
    assert len(study(tmp_path).finished()) == 6


def test_what_was_running_when_a_search_was_killed_comes_next_with_its_values(tmp_path):
    """Two trials were open; both are taken up, in their order, and counted once when they finish."""
    killed = study(tmp_path)
    killed.begin_with({"learning_rate": 1e-4})
    left = [killed.propose(), killed.propose()]
    search = study(tmp_path)
    assert search.take_up() == 2
    search.begin_with({"learning_rate": 1e-4})
    proposals = [search.propose(), search.propose()]
    assert [one.values for one in proposals] == [one.values for one in left]
    for one in proposals:
        search.done(one.number, 0.3, 1.0)
    assert [one.configured for one in search.finished()] == [True, False]
    assert study(tmp_path).take_up() == 0


def test_a_trial_below_the_median_at_the_same_place_is_stopped(tmp_path):
    """Not before `startup_trials` are done; compared with finished trials at the same interim only."""
    search = study(tmp_path)
    for recall in (0.2, 0.4):
        number = search.propose().number
        assert not search.stops(number, 1, recall)
        assert not search.stops(number, 2, recall + 0.3)
        search.done(number, recall + 0.4, 1.0)
    better, worse = search.propose().number, search.propose().number
    assert not search.stops(better, 1, 0.35)
    assert not search.stops(worse, 1, 0.31)
    assert search.stops(worse, 2, 0.32)  # good enough at the first place, not at the second
    search.stopped(worse, 5.0)
    assert [(one.recall, one.seconds) for one in search.finished()][-1] == (None, 5.0)


def test_a_space_that_was_tried_whole_proposes_nothing_more(tmp_path):
    """Three values: three proposals, though trials run at the same time."""
    search = study(tmp_path, EPOCHS)
    proposals = [search.propose() for _ in range(3)]
    assert sorted(one.values["max_epochs"] for one in proposals) == [1, 2, 3]
    assert search.propose() is None


def searched(search: Study, most: int) -> list[tuple[int | float, ...]]:
    """What is proposed until nothing is, at most so often; each is told a recall, best at low values."""
    found: list[tuple[int | float, ...]] = []
    while len(found) < most and (proposal := search.propose()) is not None:
        found.append(tuple(proposal.values.values()))
        search.done(proposal.number, 1.0 / sum(found[-1]), 1.0)
    return found


def states(search: Study) -> Counter[str]:
    """Of all trials in the file, by their state's name."""
    return Counter(trial.state.name for trial in search._trials())


def test_every_combination_of_choices_is_tried_before_a_search_ends(tmp_path):
    """Twenty combinations, in two calls: TPE alone comes back to the best few again and again. Only what was
    trained is in the file."""
    space = {
        "learning_rate": Dimension(choices=(1e-5, 3e-5, 1e-4, 3e-4, 1e-3)),
        "batch_size": Dimension(choices=(16, 32, 64, 128)),
    }
    found = searched(study(tmp_path, space), 12)
    search = study(tmp_path, space)
    found += searched(search, 100)
    assert len(found) == len(set(found)) == 20
    assert search.propose() is None
    assert states(search) == {"COMPLETE": 20}


def test_every_whole_number_is_tried_before_a_search_ends(tmp_path):
    """Beside a range of one value; one trial stays open, so it is not proposed again."""
    space = {
        "mining_depth": Dimension(low=5, high=9, log=True),
        "hard_negatives": Dimension(low=1, high=2),
        "dropout": Dimension(low=0.1, high=0.1),
    }
    search = study(tmp_path, space)
    search.begin_with({"mining_depth": 9, "hard_negatives": 2, "dropout": 0.1})
    first = search.propose()
    found = [tuple(first.values.values()), *searched(search, 100)]
    assert found[0] == (9, 2, 0.1)
    assert set(found) == {(depth, count, 0.1) for depth in range(5, 10) for count in (1, 2)}
    assert len(found) == 10
    assert states(search) == {"COMPLETE": 9, "RUNNING": 1}


def test_a_search_of_a_range_of_fractions_does_not_end(tmp_path):
    """Also beside choices, and where TPE itself draws what was tried: the combinations of three digits are
    about a hundred."""
    space = {"learning_rate": Dimension(low=1e-4, high=1.5e-4), "batch_size": Dimension(choices=(32, 64))}
    search = study(tmp_path, space)
    found = searched(search, 30)
    assert len(found) == len(set(found)) == 30
    assert states(search) == {"COMPLETE": 30}


def test_a_range_that_rounds_to_what_was_tried_proposes_nothing_more(tmp_path):
    """Of three digits it has one value."""
    search = study(tmp_path, {"learning_rate": Dimension(low=1e-4, high=1.001e-4)})
    assert searched(search, 10) == [(1e-4,)]
    assert search.propose() is None


def test_values_that_wait_twice_are_tried_once(tmp_path):
    """As of a call that was killed while it took up what another had left."""
    search = study(tmp_path, EPOCHS)
    for epochs in (2, 2, 1):
        search._study.enqueue_trial({"max_epochs": epochs})
    assert [search.propose().values["max_epochs"] for _ in range(3)] == [2, 1, 3]
    assert search.propose() is None


def test_a_failed_trial_is_no_result(tmp_path):
    """It counts for nothing, and its values may be tried again."""
    search = study(tmp_path, {"max_epochs": Dimension(low=1, high=1)})
    search.failed(search.propose().number, "Training failed in rank-0: no memory")
    assert search.finished() == []
    assert search.propose().values == {"max_epochs": 1}


def test_what_fails_after_its_recall_was_told_keeps_its_place(tmp_path):
    """As a logger might, that writes when the training is done."""
    search = study(tmp_path)
    number = search.propose().number
    search.done(number, 0.4, 1.0)
    search.failed(number, "the logger's disk is full")
    assert [one.recall for one in search.finished()] == [0.4]


def test_threads_may_report_at_the_same_time(tmp_path):
    """Parallel trials share one study."""
    search = study(tmp_path, startup_trials=100)

    def run(recall: float) -> None:
        number = search.propose().number
        for interim in (1, 2):
            search.stops(number, interim, recall)
        search.done(number, recall, 1.0)

    threads = [threading.Thread(target=run, args=(0.1 * n,)) for n in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.recall for one in search.finished()] == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])


def test_the_plot_is_a_picture_of_the_finished_trials(tmp_path):
    """PNG of ranges, whole numbers and choices, one of them with a single value."""
    space = RATE | EPOCHS | {"batch_size": Dimension(choices=(64, 128)), "dropout": Dimension(low=0, high=0)}
    search = study(tmp_path, space)
    for recall in (0.2, 0.4):
        assert search.plot(tmp_path / "plot.png") is None  # nothing to compare yet
        search.done(search.propose().number, recall, 1.0)
    path = search.plot(tmp_path / "plot.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 10_000


def test_a_damaged_study_is_a_sentence(tmp_path):
    """With the file's name and what to do."""
    study(tmp_path)
    (tmp_path / "abc" / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(StorageError, match=r"abc/study\.db: the study cannot be read or written"):
        study(tmp_path)
