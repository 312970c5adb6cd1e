"""Surges of negative reviews on womens_clothing: what is planted and found, and how rarely without cause.

The reviews have no dates: rows in file order are days of 50. The first 2,500 are learnt from – topics, usual
shares, and a sentiment head on the untrained encoder, by their ratings; the next 1,000 are the stream.
Planted: per topic 4 reviews a day for five days, of later rows with two stars or fewer that are
of the topic. Without cause: streams of reviews that nobody learned, after 2,500 of which 2,000 were.
Simulated: binomial days, in which one topic's odds rise for a week, and years in which none do. By these, not
by the planted surges, `opinions.odds` is chosen.

    python tests/benchmarks/opinions.py [--out opinions.json]
"""

import argparse
import json
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
from commit import commit
from tasks_frozen import Kept

from components.contract.learning import EncoderSettings
from components.contract.operations import OpinionSettings
from components.contract.task import NEGATIVE, Task
from components.data.configuration import load_task
from components.data.sources import load
from components.encoder.base import resolve_base
from components.encoder.transformer import TransformerEncoder
from components.monitoring.surges import DAYS_PER_YEAR, calibrated, surges
from components.monitoring.topics import Topics
from components.tasks.fit import fit_heads
from components.tasks.heads import open_heads
from components.tasks.left_out import probabilities_unlearned, read_left_out
from flows.shop import open_shop

DATA = "../shared/data/womens_clothing"
A_DAY, BASE, STREAM, LATER, UNSEEN, TOPICS = 50, 2_500, 1_000, 600, 8_000, 10
PLANTED_A_DAY, PLANTED_DAYS, FIRST_DAY = 4, 5, 8
SHUFFLES, ODDS, PER_YEAR = 60, OpinionSettings().odds, 1.0
SIMULATED_SHARES = np.array([0.004, 0.006, 0.008, 0.01, 0.012, 0.015, 0.018, 0.02, 0.025, 0.03])
SIMULATED_DAYS, BASES, STREAMS, QUIET_YEARS = 7, 12, 3, 10
Counts = tuple[np.ndarray, np.ndarray]


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--out", type=Path)
    options = arguments.parse_args()
    rows = reviews()
    task = load_task("sentiment")
    topics = Topics.fit(rows["text"].head(BASE).to_list(), TOPICS, "english", seed=0)
    later = rows.slice(BASE + STREAM).filter(pl.col("rating") <= 2)
    used = pl.concat([rows.head(BASE + STREAM), later.head(LATER)])
    of_topic = topics.of(used["text"].to_list())
    settings = EncoderSettings(max_length=48)
    encoder = Kept(TransformerEncoder.load(resolve_base(settings), settings))
    negative = read_negative(task, used, encoder)["monitor"]
    rated = (used["rating"] <= 2).to_numpy()
    whole = BASE + STREAM
    found = {
        "negative or not, right on the stream": float((negative == rated)[BASE:whole].mean()),
        "topics": [", ".join(topics.words(topic, 4)) for topic in range(topics.count)],
        "planted": planted(of_topic, negative, whole),
        "without cause": without_cause(task, rows, encoder),
        "simulated": [
            simulated(days, a_day, odds)
            for days, a_day in ((50, 50), (180, 50), (180, 200))
            for odds in (2.0, 3.0, 4.0)
        ],
        "at": f"{datetime.now():%Y-%m-%d}",
        "commit": commit(),
    }
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    if options.out:
        options.out.write_text(json.dumps(found))


def reviews() -> pl.DataFrame:
    """text and rating in file order; reviews without a text are left out."""
    shop = open_shop("womens_clothing", DATA, tempfile.mkdtemp())
    shop.workspace.mkdir(parents=True)
    load(shop.settings, shop.root, shop.workspace, shop.workspace / "loaded")
    rows = pl.read_parquet(shop.workspace / "loaded" / "reviews.parquet")
    return rows.filter(pl.col("text").is_not_null()).sort("source_row").select("text", "rating")


def read_negative(task: Task, rows: pl.DataFrame, encoder: Kept) -> dict[str, np.ndarray]:
    """By reading (rows,) whether a review is negative, by a head that learned the first BASE rows but for a
    fifth, which calibrate it: "monitor" as the product reads, "learned" where what was learned is read by the
    head itself, too."""
    rating = pl.col("rating")
    target = pl.when(rating <= 2).then(pl.lit("negative")).when(rating < 4).then(pl.lit("neutral"))
    known = rows.head(BASE).select(
        "text", item_id=pl.lit(None, pl.String), target=target.otherwise(pl.lit("positive")), is_new=False
    )
    learn, texts = BASE * 4 // 5, rows["text"].to_list()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / task.name).mkdir()
        known.head(learn).write_parquet(Path(folder) / task.name / "train.parquet")
        known.tail(BASE - learn).write_parquet(Path(folder) / task.name / "validation.parquet")
        fit_heads([task], Path(folder), encoder, encoder, Path(folder) / "heads")
        head = open_heads(Path(folder) / "heads")[task.name]
        left_out = read_left_out(Path(folder) / "heads" / task.name)
    negative = head.labels.index(NEGATIVE)
    return {
        name: probabilities_unlearned(head, encoder, texts, kept).argmax(axis=1) == negative
        for name, kept in (("monitor", left_out), ("learned", {}))
    }


def counts(of_topic: np.ndarray, negative: np.ndarray) -> Counts:
    """(days, topics) and (days,) of rows in order."""
    day = np.arange(len(of_topic)) // A_DAY
    found = np.zeros((day[-1] + 1, TOPICS), dtype=np.int64)
    bad = negative & (of_topic >= 0)
    np.add.at(found, (day[bad], of_topic[bad]), 1)
    return found, np.bincount(day)


