"""One MLflow run per retrain, open from the flow's beginning to its end."""

import json
import logging
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.contract.acting import actor
from components.contract.errors import DebutError, TrackingError
from components.contract.files import disk_errors
from components.contract.settings import OPERATING, Settings
from components.tracking.client import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_USER,
    Connection,
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    MlflowException,
    Param,
    RunTag,
    SystemMetricsMonitor,
    connect,
    mlflow_errors,
    without_secrets,
)
from components.tracking.loggers import Logger, finite, open_loggers

logger = logging.getLogger(__name__)

# Limits of MLflow's own (mlflow.utils.validation): longer values are refused.
PARAMS_PER_REQUEST = 100
METRICS_PER_REQUEST = 1_000
PARAM_CHARACTERS = 6_000
DIGEST_CHARACTERS = 36


@dataclass(frozen=True)
class DataInput:
    """Data that a run read: a source, or what a stage made of it."""

    name: str
    uri: str
    digest: str
    context: str
    """What for: "source", "training", "test"."""
    profile: Mapping[str, int]
    """Rows or other counts by name."""


@dataclass(frozen=True)
class Tracker:
    """Writes to one run. Every method raises TrackingError where MLflow refuses or is gone; it holds no
    state of its own, so threads may share it."""

    connection: Connection
    run_id: str
    experiment_id: str
    loggers: tuple[Logger, ...] = ()
    """Other tools that get the same parameters, tags and metrics."""

    @property
    def url(self) -> str | None:
        """The run's page; None for a store without a server."""
        if not self.connection.uri.startswith("http"):
            return None
        base = without_secrets(self.connection.uri).rstrip("/")
        return f"{base}/#/experiments/{self.experiment_id}/runs/{self.run_id}"

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Nested values as `a.b.c`; URIs lose their user names, passwords and query parts."""
        texts = {
            mlflow_name(name): without_secrets(str(value))[:PARAM_CHARACTERS]
            for name, value in flatten(values).items()
        }
        for logger in self.loggers:
            logger.texts(texts)
        params = [Param(name, text) for name, text in texts.items()]
        for start in range(0, len(params), PARAMS_PER_REQUEST):
            self._log_batch(params=params[start : start + PARAMS_PER_REQUEST])

    def tags(self, values: Mapping[str, str]) -> None:
        for logger in self.loggers:
            logger.texts(values)
        self._log_batch(tags=[RunTag(name, value) for name, value in values.items()])

    def describe(self, text: str) -> None:
        """What MLflow's page shows as the run's description."""
        self.tags({MLFLOW_RUN_NOTE: text[:PARAM_CHARACTERS]})

    def metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Finite numbers; anything else is left out, because MLflow holds numbers only."""
        self._log_metrics([(name, value, step) for name, value in values.items()])

    def epochs(self, metrics_file: Path) -> None:
        """Training's metrics.jsonl: one JSON object per line; "step" (or "epoch") is the step, every other
        number a metric."""
        self._log_metrics(list(read_steps(metrics_file)))

    def inputs(self, data: Sequence[DataInput]) -> None:
        with mlflow_errors(self.connection.uri):
            self.connection.client.log_inputs(self.run_id, [_dataset_input(one) for one in data])

    def files(self, folder: str, paths: Sequence[Path]) -> None:
        """Files and whole folders into the run's artifact folder `folder`."""
        for path in paths:
            with mlflow_errors(self.connection.uri):
                if path.is_dir():
                    self.connection.client.log_artifacts(self.run_id, str(path), f"{folder}/{path.name}")
                else:
                    self.connection.client.log_artifact(self.run_id, str(path), folder)

    def _log_metrics(self, values: Sequence[tuple[str, Any, int]]) -> None:
        known = [(mlflow_name(name), value, step) for name, value, step in finite(values)]
        for logger in self.loggers:
            logger.metrics(known)
        now = int(time.time() * 1_000)
        metrics = [Metric(name, value, now, step) for name, value, step in known]
        for start in range(0, len(metrics), METRICS_PER_REQUEST):
            self._log_batch(metrics=metrics[start : start + METRICS_PER_REQUEST])

    def _log_batch(self, **batch: Any) -> None:
        with mlflow_errors(self.connection.uri):
            self.connection.client.log_batch(self.run_id, **batch)


