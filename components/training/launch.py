"""Starting the ranks of a training run, following them, and taking over what they left.

One rank is a plain child process; several are started by torchrun. Both live in their own process group, and
end with the launcher (watch.py).
"""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import components
from components.contract.errors import ConfigError, TrainingError
from components.contract.files import disk_errors, write_json
from components.contract.learning import TrainingSettings
from components.contract.records import TrainedModel
from components.cost.usage import USAGE, Meter, read_usage, together
from components.training.attempts import (
    ATTEMPTS,
    Attempt,
    Result,
    begin_attempt,
    newest_checkpoint,
    read_result,
)
from components.training.spec import RankSpec
from components.training.watch import launcher_lock

logger = logging.getLogger(__name__)
Progress = Callable[[dict[str, Any]], None]
POLL_SECONDS = 0.2
GRACE_SECONDS = 15.0
ENCODER, METRICS = "encoder", "metrics.jsonl"
# What an enclosing torchrun or job would tell our ranks about itself.
_FOREIGN = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
)


def train(
    spec: RankSpec,
    work: Path,
    out: Path,
    on_progress: Progress | None = None,
    *,
    package: str = "components.training",
    on_poll: Callable[[], None] | None = None,
    beside: int = 0,
) -> TrainedModel:
    """Trains in ranks and leaves `encoder/`, `metrics.jsonl` and `usage.json` in the folder `out`.

    Args:
        work: folder of this run's attempts. Kept when the training fails or is interrupted, so that a later
            call with the same specification continues from the newest checkpoint; emptied at success.
        on_progress: called with each new line of the metrics (`kind` "step": step, steps, loss,
            learning_rate, pairs_per_second, seconds; `kind` "epoch": epoch, recall, …).
        package: what is started as a rank, with the attempt's folder.
        on_poll: called several times a second. What it, or on_progress, raises stops the ranks and goes on.
        beside: trainings that run on this machine at the same time and share its cores.

    Raises TrainingError where a rank failed, quoting its error and naming its log; ConfigError where there
    are not as many GPUs as ranks. An interruption stops the ranks before it goes on.
    """
    ranks = rank_count(spec.training)
    attempt = begin_attempt(work, spec, ranks)
    _settle_precision(attempt, spec)
    with launcher_lock(attempt.folder), (attempt.folder / "launcher.log").open("w") as log:
        process = subprocess.Popen(
            _command(package, attempt, ranks),
            env=_environment(ranks * (1 + beside)),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            with Meter(attempt.folder / USAGE, child=process.pid, gpus=gpus_held(ranks)):
                _follow(process, attempt, on_progress or (lambda _line: None), on_poll or (lambda: None))
        finally:
            _stop(process)
    if process.returncode:
        raise TrainingError(_failure(attempt, process.returncode))
    result = read_result(attempt)
    _take(attempt, out)
    shutil.rmtree(work / ATTEMPTS)
    return _record(result, out)


def rank_count(settings: TrainingSettings) -> int:
    """Ranks of a run: as configured, else one per GPU, else `cpu_ranks`, but no more than cores."""
    import torch  # here, so that importing this module stays cheap

    gpus = torch.cuda.device_count()
    on_cpu = min(settings.cpu_ranks, len(os.sched_getaffinity(0)))
    ranks = (gpus or on_cpu) if settings.ranks == "auto" else settings.ranks
    if ranks < 1 or (gpus and ranks > gpus):
        raise ConfigError(
            f"training.ranks is {ranks}, but there are {gpus} GPUs; set auto or a smaller number."
        )
    return ranks


def gpus_held(processes: int) -> int:
    """GPUs that so many processes compute on, one each where there are as many."""
    import torch

    return min(processes, torch.cuda.device_count())


def _settle_precision(attempt: Attempt, spec: RankSpec) -> None:
    """Before the ranks start, which must not choose differently."""
    import torch  # here, so that importing this module stays cheap

    from components.training.precision import settled_precision

    settled_precision(attempt.precision, spec.training, "cuda" if torch.cuda.is_available() else "cpu")


def _command(package: str, attempt: Attempt, ranks: int) -> list[str]:
    rank = ["-m", package, "--attempt-folder", str(attempt.folder.resolve())]
    if ranks == 1:
        return [sys.executable, *rank]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1", "--max-restarts=0"]
    return [sys.executable, *torchrun, f"--nproc-per-node={ranks}", *rank]


def _environment(processes: int) -> dict[str, str]:
    """processes: that share this machine's cores."""
    cores = len(os.sched_getaffinity(0))
    package_parent = str(Path(components.__file__).parents[1])
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
    # Threads that wait must not spin: with the cores shared with other processes spinning cost four fifths of
    # the speed (3.5 instead of 14 pairs/s at a load of 7 on 2 cores).
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What a step frees the next one takes again. Given back to the system each time, as glibc does with large
    # blocks, the word vectors' gradient alone costs MiniLM 11,000 page faults and 0.06 s of a step of 1.5 s.
    environment.setdefault("MALLOC_MMAP_MAX_", "0")  # a threshold above 32 MB is refused by older versions
    environment.setdefault("MALLOC_TRIM_THRESHOLD_", str(1 << 30))
    paths = [package_parent, environment.get("PYTHONPATH", "")]
    return environment | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",  # all that the ranks need is on this disk
    }


