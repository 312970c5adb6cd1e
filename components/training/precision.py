"""Which arithmetic a run uses, and why, in one sentence."""

from components.contract.errors import ConfigError
from components.contract.settings import TrainingSettings
from components.encoder.transformer import has_bf16


def choose_precision(settings: TrainingSettings, device: str) -> tuple[str, str]:
    """Lightning's name of the precision, and a sentence for the log. `device`: "cpu" or "cuda".

    bf16 is autocast: weights, optimizer state and scores stay fp32. Without instructions for it bf16 is
    emulated and slower than fp32, so "auto" takes it only where the device has them.
    """
    native = has_bf16(device)
    if settings.precision == "bf16" and device == "cuda" and not native:
        raise ConfigError("training.precision is bf16, but this GPU has no bf16; set auto or fp32.")
    if settings.precision == "fp32" or (settings.precision == "auto" and not native):
        return "32-true", f"fp32 on {device}" + ("" if native else " (no bf16 instructions)")
    return "bf16-mixed", f"bf16 autocast on {device}" + ("" if native else ", emulated: expect it to be slow")
