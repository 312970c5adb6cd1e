"""Evidently's page, JSON and workspace of a judged window."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.contract.operations import MonitoringSettings
from components.monitoring.alarms import Alarms, calibrate
from components.monitoring.drift_report import DriftReport
from components.monitoring.evidently_report import HTML_FILE, JSON_FILE, REPORT_FILE, publish
from components.monitoring.facts import item_facts
from components.monitoring.judging import judge
from components.monitoring.reference import Reference
from components.monitoring.window import Window
from tests.components.monitoring.conftest import END, invented_items, invented_reference, invented_requests

SETTINGS = MonitoringSettings(min_rows=50, resamples=100)
PER_DAY = 60
Judged = tuple[DriftReport, Window, Reference, Alarms]


@pytest.fixture(scope="module")
def judged() -> Judged:
    """A window with doubled prices and other vectors."""
    requests = invented_requests(np.random.default_rng(1), 20, PER_DAY, day_effect=0.1)
    reference = invented_reference(requests, PER_DAY, SETTINGS)
    alarms = calibrate(reference, SETTINGS)
    doubled = invented_items().with_columns(pl.col("price") * 2)
    live = invented_requests(np.random.default_rng(4), 1, PER_DAY, day_effect=0.1)
    vectors = pl.Series([[5.0] * 8] * PER_DAY, dtype=pl.List(pl.Float32))
    live = live.with_columns(query_vector=vectors)
    window = Window(END, END, live, item_facts(doubled, END, SETTINGS.new_item_days))
    return judge(window, reference, alarms, SETTINGS), window, reference, alarms


def test_evidently_comes_to_the_same_outcomes(judged: Judged, tmp_path: Path) -> None:
    """Its tests, with the calibrated thresholds, fail for the raised metrics and for no other."""
    report = judged[0]
    publish(*judged, SETTINGS, tmp_path / "out")
    found = json.loads((tmp_path / "out" / JSON_FILE).read_bytes())
    failed = [test["name"] for test in found["tests"] if test["status"] != "SUCCESS"]
    assert {"price", "new_item_price", "query_vectors"} <= set(report.raised)
    assert len(failed) == len(report.raised)
    assert all(any(re.search(rf"\b{name}\b", test) for test in failed) for name in report.raised)
    assert DriftReport.model_validate_json((tmp_path / "out" / REPORT_FILE).read_bytes()) == report


def test_the_page_needs_no_network(judged: Judged, tmp_path: Path) -> None:
    publish(*judged, SETTINGS, tmp_path / "out")
    page = (tmp_path / "out" / HTML_FILE).read_text()
    tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page)
    assert tags
    assert not [tag for tag in tags if re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", tag)]


def test_a_shop_is_one_project_of_the_workspace(judged: Judged, tmp_path: Path) -> None:
    from evidently.ui.workspace import Workspace

    for shop in ("demo", "demo", "demo-two"):
        publish(*judged, SETTINGS, tmp_path / "out", workspace=tmp_path / "workspace", shop=shop)
    opened = Workspace(str(tmp_path / "workspace"))
    runs = {project.name: len(opened.list_runs(project.id)) for project in opened.list_projects()}
    assert runs == {"demo": 2, "demo-two": 1}


def test_a_window_without_a_judged_metric_has_a_report_alone(judged: Judged, tmp_path: Path) -> None:
    _, window, reference, alarms = judged
    empty = Window(END, END, window.requests.head(0), window.items.head(0))
    report = judge(empty, reference, alarms, SETTINGS)
    publish(report, empty, reference, alarms, SETTINGS, tmp_path / "out", workspace=tmp_path / "workspace")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [REPORT_FILE]
    assert not (tmp_path / "workspace").exists()


def test_evidently_is_told_not_to_report_its_use_before_it_is_imported() -> None:
    """And importing our modules does not import it."""
    code = (
        "import sys, os, components.monitoring.evidently_report as r, components.monitoring.metrics as m\n"
        "assert not any(name.split('.')[0] == 'evidently' for name in sys.modules)\n"
        "m._evidently()\n"
        "assert 'evidently' in sys.modules and os.environ['DO_NOT_TRACK']\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DO_NOT_TRACK"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
