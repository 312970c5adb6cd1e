"""A judged window of the monitor as an MLflow run of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.contract.settings import Settings
from components.tracking.run import start


def record_drift(
    settings: Settings, workspace: Path, report: Mapping[str, Any], files: Sequence[Path]
) -> str | None:
    """Verdict and release as tags, each metric's value and adjusted p as metrics, the report's files as
    artifacts; returns the run's address, None without a server. report: the window's DriftReport as plain
    JSON values. Raises TrackingError.
    """
    quiet = settings.model_copy(
        update={"tracking": settings.tracking.model_copy(update={"system_metrics": False})}
    )
    tags = {"kind": "monitor", "verdict": report["verdict"], "release": report["release"]}
    with start(quiet, workspace, name=f"monitor {report['end']}", tags=tags) as tracker:
        for name in ("value", "p_adjusted"):
            tracker.metrics({f"{one['name']}/{name}": one[name] for one in report["metrics"]})
        tracker.files("drift", files)
        return tracker.url
