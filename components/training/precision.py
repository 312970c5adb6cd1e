"""Which arithmetic a run uses, and why, in one sentence.

bf16 is autocast: weights, optimizer state and scores stay fp32. That a CPU has instructions for bf16 does not
say that it gains by them: with AVX-512 and without matrix units (AMX) a Sapphire Rapids multiplies in bf16 at
half of its fp32 speed, and the gradient of attention is seven times slower. So it is tried.
"""

import json
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from components.contract.errors import ConfigError
from components.contract.files import write_json
from components.contract.learning import TrainingSettings
from components.contract.records import Record
from components.encoder.transformer import has_bf16, seconds_in_turns

MIN_GAIN = 1.1
"""bf16 is taken where it is at least so many times as fast: less is not worth its rounding."""


class Precision(Record):
    lightning: Literal["32-true", "bf16-mixed"]
    """Lightning's name."""
    reason: str
    """A sentence for the log."""


def settled_precision(path: Path, settings: TrainingSettings, device: str) -> Precision:
    """As the file says, else chosen now and written there: a resumed run goes on as it began, and all ranks
    compute alike, whatever a second measurement would find."""
    if path.is_file():
        return Precision.model_validate_json(path.read_text())
    precision = choose_precision(settings, device)
    write_json(path, json.loads(precision.model_dump_json()))
    return precision


def choose_precision(settings: TrainingSettings, device: str) -> Precision:
    """`device`: "cpu" or "cuda". auto: on a CPU with bf16 instructions what a short measurement finds faster,
    on a GPU bf16 where it has it. Raises ConfigError where bf16 is asked of a GPU without it."""
    native = has_bf16(device)
    if settings.precision == "bf16" and device == "cuda" and not native:
        raise ConfigError("training.precision is bf16, but this GPU has no bf16; set auto or fp32.")
    if settings.precision == "auto" and native and device == "cpu":
        return _measured()
    if settings.precision == "fp32" or (settings.precision == "auto" and not native):
        return Precision(
            lightning="32-true", reason=f"fp32 on {device}" + ("" if native else " (no bf16 instructions)")
        )
    emulated = "" if native else ", emulated: expect it to be slow"
    return Precision(lightning="bf16-mixed", reason=f"bf16 autocast on {device}{emulated}")


def _measured() -> Precision:
    fp32, bf16 = layer_seconds()
    figures = f"a layer's step takes {bf16 * 1_000:.0f} ms in bf16, {fp32 * 1_000:.0f} ms in fp32"
    if fp32 / bf16 >= MIN_GAIN:
        return Precision(lightning="bf16-mixed", reason=f"bf16 autocast on cpu ({figures})")
    return Precision(lightning="32-true", reason=f"fp32 on cpu ({figures})")


@cache
def layer_seconds() -> tuple[float, float]:
    """Seconds of a transformer layer's forward and backward pass on 1,024 tokens, in fp32 and in bf16
    autocast, measured in turns. About a second, once a process; the layer is MiniLM's (384 wide)."""
    with torch.random.fork_rng(devices=[]):
        layer = torch.nn.TransformerEncoderLayer(384, 12, 1536, dropout=0.0, batch_first=True)
        states = torch.randn(64, 16, 384)
    return seconds_in_turns(lambda: layer(states).float().square().mean(), torch.Tensor.backward)
