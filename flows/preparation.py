"""The data stages: load → check → split, each from the cache where nothing it depends on changed."""

from datetime import UTC
from pathlib import Path

import polars as pl

from components.contract.records import CheckedData, LoadedData
from components.encoder.base import resolve_base
from components.pretraining.spec import check_base
from components.quality.checks import dated_ahead
from components.quality.missing import require_rows, warnings
from components.ranking.model import load_lightgbm
from components.training.base_size import check_base_size
from components.understanding.knowledge import check_knowledge
from flows import console, data_stages
from flows.run import Data, Run


def load_and_check(run: Run) -> tuple[tuple[LoadedData, Path], tuple[CheckedData, Path]]:
    """Records and folders of the loaded and of the clean tables; stops past the tolerance, and
    where the table to judge by has no row."""
    shop, settings = run.shop, run.shop.settings
    sources = settings.model_dump(mode="json", include={"sources", "tables"})
    loaded = run.cached(
        data_stages.load_data,
        "load",
        [run.fingerprint["data"], run.fingerprint["replayed"], sources],
        settings=settings,
        root=shop.root,
        workspace=shop.workspace,
        sources=run.fingerprint["data"],
        replayed=run.fingerprint["replayed"],
    )
    require_rows(loaded[0], settings)
    now = run.began.astimezone(UTC).replace(tzinfo=None)
    checked = run.cached(
        data_stages.check_quality,
        "check",
        # Rows dated ahead are good once their day has come; nothing else changes with the clock.
        [loaded[0].digest, settings.quality, dated_ahead(loaded[1], now)],
        loaded=loaded[1],
        settings=settings.quality,
        now=now,
    )
    data_stages.enforce_tolerance(shop, checked[1])
    for sentence in warnings(loaded[0], checked[1], settings):
        console.warning(sentence)
    return loaded, checked


def prepare(run: Run) -> Data:
    settings = run.shop.settings
    base = resolve_base(settings.encoder)
    check_base_size(base, settings.encoder, settings.training)  # a rank would tell it after all that
    if settings.ranking.learner != "none":
        load_lightgbm()  # else it would be missed after the fine-tuning
    (loaded, loaded_folder), (checked, checked_folder) = load_and_check(run)
    prepared, split = run.cached(
        data_stages.split_data,
        "split",
        [checked.digest, settings.split, settings.judge.primary],
        checked=checked_folder,
        settings=settings.split,
        primary=settings.judge.primary,
    )
    check_base(base, split)
    lost = data_stages.count_lost_items(loaded_folder, checked_folder, prepared)
    if settings.knowledge is not None:
        check_knowledge(settings.knowledge, pl.read_parquet(split / "items.parquet"))
    tasks = None
    if settings.tasks:
        tasks = run.cached(
            data_stages.prepare_task_rows,
            "tasks",
            [checked.digest, prepared.digest, settings.tasks, settings.split.relevant_grade],
            tasks=settings.tasks,
            checked=checked_folder,
            split_folder=split,
            relevant_grade=settings.split.relevant_grade,
        )
    return Data(loaded, checked, prepared, loaded_folder, checked_folder, split, lost, tasks)
