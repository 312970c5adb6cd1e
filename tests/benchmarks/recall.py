"""New-item recall beside what a team would pick instead: one table per data set.

    python tests/benchmarks/recall.py [--dataset home_depot] [--seeds 3] [--systems debut,bm25] [--pairs N]

Every system ranks the whole catalogue for the same test requests and is judged by the product's own judge;
what is tuned is tuned on the validation part. Ours is `debut`: a whole first retrain per seed in the
benchmark's workspace. Peers' rankings and trainings are kept in --cache, keyed by versions, data, seed and
their code, so that a benchmark that was killed goes on; the JSON says which came from there. --pairs is for
trying: at most so many training pairs.

The table and the JSON are written to --out; the last line is the JSON. On two idle cores home_depot takes
hours, most of them the trainings by sentence-transformers.
"""

import argparse
import json
import sys
from pathlib import Path

from flows.embedded import prepare_environment


def recipe(text: str) -> tuple[float, int]:
    rate, _, negatives = text.partition(":")
    return float(rate), int(negatives)


def main() -> None:
    prepare_environment(debug=False)  # before torch starts its threads
    from recall_shop import DATASETS, open_bench
    from recall_systems import Benchmark, needed, peers_of
    from recall_table import markdown

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=list(DATASETS), default="home_depot")
    parser.add_argument("--root", type=Path, help="folder of the data set's files")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--systems", help="only these, by comma; debut is ours")
    parser.add_argument("--pairs", type=int, help="at most so many training pairs: a short run")
    parser.add_argument(
        "--recipe",
        type=recipe,
        help="RATE:NEGATIVES of sentence-transformers' best recipe, where an earlier search chose them",
    )
    parser.add_argument("--cache", type=Path, default=Path(".debut/bench"), help="the benchmark's own folder")
    parser.add_argument(
        "--out", type=Path, default=Path(".debut/bench-recall"), help="folder of table and JSON"
    )
    chosen = parser.parse_args()
    if chosen.seeds < 1:
        parser.error("--seeds: at least 1")
    if chosen.recipe and DATASETS[chosen.dataset].config == "online_retail":
        parser.error("--recipe: of searches only; here validation also chooses how a history is scored")
    folder = chosen.cache / chosen.dataset
    bench = open_bench(chosen.dataset, chosen.root, folder)
    peers = peers_of(bench)
    names = chosen.systems.split(",") if chosen.systems else ["debut", *peers]
    unknown = sorted(set(names) - {"debut", *peers})
    if unknown:
        parser.error(f"--systems: {', '.join(unknown)}; there are debut, {', '.join(peers)}")
    missing = needed([name for name in names if name != "debut"], peers)
    if missing:
        parser.error(f"{', '.join(missing)} must be installed: pip install -e '.[bench]'")
    figures, what = Benchmark(bench, peers, folder, chosen).measured(names)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / f"{chosen.dataset}.json").write_text(json.dumps(figures, indent=1) + "\n")
    (chosen.out / f"{chosen.dataset}.md").write_text(markdown(figures, what))
    sys.stderr.write(markdown(figures, what))
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
