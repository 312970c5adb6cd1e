"""A rank that keeps the gradients of every step; `python gradient_rank.py ATTEMPT`, by torchrun or alone."""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from safetensors.torch import save_file

from components.training.fit import run_rank


class Gradients(Callback):
    """Writes the gradients as they are before clipping: what DDP has averaged over the ranks."""

    def __init__(self, path: Path) -> None:
        self.path, self.found = path, dict[str, torch.Tensor]()

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        for name, parameter in module.named_parameters():
            self.found[f"{trainer.global_step}.{name}"] = parameter.grad.detach().clone()

    def on_train_end(self, trainer: Any, module: Any) -> None:
        save_file(self.found, self.path)


if __name__ == "__main__":
    attempt = Path(sys.argv[1])
    run_rank(attempt, extra=[Gradients(attempt / f"gradients-{os.environ.get('RANK', '0')}.safetensors")])
