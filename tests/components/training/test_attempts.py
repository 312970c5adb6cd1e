"""Attempts: exclusive folders, take-over of checkpoints, and whose result counts."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.contract.errors import TrainingError
from components.contract.learning import AugmentSettings, EncoderSettings, TrainingSettings
from components.training.attempts import Attempt, begin_attempt, newest_checkpoint, read_attempt, read_result
from components.training.spec import TrainingSpec, read_spec


def _spec(**changes: Any) -> TrainingSpec:
    values = {
        "base": "base",
        "base_digest": "b",
        "encoder": EncoderSettings(),
        "training": TrainingSettings(),
        "augment": AugmentSettings(),
        "examples": "examples",
        "examples_digest": "e",
        "validation": None,
        "primary": "search",
        "epochs": 1,
    }
    return TrainingSpec(**values | changes)


def _leave(attempt: Attempt, *steps: int) -> None:
    """What a killed attempt leaves: its newest checkpoints, best weights and metrics, the last line cut."""
    for folder in (attempt.checkpoints, attempt.best):
        folder.mkdir(exist_ok=True)
    for step in steps:
        (attempt.checkpoints / f"step-{step:08}.ckpt").write_text(f"{attempt.folder.name} at {step}")
    (attempt.checkpoints / "step-00000999.tmp").write_text("half")
    (attempt.best / "epoch-0001.safetensors").write_text("best")
    attempt.precision.write_text(f"of {attempt.folder.name}")
    lines = [json.dumps({"kind": "step", "step": step}) for step in range(1, max(steps) + 4)]
    attempt.metrics.write_text("\n".join(lines) + '\n{"kind": "st')


def _write_result(attempt: Attempt, token: str) -> None:
    result = {
        "token": token,
        "encoder_digest": "d",
        "epochs": 1,
        "steps": 2,
        "pairs": 3,
        "seconds": 4.0,
        "best_validation_recall": None,
    }
    attempt.result.write_text(json.dumps(result))


def test_every_attempt_has_its_own_folder(tmp_path: Path) -> None:
    """Numbers rise, a folder that is there already is never used, and ranks read what they were told."""
    first = begin_attempt(tmp_path, _spec())
    (tmp_path / "attempts/0002").mkdir()
    third = begin_attempt(tmp_path, _spec(epochs=2))
    assert [attempt.folder.name for attempt in (first, third)] == ["0001", "0003"]
    assert read_attempt(third.folder) == third
    assert read_spec(third.spec, TrainingSpec).epochs == 2


def test_a_later_attempt_takes_over_the_newest_checkpoint(tmp_path: Path) -> None:
    """Checkpoint, best weights, precision and metrics up to the checkpoint come along; half files do not."""
    _leave(begin_attempt(tmp_path, _spec()), 3)
    second = begin_attempt(tmp_path, _spec())
    _leave(second, 5, 10)
    third = begin_attempt(tmp_path, _spec())
    checkpoint = newest_checkpoint(third)
    assert checkpoint is not None
    assert checkpoint.read_text() == "0002 at 10"
    assert [path.name for path in third.checkpoints.iterdir()] == ["step-00000010.ckpt"]
    assert (third.best / "epoch-0001.safetensors").read_text() == "best"
    assert third.precision.read_text() == "of 0002"
    assert [json.loads(line)["step"] for line in third.metrics.read_text().splitlines()] == list(range(1, 11))


def test_a_checkpoint_outlives_the_attempt_that_made_it(tmp_path: Path) -> None:
    """A rank that is about to die may delete its file; the later attempt has its own link."""
    first = begin_attempt(tmp_path, _spec())
    _leave(first, 3)
    second = begin_attempt(tmp_path, _spec())
    for path in first.checkpoints.iterdir():
        path.unlink()
    checkpoint = newest_checkpoint(second)
    assert checkpoint is not None
    assert checkpoint.read_text() == "0001 at 3"


def test_another_specification_starts_afresh(tmp_path: Path) -> None:
    """A checkpoint of other settings, or of another number of ranks, is not taken over."""
    _leave(begin_attempt(tmp_path, _spec()), 3)
    assert newest_checkpoint(begin_attempt(tmp_path, _spec(), ranks=2)) is None
    assert newest_checkpoint(begin_attempt(tmp_path, _spec(examples_digest="other"))) is None


def test_only_the_own_result_is_read(tmp_path: Path) -> None:
    """The result carries the attempt's token; without it, or with another one, there is no result."""
    attempt = begin_attempt(tmp_path, _spec())
    with pytest.raises(TrainingError, match=r"result\.json is missing"):
        read_result(attempt)
    _write_result(attempt, "another")
    with pytest.raises(TrainingError, match="belongs to another attempt"):
        read_result(attempt)
    _write_result(attempt, attempt.token)
    assert read_result(attempt).steps == 2


def test_a_stale_attempts_result_is_not_read(tmp_path: Path) -> None:
    """Once a later attempt exists the earlier one is fenced out, and the later one ignores its result."""
    stale = begin_attempt(tmp_path, _spec())
    _write_result(stale, stale.token)
    later = begin_attempt(tmp_path, _spec())
    with pytest.raises(TrainingError, match="attempt 0002 has taken over"):
        read_result(stale)
    with pytest.raises(TrainingError, match=r"0002/result\.json is missing"):
        read_result(later)
