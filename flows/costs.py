"""What a run's preparing, training and judging cost, from the measurements that its stages left."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from components.contract.records import GateReport
from components.cost.summary import Cost, cost_of
from components.cost.usage import USAGE, Meter, Usage, read_usage
from flows.run import Run

DATA = ("load", "check", "split", "tasks", "opinions")
ENCODING = ("base", "vectors", "examples", "graphs")
CHOOSING = ("histories", "plan", "implied", "ranker", "heads", "history")
PREPARING = DATA + ENCODING + CHOOSING
TRAINING, JUDGING = ("train", "writer", "written", "teacher", "taught"), ("judged", "bm25")


def usage_beside(folder: Path) -> Path:
    """For a stage whose folder is digested, or goes into the candidate, with all its files: a measurement in
    it would give every run another digest. No name of a stage begins like this one."""
    return folder.with_name(f"usage-{folder.name}.json")


@contextmanager
def metered_beside(folder: Path) -> Iterator[None]:
    """Measures the stage of this folder beside it; of one that failed nothing stays."""
    place = usage_beside(folder)
    try:
        with Meter(place):
            yield
    except BaseException:
        place.unlink(missing_ok=True)
        raise


def cost_of_run(run: Run, report: GateReport) -> Cost | None:
    """None for a run that trained nothing."""
    preparing, training, judging = (_usages(run, stages) for stages in (PREPARING, TRAINING, JUDGING))
    prepared = sum(stage in PREPARING for stage in run.used.values())
    return cost_of(
        preparing,
        training,
        judging,
        report,
        run.shop.settings.cost,
        run.began,
        unmeasured=prepared - len(preparing),
    )


def _usages(run: Run, stages: Sequence[str]) -> list[Usage]:
    folders = [folder for folder, stage in run.used.items() if stage in stages]
    return read_usage(place for folder in folders for place in (folder / USAGE, usage_beside(folder)))
