"""Which arithmetic a run uses, and why, in one sentence."""

import torch

from components.contract.errors import ConfigError
from components.contract.settings import TrainingSettings

_CPU_BF16 = ("avx512_bf16", "amx_bf16", "bf16")  # the last is Arm's


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


def has_bf16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in _CPU_BF16)
