"""The monitor's reference and alarms: made once per release and settings, and never to a run's harm."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from components.contract.errors import ConfigError, DebutError, JudgeError, MonitoringError
from components.contract.files import write_json
from components.contract.operations import MonitoringSettings
from components.monitoring.alarms import Alarms, calibrate
from components.monitoring.reference import ITEMS_FILE, REFERENCE_FILE, REQUESTS_FILE, Reference
from flows import building, releases
from flows.monitor import _given, _outside, monitor
from flows.shop import REFERENCE, open_shop
from tests.components.monitoring.conftest import RELEASE, invented_reference, invented_requests

SETTINGS = MonitoringSettings(min_rows=20, resamples=100, false_alarm_rate=0.2)


@dataclass
class Made:
    """Stands for the stages that search and calibrate; each call is counted."""

    shop: Any
    calls: list[str] = field(default_factory=list)
    failure: DebutError | None = None

    def undiscoverable(self, run: Any, data: Any, release: Any, name: str) -> tuple[int, Path]:
        self.calls.append(name)
        if self.failure:
            raise self.failure
        folder = self.shop.references.parent / "undiscoverable"
        write_json(folder / releases.SUMMARY, {"undiscoverable": 0, "checked": 0, "items": []})
        return 0, folder

    def calibrate_monitor(self, folder: Path, *_: Any) -> None:
        _write(folder, self.shop.settings.monitoring)

    def run(self, name: str = "champion", digest: str = RELEASE) -> None:
        data = SimpleNamespace(split=self.shop.references.parent, checked_folder=None)
        releases.calibrate_monitor(
            SimpleNamespace(shop=self.shop), data, SimpleNamespace(digest=digest), name
        )


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    known = invented_reference(invented_requests(np.random.default_rng(0), 1, 5, 0.0), 5, SETTINGS)
    known.items.select("item_id", "is_new").head(0).with_columns(listed_at=None).write_parquet(
        tmp_path / "items.parquet"
    )
    shop = SimpleNamespace(
        references=tmp_path / "references",
        candidates=tmp_path / "candidates",
        settings=SimpleNamespace(monitoring=SETTINGS),
    )
    made = Made(shop)
    monkeypatch.setattr(releases, "undiscoverable", made.undiscoverable)
    monkeypatch.setattr(building, "encoded_by", lambda *_: tmp_path)
    monkeypatch.setattr(releases.judge_stages, "calibrate_monitor", made.calibrate_monitor)
    return made


def _write(folder: Path, settings: MonitoringSettings) -> None:
    known = _reference(settings)
    (folder / REFERENCE).mkdir(parents=True, exist_ok=True)
    known.requests.write_parquet(folder / REFERENCE / REQUESTS_FILE)
    known.items.write_parquet(folder / REFERENCE / ITEMS_FILE)
    write_json(folder / REFERENCE / REFERENCE_FILE, known.facts.model_dump(mode="json"))
    _alarms(settings.model_copy(update={"debounce_hours": 24.0})).write(folder)


@cache
def _alarms(settings: MonitoringSettings) -> Alarms:
    return calibrate(_reference(settings), settings)


def _reference(settings: MonitoringSettings) -> Reference:
    return invented_reference(
        invented_requests(np.random.default_rng(0), 5, 20, day_effect=0.0), 20, settings
    )


def test_a_release_is_calibrated_once(made: Made) -> None:
    """Champion and challenger each; the debounce is no reason to do it again."""
    made.run("champion")
    made.run("challenger", "b" * 64)
    made.run("champion")
    made.shop.settings.monitoring = SETTINGS.model_copy(update={"debounce_hours": 1.0})
    made.run("champion")
    assert made.calls == ["champion", "challenger"]


def test_changed_settings_calibrate_again(made: Made) -> None:
    made.run()
    made.shop.settings.monitoring = SETTINGS.model_copy(update={"false_alarm_rate": 0.3})
    made.run()
    made.run()
    assert len(made.calls) == 2
    assert releases.is_calibrated(made.shop.references / RELEASE, made.shop.settings.monitoring)


@pytest.mark.parametrize("damaged", ["alarms.json", "reference/items.parquet"])
def test_damaged_files_are_made_again(made: Made, damaged: str) -> None:
    made.run()
    (made.shop.references / RELEASE / damaged).write_bytes(b"half")
    made.run()
    assert len(made.calls) == 2


def test_what_cannot_be_calibrated_ends_no_run(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The release is promoted by then."""
    shown: list[tuple[str, str]] = []
    monkeypatch.setattr(releases.console, "fact", lambda *told: shown.append(told))
    made.failure = JudgeError("[no] query was made.")
    made.run()
    assert shown == [("monitor", r"will not watch aaaaaaaaaaaa: \[no] query was made.")]


def test_events_that_were_deleted_keep_no_window_from_being_judged(tmp_path: Path) -> None:
    """The report says what is missing, and what makes it again."""
    shop = open_shop("demo", None, str(tmp_path))
    shop.remember_check(shop.workspace / "stages" / "check-x", passed=True)
    found = _outside(shop, "d", [], datetime(2026, 1, 5))
    assert found.value is None and found.reason is not None
    assert "is gone: run `debut check`): other entrances are not known." in found.reason


@pytest.mark.parametrize(
    ("failing", "sentence"),
    [
        (("watch",), "12 reviews are too few."),
        (("renew_check", "watch"), "12 reviews are too few."),
        (
            ("renew_check",),
            "Reviews are those of an earlier check of the shop's files: 12 reviews are too few.",
        ),
    ],
)
def test_reviews_that_cannot_be_read_keep_no_window_from_being_judged(
    made: Made, monkeypatch: pytest.MonkeyPatch, failing: tuple[str, ...], sentence: str
) -> None:
    """It is told, once the windows are through."""
    judged, told = [], []

    def unread(*_: Any, **__: Any) -> None:
        raise MonitoringError("12 reviews are too few.")

    monkeypatch.setattr("flows.monitor.open_shop", lambda *_: made.shop)
    for name in ("renew_check", "watch"):
        made_up = unread if name in failing else lambda *_, **__: None
        monkeypatch.setattr(f"flows.monitor.opinions.{name}", made_up)
    monkeypatch.setattr("flows.monitor._due", lambda _: [("first", "last")])
    monkeypatch.setattr(
        "flows.monitor.watch",
        lambda *given, **_: judged.append(given) or {"mlflow": None, "verdict": "no drift"},
    )
    monkeypatch.setattr("flows.monitor._markdown", str)
    monkeypatch.setattr("flows.monitor.create_markdown_artifact", lambda *_, **__: None)
    monkeypatch.setattr("flows.monitor.drift_events.tell_problem", lambda _, sentence: told.append(sentence))
    assert monitor.fn("x")["verdict"] == "no drift"
    assert len(judged) == 1 and told == [sentence]


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        ("yesterday", None, "start 'yesterday' is no time: give ISO 8601 in UTC"),
        (None, "2026-13-01", "end '2026-13-01' is no time"),
        ("2026-01-02T00:00", "2026-01-02T00:00+00:00", "is not before end"),
    ],
)
def test_a_window_that_people_typed_is_checked(
    made: Made, start: str | None, end: str | None, told: str
) -> None:
    """In Prefect's form."""
    with pytest.raises(ConfigError, match=re.escape(told)):
        _given(made.shop, start, end)
