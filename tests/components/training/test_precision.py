"""Precision: on a CPU what is faster here, the log says why, and a resumed run keeps what was chosen."""

from pathlib import Path
from typing import Any

import pytest
import torch

from components.contract.errors import ConfigError
from components.contract.learning import TrainingSettings
from components.training import precision
from components.training.precision import choose_precision, has_bf16, layer_seconds, settled_precision


def _with_cpu(monkeypatch: pytest.MonkeyPatch, **capabilities: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)


def _measuring(monkeypatch: pytest.MonkeyPatch, fp32: float, bf16: float) -> None:
    monkeypatch.setattr(precision, "layer_seconds", lambda: (fp32, bf16))


@pytest.mark.parametrize(
    ("setting", "native", "name", "word"),
    [
        ("auto", False, "32-true", "no bf16 instructions"),
        ("fp32", True, "32-true", "fp32 on cpu"),
        ("bf16", True, "bf16-mixed", "bf16 autocast on cpu"),
        ("bf16", False, "bf16-mixed", "emulated"),
    ],
)
def test_what_was_asked_for_is_taken_without_a_measurement(
    monkeypatch: pytest.MonkeyPatch, setting: Any, native: bool, name: str, word: str
) -> None:
    """With a word on its speed; auto needs none where the CPU has no bf16 at all."""
    _with_cpu(monkeypatch, avx2=True, avx512_bf16=native)
    monkeypatch.setattr(precision, "layer_seconds", None)
    chosen = choose_precision(TrainingSettings(precision=setting), "cpu")
    assert chosen.lightning == name
    assert word in chosen.reason


@pytest.mark.parametrize(
    ("bf16", "name"), [(0.05, "bf16-mixed"), (0.0909, "bf16-mixed"), (0.092, "32-true"), (0.2, "32-true")]
)
def test_auto_takes_what_was_measured(monkeypatch: pytest.MonkeyPatch, bf16: float, name: str) -> None:
    """bf16 where it gains a tenth or more, instructions or not; the sentence has both figures."""
    _with_cpu(monkeypatch, avx512_bf16=True)
    _measuring(monkeypatch, 0.1, bf16)
    chosen = choose_precision(TrainingSettings(precision="auto"), "cpu")
    assert chosen.lightning == name
    assert f"{bf16 * 1_000:.0f} ms in bf16, 100 ms in fp32" in chosen.reason


def test_a_layers_step_is_measured_for_real() -> None:
    """Both take time, and nothing else in the process is moved: neither random numbers nor a second try."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    layer_seconds.cache_clear()
    found = layer_seconds()
    assert min(found) > 0
    assert torch.equal(torch.get_rng_state(), before)
    assert layer_seconds() is found


def test_the_choice_is_made_once_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the file says counts, even where a second measurement would say otherwise."""
    _with_cpu(monkeypatch, avx512_bf16=True)
    path = tmp_path / "precision.json"
    _measuring(monkeypatch, 0.1, 0.05)
    first = settled_precision(path, TrainingSettings(), "cpu")
    _measuring(monkeypatch, 0.1, 0.2)
    assert choose_precision(TrainingSettings(), "cpu") != first
    assert settled_precision(path, TrainingSettings(), "cpu") == first


def test_arm_has_bf16_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arm reports the instructions under another name."""
    _with_cpu(monkeypatch, neon=True, bf16=True)
    assert has_bf16("cpu")


def test_a_gpu_without_bf16_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old GPUs fall back under auto and are an error where bf16 was asked for."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert choose_precision(TrainingSettings(), "cuda").lightning == "32-true"
    with pytest.raises(ConfigError, match="has no bf16"):
        choose_precision(TrainingSettings(precision="bf16"), "cuda")
