"""Copies of an encoder with other weights: averaged with another's, or damaged by noise."""

from pathlib import Path

import torch

from components.contract.errors import EncoderError
from components.encoder.transformer import TransformerEncoder


def average(encoder: TransformerEncoder, start: TransformerEncoder, share: float) -> None:
    """Makes the encoder's weights, in place, `share` of its own plus the rest of the start's.

    Weight averaging of a fine-tuned model with its start, Wortsman et al. 2022, "Robust fine-tuning of
    zero-shot models", section 3. Raises EncoderError where the two have other shapes.
    """
    weights, others = encoder.model.state_dict(), start.model.state_dict()
    if {name: tensor.shape for name, tensor in weights.items()} != {n: t.shape for n, t in others.items()}:
        raise EncoderError("The two encoders have other shapes; only copies of one model average.")
    averaged = {name: torch.lerp(others[name].to(own.device), own, share) for name, own in weights.items()}
    encoder.model.load_state_dict(averaged)


def save_average(first: Path, second: Path, share: float, out: Path) -> str:
    """Saves the average of two saved encoders; returns its digest."""
    encoder = TransformerEncoder.load_saved(first)
    average(encoder, TransformerEncoder.load_saved(second), share)
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
