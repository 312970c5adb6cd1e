"""Experiment tools beside MLflow, by `tracking.loggers`: they get the same parameters, metrics and tags.

TensorBoard's event files are in `<workspace>/tensorboard/<moment> <run>`. Weights & Biases writes to
`<workspace>/wandb` and sends nothing (`wandb sync` does that later), unless the user's own WANDB_MODE says
otherwise. What ranks write to metrics.jsonl comes here through the tracker, so training knows no such tool.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from components.contract.errors import ConfigError, TrackingError
from components.contract.files import disk_errors
from components.contract.settings import Settings

Value = tuple[str, float, int]
"""Name, value, step."""


class Logger(Protocol):
    def texts(self, values: Mapping[str, str]) -> None:
        """Parameters and tags; a later value of a name takes the place of an earlier one."""

    def metrics(self, values: Sequence[Value]) -> None: ...

    def close(self, status: str) -> None:
        """status: FINISHED, FAILED or KILLED."""


@contextmanager
def open_loggers(settings: Settings, workspace: Path, name: str) -> Iterator[tuple[Logger, ...]]:
    """The configured loggers of one run, closed at the end with the status that it ends with.

    Raises ConfigError where a package is missing, before any of them wrote a thing.
    """
    makers = [_tensorboard() if one == "tensorboard" else _wandb() for one in settings.tracking.loggers]
    loggers: list[Logger] = []
    status = "FAILED"
    try:
        with disk_errors(workspace):
            for make in makers:
                loggers.append(make(settings, workspace, name))
        yield tuple(loggers)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        with ExitStack() as closing:  # one that fails to close leaves no other open
            for logger in loggers:
                closing.callback(logger.close, status)


class TensorBoardLogger:
    def __init__(self, settings: Settings, workspace: Path, name: str) -> None:  # noqa: ARG002 – one signature
        from torch.utils.tensorboard import SummaryWriter

        moment = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"  # trials of two searches share their names
        self._writer = SummaryWriter(str(workspace / "tensorboard" / f"{moment} {name}"))

    def texts(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            self._writer.add_text(name, value)

    def metrics(self, values: Sequence[Value]) -> None:
        for name, value, step in values:
            self._writer.add_scalar(name, value, step)

    def close(self, status: str) -> None:
        self._writer.add_text("status", status)
        self._writer.close()


class WandbLogger:
    """One offline run. Its own step counter must never go back, ours (of training, then 0 for what is judged)
    does: `step` is a metric, which the others are drawn over."""

    def __init__(self, settings: Settings, workspace: Path, name: str) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # it would report crashes to its makers
        import wandb

        folder = workspace / "wandb"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._run = wandb.init(
                project=settings.tracking.experiment or settings.shop,
                name=name,
                dir=str(workspace),
                mode=None if os.environ.get("WANDB_MODE") else "offline",
                reinit="create_new",  # trials of a search run side by side in one process
                settings=wandb.Settings(silent=True, console="off", save_code=False, disable_git=True),
            )
        except (wandb.errors.Error, ValueError) as error:  # a ValueError: WANDB_… holds what it does not know
            reason = " ".join(str(error).split())
            raise TrackingError(
                f"Weights & Biases cannot start ({reason}): set WANDB_MODE=offline, or take wandb out of "
                f"tracking.loggers in debut.yaml."
            ) from error
        self._run.define_metric("*", step_metric="step")

    def texts(self, values: Mapping[str, str]) -> None:
        self._run.config.update(dict(values), allow_val_change=True)

    def metrics(self, values: Sequence[Value]) -> None:
        steps: dict[int, dict[str, float]] = {}
        for name, value, step in values:
            steps.setdefault(step, {})[name] = value
        for step, row in steps.items():
            self._run.log(row | {"step": step})

    def close(self, status: str) -> None:
        self._run.finish(exit_code=0 if status == "FINISHED" else 1)


def _tensorboard() -> type[TensorBoardLogger]:
    try:
        import torch.utils.tensorboard  # noqa: F401 – is it there?
    except ImportError as error:
        raise _missing("tensorboard") from error
    return TensorBoardLogger


def _wandb() -> type[WandbLogger]:
    try:
        import wandb  # noqa: F401 – is it there?
    except ImportError as error:
        raise _missing("wandb") from error
    return WandbLogger


def _missing(name: str) -> ConfigError:
    return ConfigError(
        f"tracking.loggers names {name}, which is not installed: pip install {name}, or take it "
        f"out of debut.yaml."
    )


def finite(values: Sequence[tuple[str, Any, int]]) -> list[Value]:
    """Those that are numbers: no tool holds anything else."""
    return [(name, float(value), step) for name, value, step in values if is_number(value)]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
