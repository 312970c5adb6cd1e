"""Parameter-efficient tuning: recall, megabytes trained and seconds of each `training.method`, and of full
fine-tuning with frozen lower layers, in one table.

    python tests/benchmarks/adapters.py [--dataset demo] [--pairs N] [--seeds 1]

Each method is trained by the product's own call from the same base on the same pairs, at two learning rates;
the better one on the validation part is judged on the test part, by vectors alone, as it was saved: in
"… alone" without its base. Its seconds are those of that one run. The last line is the JSON.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from commit import commit
from variants import named

from flows.embedded import prepare_environment

FULL, LORA, IA3 = (2e-4, 1e-4), (2e-3, 5e-4), (2e-2, 5e-3)
THREE = {"max_epochs": 3, "patience": 3}
VARIANTS: dict[str, tuple[dict[str, Any], tuple[float, float]]] = {
    "full": ({}, FULL),
    "2 layers frozen": ({"frozen_layers": 2}, FULL),
    "4 layers frozen": ({"frozen_layers": 4}, FULL),
    "4 frozen 3 epochs": ({"frozen_layers": 4} | THREE, FULL),
    "4 frozen 3 epochs cached": ({"frozen_layers": 4, "cache_frozen": True} | THREE, FULL),
    "lora": ({"method": "lora"}, LORA),
    "lora alone": ({"method": "lora", "adapter_only": True}, LORA),
    "ia3": ({"method": "ia3"}, IA3),
    "ia3 alone": ({"method": "ia3", "adapter_only": True}, IA3),
    "prompt": ({"method": "prompt"}, (5e-2, 1e-2)),
    "prefix": ({"method": "prefix", "adapter_only": True}, (5e-2, 1e-2)),
}
SLICES = ("new", "new_only", "established")


def main() -> None:
    prepare_environment(debug=False)  # before torch starts its threads
    from recall_shop import DATASETS, open_bench

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=list(DATASETS), default="demo")
    parser.add_argument("--root", type=Path, help="folder of the data set's files")
    parser.add_argument("--pairs", type=int, help="at most so many training pairs")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rates", type=int, default=2, help="learning rates that are tried, at most 2")
    parser.add_argument("--only", help=f"these, by comma: {', '.join(VARIANTS)}")
    parser.add_argument("--cache", type=Path, default=Path(".debut/bench"), help="the benchmark's own folder")
    chosen = parser.parse_args()
    methods = named(parser, chosen.only, VARIANTS)
    bench = open_bench(chosen.dataset, chosen.root, chosen.cache / chosen.dataset)
    rows = {"untrained": _untrained(bench)}
    for method in methods:
        changes, rates = VARIANTS[method]
        runs = [
            _best(bench, changes, rates[: chosen.rates], seed, chosen.pairs) for seed in range(chosen.seeds)
        ]
        rows[method] = {name: sum(run[name] for run in runs) / len(runs) for name in runs[0]}
        sys.stderr.write(f"{method}: {rows[method]}\n")
    sys.stdout.write(markdown(rows) + "\n")
    figures = {
        "dataset": chosen.dataset,
        "pairs": chosen.pairs,
        "seeds": chosen.seeds,
        "methods": rows,
        "commit": commit(),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def _untrained(bench: Any) -> dict[str, float]:
    from trainings import base_encoder

    encoder = base_encoder(bench)
    with tempfile.TemporaryDirectory() as folder:
        encoder.save(Path(folder))
        saved = _saved(Path(folder))
    return _recall(bench, encoder) | {
        "trained_mb": 0.0,
        "saved_mb": saved,
        "seconds": 0.0,
        "learning_rate": 0.0,
    }


def _best(
    bench: Any, changes: dict[str, Any], rates: tuple[float, ...], seed: int, pairs: int | None
) -> dict[str, float]:
    """The better learning rate, by validation recall. changes: of the training settings."""
    from trainings import fine_tune

    found: list[tuple[float, dict[str, float]]] = []
    for rate in rates:
        update = changes | {"learning_rate": rate, "seed": seed}
        settings = bench.settings.training.model_copy(update=update | ({"max_pairs": pairs} if pairs else {}))
        with tempfile.TemporaryDirectory() as folder:
            encoder, trained = fine_tune(bench, Path(folder), settings)
            figures = {"trained_mb": _megabytes(bench, settings), "seconds": trained.seconds}
            figures |= {"saved_mb": _saved(Path(folder) / "out" / "encoder"), "learning_rate": rate}
            found.append((trained.best_validation_recall or 0.0, _recall(bench, encoder) | figures))
    return max(found, key=lambda one: one[0])[1]


def _megabytes(bench: Any, settings: Any) -> float:
    """Of the fp32 weights that the method changes."""
    from trainings import base_encoder

    from components.training.module import prepare_model

    encoder = base_encoder(bench)
    prepare_model(encoder, settings)
    return sum(weight.numel() for weight in encoder.model.parameters() if weight.requires_grad) * 4 / 1e6


def _saved(folder: Path) -> float:
    """MB of an encoder's files."""
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def _recall(bench: Any, encoder: Any) -> dict[str, float]:
    from components.index.exact import ExactIndex

    scores = bench.scores(ExactIndex("adapters", bench.item_ids, encoder.encode_items(bench.texts), encoder))
    return {f"{name}_recall@10": float(scores.population(f"{name}/recall@10").mean()) for name in SLICES}


def markdown(rows: dict[str, dict[str, float]]) -> str:
    names = [f"{name}_recall@10" for name in SLICES]
    lines = [
        "| method | " + " | ".join(names) + " | MB trained | MB saved | seconds | learning rate |",
        "|---" * (len(names) + 5) + "|",
    ]
    for method, row in rows.items():
        recalls = " | ".join(f"{row[name]:.3f}" for name in names)
        size = f"{row['trained_mb']:.2f} | {row['saved_mb']:.2f}"
        rest = f"{size} | {row['seconds']:.0f} | {row['learning_rate']:g}"
        lines.append(f"| {method} | {recalls} | {rest} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