def planted(of_topic: np.ndarray, negative: np.ndarray, whole: int) -> dict[str, object]:
    """Per topic with enough such rows: whether and when the surge was seen, in its days or the two after."""
    chart = calibrated(*counts(of_topic[:BASE], negative[:BASE]), ODDS, PER_YEAR, seed=0)
    plain, total = counts(of_topic[BASE:whole], negative[BASE:whole])
    extra_topic, extra_negative = of_topic[whole:], negative[whole:]
    per_topic = {}
    for topic in range(TOPICS):
        extra = np.flatnonzero(extra_topic == topic)[: PLANTED_A_DAY * PLANTED_DAYS]
        if len(extra) < PLANTED_A_DAY * PLANTED_DAYS:
            continue
        stream, reviews_of_day = plain.copy(), total.copy()
        for day in range(PLANTED_DAYS):
            those = extra[day * PLANTED_A_DAY : (day + 1) * PLANTED_A_DAY]
            stream[FIRST_DAY + day, topic] += int(extra_negative[those].sum())
            reviews_of_day[FIRST_DAY + day] += PLANTED_A_DAY
        alarms = surges(stream, reviews_of_day, chart)
        last = FIRST_DAY + PLANTED_DAYS + 2
        mine = [one.day - FIRST_DAY for one in alarms if one.topic == topic and FIRST_DAY <= one.day < last]
        per_topic[topic] = {
            "usual a day": round(float(chart.usual[topic]) * A_DAY, 2),
            "read as negative": int(extra_negative[extra].sum()),
            "seen after days": mine[0] + 1 if mine else None,
        }
    seen = [one["seen after days"] for one in per_topic.values()]
    return {
        "alarms in the stream as it is": len(surges(plain, total, chart)),
        "threshold": round(chart.threshold, 2),
        "seen": f"{sum(day is not None for day in seen)} of {len(seen)}",
        "per topic": per_topic,
    }


def without_cause(task: Task, rows: pl.DataFrame, encoder: Kept) -> dict[str, object]:
    """Alarms a year over streams of reviews that the head has not learned, after bases of those it has, all
    drawn from the whole file; by how the base is read."""
    rows = rows.sample(BASE + UNSEEN, shuffle=True, seed=0)
    topics = Topics.fit(rows["text"].head(BASE).to_list(), TOPICS, "english", seed=0)
    topic = topics.of(rows["text"].to_list())
    found: dict[str, object] = {"stated a year": PER_YEAR}
    for name, negative in read_negative(task, rows, encoder).items():
        alarms, days = 0, 0
        for seed in range(SHUFFLES):
            rng = np.random.default_rng(seed)
            base, new = rng.permutation(BASE), BASE + rng.permutation(UNSEEN)[:STREAM]
            chart = calibrated(*counts(topic[base], negative[base]), ODDS, PER_YEAR, seed=seed)
            stream = counts(topic[new], negative[new])
            alarms += len(surges(*stream, chart))
            days += len(stream[1])
        found[name] = {
            "found a year": round(alarms * DAYS_PER_YEAR / days, 2),
            "days": days,
            "negative of the base and after it": [
                round(float(part.mean()), 4) for part in np.split(negative, [BASE])
            ],
        }
    return found


def simulated(days: int, a_day: int, odds: float) -> dict[str, object]:
    """Share of surges seen within their week, by how many times their odds are the usual ones: each topic in
    turn, in STREAMS streams after each of BASES bases of so many days. And alarms a year without any, in
    QUIET_YEARS after each base: on binomial days, and where all shares of a day vary (sd of their logarithm).
    """
    rng = np.random.default_rng(1)
    found: dict[int, list[bool]] = {times: [] for times in (2, 3, 5, 8)}
    for base in range(BASES):
        chart = calibrated(*drawn(rng, days, a_day), odds, PER_YEAR, seed=base)
        for times, seen in found.items():
            raised = times * SIMULATED_SHARES / (1 - SIMULATED_SHARES)
            for topic in np.repeat(np.arange(TOPICS), STREAMS).tolist():
                stream, reviews_of_day = drawn(rng, 2 * SIMULATED_DAYS, a_day)
                stream[SIMULATED_DAYS:, topic] = rng.binomial(
                    a_day, raised[topic] / (1 + raised[topic]), SIMULATED_DAYS
                )
                told = surges(stream, reviews_of_day, chart)
                seen.append(any(one.topic == topic and one.day >= SIMULATED_DAYS for one in told))
    shares = {f"{times} times": round(float(np.mean(seen)), 2) for times, seen in found.items()}
    rates = {f"alarms a year, sd {spread}": quiet(days, a_day, odds, spread) for spread in (0.0, 0.3)}
    return {"base days": days, "reviews a day": a_day, "odds": odds, **shares, **rates}


def quiet(days: int, a_day: int, odds: float, spread: float) -> float:
    """Alarms a year without a surge."""
    alarms = 0
    for base in range(BASES):
        rng = np.random.default_rng(base)
        chart = calibrated(*drawn(rng, days, a_day, spread), odds, PER_YEAR, seed=base)
        alarms += len(surges(*drawn(rng, QUIET_YEARS * DAYS_PER_YEAR, a_day, spread), chart))
    return round(alarms / (BASES * QUIET_YEARS), 2)


def drawn(rng: np.random.Generator, days: int, a_day: int, spread: float = 0.0) -> Counts:
    """(days, topics) negatives and (days,) reviews."""
    shares = SIMULATED_SHARES * np.exp(rng.normal(0.0, spread, (days, 1)))
    return rng.binomial(a_day, np.minimum(shares, 1.0)), np.full(days, a_day)


if __name__ == "__main__":
    main()
