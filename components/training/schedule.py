"""The learning rate of a step: up to its highest in a line, then down to 0 in a line."""

import torch


def warmed_up(
    optimizer: torch.optim.Optimizer, steps: int, share: float = 0.1
) -> torch.optim.lr_scheduler.LambdaLR:
    """share: of the steps, for the way up."""
    warmup = round(share * steps)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_share(step, warmup, steps))


def learning_rate_share(step: int, warmup: int, steps: int) -> float:
    """Share of the top learning rate at 0-based step: linear up to 1, then linear down to 0."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0.0, (steps - step) / max(1, steps - warmup))
