"""The Optuna adapter: what to try next, what to stop early, what was best, kept in SQLite.

A study is one question: the same data, code, versions and configuration but for the searched parameters. So
its trials can be compared, and it goes on where an earlier call ended or was killed.
"""

import logging
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from components.contract.errors import StorageError
from components.contract.files import disk_errors
from components.contract.tuning import TuneSettings
from components.tuning.sampler import UntriedSampler
from components.tuning.space import Values, exact

logger = logging.getLogger(__name__)
FILE = "study.db"
_SECONDS, _WHY = "seconds", "why"
_SHOWN = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Proposal:
    number: int
    values: Values


@dataclass(frozen=True)
class Finished:
    """A trial that was trained to its end, or stopped early."""

    number: int
    values: Values
    recall: float | None
    """On the validation part; None: stopped early."""
    seconds: float
    configured: bool
    """The values are debut.yaml's own."""


class Study:
    """Threads may share it."""

    def __init__(self, folder: Path, tune: TuneSettings) -> None:
        """folder: of this study alone; made where it is absent. Raises StorageError."""
        self.folder, self._tune = folder, tune
        self._file = folder / FILE
        self._lock = threading.Lock()
        self._running: dict[int, optuna.Trial] = {}
        self._own: Values | None = None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with self._storage():
            storage = optuna.storages.RDBStorage(
                f"sqlite:///{self._file.resolve()}", engine_kwargs={"connect_args": {"timeout": 60}}
            )
            self._study = optuna.create_study(
                storage=storage, study_name=folder.name, direction="maximize", load_if_exists=True
            )
            # A sampler that began anew with the same seed would draw the first trials again.
            seed = tune.seed + len(self._study.get_trials(deepcopy=False))
        self._sampler = self._study.sampler = UntriedSampler(tune, seed, self._tried)
        self._study.pruner = optuna.pruners.MedianPruner(n_startup_trials=tune.startup_trials)

    def take_up(self) -> int:
        """Trials that a killed or ended call left unfinished come next, with the same values; returns how
        many. Only for the one process that searches: another's trials would be taken for dead."""
        with self._storage():
            left = self._trials(TrialState.RUNNING)
            for trial in left:
                if trial.params:
                    self._study.enqueue_trial(trial.params)
                self._study.tell(trial.number, state=TrialState.FAIL)
            return len(left)

    def begin_with(self, values: Values) -> None:
        """Tries debut.yaml's own values first, unless the study has: a search should not end below them. They
        may be others than in an earlier call."""
        self._own = values
        with self._storage():
            waiting = self._trials(TrialState.WAITING)
            to_come = [self._values(trial.system_attrs.get("fixed_params", {})) for trial in waiting]
            if values not in self._tried() + to_come:
                self._study.enqueue_trial({str(name): value for name, value in values.items()})

    def propose(self) -> Proposal | None:
        """The next trial; None where nothing new is left to try."""
        with self._storage():
            # A killed call may have left the same values waiting twice.
            for _ in range(1 + len(self._trials(TrialState.WAITING))):
                if not self._trials(TrialState.WAITING) and self._sampler.exhausted():
                    return None
                known = self._tried()
                trial = self._study.ask(self._sampler.space)
                values = self._values(trial.params)
                if values not in known:
                    self._running[trial.number] = trial
                    return Proposal(trial.number, values)
                self._study.tell(trial, state=TrialState.FAIL)
        return None

    def stops(self, number: int, interim: int, recall: float) -> bool:
        """Notes a running trial's recall; whether to stop it, because its best so far is below the median of
        the finished trials at the same place."""
        with self._storage():
            trial = self._running[number]
            trial.report(recall, interim)
            return bool(trial.should_prune())

    def done(self, number: int, recall: float, seconds: float) -> None:
        self._tell(number, TrialState.COMPLETE, recall, seconds)

    def stopped(self, number: int, seconds: float) -> None:
        self._tell(number, TrialState.PRUNED, None, seconds)

    def failed(self, number: int, why: str) -> None:
        """A trial that was told of keeps its place: what failed came after its recall was known."""
        with self._storage():
            if number not in self._running:
                return
            self._running[number].set_user_attr(_WHY, why)
        self._tell(number, TrialState.FAIL, None, 0.0)

    def finished(self) -> list[Finished]:
        """Best first; those that were stopped early last."""
        with self._storage():
            found = [self._finished(trial) for trial in self._trials(*_SHOWN)]
        return sorted(found, key=lambda one: (one.recall is None, -(one.recall or 0.0), one.number))

    def plot(self, path: Path) -> Path | None:
        """Parallel coordinates of the trials that were trained to their end, as PNG; None before there are
        two, between which there is nothing to compare."""
        matplotlib.use("Agg")
        from matplotlib import pyplot

        with self._storage():
            if len(self._trials(TrialState.COMPLETE)) < 2:
                return None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                warnings.filterwarnings("ignore", message=".*identical low and high")  # all have one value
                axes: Any = optuna.visualization.matplotlib.plot_parallel_coordinate(
                    self._study, target_name="validation recall@10"
                )
        figure = axes.figure
        for lines in (drawn for each in figure.axes for drawn in each.collections):
            lines.set_cmap("viridis_r")  # its own colours draw the worst trials in white
        try:
            figure.set_size_inches(2.0 + 1.6 * len(self._tune.space), 5.0)
            with disk_errors(path):
                figure.savefig(path, dpi=110, bbox_inches="tight")
        finally:
            pyplot.close(figure)
        return path

    def _tell(self, number: int, state: TrialState, recall: float | None, seconds: float) -> None:
        with self._storage():
            trial = self._running.pop(number)
            trial.set_user_attr(_SECONDS, seconds)
            self._study.tell(trial, recall, state=state)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)

    def _tried(self) -> list[Values]:
        """Of the trials that ended with a result, and of those that are running."""
        return [self._values(trial.params) for trial in self._trials(*_SHOWN, TrialState.RUNNING)]

    def _values(self, params: Mapping[str, Any]) -> Values:
        space = self._tune.space
        return {name: exact(name, params[name], space[name]) for name in space if name in params}

    def _finished(self, trial: FrozenTrial) -> Finished:
        values = self._values(trial.params)
        return Finished(
            trial.number,
            values,
            trial.value if trial.state == TrialState.COMPLETE else None,
            trial.user_attrs.get(_SECONDS, 0.0),
            values == self._own,
        )

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            raise StorageError(
                f"{self._file}: the study cannot be read or written ({type(error).__name__}). Free space or "
                f"permissions there, or delete the folder to begin a new study; then run again."
            ) from error
