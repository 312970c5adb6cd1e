"""The tune flow: searches better training settings on the validation part, within a budget of minutes.

It changes no file of the shop's and promotes nothing: what it finds goes into debut.yaml by hand, and the
gate of the next retrain judges it on the test part, which no trial reads.
"""

import queue
import time
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from components.contract.digests import sha256_json
from components.contract.errors import DebutError, TrackingError, TrainingError
from components.contract.settings import Settings, changed
from components.encoder.base import resolve_base
from components.tracking.run import Tracker, start
from components.tracking.trial import record_search, tracked_trial
from components.training.prepare import SEARCHED
from components.training.spec import TrainingSpec
from components.tuning.limits import Limits, limits_of
from components.tuning.space import check_space, configured, yaml_lines
from components.tuning.study import Finished, Proposal, Study
from components.tuning.trial import INTERIM, Outcome, check_validation
from flows import console, console_tune
from flows.fingerprint import encoder_digestible
from flows.lease import tune_lease
from flows.preparation import prepare
from flows.run import Data, Run, new_run
from flows.shop import open_shop
from flows.training_spec import Miner, current_miner, prepared_examples, training_spec

FAILURES_IN_A_ROW = 3
"""So many end the search: something else than the values is wrong."""

_RUNNER: Any = ThreadPoolTaskRunner()  # its type and the decorator's disagree on the future's


@flow(name="tune", flow_run_name="tune {config}", task_runner=_RUNNER)
def tune(
    config: str,
    root: str | None = None,
    workspace: str | None = None,
    minutes: float = 60.0,
    trials: int | None = None,
    parallel: int = 1,
) -> dict[str, Any]:
    """Goes on with the study of the same question; returns its best trial and counts."""
    limits = limits_of(minutes, trials, parallel)
    run = new_run(open_shop(config, root, workspace))
    with tune_lease(run.shop, run.run_id):
        return _search(run, limits)


def _search(run: Run, limits: Limits) -> dict[str, Any]:
    began = time.monotonic()
    settings, workspace = run.shop.settings, run.shop.workspace
    check_space(settings)
    console.chapter("Data")
    data = prepare(run)
    console.data(data)
    requests = check_validation(data.split, settings.encoder, settings.training, data.prepared.entrances[0])
    miner = current_miner(run, data)
    study = Study(workspace / "tune" / _study_name(run, data, miner), settings.tune)
    taken_up = study.take_up()
    if own := configured(settings, resolve_base(settings.encoder)):
        study.begin_with(own)
    before = study.finished()
    console_tune.study(before, taken_up, requests, own is not None)
    tags = {"kind": "tune", "run_id": run.run_id, "study": study.folder.name}
    with start(settings, workspace, name=f"tune {run.run_id}", tags=tags) as tracker:
        tracker.parameters({"tune": settings.tune.model_dump(mode="json")})
        _run_trials(run, data, miner, study, limits, tracker)
        finished = study.finished()
        if not finished or finished[0].recall is None:
            raise TrainingError(
                "No trial was finished in this time. Run again: it goes on from the newest checkpoint; or "
                "give more --minutes."
            )
        record_search(tracker, study, finished)
    result = _result(run, finished, len(finished) - len(before), time.monotonic() - began)
    return result | {"study": str(study.folder)}


def _study_name(run: Run, data: Data, miner: Miner) -> str:
    """Of all that decides a trial's recall, but for the values that are searched."""
    settings = run.shop.settings
    searched: set[str] = set(settings.tune.space)
    return sha256_json(
        [
            [data.prepared.digest, data.prepared.entrances[0], miner.digest, data.task_digest],
            [run.fingerprint[part] for part in ("base_weights", "code", "versions")],
            encoder_digestible(settings.encoder),
            settings.training.model_dump(mode="json", exclude=searched),
            settings.augment.model_dump(mode="json", exclude=searched),
            settings.retrieval.model_dump(mode="json", include={"lexical_weight", "grams_share"}),
            settings.tune.model_dump(mode="json", include={"space"}),
            settings.knowledge and settings.knowledge.model_dump(mode="json"),
            [task.model_dump(mode="json") for task in settings.tasks],
        ]
    )[:12]


