"""Weekly retraining: a warm start with replay, one without, and from the base, over four successive weeks.

    python tests/benchmarks/continual.py [--dataset online_retail] [--pairs 1500] [--seeds 3]

The first week's encoder is trained from the base for all. Each later week every way trains on what was known
before that week's cut-off, its warm starts on its own encoder of the week before, and is judged on the weeks
after it, by vectors alone: new items, new items only, and established items that were trained on
(forgetting). At most --pairs training pairs a week: a warm start with few fresh pairs costs less. Means over
users, whose values are averaged over weeks and seeds first; differences to training from the base are paired
by user, with 95 % intervals. The last line is the JSON.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from commit import commit

from components.contract.digests import sha256_json
from flows.embedded import prepare_environment
from flows.fingerprint import code_digest

if TYPE_CHECKING:
    from trainings import WarmStart

WEEKS = {
    "online_retail": ("2011-09-01", "2011-09-08", "2011-09-15", "2011-09-22", "2011-09-29"),
    "demo": ("2025-04-07", "2025-04-14", "2025-04-21", "2025-04-28", "2025-05-05"),
}
"""The first trains what the others begin with."""
JUDGED_DAYS = {"online_retail": 28, "demo": 14}
SLICES = ("new", "new_only", "established_trained", "established")
FROM_BASE, NEVER = "from the base", "never again"
WAYS = {"warm start with replay": 0.5, "warm start without replay": 0.0, FROM_BASE: None}
"""Each way's replay share; None: no warm start."""


@dataclass(frozen=True)
class Week:
    bench: Any
    cutoff: datetime


