"""One training run of `make bench-train`, in a process of its own: `python train_runs.py NAME RUN.json`.

NAME is debut, sentence-transformers (by torchrun: in so many processes), gemm (the machine's matrix products)
or gather (by torchrun). The last line of the output is one JSON object. A run of either trainer leaves its
encoder in the run's `out` folder.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

WARM_UP = 2
"""Steps at the start that no speed is taken of."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=list(RUNS))
    parser.add_argument("run", type=Path)
    chosen = parser.parse_args()
    found = RUNS[chosen.name](json.loads(chosen.run.read_text()))
    if os.environ.get("RANK", "0") == "0":
        sys.stdout.write(json.dumps(found) + "\n")


def in_a_process(
    folder: Path, name: str, run: dict[str, Any], launcher: Sequence[str] = (), *, threads: int
) -> dict[str, Any]:
    """What the run NAME finds, by this file in a process of its own. How its threads wait for each other is
    left to each side: ours tells its ranks itself (OMP_WAIT_POLICY)."""
    path = folder / "run.json"
    path.write_text(json.dumps(run))
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    environment.pop("OMP_WAIT_POLICY", None)
    command = [sys.executable, *launcher, str(Path(__file__)), name, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3_000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def debut(run: dict[str, Any]) -> dict[str, Any]:
    """The product's own call, ranks as subprocesses and all; speed as its metrics have it."""
    from components.cost.usage import USAGE
    from components.training.launch import train
    from components.training.spec import TrainingSpec

    out, lines, reasons = Path(run["out"]), list[dict[str, Any]](), list[str]()
    work = out.with_name("work")

    def follow(line: dict[str, Any]) -> None:
        lines.append(line)
        if not reasons:  # what the ranks were told is gone after the run
            reasons.extend(json.loads(p.read_text())["reason"] for p in work.glob("*/*/precision.json"))

    train(TrainingSpec.model_validate(run["spec"]), work, out, follow)
    shutil.move(out / "encoder", out / "model")
    steps = [line for line in lines if line["kind"] == "step" and line["step"] >= WARM_UP]
    taken = steps[-1]["step"] - steps[0]["step"]
    if not taken:
        raise SystemExit(f"{steps[-1]['step']} steps in a second are too few to time: take more --pairs.")
    seconds = steps[-1]["seconds"] - steps[0]["seconds"]
    peak = json.loads((out / USAGE).read_text())["peak_memory_mb"]
    speed = taken * run["batch"] / seconds
    return {"pairs_per_s": speed, "peak_memory_mb": peak, "precision": reasons[0]}


def sentence_transformers(run: dict[str, Any]) -> dict[str, Any]:
    """Its trainer with MultipleNegativesRankingLoss, as its documentation shows it; of several processes each
    takes its share of a batch, and all of its texts are compared, as ours does."""
    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    ends: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    training = run["spec"]["training"]
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    torch.set_num_threads(run["threads"] // processes)
    on_cpu = not torch.cuda.is_available()
    model = SentenceTransformer(run["spec"]["base"], device="cpu" if on_cpu else None)
    model.max_seq_length = run["spec"]["encoder"]["max_length"]
    pairs = pl.read_parquet(run["pairs"])
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(Path(run["out"]) / "checkpoints"),
        per_device_train_batch_size=run["batch"] // processes,
        num_train_epochs=1,
        learning_rate=training["learning_rate"],
        warmup_steps=training["warmup_share"],
        seed=training["seed"],
        use_cpu=on_cpu,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **run["options"],
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({name: pairs[name].to_list() for name in ("anchor", "positive")}),
        loss=MultipleNegativesRankingLoss(model, gather_across_devices=processes > 1),
        callbacks=[Clock()],
    )
    trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * processes
    if os.environ.get("RANK", "0") != "0":
        return {}
    model.save_pretrained(str(Path(run["out"]) / "model"), safe_serialization=True)
    taken = len(ends) - WARM_UP
    speed = taken * run["batch"] / (ends[-1] - ends[WARM_UP - 1])
    return {"pairs_per_s": speed, "peak_memory_mb": peak / 1_000, "steps": len(ends)}


def gemm(run: dict[str, Any]) -> dict[str, Any]:
    """Best of a second of square products: what the machine's matrix products reach in each precision."""
    import torch

    torch.set_num_threads(run["threads"])
    found, side = {}, 2_048
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        matrix = torch.randn(side, side, dtype=kind)
        times, end = [], time.perf_counter() + 1
        while time.perf_counter() < end or len(times) < 5:
            start = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - start)
        found[name] = 2 * side**3 / min(times) / 1e9
    return {"gemm_gflops": found}


def gather(run: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of one step's gather with gradients, anchors and items of this rank's pairs: median."""
    import torch
    from torch.distributed import destroy_process_group, get_world_size, init_process_group
    from torch.distributed.nn.functional import all_gather

    init_process_group("gloo")
    own = torch.randn(2 * run["batch"] // get_world_size(), run["dimensions"], requires_grad=True)
    times = []
    for _ in range(60):
        start = time.perf_counter()
        torch.cat(all_gather(own)).sum().backward()
        times.append(time.perf_counter() - start)
    destroy_process_group()
    return {"gather_ms": float(np.median(times[10:])) * 1_000}


RUNS = {"debut": debut, "sentence-transformers": sentence_transformers, "gemm": gemm, "gather": gather}

if __name__ == "__main__":
    main()
