"""When drift becomes an event, and when the monitor's own failure is told."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from components.contract.errors import OrchestrationError, StorageError
from components.monitoring.drift_report import DriftReport
from flows import drift_events, notifications
from flows.shop import open_shop


@pytest.fixture
def shop(retrained):
    found = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    file = found.workspace / "monitoring" / drift_events.TOLD
    file.unlink(missing_ok=True)
    yield found
    file.unlink(missing_ok=True)


@pytest.fixture
def told(monkeypatch):
    """What people hear."""
    heard = []
    monkeypatch.setattr(notifications, "drifted", lambda _, drift: heard.append(drift.sentence))
    monkeypatch.setattr(notifications, "monitor_failed", lambda _, sentence: heard.append(sentence))
    return heard


def report(shop, **changes):
    end = datetime(2026, 1, 5)
    values = {
        "release": shop.decision_log().champion(),
        "start": end - timedelta(days=1),
        "end": end,
        "verdict": "drift",
        "sentence": "Drift in language.",
        "raised": ("language",),
        "requests": 500,
        "requests_left_out": 0,
        "items": 10,
        "new_items": 1,
        "false_alarm_rate": 0.05,
        "metrics": (),
    }
    return DriftReport(**values | changes)


def test_drift_is_told_of_once_within_the_pause(shop, told, tmp_path):
    assert drift_events.tell_drift(shop, report(shop), tmp_path / "drift.html")
    assert not drift_events.tell_drift(shop, report(shop), tmp_path / "drift.html")
    assert told == ["Drift in language."]


def test_a_change_of_champion_does_not_end_the_pause(shop, told, tmp_path):
    """Else drift would at once replace what somebody rolled back to."""
    before = datetime.now(UTC) - timedelta(hours=1)  # the fixture's champion is younger or older: both count
    file = shop.workspace / "monitoring" / drift_events.TOLD
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"at": [before.isoformat()]}))
    assert not drift_events.tell_drift(shop, report(shop), tmp_path / "drift.html")
    assert told == []


@pytest.mark.parametrize(
    "changes", [{"verdict": "not judged"}, {"verdict": "no drift"}, {"rate_known": False}]
)
def test_without_ground_nothing_is_told(shop, told, tmp_path, changes):
    """An alarm whose rate of false ones is not known starts no retrain."""
    assert not drift_events.tell_drift(shop, report(shop, **changes), tmp_path / "drift.html")
    assert told == []


def test_a_challenger_that_waits_is_not_pushed_out(shop, told, tmp_path, waiting):
    """A newer challenger would end its review."""
    assert not drift_events.tell_drift(shop, report(shop), tmp_path / "drift.html")
    assert told == []


def test_what_stops_the_monitor_is_told_once_until_it_changes(shop, told):
    for sentence in ("no log", "no log", "no reference", "no reference"):
        drift_events.tell_problem(shop, sentence)
    drift_events.forget_problem(shop)
    drift_events.tell_problem(shop, "no log")
    drift_events.forget_problem(shop)
    assert told == ["no log", "no reference", "no log"]


@pytest.fixture
def full_disk(monkeypatch):
    def fail(path, _):
        raise StorageError(f"{path}: No space left on device.")

    monkeypatch.setattr(drift_events, "write_json", fail)


@pytest.fixture
def sent(monkeypatch):
    """The events that reach the server."""
    events = []

    class Server:
        def __init__(self, shop):
            pass

        def emit(self, event, subject, payload):
            events.append(event)

    monkeypatch.setattr(drift_events, "has_server", lambda: True)
    monkeypatch.setattr(drift_events, "PrefectOrchestrator", Server)
    return events


def test_on_a_full_disk_people_are_told_of_the_problem(shop, told, full_disk):
    """It may be the very problem."""
    with pytest.raises(StorageError):
        drift_events.tell_problem(shop, "windows: No space left on device.")
    assert told == ["windows: No space left on device."]


def test_on_a_full_disk_drift_starts_no_retrain(shop, told, full_disk, sent, tmp_path):
    """The pause could not be kept: each hour would start another one."""
    with pytest.raises(StorageError):
        drift_events.tell_drift(shop, report(shop), tmp_path / "drift.html")
    assert (sent, told) == ([], [])


def test_drift_that_did_not_reach_the_server_is_due_again(shop, told, sent, tmp_path, monkeypatch):
    """Noted before it is sent, but not as told."""

    def away(*_):
        raise OrchestrationError("Prefect's server is away.")

    with monkeypatch.context() as patch:
        patch.setattr(drift_events.PrefectOrchestrator, "emit", away)
        with pytest.raises(OrchestrationError):
            drift_events.tell_drift(shop, report(shop), tmp_path / "drift.html")
    assert (drift_events.drift_told_at(shop), told) == ([], [])
    assert drift_events.tell_drift(shop, report(shop), tmp_path / "drift.html")
    assert (sent, told) == ([drift_events.DRIFT_EVENT], ["Drift in language."])