def main() -> None:
    prepare_environment(debug=False)  # before torch starts its threads
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=list(WEEKS), default="online_retail")
    parser.add_argument("--root", type=Path, help="folder of the data set's files")
    parser.add_argument("--pairs", type=int, default=1_500, help="training pairs a week at most")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(".debut/bench"), help="the benchmark's own folder")
    chosen = parser.parse_args()
    weeks = _weeks(chosen)
    key = sha256_json([code_digest(), *(week.bench.prepared.digest for week in weeks)])[:12]
    folder = chosen.cache / "continual" / f"{chosen.dataset}-{chosen.pairs}-{key}"
    found = pl.concat(
        [_of_seed(weeks, chosen.pairs, seed, folder / f"seed-{seed}") for seed in range(chosen.seeds)]
    )
    means = _means(found)
    less = {way: _less_base(found, way) for way in (NEVER, *WAYS) if way != FROM_BASE}
    sys.stdout.write(markdown(means, less) + "\n")
    figures = {
        "dataset": chosen.dataset,
        "pairs": chosen.pairs,
        "seeds": chosen.seeds,
        "commit": commit(),
        "weeks": {str(week): _means(rows) for (week,), rows in found.group_by("week", maintain_order=True)},
        "means": means,
        "less_from_the_base": less,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def _of_seed(weeks: list[Week], pairs: int, seed: int, folder: Path) -> pl.DataFrame:
    """seed, way, week, slice, user_id, value, and what the training of that week took: seconds, pairs."""
    from trainings import WarmStart

    first, _ = _trained(weeks[0], pairs, seed, folder / "first")
    rows = [
        _recall(week.bench, first, seed=seed, way=NEVER, week=number, seconds=0.0, pairs=0.0)
        for number, week in enumerate(weeks[1:], start=1)
    ]
    for way, replay in WAYS.items():
        encoder = first
        for number, week in enumerate(weeks[1:], start=1):
            warm = None if replay is None else WarmStart(encoder, weeks[number - 1].cutoff)
            place = folder / f"{way}-{number}".replace(" ", "-")
            encoder, cost = _trained(week, pairs, seed, place, warm, replay or 0.0)
            rows.append(_recall(week.bench, encoder, seed=seed, way=way, week=number, **cost))
            sys.stderr.write(f"seed {seed}, {way}, week {number}: {_means(rows[-1])[way]}\n")
    return pl.concat(rows)


def _means(found: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Per way: of each slice the mean over users, and what the training of a week took."""
    cost = found.select("way", "seed", "week", "seconds", "pairs").unique().group_by("way").mean()
    means = {way: {"seconds": seconds, "pairs": pairs} for way, _, _, seconds, pairs in cost.iter_rows()}
    for way, name, value in _by_user(found).group_by("way", "slice").agg(pl.col("value").mean()).iter_rows():
        means[way][f"{name}_recall@10"] = value
    return {way: means[way] for way in (NEVER, *WAYS) if way in means}


def _by_user(found: pl.DataFrame) -> pl.DataFrame:
    """way, slice, user_id, value: the mean over weeks and seeds."""
    return found.group_by("way", "slice", "user_id").agg(pl.col("value").mean())


def _less_base(found: pl.DataFrame, way: str) -> dict[str, Any]:
    """Per slice the difference of a way to training from the base, with its interval."""
    from recall_table import interval

    by_user, less = _by_user(found), {}
    for name in by_user.get_column("slice").unique().sort():
        of_slice = by_user.filter(pl.col("slice") == name)
        ours, base = (of_slice.filter(pl.col("way") == one) for one in (way, FROM_BASE))
        both = ours.join(base, on="user_id", suffix="_base").sort("user_id")
        less[name] = interval(both.get_column("value").to_numpy(), both.get_column("value_base").to_numpy())
    return less


def _weeks(chosen: argparse.Namespace) -> list[Week]:
    """All rows before the cut-off are trained on (refit); nothing is chosen on a validation window."""
    from recall_shop import DATASETS, Dataset, open_bench

    weeks = []
    for day in WEEKS[chosen.dataset]:
        split = {
            "cutoff": day,
            "judge_window_days": JUDGED_DAYS[chosen.dataset],
            "validation_window_days": 7,
            "refit_on_validation": True,
        }
        DATASETS[f"{chosen.dataset} {day}"] = Dataset(chosen.dataset, split)
        bench = open_bench(f"{chosen.dataset} {day}", chosen.root, chosen.cache / f"{chosen.dataset}-{day}")
        weeks.append(Week(bench, datetime.fromisoformat(day)))
    return weeks


def _trained(
    week: Week, pairs: int, seed: int, folder: Path, warm: "WarmStart | None" = None, replay: float = 0.0
) -> tuple[Path, dict[str, float]]:
    """Folder of the encoder, and what its training took."""
    from trainings import fine_tune

    settings = week.bench.settings.training.model_copy(
        update={"max_pairs": pairs, "replay_share": replay, "seed": seed}
    )
    _, trained = fine_tune(week.bench, folder, settings, part="refit", warm=warm)
    return folder / "out" / "encoder", {"seconds": trained.seconds, "pairs": float(trained.pairs)}


def _recall(bench: Any, folder: Path, **of: Any) -> pl.DataFrame:
    """slice, user_id, value of each user that has a relevant item in the slice, and the columns `of`."""
    from components.encoder.transformer import TransformerEncoder
    from components.index.exact import ExactIndex

    encoder = TransformerEncoder.load_saved(folder)
    scoring = "top3" if bench.entrance == "recommendation" else "mean"
    vectors = encoder.encode_items(bench.texts)
    scores = bench.scores(ExactIndex("continual", bench.item_ids, vectors, encoder, scoring))
    frames = [
        pl.DataFrame({"user_id": scores.request_ids, "value": scores.measures[f"{name}/recall@10"]}).select(
            pl.lit(name).alias("slice"), "user_id", "value"
        )
        for name in SLICES
    ]
    return (
        pl.concat(frames)
        .filter(pl.col("value").is_not_nan())
        .with_columns(**{name: pl.lit(value) for name, value in of.items()})
    )


def markdown(means: dict[str, dict[str, float]], less: dict[str, Any]) -> str:
    names = [f"{name}_recall@10" for name in SLICES]
    head = [*(name.replace("_recall@10", "").replace("_", " ") for name in names), "pairs a week", "seconds"]
    lines = ["| recall@10 | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for way, row in means.items():
        recalls = " | ".join(f"{row[name]:.4f}" if name in row else "–" for name in names)
        lines.append(f"| {way} | {recalls} | {row['pairs']:.0f} | {row['seconds']:.0f} |")
    for way, of in less.items():
        cells = [
            "{:+.4f} [{:+.4f}, {:+.4f}]".format(of[name]["value"], *of[name]["ci95"]) if name in of else "–"
            for name in SLICES
        ]
        lines.append(f"| {way} less {FROM_BASE} | {' | '.join(cells)} | | |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
