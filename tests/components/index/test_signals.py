"""What is known of items beside their texts, in a snapshot and in an index that changes."""

import numpy as np
import pytest

from components.contract.errors import DataError
from components.index.columns import Columns
from components.index.signals import KINDS, SIGNALS_FILE, LiveSignals, Signals
from components.ranking.observations import Observed

ITEMS, DIMENSIONS = 60, 8


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    made = np.random.default_rng(0).standard_normal((ITEMS, DIMENSIONS)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def observed(**kinds) -> Observed:
    nothing = np.zeros(ITEMS), np.zeros(ITEMS)
    return Observed({name: kinds.get(name, nothing) for name in KINDS}, {})


@pytest.fixture(scope="module")
def signals(vectors) -> Signals:
    rng = np.random.default_rng(1)
    days = np.where(np.arange(ITEMS) < 10, 0.0, 30.0)
    return Signals.build(vectors, observed(demand=(rng.poisson(3.0, ITEMS) * (days > 0), days)))


def columns(make_items, count: int = ITEMS) -> Columns:
    return Columns.of(make_items([{"item_id": f"i{n:02}", "title": "x", "price": 2.0} for n in range(count)]))


def test_what_was_never_observed_anywhere_is_not_known_and_the_rest_is(signals, vectors, make_items):
    items = LiveSignals(signals, vectors, columns(make_items)).items
    assert np.isfinite(items.demand).all()
    assert np.isnan(items.attraction).all() and np.isnan(items.rating).all()
    assert items.price.tolist() == [2.0] * ITEMS


def test_signals_come_back_from_disk_as_they_were(signals, vectors, make_items, tmp_path):
    signals.save(tmp_path)
    loaded = Signals.load(tmp_path)
    before, after = (LiveSignals(one, vectors, columns(make_items)).items.demand for one in (signals, loaded))
    assert before.tolist() == after.tolist()
    assert Signals.load(tmp_path / "none") is None


def test_parts_of_two_catalogues_are_refused(signals, tmp_path):
    from safetensors.numpy import load_file, save_file

    signals.save(tmp_path)
    arrays = load_file(tmp_path / SIGNALS_FILE)
    save_file(arrays | {"rating.total": np.zeros(3, np.float32)}, tmp_path / SIGNALS_FILE)
    with pytest.raises(DataError, match="different catalogues"):
        Signals.load(tmp_path)


def test_what_an_earlier_version_did_not_observe_is_not_known(signals, vectors, make_items, tmp_path):
    """Its release is judged, and served, as it was."""
    from safetensors.numpy import load_file, save_file

    signals.save(tmp_path)
    arrays = load_file(tmp_path / SIGNALS_FILE)
    earlier = {name: values for name, values in arrays.items() if not name.startswith("sentiment")}
    save_file(earlier, tmp_path / SIGNALS_FILE)
    items = LiveSignals(Signals.load(tmp_path), vectors, columns(make_items)).items
    assert np.isnan(items.sentiment).all() and np.isfinite(items.demand).all()


def test_an_appended_item_keeps_what_was_observed_of_its_id_and_a_new_one_gets_the_prior(
    signals, vectors, make_items
):
    live = LiveSignals(signals, vectors, columns(make_items))
    live.append(np.stack([vectors[20], vectors[20]]), np.asarray([20, -1]))
    demand = live.items.demand
    assert demand[ITEMS] == demand[20]
    kind = signals.kinds["demand"]
    prior = np.log(kind.expected.prior(vectors[20:21]) / kind.expected.mean)
    assert demand[ITEMS + 1] == pytest.approx(prior[0], abs=1e-6)


def test_rows_that_are_kept_keep_their_values(signals, vectors, make_items):
    live = LiveSignals(signals, vectors, columns(make_items))
    live.append(vectors[:3], np.asarray([-1, -1, -1]))
    rows = np.asarray([*range(ITEMS), ITEMS + 2])
    kept = live.kept(rows, columns(make_items))
    assert kept.items.demand.tolist() == live.items.demand[rows].tolist()
    assert len(live.items.demand) == ITEMS + 3


def test_another_catalogue_takes_the_observations_of_its_items(signals, vectors):
    taken = signals.taken(np.asarray([12, -1]))
    kind = taken.kinds["demand"]
    assert kind.total.tolist() == [signals.kinds["demand"].total[12], 0.0]
    assert (taken.items, kind.exposure[1]) == (2, 0.0)
