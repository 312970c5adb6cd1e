"""What a run's training and judging cost, from the measurements that its stages left."""

from components.contract.records import GateReport
from components.cost.summary import Cost, cost_of
from components.cost.usage import USAGE, read_usage
from flows.run import Run

TRAINING, JUDGING = ("train", "writer", "written", "teacher", "taught"), ("judged", "bm25")


def cost_of_run(run: Run, report: GateReport) -> Cost | None:
    """None for a run that trained nothing."""
    training, judging = (
        read_usage(folder / USAGE for folder, stage in run.used.items() if stage in stages)
        for stages in (TRAINING, JUDGING)
    )
    return cost_of(training, judging, report, run.shop.settings.cost, run.began)
