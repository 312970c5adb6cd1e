"""One rank's run, in this process: learning, early stopping, precision, adapters, resuming."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from safetensors.torch import load_file

from components.contract.errors import TrainingError
from components.contract.learning import EncoderSettings
from components.encoder.transformer import TransformerEncoder
from components.training import callbacks
from components.training.attempts import Attempt, Result, begin_attempt, newest_checkpoint, read_result
from components.training.callbacks import interim_steps
from components.training.fit import _check_compared, run_rank


class Interrupted(Exception):
    """What the tests end a run with."""


class EndAfter(Callback):
    """Raises after a step: all that a killed process would leave is on disk, nothing else."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise Interrupted


def _run(spec: Any, work: Path, *extra: Callback) -> tuple[Attempt, Result]:
    attempt = begin_attempt(work, spec)
    run_rank(attempt.folder, extra)
    return attempt, read_result(attempt)


def _weights(attempt: Attempt) -> dict[str, torch.Tensor]:
    return load_file(attempt.model / "model.safetensors")


def _lines(attempt: Attempt) -> list[dict[str, Any]]:
    return [json.loads(line) for line in attempt.metrics.read_text().splitlines()]


def _difference(left: Attempt, right: Attempt) -> float:
    pairs = zip(_weights(left).values(), _weights(right).values(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def test_training_finds_more_and_forgets_nothing(make_spec: Any, tmp_path: Path) -> None:
    """On queries and histories the loss falls and validation recall rises, also of items held out as new."""
    spec = make_spec(epochs=3, validation=True, patience=3)
    attempt, result = _run(spec, tmp_path / "work")
    epochs = [line for line in _lines(attempt) if line["kind"] == "epoch"]
    assert [line["epoch"] for line in epochs] == [1, 2, 3]
    assert result.best_validation_recall == max(line["recall"] for line in epochs)
    assert result.epochs == int(np.argmax([line["recall"] for line in epochs])) + 1
    assert result.best_validation_recall > 0.6  # 10 of 49 items at random: 0.2
    assert epochs[-1]["search/new/recall@10"] > 0.5
    encoder = TransformerEncoder.load_saved(attempt.model)
    assert encoder.digest == result.encoder_digest


def test_matryoshka_takes_the_mean_of_the_losses(make_spec: Any, tmp_path: Path) -> None:
    """Of whole vectors and of their first 8 numbers, which an encoder cut to them gives."""
    spec = make_spec(dropout=0.0, learning_rate=1e-12)  # all steps are of the same weights
    cut = spec.encoder.model_copy(update={"dimensions": 8})
    both = spec.training.model_copy(update={"matryoshka_dimensions": (8,)})
    changes: list[dict[str, Any]] = [{}, {"encoder": cut}, {"training": both}]
    attempts = [
        _run(spec.model_copy(update=change), tmp_path / f"{number}")[0]
        for number, change in enumerate(changes)
    ]
    whole, first, mean = (
        [line["loss"] for line in _lines(one) if line["kind"] == "step"] for one in attempts
    )
    assert abs(whole[-1] - first[-1]) > 0.01
    assert mean[-1] == pytest.approx((whole[-1] + first[-1]) / 2, rel=1e-5)


def test_measuring_within_epochs_tells_more_and_changes_nothing(make_spec: Any, tmp_path: Path) -> None:
    """Two interim measurements of two epochs of 9 steps: after 6 and 12 steps; the weights are the same to
    the last bit."""
    spec = make_spec(epochs=2, validation=True, patience=2)
    plain, _ = _run(spec, tmp_path / "plain")
    measured, _ = _run(spec.model_copy(update={"interim": 2}), tmp_path / "measured")
    lines = [line for line in _lines(measured) if line["kind"] == "interim"]
    assert [(line["interim"], line["step"]) for line in lines] == [(1, 6), (2, 12)]
    assert all(0.0 < line["recall"] <= 1.0 for line in lines)
    assert _difference(plain, measured) == 0.0


@pytest.mark.parametrize(
    ("steps", "count", "places"),
    [(9, 2, {3: 1, 6: 2}), (1, 2, {}), (2, 2, {1: 2}), (100, 0, {}), (7, 1, {4: 1})],
)
def test_interim_steps_lie_inside_the_run(steps: int, count: int, places: dict[int, int]) -> None:
    """Equal shares; of a run too short for them as many as fit."""
    assert interim_steps(steps, count) == places


def test_the_saved_encoder_may_keep_a_share_of_its_start(make_spec: Any, tmp_path: Path) -> None:
    """fine_tuned_share 0.25: a quarter of the way from the start to the fine-tuned weights."""
    tuned, _ = _run(make_spec(), tmp_path / "tuned")
    kept, _ = _run(make_spec(fine_tuned_share=0.25), tmp_path / "kept")
    start = load_file(Path(make_spec().base) / "model.safetensors")
    for name, weight in _weights(kept).items():
        expected = start[name] + 0.25 * (_weights(tuned)[name] - start[name])
        torch.testing.assert_close(weight, expected, atol=1e-5, rtol=0)


def test_a_resumed_run_equals_an_uninterrupted_one(make_spec: Any, tmp_path: Path) -> None:
    """Dropout on: ended in the second epoch's middle, just after the first one's end, and twice."""
    spec = make_spec(epochs=2, validation=True, patience=2, checkpoint_every_steps=4)
    whole, expected = _run(spec, tmp_path / "whole")
    assert expected.steps == 18
    for number, ends in enumerate([[14], [9], [5, 17]]):
        work = tmp_path / f"ended-{number}"
        for step in ends:
            with pytest.raises(Interrupted):
                _run(spec, work, EndAfter(step))
        attempt, result = _run(spec, work)
        assert _difference(attempt, whole) < 1e-6
        assert result.best_validation_recall == expected.best_validation_recall
        assert (result.steps, result.epochs) == (expected.steps, expected.epochs)
        steps = [line["step"] for line in _lines(attempt) if line["kind"] == "epoch"]
        assert steps == [9, 18]


def test_checkpoints_hold_no_pickled_code_and_only_the_newest_stays(make_spec: Any, tmp_path: Path) -> None:
    """A checkpoint loads with weights_only=True; older ones are removed."""
    attempt = begin_attempt(tmp_path / "work", make_spec(checkpoint_every_steps=2))
    with pytest.raises(Interrupted):
        run_rank(attempt.folder, [EndAfter(7)])
    checkpoint = newest_checkpoint(attempt)
    assert checkpoint is not None
    assert [path.name for path in attempt.checkpoints.iterdir()] == ["step-00000006.ckpt"]
    assert "state_dict" in torch.load(checkpoint, weights_only=True)
    assert not attempt.result.exists()


@pytest.fixture
def recalls(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces the measured validation recall by given values, epoch after epoch."""

    def give(*values: float | None) -> None:
        rest = iter(values)
        found = lambda *_: {"search": {"new": next(rest), "established": None}}  # noqa: E731
        monkeypatch.setattr(callbacks, "validation_recall", found)

    return give


def test_the_best_epochs_weights_are_kept(make_spec: Any, tmp_path: Path, recalls: Any) -> None:
    """Recall falls after the first epoch: training stops after `patience` more, with the first's weights."""
    recalls(0.5, 0.4, 0.3)
    stopped, result = _run(make_spec(epochs=5, validation=True, patience=2), tmp_path / "stopped")
    assert (result.epochs, result.steps, result.best_validation_recall) == (1, 27, 0.5)
    kept = load_file(stopped.best / "epoch-0001.safetensors")
    assert all(torch.equal(_weights(stopped)[name], value) for name, value in kept.items())


def test_equal_recall_is_no_improvement(make_spec: Any, tmp_path: Path, recalls: Any) -> None:
    """A later epoch must be better, not as good, to be kept."""
    recalls(0.5, 0.5)
    _, result = _run(make_spec(epochs=3, validation=True, patience=1), tmp_path / "work")
    assert (result.epochs, result.steps) == (1, 18)


def test_without_measurable_recall_the_last_epoch_counts(
    make_spec: Any, tmp_path: Path, recalls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """No relevant item in validation: all epochs are trained, and the log says that none was chosen."""
    recalls(None, None)
    _, result = _run(make_spec(epochs=2, validation=True), tmp_path / "work")
    assert (result.epochs, result.best_validation_recall) == (2, None)
    assert "no validation request has a relevant item" in caplog.text


def test_a_fixed_number_of_epochs_needs_no_validation(make_spec: Any, tmp_path: Path) -> None:
    """As in the refit: exactly so many epochs, no recall."""
    attempt, result = _run(make_spec(epochs=2), tmp_path / "work")
    assert (result.epochs, result.steps, result.best_validation_recall) == (2, 18, None)
    assert not attempt.best.exists()


def test_bf16_trains_fp32_weights(make_spec: Any, tmp_path: Path) -> None:
    """Autocast computes in bf16 and leaves fp32 weights, near those of fp32."""
    (half, _), (full, _) = (
        _run(make_spec(precision=precision, dropout=0.0), tmp_path / precision)
        for precision in ("bf16", "fp32")
    )
    assert {value.dtype for value in _weights(half).values()} == {torch.float32}
    assert 0 < _difference(half, full) < 0.02


def test_adapters_are_trained_saved_merged_and_resumed(make_spec: Any, tmp_path: Path) -> None:
    """LoRA: checkpoints hold the adapters only, the saved encoder needs no peft, resume equals no pause."""
    spec = make_spec(method="lora", lora_rank=4, checkpoint_every_steps=3)
    whole, _ = _run(spec, tmp_path / "whole")
    with pytest.raises(Interrupted):
        _run(spec, tmp_path / "ended", EndAfter(5))
    checkpoint = newest_checkpoint(Attempt(tmp_path / "ended/attempts/0001", ""))
    assert checkpoint is not None
    assert all("lora" in name for name in torch.load(checkpoint, weights_only=True)["state_dict"])
    resumed, _ = _run(spec, tmp_path / "ended")
    assert _difference(resumed, whole) < 1e-6
    base = load_file(Path(spec.base) / "model.safetensors")
    assert _weights(whole).keys() == base.keys()
    assert not torch.equal(
        _weights(whole)["encoder.layer.0.attention.self.query.weight"],
        base["encoder.layer.0.attention.self.query.weight"],
    )


def test_a_decoder_is_trained_with_adapters(make_spec: Any, tmp_path: Path, tiny_decoder: Path) -> None:
    """A small Llama, last-token pooling, LoRA: runs, learns and loads again."""
    settings = EncoderSettings(name=str(tiny_decoder), pooling="last_token", max_length=24)
    spec = make_spec(method="lora", epochs=2, learning_rate=5e-3, noise=0.0)
    spec = spec.model_copy(update={"base": str(tiny_decoder), "encoder": settings})
    attempt, result = _run(spec, tmp_path / "work")
    losses = [line["loss"] for line in _lines(attempt) if line["kind"] == "step"]
    assert np.isfinite(losses).all()
    texts = ["red chair", "blue lamp"]
    trained = TransformerEncoder.load_saved(attempt.model).encode_items(texts)
    before = TransformerEncoder.load(tiny_decoder, settings).encode_items(texts)
    assert np.abs(trained - before).max() > 1e-3
    assert result.steps == 18


def test_too_few_pairs_for_the_ranks_is_a_clear_error(
    make_spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pairs cannot be shared by three ranks."""
    attempt = begin_attempt(tmp_path / "work", make_spec(max_pairs=2, hard_negatives=0))
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(TrainingError, match="2 training pairs are too few for 3 ranks"):
        run_rank(attempt.folder)


def test_a_contrastive_task_needs_rows_to_compare_on_every_rank() -> None:
    one = SimpleNamespace(task=SimpleNamespace(name="brand", loss="contrastive"))
    _check_compared([one], 16, 4)  # type: ignore[list-item]
    with pytest.raises(TrainingError, match=r"task_rows: 16 rows .* brand.* on 8 ranks; set at least 32"):
        _check_compared([one], 16, 8)  # type: ignore[list-item]
    one.task.loss = "cross_entropy"
    _check_compared([one], 16, 8)  # type: ignore[list-item]
