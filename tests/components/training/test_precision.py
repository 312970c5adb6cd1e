"""Precision: bf16 only where the device has instructions for it, and the log says so."""

from typing import Any

import pytest
import torch

from components.contract.errors import ConfigError
from components.contract.settings import TrainingSettings
from components.training.precision import choose_precision, has_bf16


def _with_cpu(monkeypatch: pytest.MonkeyPatch, **capabilities: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)


@pytest.mark.parametrize(
    ("setting", "native", "precision", "word"),
    [
        ("auto", True, "bf16-mixed", "bf16 autocast on cpu"),
        ("auto", False, "32-true", "no bf16 instructions"),
        ("fp32", True, "32-true", "fp32 on cpu"),
        ("bf16", False, "bf16-mixed", "emulated"),
    ],
)
def test_precision_follows_the_cpu(
    monkeypatch: pytest.MonkeyPatch, setting: Any, native: bool, precision: str, word: str
) -> None:
    """auto takes what the instructions allow; what was asked for is taken, with a word on its speed."""
    _with_cpu(monkeypatch, avx2=True, avx512_bf16=native)
    chosen, sentence = choose_precision(TrainingSettings(precision=setting), "cpu")
    assert chosen == precision
    assert word in sentence


def test_arm_has_bf16_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arm reports the instructions under another name."""
    _with_cpu(monkeypatch, neon=True, bf16=True)
    assert has_bf16("cpu")


def test_a_gpu_without_bf16_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old GPUs fall back under auto and are an error where bf16 was asked for."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert choose_precision(TrainingSettings(), "cuda")[0] == "32-true"
    with pytest.raises(ConfigError, match="has no bf16"):
        choose_precision(TrainingSettings(precision="bf16"), "cuda")
