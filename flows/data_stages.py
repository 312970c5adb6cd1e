"""The tasks of the retrain flow that read, check and split a shop's data.

Each task of the retrain flow is one or two calls into components, with its retries. A stage's task gets
`folder`, where it leaves its files whole or not at all; what travels between tasks is a small record. Only
what can fail for a passing reason is retried: reading from S3, and MLflow.
"""

from datetime import datetime
from pathlib import Path

from prefect import task

from components.contract.errors import DataError
from components.contract.files import stage_folder
from components.contract.records import CheckedData, LoadedData, PreparedData, TaskData
from components.contract.settings import QualitySettings, Settings, SplitSettings
from components.contract.task import Task as ShopTask
from components.cost.usage import USAGE, Meter
from components.data.sources import load
from components.data.storage import S3_SCHEME
from components.quality.checks import enforce, inspect
from components.quality.coverage import lost_items
from components.quality.report import add_coverage
from components.split.leakage import check_leakage
from components.split.split import split
from components.tasks.rows import write_rows
from flows.costs import metered_beside
from flows.retries import failed_in_passing
from flows.shop import Shop


@task(name="load data", retries=2, retry_delay_seconds=[2, 10], retry_condition_fn=failed_in_passing)
def load_data(
    folder: Path,
    settings: Settings,
    root: Path,
    workspace: Path,
    sources: dict[str, str],
    replayed: dict[str, str],
) -> LoadedData:
    """sources, replayed: digests by which the run asked for this stage, before it waited for its turn."""
    with stage_folder(folder) as out, metered_beside(folder):
        loaded = load(settings, root, workspace, out)
        for name, digest in sources.items():
            # An object in S3 is told apart by its ETag there, which the file that was read does not have.
            if not settings.sources[name].path.startswith(S3_SCHEME) and loaded.input_digests[name] != digest:
                raise DataError(f"source {name}: the file changed after this run began; run again.")
        for table in settings.tables:
            if loaded.input_digests.get(f"replayed/{table}") != replayed.get(f"{table}.parquet"):
                raise DataError(f"{table}: rows were replayed after this run began; run again.")
        return loaded.model_copy(update={"path": folder.name})


@task(name="check data quality")
def check_quality(folder: Path, loaded: Path, settings: QualitySettings, now: datetime) -> CheckedData:
    with stage_folder(folder) as out, Meter(out / USAGE):
        return inspect(loaded, settings, out, now).model_copy(update={"path": folder.name})


@task(name="split and check for leakage")
def split_data(folder: Path, checked: Path, settings: SplitSettings, primary: str) -> PreparedData:
    with stage_folder(folder) as out, metered_beside(folder):
        prepared = split(checked, settings, out, primary)
        check_leakage(out, checked)
    return prepared.model_copy(update={"path": folder.name})


@task(name="prepare the tasks' rows")
def prepare_task_rows(
    folder: Path, tasks: tuple[ShopTask, ...], checked: Path, split_folder: Path, relevant_grade: float
) -> TaskData:
    with stage_folder(folder) as out, metered_beside(folder):
        written = write_rows(tasks, checked, split_folder, out, relevant_grade)
    return written.model_copy(update={"path": folder.name})


@task(name="enforce the tolerance")
def enforce_tolerance(shop: Shop, checked: Path) -> None:
    shop.remember_check(checked)  # first, so that `debut quarantine` finds the rows that stop the run
    enforce(checked, shop.settings.quality)
    shop.remember_check(checked, passed=True)  # what was refused is read by nobody


@task(name="count what quarantine cost")
def count_lost_items(loaded: Path, checked: Path, prepared: PreparedData) -> dict[str, int]:
    lost = lost_items(loaded, checked, prepared.cutoff)
    add_coverage(checked, lost)
    return lost
