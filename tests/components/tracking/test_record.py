from dataclasses import replace

import numpy as np
import pytest

from components.contract.records import CheckedData, LoadedData, TrainedModel
from components.evaluation.scorecard import EntranceScores, Scorecard
from components.tracking.record import RunRecord, data_inputs, record_run, scorecard_metrics, stage_metrics
from components.tracking.run import start


@pytest.fixture
def scorecard():
    measures = {
        "new/recall@10": np.array([1.0, 0.0, np.nan]),
        "category:Tools/recall@10": np.array([1.0, 1.0, 1.0]),
    }
    scores = EntranceScores(entrance="search", request_ids=("q", "r", "s"), measures=measures)
    return Scorecard(
        name="challenger",
        digest="d" * 64,
        primary="search",
        entrances={"search": scores},
        bounds={"size_mb": 90.0, "typo_recall_loss": None},
    )


@pytest.fixture
def record(make_card, scorecard, tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"step": 1, "loss": 2.0}\n')
    report = tmp_path / "gate.md"
    report.write_text("# Gate")
    return RunRecord(
        loaded=LoadedData(
            path="load",
            digest="1" * 64,
            input_digests={"goods": "2" * 64},
            rows={"items": 5},
            control_characters={},
        ),
        checked=CheckedData(
            path="check", digest="3" * 64, rows={"items": 4}, quarantined={"items": 1}, broken={}
        ),
        prepared=make_card().prepared,
        trained=TrainedModel(
            path="train",
            encoder_digest="e" * 64,
            epochs=1,
            steps=10,
            pairs=100,
            seconds=1.5,
            best_validation_recall=None,
        ),
        metrics_file=metrics,
        scorecards={"challenger": scorecard},
        report=make_card().report,
        files={"gate": [report]},
    )


def test_whole_retrain_is_recorded(make_settings, workspace, record):
    """Inputs with digests, metrics by role, entrance and slice, tags and files are in one run."""
    with start(make_settings(), workspace) as tracker:
        record_run(tracker, make_settings(), record)
    run = tracker.connection.client.get_run(tracker.run_id)
    assert run.data.metrics == {
        "loss": 2.0,
        "quarantine/items": 1.0,
        "split/items": 5.0,
        "split/new_items": 2.0,
        "training/epochs": 1.0,
        "training/steps": 10.0,
        "training/pairs": 100.0,
        "training/seconds": 1.5,
        "challenger/bounds/size_mb": 90.0,
        "challenger/search/new/recall_at_10": 0.5,
        "challenger/search/new/requests": 2.0,
    }
    assert run.data.tags["verdict"] == "PROMOTE"
    assert run.data.tags["candidate"] == "d" * 12
    assert run.data.tags["mlflow.note.content"] == f"PROMOTE for demo: {record.report.sentence}"
    names = {one.dataset.name: one.dataset.digest for one in run.inputs.dataset_inputs}
    assert names == {"goods": "2" * 36, "checked tables": "3" * 36, "split": "f" * 36}
    [file] = tracker.connection.client.list_artifacts(tracker.run_id, "gate")
    assert file.path == "gate/gate.md"


def test_the_description_says_why_the_run_was_asked_for(make_settings, workspace, record):
    """Beside verdict and shop, where somebody gave a reason."""
    with start(make_settings(), workspace) as tracker:
        record_run(tracker, make_settings(), replace(record, because="new lamps came"))
    note = tracker.connection.client.get_run(tracker.run_id).data.tags["mlflow.note.content"]
    assert note.endswith(" Asked for because: new lamps came")


def test_the_cost_becomes_metrics(make_settings, workspace, record, cost):
    """Numbers only; the words about them are in the report and in the version's description."""
    with start(make_settings(), workspace) as tracker:
        record_run(tracker, make_settings(), replace(record, cost=cost))
    metrics = tracker.connection.client.get_run(tracker.run_id).data.metrics
    assert metrics["cost/training/energy_wh"] == 24.0
    assert metrics["cost/per_point/cpu_hours"] == 0.5
    assert not any(name.endswith(("/estimated", "/measured")) for name in metrics)


def test_run_that_stopped_early_records_what_it_has(make_settings, workspace):
    """Nothing is needed: an empty record writes nothing and fails nowhere."""
    with start(make_settings(), workspace) as tracker:
        record_run(tracker, make_settings(), RunRecord())
    run = tracker.connection.client.get_run(tracker.run_id)
    assert run.data.metrics == {}
    assert run.inputs.dataset_inputs == []


def test_source_that_left_the_configuration_keeps_its_name(make_settings, record):
    """A digest without a source of that name is still an input."""
    loaded = record.loaded.model_copy(update={"input_digests": {"other": "2" * 64}})
    [source] = data_inputs(make_settings(), RunRecord(loaded=loaded))
    assert (source.name, source.uri) == ("other", "other")


def test_only_main_slices_become_metrics(scorecard):
    """Category slices stay in the files; bounds without a number have no metric value."""
    assert scorecard_metrics("champion", scorecard) == {
        "champion/bounds/size_mb": 90.0,
        "champion/bounds/typo_recall_loss": None,
        "champion/search/new/recall@10": 0.5,
        "champion/search/new/requests": 2,
    }
    assert stage_metrics(RunRecord()) == {}
