"""What `make bench-train` says of its runs: ratios with spread, shares of the machine's peak, memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

OURS, THEIRS = "debut", "sentence-transformers"
ONE_THREAD = "1 thread"


def in_processes(count: int) -> str:
    """What runs in so many processes are called."""
    return f"{count} processes"


def figures(
    rows: list[dict[str, Any]], peaks: list[dict[str, float]], ranks: int, *, flops_of_pair: float
) -> dict[str, Any]:
    """rows: one per run; peaks: per round the machine's matrix products, GFLOP/s by precision; ranks: of our
    fp32 runs; flops_of_pair: floating point operations of a training pair."""

    def values(name: str, side: str, figure: str = "pairs_per_s") -> NDArray[np.float64]:
        return np.asarray([row[figure] for row in rows if (row["name"], row["side"]) == (name, side)])

    peak = {name: max(of[name] for of in peaks) for name in peaks[0]}
    best = next(row for row in rows if (row["name"], row["side"]) == ("best", OURS))
    used = {"fp32": "fp32", "best": "bf16" if best["precision"].startswith("bf16") else "fp32"}
    recalls = {
        side: np.concatenate([values(name, side, "recall") for name in used]) for side in (OURS, THEIRS)
    }
    ours = {count: values("fp32" if count == ranks else in_processes(count), OURS) for count in (1, 2)}
    theirs = {1: values("fp32", THEIRS), 2: values(in_processes(2), THEIRS)}
    two, one, alone = (float(np.median(of)) for of in (ours[2], ours[1], values(ONE_THREAD, OURS)))
    gflops = {name: float(np.median(values(name, OURS))) * flops_of_pair / 1e9 for name in used}
    memory = {
        f"{side} {name}": float(np.median(values(name, side, "peak_memory_mb")))
        for side in (OURS, THEIRS)
        for name in used
    }
    return {
        "pairs_per_s_ratio_same_precision": _spread(values("fp32", OURS) / values("fp32", THEIRS)),
        "pairs_per_s_ratio_best": _spread(values("best", OURS) / values("best", THEIRS)),
        "pairs_per_s_ratio_processes": {str(count): _spread(ours[count] / theirs[count]) for count in ours},
        "recall_ratio": round(float(recalls[OURS].mean() / recalls[THEIRS].mean()), 4),
        "gemm_share": {name: round(reached / peak[used[name]], 3) for name, reached in gflops.items()},
        "peak_memory_mb": {name: round(megabytes) for name, megabytes in memory.items()},
        "ddp_efficiency_2_ranks": round(two / (2 * alone), 3),
        "two_ranks_over_one_of_all_threads": round(two / one, 3),
        "recall@10": {side: round(float(found.mean()), 4) for side, found in recalls.items()},
        "precision": best["precision"],
        "gemm_gflops": {name: round(value) for name, value in peak.items()},
        "runs": [
            {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
            for row in rows
        ],
    }


def _spread(ratios: NDArray[np.float64]) -> dict[str, float]:
    found = {"median": np.median(ratios), "min": ratios.min(), "max": ratios.max()}
    return {name: round(float(value), 3) for name, value in found.items()}


def table(found: dict[str, Any]) -> str:
    """Markdown of the figures, then one line per run."""
    rows = [(name, value) for name, value in found.items() if name != "runs"]
    head = "".join(f"| {name} | {value} |\n" for name, value in rows)
    runs = "".join(
        f"| {row['round']} | {row['name']} | {row['side']} | {row['pairs_per_s']:.1f} | "
        f"{row['processes']} | {row['peak_memory_mb']:.0f} | {row['recall']:.4f} | {row['options'] or ''} |\n"
        for row in found["runs"]
    )
    columns = "| round | settings | trainer | pairs/s | processes | peak MB | recall@10 | options |\n"
    return f"| figure | value |\n|---|---|\n{head}\n{columns}|{'---|' * 8}\n{runs}"
