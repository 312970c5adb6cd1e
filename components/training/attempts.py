"""Attempts at one training run: each in its own folder, the newest one owns the run.

<work>/attempts/0001/attempt.json     token and digest of specification and ranks
                     spec.json        what the ranks are told
                     precision.json   the arithmetic of the run, as its first attempt chose it
                     launcher.lock    held while the launcher lives (watch.py)
                     checkpoints/     step-00000100.ckpt: the newest only
                     best/            epoch-0001.safetensors: weights of the best epoch so far
                     metrics.jsonl    one line per logged step and per epoch
                     usage.json       what its ranks took: time, memory, energy
                     rank-0.log …     what a rank printed; rank-0.error.json: how it failed
                     model/           the encoder
                     result.json      written last, with the token: its existence means success
"""

import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from components.contract.digests import sha256_json
from components.contract.errors import TrainingError
from components.contract.files import disk_errors, write_bytes, write_json
from components.contract.records import Record
from components.training.spec import RankSpec, write_spec
from components.training.watch import newest_attempt

ATTEMPTS = "attempts"


@dataclass(frozen=True)
class Attempt:
    folder: Path
    token: str

    @property
    def spec(self) -> Path:
        return self.folder / "spec.json"

    @property
    def precision(self) -> Path:
        return self.folder / "precision.json"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def best(self) -> Path:
        return self.folder / "best"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def result(self) -> Path:
        return self.folder / "result.json"


class Result(Record):
    """What rank 0 says at the end."""

    token: str
    encoder_digest: str
    epochs: int
    """Epochs that the kept weights were trained for."""
    steps: int
    """Optimizer steps of the whole run."""
    pairs: int
    """Pairs of an epoch."""
    seconds: float
    """Time in training and validation, over all attempts that this one continued."""
    best_validation_recall: float | None


def begin_attempt(work: Path, spec: RankSpec, ranks: int = 1) -> Attempt:
    """Makes the next attempt's folder, exclusively; earlier attempts' ranks stop when they see it.

    What an earlier attempt of the same specification and as many ranks left is taken over: its newest
    checkpoint, its best weights, its precision and the metrics up to the checkpoint.
    """
    attempts = work / ATTEMPTS
    with disk_errors(attempts):
        attempts.mkdir(parents=True, exist_ok=True)
        number = int(newest_attempt(attempts) or 0) + 1
        while True:
            folder = attempts / f"{number:04}"
            try:
                folder.mkdir()
                break
            except FileExistsError:
                number += 1
    attempt = Attempt(folder, uuid.uuid4().hex)
    write_spec(attempt.spec, spec)
    # The number of ranks decides where a step is cut, so a checkpoint's position means nothing to others.
    digest = sha256_json({"spec": spec.model_dump(mode="json"), "ranks": ranks})
    _take_over(attempt, digest)
    write_json(folder / "attempt.json", {"token": attempt.token, "spec_digest": digest})
    return attempt


def read_attempt(folder: Path) -> Attempt:
    """The attempt as its ranks see it."""
    return Attempt(folder, json.loads((folder / "attempt.json").read_text())["token"])


def read_result(attempt: Attempt) -> Result:
    """The result of this very attempt.

    Raises TrainingError where there is none, where it belongs to another, or where a later attempt owns
    the run by now.
    """
    newest = newest_attempt(attempt.folder.parent)
    if newest != attempt.folder.name:
        raise TrainingError(
            f"{attempt.folder}: attempt {newest} has taken over; its result counts, not this one."
        )
    if not attempt.result.is_file():
        raise TrainingError(f"{attempt.result} is missing: the ranks ended without a result; train again.")
    result = Result.model_validate_json(attempt.result.read_text())
    if result.token != attempt.token:
        raise TrainingError(f"{attempt.result} belongs to another attempt; it was not read. Train again.")
    return result


def newest_checkpoint(attempt: Attempt) -> Path | None:
    return max(attempt.checkpoints.glob("step-*.ckpt"), key=checkpoint_step, default=None)


def checkpoint_step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def _take_over(attempt: Attempt, spec_digest: str) -> None:
    found = [
        (checkpoint_step(checkpoint), earlier, checkpoint)
        for earlier in _earlier(attempt, spec_digest)
        if (checkpoint := newest_checkpoint(earlier)) is not None
    ]
    if not found:
        return
    step, earlier, checkpoint = max(found, key=lambda candidate: (candidate[0], candidate[1].folder.name))
    with disk_errors(attempt.folder):
        for folder in (attempt.checkpoints, attempt.best):
            folder.mkdir()
        # Links, because the earlier attempt's ranks may still be about to delete their files.
        os.link(checkpoint, attempt.checkpoints / checkpoint.name)
        if earlier.precision.is_file():
            os.link(earlier.precision, attempt.precision)
        for weights in earlier.best.glob("epoch-*.safetensors"):
            os.link(weights, attempt.best / weights.name)
    write_bytes(attempt.metrics, _metrics_until(earlier.metrics, step))


def _earlier(attempt: Attempt, spec_digest: str) -> list[Attempt]:
    """Attempts before this one that had the same specification."""
    earlier = []
    for path in sorted(attempt.folder.parent.glob("[0-9]*/attempt.json")):
        description = json.loads(path.read_text())
        if path.parent != attempt.folder and description["spec_digest"] == spec_digest:
            earlier.append(Attempt(path.parent, description["token"]))
    return earlier


def _metrics_until(metrics: Path, step: int) -> bytes:
    """The whole lines up to a step; what came after it is trained, and written, again."""
    lines = metrics.read_bytes().splitlines(keepends=True) if metrics.is_file() else []
    whole = [line for line in lines if line.endswith(b"\n")]
    return b"".join(line for line in whole if json.loads(line)["step"] <= step)
