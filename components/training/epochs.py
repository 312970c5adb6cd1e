"""Epochs over texts of known lengths, for the small models beside the encoder: the writer, the teacher."""

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from components.contract.learning import DistillationSettings, WriterSettings
from components.contract.ports import Rows
from components.training.length_groups import batches_of_like_length
from components.training.schedule import warmed_up

logger = logging.getLogger(__name__)


def learn(
    module: torch.nn.Module,
    loss_of: Callable[[Rows], Tensor],
    lengths: Rows,
    settings: DistillationSettings | WriterSettings,
    rng: np.random.Generator,
    name: str,
) -> None:
    """Trains the module's weights by AdamW; it is left in evaluation mode. loss_of: rows of a batch → their
    loss; lengths: (n,) tokens of each row; rng: draws the batches; name: in the log."""
    learned = list(module.parameters())
    steps = settings.epochs * -(-len(lengths) // settings.batch_size)
    optimizer = torch.optim.AdamW(learned, lr=settings.learning_rate)
    schedule = warmed_up(optimizer, steps)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)  # of dropout
        module.train()
        for epoch in range(settings.epochs):
            losses = []
            for batch in batches_of_like_length(lengths, settings.batch_size, rng):
                loss = loss_of(batch)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(learned, 1.0)
                optimizer.step()
                schedule.step()
                losses.append(float(loss.detach()))
            logger.info("%s, epoch %d: loss %.3f", name, epoch + 1, float(np.mean(losses)))
    module.eval()