@contextmanager
def start(
    settings: Settings,
    workspace: Path,
    *,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    parent: Tracker | None = None,
) -> Iterator[Tracker]:
    """Opens a run with the settings as parameters; system metrics are measured until the block ends, for a
    run without a parent. Its user is the tag `requested_by`, else who acts (DEBUT_ACTOR, the login name).

    The run ends FINISHED; where the block raises, FAILED (KILLED at Ctrl-C) with the error's sentence as its
    description, and the error goes on.
    """
    with open_loggers(settings, workspace, name or "run") as loggers:
        connection = connect(settings, workspace)
        below = {MLFLOW_PARENT_RUN_ID: parent.run_id} if parent else {}
        tracker = replace(_create(connection, settings, name, {**(tags or {}), **below}), loggers=loggers)
        monitor = _system_metrics(tracker) if settings.tracking.system_metrics and not parent else None
        status, sentence = "FINISHED", None
        try:
            for logger in loggers:
                logger.texts(tags or {})
            tracker.parameters(_shown(settings))
            yield tracker
        except BaseException as error:
            status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
            sentence = without_secrets(str(error) if isinstance(error, DebutError) else repr(error))
            raise
        finally:
            if monitor:
                monitor.finish()  # before the run ends: it logs to running runs only
            _end(tracker, status, sentence)


def browse_command(settings: Settings, workspace: Path) -> str:
    """The shell command (or address) that shows the runs in a browser."""
    if settings.tracking.uri:
        return without_secrets(settings.tracking.uri)
    uri = f"sqlite:///{workspace.resolve() / 'mlflow.db'}"
    return f"mlflow ui --backend-store-uri {shlex.quote(uri)}"


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} → {"a.b": 1}; empty mappings and None keep their place as they are."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def mlflow_name(name: str) -> str:
    """A name that MLflow takes: recall@10 → recall_at_10, other signs → _."""
    return re.sub(r"[^\w.\- :/]", "_", name.replace("@", "_at_"), flags=re.ASCII)


def read_steps(metrics_file: Path) -> Iterator[tuple[str, Any, int]]:
    """(name, value, step) of every value in a metrics.jsonl. A line that is no JSON object with a step – cut
    off by a kill, perhaps continued by the resumed run – is left out with a warning."""
    with disk_errors(metrics_file):
        lines = metrics_file.read_text(errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            step = int(row.get("step", row.get("epoch", number - 1)))
        except (ValueError, TypeError, AttributeError):
            logger.warning("%s, line %d: not a line of metrics; left out", metrics_file, number)
            continue
        yield from ((name, value, step) for name, value in row.items() if name != "step")


def _create(connection: Connection, settings: Settings, name: str | None, tags: Mapping[str, str]) -> Tracker:
    user = tags.get("requested_by") or actor()
    every = {"shop": settings.shop, MLFLOW_SOURCE_NAME: "debut", MLFLOW_USER: user, **tags}
    with mlflow_errors(connection.uri):
        experiment_id = _experiment(connection, settings.tracking.experiment or settings.shop)
        run = connection.client.create_run(experiment_id, tags=every, run_name=name)
    return Tracker(connection, run.info.run_id, experiment_id)


def _experiment(connection: Connection, name: str) -> str:
    """The experiment's id; made where it is absent, brought back where it was deleted."""
    client = connection.client
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=connection.artifacts))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another run was faster
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _system_metrics(tracker: Tracker) -> SystemMetricsMonitor:
    monitor = SystemMetricsMonitor(tracker.run_id, tracking_uri=tracker.connection.uri)
    monitor.start()
    return monitor


def _end(tracker: Tracker, status: str, sentence: str | None) -> None:
    """Closes the run. Where a failure is being reported already, a lost server must not hide it."""
    try:
        if sentence:
            tracker.tags({"error": sentence[:PARAM_CHARACTERS]})
            tracker.describe(sentence)
        with mlflow_errors(tracker.connection.uri):
            tracker.connection.client.set_terminated(tracker.run_id, status)
    except TrackingError as error:
        if status == "FINISHED":
            raise
        logger.warning("The run %s could not be marked %s: %s", tracker.run_id, status, error)


def _shown(settings: Settings) -> dict[str, Any]:
    """The settings without the tracking URI, whose secrets no pattern can be trusted to find."""
    hidden: dict[str, Any] = {"tracking": {"uri"}} | dict.fromkeys(OPERATING, True)
    return settings.model_dump(mode="json", exclude=hidden)


def _dataset_input(data: DataInput) -> DatasetInput:
    uri = without_secrets(data.uri)
    dataset = Dataset(
        name=data.name,
        digest=data.digest[:DIGEST_CHARACTERS],
        source_type="s3" if uri.startswith("s3://") else "local",
        source=json.dumps({"uri": uri}),
        profile=json.dumps(dict(data.profile)),
    )
    tags = {MLFLOW_DATASET_CONTEXT: data.context, "digest": data.digest}
    return DatasetInput(dataset, [InputTag(name, value) for name, value in tags.items()])
