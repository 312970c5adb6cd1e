"""A query-side update beside a full retrain: recall on the test part, seconds, what is encoded again.

    python tests/benchmarks/query_side.py [--dataset home_depot] [--pairs N] [--full FOLDER]

The champion is the untrained encoder, then the fully retrained one; each gets a new map of its queries
from the same pairs. By vectors alone, and (+) with the lexical side at the weights that validation chooses.
--full: folder that an earlier full training left (a retrain's stage "train"); else it is trained here, on at
most --pairs pairs. A full retrain encodes the catalogue again, which is timed on a part of it. Seconds are by
the clock of this machine: read them as ratios. The last line is the JSON.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from commit import commit

from components.contract.digests import sha256_json
from components.encoder.base import items_digest
from flows.embedded import prepare_environment
from flows.fingerprint import code_digest

SLICES = ("new", "new_only", "established")
TIMED_ITEMS = 2_000


def main() -> None:
    prepare_environment(debug=False)  # before torch starts its threads
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=["home_depot", "demo"], default="home_depot")
    parser.add_argument("--root", type=Path, help="folder of the data set's files")
    parser.add_argument("--pairs", type=int, help="training pairs of the full retrain at most")
    parser.add_argument("--full", type=Path, help="folder of a finished full training")
    parser.add_argument("--cache", type=Path, default=Path(".debut/bench"), help="the benchmark's own folder")
    chosen = parser.parse_args()
    from recall_shop import open_bench

    bench = open_bench(chosen.dataset, chosen.root, chosen.cache / chosen.dataset)
    folder = chosen.cache / "query_side" / chosen.dataset
    key = sha256_json([code_digest(), bench.prepared.digest, chosen.pairs])[:12]
    full, seconds = _full(bench, chosen, folder / f"full-{key}")
    rows = []
    for name, champion, trained in (
        ("untrained", _untrained(bench, folder), 0.0),
        ("full retrain", full, seconds),
    ):
        index = _index(bench, champion, folder / f"index-{key}-{items_digest(champion)[:12]}")
        cost = {"training seconds": trained, "encoding seconds": _encoding_seconds(bench, champion)}
        rows.append({"way": name} | _recalls(bench, champion, index) | cost)
        tuned, cost = _query_side(bench, champion, index, folder / f"{name.replace(' ', '-')}-tuned")
        rows.append({"way": f"{name}, then query side"} | _recalls(bench, tuned, index) | cost)
        sys.stderr.write(f"{rows[-2]}\n{rows[-1]}\n")
    names = list(rows[0])
    figures = {"dataset": chosen.dataset, "pairs": chosen.pairs, "commit": commit(), "rows": rows}
    sys.stdout.write("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|\n")
    for row in rows:
        cells = [str(row["way"]), *(f"{row[name]:.4g}" for name in names[1:])]
        sys.stdout.write("| " + " | ".join(cells) + " |\n")
    sys.stdout.write(json.dumps(figures) + "\n")


def _untrained(bench: Any, folder: Path) -> Path:
    from components.encoder.base import resolve_base
    from components.encoder.transformer import TransformerEncoder

    settings = bench.settings.encoder
    TransformerEncoder.load(resolve_base(settings), settings).save(folder / "untrained")
    return folder / "untrained"


def _full(bench: Any, chosen: argparse.Namespace, folder: Path) -> tuple[Path, float]:
    """Folder of the fully retrained encoder and the seconds that it took."""
    from components.cost.usage import USAGE, read_usage

    if chosen.full:
        return chosen.full / "encoder", sum(usage.seconds for usage in read_usage([chosen.full / USAGE]))
    from trainings import fine_tune

    settings = bench.settings.training.model_copy(update={"max_pairs": chosen.pairs})
    _, trained = fine_tune(bench, folder, settings)
    return folder / "out" / "encoder", trained.seconds


def _index(bench: Any, encoder: Path, folder: Path) -> Path:
    """One that an earlier call finished is used again."""
    from components.contract.files import stage_folder
    from components.encoder.transformer import TransformerEncoder
    from components.index.vectors import encode_catalogue

    if not folder.is_dir():
        loaded = TransformerEncoder.load_saved(encoder)
        fields, language = loaded.settings.item_fields, loaded.settings.language
        with stage_folder(folder) as out:
            encode_catalogue(bench.catalogue, loaded.encode_catalogue, fields, out, language)
    return folder


def _encoding_seconds(bench: Any, encoder: Path) -> float:
    """Of the whole catalogue, from TIMED_ITEMS spread over it."""
    from components.encoder.transformer import TransformerEncoder

    texts = bench.texts[:: max(1, len(bench.texts) // TIMED_ITEMS)]
    loaded = TransformerEncoder.load_saved(encoder)
    loaded.encode_catalogue(texts[:10])
    began = time.perf_counter()
    loaded.encode_catalogue(texts)
    return (time.perf_counter() - began) * len(bench.texts) / len(texts)


def _query_side(bench: Any, champion: Path, index: Path, folder: Path) -> tuple[Path, dict[str, float]]:
    import shutil

    from components.index.vectors import read_vectors
    from components.training.query_side import tune_query_side

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    settings = bench.settings.training
    trained = tune_query_side(
        bench.split, champion, read_vectors(index)[1], folder, part="train", settings=settings
    )
    return folder / "encoder", {"training seconds": trained.seconds, "encoding seconds": 0.0}


def _recalls(bench: Any, encoder: Path, index: Path) -> dict[str, float]:
    """Recall@10 on the test part by vectors alone and, with "+", as a release would rank."""
    from components.encoder.transformer import TransformerEncoder
    from components.index.live import LiveIndex
    from components.index.retrieval import read_snapshot
    from components.release.plan import choose_plan

    torch_alone = bench.settings.model_copy(
        update={"retrieval": bench.settings.retrieval.model_copy(update={"inference": "torch"})}
    )
    fused = choose_plan(encoder, None, index, bench.split, torch_alone)
    alone = fused.model_copy(update={"lexical_weight": 0.0, "grams_share": 0.0})
    loaded, snapshot = TransformerEncoder.load_saved(encoder), read_snapshot(index)
    recalls = {}
    for mark, plan in (("", alone), ("+ ", fused)):
        scores = bench.scores(LiveIndex("bench", snapshot, loaded, plan, loaded.settings.item_fields))
        recalls |= {f"{mark}{name}": float(scores.population(f"{name}/recall@10").mean()) for name in SLICES}
    return recalls


if __name__ == "__main__":
    main()
