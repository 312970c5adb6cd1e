"""The tasks of the retrain flow that judge candidates and come to a verdict."""

from pathlib import Path

from prefect import task

from components.contract.files import stage_folder, write_bytes, write_json
from components.contract.judging import GatePolicy, JudgeSettings
from components.contract.operations import MonitoringSettings
from components.contract.records import GateReport, OwnJudgements, PreparedData
from components.contract.task import Task as ShopTask
from components.cost.summary import Cost
from components.cost.usage import USAGE, Meter
from components.evaluation.plots import plot_gate_intervals, plot_recall_by_age
from components.evaluation.pooled import System
from components.evaluation.risk_plot import plot_risk_coverage
from components.evaluation.scorecard import Scorecard
from components.gate.report import report_html, report_json, report_markdown
from components.gate.subject import Subject
from components.gate.verdict import decide
from components.monitoring.alarms import calibrate
from components.monitoring.reference import Undiscoverable, build_reference
from components.release.discoverability import check_release
from components.release.judging import JudgedTasks, judge_bm25, judge_candidate, write_pool
from components.split.labels import Labels
from flows.shop import REFERENCE


@task(name="judge", task_run_name="judge: {name}")
def judge_release(
    folder: Path,
    candidate: Path,
    vectors: Path,
    split_folder: Path,
    prepared: PreparedData,
    settings: JudgeSettings,
    name: str,  # noqa: ARG001 – shown in the run's name
    tasks: JudgedTasks | None = None,
    labels: Labels | None = None,
) -> str:
    with stage_folder(folder) as out, Meter(out / USAGE):
        judge_candidate(
            candidate,
            vectors,
            split_folder,
            prepared,
            settings,
            name=candidate.name[:12],
            out=out,
            tasks=tasks,
            labels=labels,
        )
    return folder.name


@task(name="look for undiscoverable items", task_run_name="look for undiscoverable items: {name}")
def look_for_undiscoverable(
    folder: Path,
    candidate: Path,
    vectors: Path,
    split_folder: Path,
    k: int,
    name: str,  # noqa: ARG001 – shown in the run's name
) -> int:
    with stage_folder(folder) as out:
        return check_release(candidate, vectors, split_folder, k, out).count


@task(name="judge: BM25")
def judge_lexical(
    folder: Path,
    split_folder: Path,
    prepared: PreparedData,
    settings: JudgeSettings,
    fields: tuple[str, ...],
    tasks: JudgedTasks | None = None,
    labels: Labels | None = None,
) -> str:
    with stage_folder(folder) as out, Meter(out / USAGE):
        judge_bm25(split_folder, prepared, settings, fields, out, tasks, labels)
    return folder.name


@task(name="decide")
def decide_verdict(
    scorecards: dict[str, Scorecard],
    policy: GatePolicy,
    first_run: bool,
    overlap: str | None,
    tasks: tuple[ShopTask, ...] = (),
    own: OwnJudgements | None = None,
) -> GateReport:
    floor = scorecards["bm25"] if first_run else None
    report = decide(
        scorecards["challenger"],
        scorecards["champion"],
        policy,
        floor=floor,
        overlap=overlap,
        tasks=tasks,
        baseline=scorecards["bm25"],
    )
    return report.model_copy(update={"own_judgements": own})


@task(name="write report")
def write_report(
    folder: Path,
    report: GateReport,
    scorecards: dict[str, Scorecard],
    cost: Cost | None,
    tasks: tuple[ShopTask, ...] = (),
    about: Subject | None = None,
) -> None:
    """gate_report.json is the gate's alone, byte for byte the same again; what it is about and what it cost
    stands beside it. It comes last: a run that has it is whole (judged_runs.py)."""
    write_bytes(folder / "gate_report.md", report_markdown(report, cost, about).encode())
    write_bytes(folder / "gate_report.html", report_html(report, cost, about).encode())
    if cost is not None:
        write_json(folder / "cost.json", cost.model_dump(mode="json"))
    for name, scorecard in scorecards.items():
        scorecard.write(folder / "scorecards" / name)
    plot_recall_by_age(scorecards["challenger"], scorecards["champion"], folder)
    plot_gate_intervals(report, folder)
    for one in tasks:
        answered = {name: card.tasks[one.name] for name, card in scorecards.items() if one.name in card.tasks}
        if one.head == "nearest":
            plot_risk_coverage(one, answered, folder)
    write_bytes(folder / "gate_report.json", report_json(report))


@task(name="pool what could be labelled")
def pool_new_items(
    folder: Path,
    systems: dict[System, tuple[Path, Path]],
    split_folder: Path,
    settings: JudgeSettings,
    fields: tuple[str, ...],
    labels: Labels | None,
) -> None:
    write_pool(systems, split_folder, settings, fields, folder, labels)


@task(name="calibrate the monitor")
def calibrate_monitor(
    folder: Path,
    candidate: Path,
    vectors: Path,
    data: tuple[Path, Path],
    hidden: Undiscoverable,
    settings: MonitoringSettings,
) -> None:
    """What live windows are held against; data: the split's and the checked tables' folders."""
    with stage_folder(folder) as out:
        reference = build_reference(
            candidate, vectors, *data, settings, out / REFERENCE, undiscoverable=hidden
        )
        calibrate(reference, settings).write(out)