def _follow(
    process: subprocess.Popen[bytes], attempt: Attempt, on_progress: Progress, on_poll: Callable[[], None]
) -> None:
    """Hands on new metrics until the process ends."""
    attempt.metrics.touch()
    with attempt.metrics.open() as lines:
        running = True
        while running:
            try:
                process.wait(POLL_SECONDS)
                running = False
            except subprocess.TimeoutExpired:
                pass
            _hand_on(lines, on_progress)
            on_poll()


def _hand_on(lines: TextIO, on_progress: Progress) -> None:
    while True:
        start = lines.tell()
        line = lines.readline()
        if not line.endswith("\n"):
            lines.seek(start)  # half written: read again
            return
        on_progress(json.loads(line))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends what still runs: SIGTERM to the process group, SIGKILL to those that do not go."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _failure(attempt: Attempt, code: int) -> str:
    """One sentence: the first rank's error, else how the processes ended; the log to look into, and whether
    a new run continues from a checkpoint."""
    if not attempt.folder.is_dir():
        return "Another run finished the same training meanwhile: run again to use its result."
    errors = []
    for path in attempt.folder.glob("rank-*.error.json"):
        error = json.loads(path.read_text())
        errors.append((error["at"], path.name.removesuffix(".error.json"), error["message"]))
    kept = ""
    if newest_checkpoint(attempt) is not None:
        kept = "; the newest checkpoint is kept: run again to continue from it"
    if errors:
        _, name, message = min(errors)
        first_line = message.splitlines()[0] if message else "no message"
        return f"Training failed in {name}: {first_line} (log: {attempt.folder / name}.log{kept})."
    log = attempt.folder / "rank-0.log"
    if code < 0:
        name = signal.Signals(-code).name
        return f"Training was ended by {name}, perhaps for want of memory (log: {log}{kept})."
    return f"Training ended with code {code}: {_last_line(attempt)} (log: {log}{kept})."


def _last_line(attempt: Attempt) -> str:
    """The last line that names an error in the launcher's own log, else in rank 0's."""
    for name in ("launcher.log", "rank-0.log"):
        path = attempt.folder / name
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
        told = [line.strip() for line in lines if "rror" in line or "ignal" in line]
        if told:
            return told[-1]
    return "it left no message"


def _take(attempt: Attempt, out: Path) -> None:
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        shutil.move(attempt.model, out / ENCODER)
        shutil.move(attempt.metrics, out / METRICS)
    # All attempts that this training took, also those whose ranks were killed.
    usages = read_usage(attempt.folder.parent.glob(f"[0-9]*/{USAGE}"))
    write_json(out / USAGE, together(usages).model_dump(mode="json"))


def _record(result: Result, out: Path) -> TrainedModel:
    return TrainedModel(
        path=out.name,
        encoder_digest=result.encoder_digest,
        epochs=result.epochs,
        steps=result.steps,
        pairs=result.pairs,
        seconds=result.seconds,
        best_validation_recall=result.best_validation_recall,
    )
