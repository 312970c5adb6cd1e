"""The Lightning module: one step of contrastive fine-tuning, and of the tasks that share the encoder.

Legend of shapes: b pairs of this rank, R ranks, B = R · b, H hard negatives per pair, C = B + B · H
candidates, h items of the longest history, d dimensions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from components.contract.errors import ConfigError
from components.contract.learning import TrainingSettings
from components.encoder.transformer import TransformerEncoder
from components.tasks.modules import TaskLoss
from components.training.adapters import add_adapters
from components.training.base_size import check_matryoshka
from components.training.batches import Batch
from components.training.dropout import replace_dropout
from components.training.freezing import freeze_lowest
from components.training.frozen_states import FrozenStates
from components.training.length_groups import OVERHEAD_TOKENS, length_groups
from components.training.loss import StepVectors, distillation_loss, symmetric_loss
from components.training.packing import packed_vectors, packs
from components.training.schedule import warmed_up

CLIP_NORM = 1.0


class ContrastiveModule(LightningModule):  # type: ignore[misc]  # lightning ships no types that mypy follows here
    """Trains the encoder's model in place.

    steps: optimizer steps of the whole run; the learning rate rises over `warmup_share` of them and falls
    to zero at the last. heads: of the tasks whose rows the batches hold, in their order; their losses are
    added by their weights. Raises ConfigError for Matryoshka dimensions that the encoder has not.
    """

    def __init__(
        self,
        encoder: TransformerEncoder,
        settings: TrainingSettings,
        steps: int,
        heads: Sequence[TaskLoss] = (),
    ) -> None:
        super().__init__()
        check_matryoshka(settings, encoder.dimensions)
        prepare_model(encoder, settings)
        self.encoder = encoder
        self.model = encoder.model
        self.heads = heads
        self._heads = torch.nn.ModuleList(heads)  # so that Lightning and the optimizer know their parameters
        self.settings = settings
        self._steps = steps
        self._packs: bool | None = None
        self._frozen = FrozenStates(encoder, settings.frozen_layers) if settings.cache_frozen else None
        # A checkpoint holds the trained parameters only (with LoRA a small part of all).
        self.strict_loading = False

    def training_step(self, batch: Batch, _batch_index: int) -> Tensor:
        vectors = self._encode(batch.texts)
        anchors = _mean(vectors, self._tensor(batch.anchors))
        positives = vectors[self._tensor(batch.positives)]
        negatives = vectors[self._tensor(batch.negatives)]
        share = None if batch.log_expected is None else self._tensor(batch.log_expected)
        # Scores in full precision: bf16 has steps of 0.004 near 1, an eighth of the temperature.
        with torch.autocast(self.device.type, enabled=False):
            losses = [
                symmetric_loss(
                    step,
                    self._tensor(batch.not_negatives),
                    self._tensor(batch.not_anchors),
                    first=batch.first,
                    temperature=self.settings.temperature,
                    log_expected=share,
                    weights=self._tensor(batch.weights),
                )
                for step in self._gather(anchors, positives, negatives).cut(
                    self.settings.matryoshka_dimensions
                )
            ]
            distilled = self._distillation_loss(vectors, anchors, batch)
            return torch.stack(losses).mean() + distilled + self._task_losses(vectors, batch)

    def _distillation_loss(self, vectors: Tensor, anchors: Tensor, batch: Batch) -> Tensor:
        """Weighted, of this rank's pairs, which need no other rank's; a scalar."""
        if not batch.candidates.shape[1]:
            return vectors.new_zeros(())
        places = self._tensor(np.column_stack([batch.positives, batch.candidates]))
        scores, temperature = self._tensor(batch.taught), self.settings.temperature
        loss = distillation_loss(anchors, vectors[places], scores, temperature=temperature)
        return self.settings.distillation.weight * loss

    def _task_losses(self, vectors: Tensor, batch: Batch) -> Tensor:
        """The weighted sum of the tasks' losses on this rank's rows; a scalar."""
        losses = [
            head.task.weight * head.loss(vectors[self._tensor(rows.places)], self._tensor(rows.targets))
            for head, rows in zip(self.heads, batch.tasks, strict=True)
        ]
        return torch.stack(losses).sum() if losses else vectors.new_zeros(())

    def on_train_batch_start(self, batch: Batch, _batch_index: int) -> None:
        """Dropout depends on (seed, step, rank) alone, so that a resumed run equals an uninterrupted one."""
        seed = np.random.SeedSequence((self.settings.seed, batch.step, self.global_rank))
        torch.manual_seed(int(seed.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def configure_optimizers(self) -> dict[str, Any]:
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(
            trained, self.settings.learning_rate, weight_decay=self.settings.weight_decay, fused=True
        )
        schedule = warmed_up(optimizer, self._steps, self.settings.warmup_share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_before_optimizer_step(self, _optimizer: torch.optim.Optimizer) -> None:
        """Clips here: Lightning refuses to clip for a fused optimizer under autocast, although without
        gradient scaling (bf16 needs none) nothing speaks against it."""
        torch.nn.utils.clip_grad_norm_(self.parameters(), CLIP_NORM)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: value for name, value in state.items() if name in trained}

    def _encode(self, texts: list[list[int]]) -> Tensor:
        """Token ids → (texts, d) unit vectors; all at once, or in chunks of `encode_chunk` texts.

        Chunks are gradient caching (Gao et al. 2021, "Scaling deep contrastive learning batch size under
        memory limited setup", section 3.2): the loss sees the vectors of all, each chunk's activations are
        dropped, and computed again when its vectors' gradients have come back, one chunk at a time. The
        gradients are those of the whole batch; dropout draws the same numbers again. A parameter's gradient
        is complete, and DDP told so, after the last chunk, so ranks may have different numbers of chunks.
        """
        if self._packs is None:
            self._packs = self.device.type == "cpu" and packs(self.encoder)
            if self._frozen is not None and not self._packs:
                raise ConfigError(
                    "training.cache_frozen keeps states of packed texts: on a CPU, of a model whose texts can"
                    " be packed, which this is not; turn it off."
                )
        order = np.argsort([len(tokens) for tokens in texts], kind="stable")
        size = self.settings.encode_chunk or len(texts)
        chunks = [[texts[place] for place in order[start:][:size]] for start in range(0, len(texts), size)]
        if len(chunks) == 1:
            parts = [self._forward(chunks[0])]
        else:
            # Random states are kept of the devices of its tensors alone, and token ids are lists.
            here = torch.empty(0, device=self.device)
            parts = [checkpoint(self._forward, chunk, here, use_reentrant=False) for chunk in chunks]
        return torch.cat(parts)[self._tensor(np.argsort(order))]

    def _forward(self, texts: list[list[int]], _here: Tensor | None = None) -> Tensor:
        """Token ids → (texts, d) unit vectors: packed on a CPU, else padded in groups of like length."""
        if self._frozen is not None:
            return self._frozen.vectors(texts)
        if self._packs:
            return packed_vectors(self.encoder, texts)
        lengths = np.asarray([len(tokens) for tokens in texts])
        groups = length_groups(lengths, OVERHEAD_TOKENS.get(self.device.type, OVERHEAD_TOKENS["cuda"]))
        parts = [self.encoder.forward_ids([texts[place] for place in group]) for group in groups]
        return torch.cat(parts)[self._tensor(np.argsort(np.concatenate(groups)))]

    def _gather(self, anchors: Tensor, positives: Tensor, negatives: Tensor) -> StepVectors:
        """(b, d), (b, d), (b, H, d) of this rank → the step's, in rank order, by one collective."""
        b, count, d = negatives.shape
        own = torch.cat([anchors, positives, negatives.reshape(b * count, d)])
        ranks = self.all_gather(own, sync_grads=True).reshape(-1, (2 + count) * b, d)  # (R, (2 + H) · b, d)
        return StepVectors(
            anchors=anchors,
            positives=positives,
            all_anchors=ranks[:, :b].reshape(-1, d),
            candidates=torch.cat([ranks[:, b : 2 * b].reshape(-1, d), ranks[:, 2 * b :].reshape(-1, d)]),
        )

    def _tensor(self, array: np.ndarray[Any, Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def prepare_model(encoder: TransformerEncoder, settings: TrainingSettings) -> None:
    """Puts the encoder's model into training mode, with the settings' dropout, adapters and frozen layers, in
    place."""
    if settings.dropout is not None:
        _set_dropout(encoder.model, settings.dropout)
    replace_dropout(encoder.model)
    add_adapters(encoder, settings)
    freeze_lowest(encoder, settings)
    encoder.model.train()


def _set_dropout(model: torch.nn.Module, share: float) -> None:
    """Dropout layers, and the attention's share where a model keeps it as a number."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share
        for name in ("attention_dropout", "dropout_prob"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)


def _mean(vectors: Tensor, places: Tensor) -> Tensor:
    """(texts, d) and (b, h) places, -1 for none → (b, d) normalised means."""
    present = (places >= 0).unsqueeze(-1)
    return normalize((vectors[places.clamp(min=0)] * present).sum(dim=1), dim=-1)
