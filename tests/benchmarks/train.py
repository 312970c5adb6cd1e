"""Training speed beside the sentence-transformers trainer: same pairs, batch and threads.

    python tests/benchmarks/train.py [--pairs 2560] [--rounds 3] [--batch 128] [--out bench-train]

Runs take turns, each in a process of its own; the first two steps of each are not counted. No side has hard
negatives. Two comparisons: fp32 on both sides, else as each side's users start it; and each side's best
documented settings, bf16 allowed: ours as delivered (precision auto), theirs without duplicates in a batch,
which its loss recommends (of two processes each takes care of its own), in fp32 or with bf16=True, in one
process or by torchrun in two, whichever the first round finds fastest. (Its group_by_length is ignored by its
batch samplers, and its packing without padding needs flash attention on a GPU.) Ours has as many ranks as the
data set's configuration gives it; in the first comparison theirs is one process, as its documentation has it
on a CPU; beside that both in one process and both in two that share the threads (fp32).
After each run recall@10 of the validation queries by the same exact index. Then one rank of one thread beside
two (scaling efficiency), and the share of the machine's matrix products that our trainer reaches.

home_depot where its file is there, else the generated shop's search. The last line is one JSON object;
`--out` gets it too, and a table, which is shown. About 30 minutes on two idle cores; not made for GPUs, where
both sides run on the first one but the matrix products are the CPU's.
"""

import argparse
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from bench_release import HOME_DEPOT
from commit import commit
from train_figures import ONE_THREAD, OURS, THEIRS, figures, in_processes, table
from train_runs import in_a_process

from components.contract.settings import Settings
from components.data.demo_shop import generate
from components.data.sources import load
from components.encoder.base import resolve_base
from components.encoder.texts import item_texts
from components.encoder.transformer import TransformerEncoder
from components.index.exact import ExactIndex
from components.quality.checks import inspect
from components.split.split import split
from components.training.batches import Batch
from components.training.data import PairLoader
from components.training.examples import read_examples
from components.training.launch import rank_count
from components.training.pairs import read_pairs
from components.training.prepare import prepare_examples
from components.training.spec import TrainingSpec
from components.training.validation import Validation, read_validation
from flows.shop import open_shop

VALIDATION_ITEMS = 5_000
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1")
NO_DUPLICATES = {"batch_sampler": "no_duplicates"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2_560, help="of each run, a multiple of --batch")
    parser.add_argument("--rounds", type=int, default=3, help="of taking turns")
    parser.add_argument("--batch", type=int, default=128, help="pairs per step")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path("bench-train"), help="folder of table and JSON")
    chosen = parser.parse_args()
    if importlib.util.find_spec("datasets") is None:
        parser.error("the sentence-transformers trainer needs datasets: pip install -e .[bench]")
    with tempfile.TemporaryDirectory(prefix="debut-bench-") as folder:
        found = Bench(Path(folder), chosen).measured()
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "train.json").write_text(json.dumps(found, indent=1) + "\n")
    (chosen.out / "train.md").write_text(table(found))
    sys.stderr.write(table(found))
    sys.stdout.write(json.dumps(found) + "\n")


@dataclass(frozen=True)
class Round:
    """The pairs of one round, as both sides read them."""

    spec: TrainingSpec
    pairs: Path
    """anchor and positive as texts."""