def _run_trials(run: Run, data: Data, miner: Miner, study: Study, limits: Limits, tracker: Tracker) -> None:
    """Keeps as many trials running as may, until time, trials or new values run out."""
    ended: queue.Queue[PrefectFuture[Outcome | str]] = queue.Queue()
    running: dict[PrefectFuture[Outcome | str], Proposal] = {}
    failures = 0
    try:
        while True:
            while limits.room(len(study.finished()), len(running)):
                proposal = study.propose()
                if proposal is None:
                    console.say("The search proposes nothing that was not tried before.")
                    break
                try:
                    future = _submit(run, data, miner, study, limits, tracker, proposal)
                except DebutError as error:  # of its examples: other values may have some
                    study.failed(proposal.number, str(error))
                    console_tune.trial(proposal, str(error), study.finished())
                    failures = _failures(failures, str(error))
                    continue
                running[future] = proposal
                future.add_done_callback(ended.put)
            if not running:
                return
            future = ended.get()
            outcome = future.result()
            console_tune.trial(running.pop(future), outcome, study.finished())
            failures = _failures(failures, outcome)
    finally:
        limits.stop.set()  # of a search that fails or is interrupted the other trials end as well


def _failures(before: int, outcome: Outcome | str) -> int:
    """Trials in a row that failed. Raises TrainingError where they are too many."""
    if not isinstance(outcome, str):
        return 0
    if before + 1 == FAILURES_IN_A_ROW:
        raise TrainingError(f"{FAILURES_IN_A_ROW} trials in a row failed, the last one so: {outcome}")
    return before + 1


def _submit(
    run: Run,
    data: Data,
    miner: Miner,
    study: Study,
    limits: Limits,
    tracker: Tracker,
    proposal: Proposal,
) -> PrefectFuture[Outcome | str]:
    """Examples are prepared here, in the flow's own thread: trials that need the same ones share them."""
    settings, values = run.shop.settings, proposal.values
    of_examples = changed(settings, {name: value for name, value in values.items() if name in SEARCHED})
    examples = prepared_examples(run, data, of_examples, miner, "train")
    settings = changed(settings, values)
    spec = training_spec(run, data, settings, miner, examples, interim=INTERIM)
    attempts = study.folder / "trials" / sha256_json(values)[:12]
    arguments = (proposal.number, spec, attempts, study, limits, tracker, (settings, run.shop.workspace))
    return _trial.submit(*arguments)


@task(name="trial", task_run_name="trial {number}", cache_policy=NO_CACHE)
def _trial(
    number: int,
    spec: TrainingSpec,
    folder: Path,
    study: Study,
    limits: Limits,
    tracker: Tracker,
    where: tuple[Settings, Path],
) -> Outcome | str:
    """How it ended; the sentence of one that failed. What MLflow did not take stays open in the study, or
    has its place there already."""
    try:
        return tracked_trial(number, spec, folder, study, limits, tracker, where)
    except TrackingError as error:
        return str(error)
    except DebutError as error:
        study.failed(number, str(error))
        return str(error)


def _result(run: Run, finished: list[Finished], new: int, seconds: float) -> dict[str, Any]:
    best = finished[0]
    own = next((one.recall for one in finished if one.configured), None)
    return {
        "best": best.values,
        "value": best.recall,
        "configured_value": own,
        "trials": len(finished),
        "new_trials": new,
        "pruned": sum(one.recall is None for one in finished),
        "seconds": round(seconds, 1),
        "run_id": run.run_id,
        "shop": run.shop.settings.shop,
        "yaml": yaml_lines(best.values),
        "table": [
            {"trial": one.number, "recall": one.recall, "seconds": round(one.seconds, 1), **one.values}
            for one in finished
        ],
    }
