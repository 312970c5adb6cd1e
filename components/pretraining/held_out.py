"""How well a model knows text that it was not trained on."""

import math
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from components.contract.errors import TrainingError
from components.pretraining.batches import Masking, Tokens
from components.pretraining.module import IGNORED, PretrainingModule
from components.pretraining.spec import Measured
from components.training.callbacks import Metrics

MASK_SEED = 0
"""The same tokens are hidden every time, so figures compare."""
TEXTS_AT_ONCE = 32
MOST_NATS = 700.0
"""exp of more is no number; NaN is more, too."""


class HeldOut(Callback):  # type: ignore[misc]  # lightning ships no types that mypy follows here
    """Measures after `head_steps` ("before") and after each epoch, on rank 0."""

    def __init__(
        self,
        texts: Tokens,
        pairs: tuple[Tokens, Tokens],
        masking: Masking,
        metrics: Metrics,
        *,
        head_steps: int,
        steps_per_epoch: int,
    ) -> None:
        self._texts, self._pairs, self._masking, self._metrics = texts, pairs, masking, metrics
        self._head_steps, self._steps_per_epoch = head_steps, steps_per_epoch
        self.before: Measured | None = None
        self.after: Measured | None = None

    def on_train_start(self, trainer: Trainer, module: PretrainingModule) -> None:
        if trainer.global_step == self._head_steps == 0 and trainer.is_global_zero:
            self.before = self._measure(module, {"kind": "start", "step": 0})

    def on_train_batch_end(self, trainer: Trainer, module: PretrainingModule, *_: Any) -> None:
        if not trainer.is_global_zero:
            return
        step = trainer.global_step
        if step == self._head_steps:
            self.before = self._measure(module, {"kind": "start", "step": step})
        if step % self._steps_per_epoch == 0:
            line = {"kind": "epoch", "step": step, "epoch": step // self._steps_per_epoch}
            self.after = self._measure(module, line)

    def state_dict(self) -> dict[str, Any]:
        measured = {"before": self.before, "after": self.after}
        return {name: one.model_dump() if one else None for name, one in measured.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.before, self.after = (
            Measured.model_validate(state[name]) if state[name] else None for name in ("before", "after")
        )

    def _measure(self, module: PretrainingModule, line: dict[str, Any]) -> Measured:
        found = measure(module, self._texts, self._pairs, self._masking)
        if not math.isfinite(found.perplexity):
            raise TrainingError(
                "Pretraining went astray: hidden words cannot be guessed at all. Lower "
                "pretraining.learning_rate."
            )
        self._metrics.append(line | found.model_dump() | {"seconds": self._metrics.seconds})
        return found


def measure(
    module: PretrainingModule, texts: Tokens, pairs: tuple[Tokens, Tokens], masking: Masking
) -> Measured:
    """Without dropout, fp32."""
    training = module.model.training
    module.model.eval()
    with torch.inference_mode(), torch.autocast(module.device.type, enabled=False):
        found = Measured(
            perplexity=_perplexity(module, texts, masking), matching_accuracy=_accuracy(module, pairs)
        )
    module.model.train(training)
    return found


def _perplexity(module: PretrainingModule, texts: Tokens, masking: Masking) -> float:
    loss, hidden = 0.0, 0
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        batch = masking(texts[start : start + TEXTS_AT_ONCE], MASK_SEED + start)
        asked = int((batch["labels"] != IGNORED).sum())
        if asked:
            loss += float(module.hidden_loss(batch)) * asked
            hidden += asked
    mean = loss / hidden if hidden else math.nan
    return math.exp(mean) if mean < MOST_NATS else math.inf


def _accuracy(module: PretrainingModule, pairs: tuple[Tokens, Tokens]) -> float | None:
    """Each title chooses among its batch's descriptions; a batch of one pair asks nothing."""
    titles, descriptions = pairs
    right = asked = 0
    for start in range(0, len(titles), TEXTS_AT_ONCE):
        rows = slice(start, start + TEXTS_AT_ONCE)
        scores = module.scores(titles[rows], descriptions[rows])
        if len(scores) > 1:
            right += int((scores.argmax(dim=1) == torch.arange(len(scores), device=scores.device)).sum())
            asked += len(scores)
    return right / asked if asked else None
