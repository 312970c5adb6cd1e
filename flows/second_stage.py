"""What a second stage asks of a run beside the first: item observations, and reviews that were read."""

from pathlib import Path

from components.contract.digests import sha256_file
from components.index.retrieval import HEADS, RANKER
from components.tasks.heads import open_heads
from components.tasks.sentiment import opinion_task
from flows import build_stages, console
from flows.run import Data, Run


def asked(run: Run) -> bool:
    """Whether the challenger may have one, or the champion it is judged beside has."""
    if run.shop.settings.ranking.learner != "none":
        return True
    return run.champion is not None and (run.shop.candidates / run.champion / RANKER).is_dir()


def _reads_reviews(candidate: Path) -> bool:
    heads = open_heads(candidate / HEADS) if (candidate / RANKER).is_dir() else {}
    return any(head.task.opinions for head in heads.values())


def opinions(run: Run, data: Data) -> Path | None:
    """Folder of the reviews before the cut-off as the shop's task of `opinions` reads their words; None where
    the shop has no reviews or no such task."""
    reviews = data.split / "statistics" / "reviews.parquet"
    reader = opinion_task(run.shop.settings.tasks)
    if reader is None and run.champion is not None and _reads_reviews(run.shop.candidates / run.champion):
        console.problem(
            "The champion's second stage reads reviews by a task that this run's `tasks` do not have: it is "
            "judged without what they say. Keep the task to judge it as it serves."
        )
    if reader is None or not reviews.is_file():
        return None
    _, folder = run.cached(
        build_stages.read_reviews,
        "opinions",
        [reader, data.task_digest, sha256_file(reviews)],
        reader=reader,
        rows=data.task_rows,
        split_folder=data.split,
    )
    return folder
