"""The retrain flow: from a shop's own files to a promoted – or refused – release.

The order of the stages and what each is given; the work is in components, the tasks in flows/*_stages.py and
flows/releases.py.
"""

import time
from pathlib import Path
from typing import Any

from prefect import flow

from components.contract.errors import TrackingError
from components.contract.records import Candidate, GateReport, TrainedModel
from components.tracking.run import Tracker, browse_command, start
from flows import acts, building, console, decision_stages, lost_runs, notifications, releases
from flows.building import Model, Retrieval
from flows.costs import cost_of_run
from flows.fingerprint import last_result
from flows.lease import retrain_lease
from flows.preparation import prepare
from flows.requester import requester
from flows.results import result_of, save_result
from flows.reviews import ask_for_review, record_expired
from flows.run import Data, Run, new_run, new_run_id
from flows.shop import open_shop
from flows.training_spec import fine_tuned, miner_of


@flow(name="retrain", flow_run_name="retrain {config}")
def retrain(
    config: str,
    root: str | None = None,
    workspace: str | None = None,
    because: str = "",
    requested_by: str = "",
    thread: dict[str, str] | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """The whole loop for one shop; returns its figures and verdict.

    because, requested_by: why and for whom it runs, for the review, MLflow and chat (in a deployment's run a
    name needs evidence, see flows.requester); thread: where in a chat the answer belongs
    (chatops.board.Thread as a dictionary); force: also where nothing changed since the last run, whose result
    is else given again. Whatever ends it is told there, a cancellation too.
    """
    shop = open_shop(config, root, workspace)
    run_id = new_run_id()
    try:
        record_expired(shop)
        run = new_run(shop, requester(shop, requested_by), because, run_id)
        known = None if force else last_result(shop, run.fingerprint)
        if known is not None:
            acts.mirror(shop)  # MLflow may have been away when the last run decided
            notifications.nothing_new(shop, known, thread)
            return known
        result = run_loop(run)
        if result["decision"] is None:
            ask_for_review(shop, run_id)
        notifications.retrained(shop, result, thread)
    except BaseException as error:
        notifications.failed(shop, run_id, error, thread)
        lost_runs.remember_told(shop)
        raise
    return result


def run_loop(run: Run, *, monitored: bool = True) -> dict[str, Any]:
    """One retrain inside one MLflow run; one at a time per shop. monitored: the monitor's alarms are
    calibrated for what serves, and for what may serve by a review or an override."""
    with retrain_lease(run.shop, run.run_id):
        return _run_loop(run, monitored)


def _run_loop(run: Run, monitored: bool) -> dict[str, Any]:
    tags = {"run_id": run.run_id, "requested_by": run.requested_by, "because": run.because}
    tags = {name: value for name, value in tags.items() if value}
    result: dict[str, Any] | None = None
    try:
        with start(run.shop.settings, run.shop.workspace, name=run.run_id, tags=tags) as tracker:
            result, report = _decided(run, tracker, monitored)
            _show(run, tracker, report)
    except TrackingError as error:
        if result is None:
            raise
        console.problem(f"The decision is recorded, but MLflow does not show the run's end: {error}")
    return result


def _decided(run: Run, tracker: Tracker, monitored: bool) -> tuple[dict[str, Any], GateReport]:
    """From the shop's files to a recorded decision, with all that the service and the monitor read of it."""
    started = time.monotonic()
    console.chapter("Data")
    data = prepare(run)
    console.data(data)
    console.chapter("Train")
    champion = releases.serving_release(run, data, tracker)
    trained, retrieval = fine_tune(run, data, champion)
    model, folder = trained
    source = Model(folder / "encoder", model.encoder_digest)
    challenger = building.build(run, data, source, retrieval=retrieval, champion=champion)
    console.chapter("Judge")
    scorecards = releases.judge_all(run, data, challenger, champion)
    report = releases.decide_gate(run, data, scorecards, champion)
    releases.pool_unjudged(run, data, challenger, champion, report)
    hidden = releases.list_undiscoverable(run, data, challenger, champion)
    releases.register_challenger(run, data, tracker, challenger, trained, scorecards, report, hidden)
    decision = releases.act_on_verdict(run, challenger, report)
    if monitored:  # both: the champion serves on; a challenger that was refused or waits may yet be promoted
        releases.calibrate_monitor(run, data, champion, "champion")
        releases.calibrate_monitor(run, data, challenger, "challenger")
    result = result_of(run, data, scorecards, report, decision, hidden, time.monotonic() - started)
    save_result(run, result)
    return result, report


def _show(run: Run, tracker: Tracker, report: GateReport) -> None:
    """MLflow's aliases after the log, and Prefect's artifacts. The decision stands even where MLflow is
    away; the next run of the flow, or the next act, repairs the aliases."""
    try:
        decision_stages.mirror_decisions(tracker, run.shop)
    except TrackingError as error:
        console.problem(f"The decision is recorded, but MLflow's aliases are not renewed yet: {error}")
    browse = browse_command(run.shop.settings, run.shop.workspace)
    decision_stages.publish_artifacts(run.folder, report, cost_of_run(run, report), tracker.url, browse)


def fine_tune(run: Run, data: Data, champion: Candidate) -> tuple[tuple[TrainedModel, Path], Retrieval]:
    """Chooses epochs and retrieval plan on the validation part; then, where the shop says so, trains again on
    all rows before the cut-off for as many epochs. Returns the model with its folder, and the plan with
    the rankers that it names."""
    miner = miner_of(run, data, champion)
    chosen = fine_tuned(run, data, miner)
    settings = run.shop.settings
    model = Model(chosen[1] / "encoder", chosen[0].encoder_digest)
    retrieval = building.chosen_plan(run, data, model)
    if settings.split.refit_on_validation:
        return fine_tuned(run, data, miner, part="refit", epochs=chosen[0].epochs), retrieval
    return chosen, retrieval
