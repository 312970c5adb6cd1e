"""What `make bench-train` says of its runs."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from train_figures import ONE_THREAD, OURS, THEIRS, figures, in_processes, table


def _row(name: str, side: str, number: int, speed: float, recall: float = 0.6, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "side": side,
        "round": number,
        "pairs_per_s": speed,
        "recall": recall,
        "peak_memory_mb": 3_000.0,
        "precision": "fp32: faster here",
        "options": {},
        "processes": 1,
    } | more


def _found() -> dict[str, Any]:
    rows = []
    for number, ours in enumerate((60.0, 66.0, 63.0)):
        rows += [
            _row("fp32", OURS, number, ours, 0.63, processes=2),
            _row("fp32", THEIRS, number, 30.0),
            _row("best", OURS, number, ours, 0.63, processes=2),
            _row("best", THEIRS, number, 40.0, processes=2),
            _row(in_processes(1), OURS, number, 45.0),
            _row(in_processes(2), THEIRS, number, 35.0, processes=2),
            _row(ONE_THREAD, OURS, number, 40.0),
        ]
    rows.append(_row("tried", THEIRS, 0, 99.0, 0.1))
    peaks = [{"fp32": 90.0, "bf16": 180.0}, {"fp32": 100.0, "bf16": 200.0}]
    return figures(rows, peaks, 2, flops_of_pair=1e9)


def test_ratios_are_of_the_same_round_and_a_setting_that_was_only_tried_is_in_none() -> None:
    found = _found()
    assert found["pairs_per_s_ratio_same_precision"] == {"median": 2.1, "min": 2.0, "max": 2.2}
    assert found["pairs_per_s_ratio_best"] == pytest.approx({"median": 1.575, "min": 1.5, "max": 1.65})
    assert found["pairs_per_s_ratio_processes"]["1"]["median"] == 1.5
    assert found["pairs_per_s_ratio_processes"]["2"]["median"] == 1.8
    assert found["recall_ratio"] == 1.05


def test_efficiency_and_share_of_the_peak_are_of_medians() -> None:
    """63 pairs/s of two ranks beside 40 of one with one thread; of the highest peak that was measured."""
    found = _found()
    assert found["ddp_efficiency_2_ranks"] == round(63 / 80, 3)
    assert found["gemm_share"] == {"fp32": 0.63, "best": 0.63}
    lines = table(found).splitlines()
    assert "| 0 | best | sentence-transformers | 40.0 | 2 | 3000 | 0.6000 |  |" in lines