class Bench:
    def __init__(self, folder: Path, chosen: argparse.Namespace) -> None:
        self.folder, self.chosen = folder, chosen
        self.data, self.settings, self.split = split_folder(folder)
        self.base = TransformerEncoder.load(resolve_base(self.settings.encoder), self.settings.encoder)
        training = self.settings.training.model_copy(update={"validation_items": VALIDATION_ITEMS})
        self.validation = read_validation(self.split, self.settings.encoder, training)

    def measured(self) -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        peaks: list[dict[str, float]] = []
        fast: tuple[dict[str, Any], int] = NO_DUPLICATES, 1
        for number in range(self.chosen.rounds):
            here = self._round(number)
            rows.append(self._run("fp32", OURS, here, precision="fp32") | {"round": number})
            rows.append(self._run("fp32", THEIRS, here) | {"round": number})
            threads = self.chosen.threads
            peak = in_a_process(self.folder, "gemm", {"threads": threads}, threads=threads)
            peaks.append(peak["gemm_gflops"])
            rows.append(self._run("best", OURS, here) | {"round": number})
            if number == 0:
                tried = [
                    self._run("best", THEIRS, here, NO_DUPLICATES | {"bf16": half}, processes)
                    for half in (False, True)
                    for processes in (1, 2)
                ]
                best = max(tried, key=lambda row: row["pairs_per_s"])
                fast = best["options"], best["processes"]
                rows += [row | {"round": number, "name": "best" if row is best else "tried"} for row in tried]
            else:
                rows.append(self._run("best", THEIRS, here, *fast) | {"round": number})
            for ranks in sorted({1, 2} - {here.spec.training.ranks}):
                other = self._run(in_processes(ranks), OURS, here, precision="fp32", ranks=ranks)
                rows.append(other | {"round": number})
            rows.append(self._run(in_processes(2), THEIRS, here, processes=2) | {"round": number})
            alone = self._run(ONE_THREAD, OURS, here, threads=1, precision="fp32", ranks=1)
            rows.append(alone | {"round": number})
        return self._figures(rows, peaks) | {"gather_ms": round(self._gather(), 2)}

    def _figures(self, rows: list[dict[str, Any]], peaks: list[dict[str, float]]) -> dict[str, Any]:
        ranks = rank_count(self.settings.training)
        tokens, flops = self._work()
        measured = figures(rows, peaks, ranks, flops_of_pair=tokens * flops)
        return {
            "data": self.data,
            "commit": commit(),
            "machine": {"cpu": torch.cpu.get_capabilities().get("cpu_name"), "threads": self.chosen.threads},
            "versions": {name: version(name) for name in ("torch", "transformers", "sentence-transformers")},
            "pairs": self.chosen.pairs,
            "batch": self.chosen.batch,
            "rounds": self.chosen.rounds,
            "ranks": ranks,
            "tokens_per_pair": round(tokens, 1),
            "mflop_per_token": round(flops / 1e6, 1),
            **measured,
        }

    def _round(self, seed: int) -> Round:
        folder = self.folder / f"round-{seed}"
        training = self.settings.training.model_copy(
            update={
                "max_pairs": self.chosen.pairs,
                "batch_size": self.chosen.batch,
                "seed": seed,
                "ranks": rank_count(self.settings.training),
                "checkpoint_every_steps": 10**6,
            }
        )
        augment = self.settings.augment.model_copy(update={"hard_negatives": 0})
        examples = prepare_examples(
            self.split, folder / "examples", base=self.base, training=training, augment=augment
        )
        pairs = read_pairs(self.split, "train", training)
        if len(pairs) != self.chosen.pairs or self.chosen.pairs % self.chosen.batch:
            raise SystemExit(f"--pairs: a multiple of {self.chosen.batch}, of {len(pairs)} or fewer")
        items = item_texts(pl.read_parquet(self.split / "items.parquet"), self.settings.encoder.item_fields)
        texts = pl.DataFrame(
            {
                "anchor": [pairs.queries[anchor] for anchor in pairs.anchors],
                "positive": [items[positive] for positive in pairs.positives],
            }
        )
        texts.write_parquet(folder / "pairs.parquet")
        spec = TrainingSpec(
            base=str(resolve_base(self.settings.encoder)),
            base_digest=self.base.digest,
            encoder=self.settings.encoder,
            training=training,
            augment=augment,
            examples=str(folder / "examples"),
            examples_digest=examples.digest,
            validation=None,
            primary="search",
            epochs=1,
        )
        return Round(spec, folder / "pairs.parquet")

    def _run(
        self,
        name: str,
        side: str,
        here: Round,
        options: dict[str, Any] | None = None,
        processes: int = 1,
        threads: int | None = None,
        **training: Any,
    ) -> dict[str, Any]:
        """One run and its recall. processes: of theirs; threads: of all ranks, all unless given."""
        threads = threads or self.chosen.threads
        out = self.folder / "run" / "out"
        spec = here.spec.model_copy(update={"training": here.spec.training.model_copy(update=training)})
        run = {
            "spec": spec.model_dump(mode="json"),
            "pairs": str(here.pairs),
            "batch": self.chosen.batch,
            "threads": threads,
            "options": options or {},
            "out": str(out),
        }
        launcher = [*TORCHRUN, f"--nproc-per-node={processes}"] if processes > 1 else []
        ranks = spec.training.ranks if side == OURS else processes
        found = in_a_process(self.folder, side, run, launcher, threads=threads // ranks)
        found |= {
            "name": name,
            "side": side,
            "options": run["options"],
            "processes": ranks,
            "recall": self._recall(out / "model"),
        }
        shutil.rmtree(out.parent)
        sys.stderr.write(json.dumps(found) + "\n")
        return found

    def _recall(self, encoder: Path) -> float:
        return recall(self.validation, TransformerEncoder.load(encoder, self.settings.encoder))

    def _gather(self) -> float:
        run = {"batch": self.chosen.batch, "dimensions": self.base.dimensions}
        found = in_a_process(self.folder, "gather", run, [*TORCHRUN, "--nproc-per-node=2"], threads=1)
        return float(found["gather_ms"])

    def _work(self) -> tuple[float, float]:
        """Tokens that our trainer encodes of a pair, padding and texts seen twice not among them, and
        floating point operations of a token, forward and backward: six per weight of a matrix."""
        spec = self._round(0).spec
        loader = PairLoader(
            read_examples(Path(spec.examples)),
            spec.training,
            spec.augment,
            lambda texts: self.base.tokenize(texts, "query"),
            epochs=1,
            rank=0,
            ranks=1,
        )
        batches: list[Batch] = list(loader)
        tokens = sum(len(text) for batch in batches for text in batch.texts)
        layers = [layer for layer in self.base.model.modules() if isinstance(layer, torch.nn.Linear)]
        return tokens / self.chosen.pairs, 6.0 * sum(layer.weight.numel() for layer in layers)


def split_folder(folder: Path) -> tuple[str, Settings, Path]:
    """Data's name, settings and split of home_depot, or of the generated shop without its purchases, whose
    histories the other trainer knows nothing of."""
    name = "home_depot" if (HOME_DEPOT / "train.csv.gz").is_file() else "demo"
    root = HOME_DEPOT if name == "home_depot" else folder / "files"
    if name == "demo":
        generate(root)
    shop = open_shop(name, str(root), str(folder / "workspace"))
    loaded, checked, out = (folder / stage for stage in ("loaded", "checked", "split"))
    for stage in (loaded, checked, out):
        stage.mkdir()
    load(shop.settings, shop.root, shop.workspace, loaded)
    inspect(loaded, shop.settings.quality, checked)
    split(checked, shop.settings.split, out, shop.settings.judge.primary)
    purchases = out / "train" / "purchases.parquet"
    if purchases.is_file():
        pl.read_parquet(purchases).clear().write_parquet(purchases)
    return name, shop.settings, out


def recall(validation: Validation, encoder: TransformerEncoder, k: int = 10) -> float:
    """recall@k of the validation's queries, new and established items alike."""
    judged = validation.judged["search"]
    index = ExactIndex("validation", validation.item_ids, encoder.encode_items(validation.texts), encoder)
    rows = index.search(judged.requests, k).rows
    shares = []
    for request, line in zip(judged.requests, rows.tolist(), strict=True):
        relevant = judged.relevant[request.request_id]
        shares.append(len(relevant & {validation.item_ids[row] for row in line if row >= 0}) / len(relevant))
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
