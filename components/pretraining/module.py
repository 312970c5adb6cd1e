"""The Lightning module: masked language modelling, and which description belongs to a title.

Legend of shapes: n texts, b pairs of this rank, t tokens, d dimensions.
"""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn.functional import cross_entropy

from components.contract.pretraining import PretrainingSettings
from components.encoder.transformer import TransformerEncoder
from components.pretraining.batches import Batch, Tokens
from components.training.module import CLIP_NORM
from components.training.schedule import learning_rate_share

IGNORED = -100
"""Label of a token that is not asked for (transformers)."""


class PretrainingModule(LightningModule):  # type: ignore[misc]  # lightning ships no types that mypy follows here
    """Trains a masked language model in place.

    The loss is the cross entropy of the hidden tokens (Devlin et al. 2019, "BERT", section 3.1) plus
    `matching_weight` times that of choosing, for each title, its description among the batch's: the heir of
    next-sentence prediction, put as the in-batch choice that retrieval is (van den Oord et al. 2018, section
    2.3) and asked of the pooled vector that fine-tuning goes on with.

    encoder: `model` without its head. head_steps: steps at the beginning that leave the encoder as it is.
    """

    def __init__(
        self,
        model: Any,
        encoder: TransformerEncoder,
        settings: PretrainingSettings,
        steps: int,
        head_steps: int,
    ) -> None:
        super().__init__()
        self.model, self.encoder, self.settings = model.train(), encoder, settings
        self._steps, self._head_steps = steps, head_steps

    def training_step(self, batch: Batch, _batch_index: int) -> Tensor:
        loss = self.hidden_loss(batch.masked)
        if self.settings.matching_weight and len(batch.titles) > 1:
            scores = self.scores(batch.titles, batch.descriptions)
            target = torch.arange(len(scores), device=self.device)
            loss = loss + self.settings.matching_weight * cross_entropy(scores, target)
        return loss

    def hidden_loss(self, masked: dict[str, Tensor]) -> Tensor:
        """Mean cross entropy of the hidden tokens. Where the head is one module, only these go through
        it: a vocabulary of 30,000 words for every token would cost as much as MiniLM itself."""
        names = ("input_ids", "attention_mask", "labels")
        ids, mask, labels = (masked[name].to(self.device) for name in names)
        head = _single_head(self.model)
        if head is None:
            loss: Tensor = self.model(input_ids=ids, attention_mask=mask, labels=labels).loss
            return loss
        states: Tensor = self.model.base_model(ids, attention_mask=mask).last_hidden_state  # (n, t, d)
        hidden = labels != IGNORED
        if not hidden.any():  # a batch of very few words; a mean of nothing would be NaN
            return states.sum() * 0.0
        scores: Tensor = head(states[hidden]).float()  # (hidden tokens, vocabulary)
        return cross_entropy(scores, labels[hidden])

    def scores(self, titles: Tokens, descriptions: Tokens) -> Tensor:
        """(b, b) cosines of titles (rows) and descriptions over the temperature, in full precision."""
        vectors = [self.encoder.forward_ids(texts) for texts in (titles, descriptions)]
        with torch.autocast(self.device.type, enabled=False):
            return vectors[0] @ vectors[1].T / self.settings.temperature

    def on_train_batch_start(self, _batch: Batch, _batch_index: int) -> None:
        """Dropout depends on (seed, step, rank) alone, so that a resumed run equals an uninterrupted one."""
        seed = np.random.SeedSequence((self.settings.seed, self.trainer.global_step, self.global_rank))
        torch.manual_seed(int(seed.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def configure_optimizers(self) -> dict[str, Any]:
        """The head from the first step on; the encoder after `head_steps`, with a warm-up of its own."""
        inner = {id(parameter) for parameter in self.model.base_model.parameters()}
        body = list(self.model.base_model.parameters())
        head = [parameter for parameter in self.model.parameters() if id(parameter) not in inner]
        optimizer = torch.optim.AdamW(
            [{"params": body}, {"params": head}],
            self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
        waits, left = self._head_steps, self._steps - self._head_steps
        warmup = round(self.settings.warmup_share * left)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            [
                lambda step: (
                    0.0 if step < waits else learning_rate_share(step - waits, warmup, self._steps - waits)
                ),
                lambda step: learning_rate_share(step, warmup, self._steps),
            ],
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_before_optimizer_step(self, _optimizer: torch.optim.Optimizer) -> None:
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)


def _single_head(model: Any) -> Any:
    """The module from token states to words, where the model has it in one piece (BERT, RoBERTa and kin)."""
    others = [name for name, child in model.named_children() if child is not model.base_model]
    return getattr(model, others[0]) if others in (["cls"], ["lm_head"]) else None
