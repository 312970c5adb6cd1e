"""Copies of an encoder with other weights: averaged with another's, or damaged by noise."""

from pathlib import Path

import torch

from components.contract.errors import EncoderError
from components.encoder.transformer import TransformerEncoder


def save_average(first: Path, second: Path, share: float, out: Path) -> str:
    """Saves `share` of the first encoder's weights plus the rest of the second's; returns the digest.

    Weight averaging of a fine-tuned model with its start, Wortsman et al. 2022, "Robust fine-tuning of
    zero-shot models", section 3. Raises EncoderError where the two have other shapes.
    """
    encoder, other = TransformerEncoder.load_saved(first), TransformerEncoder.load_saved(second)
    weights, others = encoder.model.state_dict(), other.model.state_dict()
    if {name: tensor.shape for name, tensor in weights.items()} != {n: t.shape for n, t in others.items()}:
        raise EncoderError(f"{first} and {second} have other shapes; only copies of one model average.")
    encoder.model.load_state_dict({name: torch.lerp(others[name], weights[name], share) for name in weights})
    return encoder.save(out)


def save_damaged(folder: Path, noise: float, seed: int, out: Path) -> str:
    """Saves a copy whose every weight matrix got Gaussian noise of `noise` times its own standard
    deviation, as a bad conversion or a diverged run leaves it; returns the digest."""
    encoder = TransformerEncoder.load_saved(folder)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in encoder.model.parameters():
            if weight.ndim > 1:
                weight += noise * weight.std() * torch.randn(weight.shape, generator=generator)
    return encoder.save(out)
