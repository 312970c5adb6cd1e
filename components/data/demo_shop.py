"""The generated demo shop: an invented shop with a known truth, for the first run and for tests.

What is planted, so what a good retrain must find (numbers in `demo/sizes.py`, words in
`demo/vocabulary.py`; `truth.json` in the folder repeats them for one seed):

- Relevance. A search has an intent: a kind of product, and often a feature, a style, a colour. A person
  who looks at an item of the page clicks with CLICK_IF_ALL_FITS where all of it fits, seldom where one
  wish is missed, hardly ever else. P(look at position p) = p ** -POSITION_BIAS and is logged as the
  propensity. The page comes from a noisy ranking that knows some of the truth, is kind to arrivals, and
  leaves RANDOM_SLOTS to chance.
- Launches. LAUNCH_ITEMS new items go live every Monday. Their titles mostly say the shop's trade words
  ("Tindrel" for foldable, "Halven" for scandinavian), which recur from launch to launch; people mostly ask
  in plain words. Clicks before the cut-off teach what the words mean, so an encoder tuned on them gains
  on the next launches' items. Of the words, LATE_WORDS first come in the last two launches: these cannot
  be learned.
- Old stock mostly says plain words, which the untrained encoder knows.
- Taste. A user likes LIKED_KINDS kinds, two features, a style, two colours, a brand; buys follow it.
- Drift. From week DRIFT_FROM_WEEK on, DRIFT_SHARE of the queries use the new words of DRIFT_WORDS.
- Bad rows. Exactly BAD_ITEMS, BAD_EVENTS, BAD_REVIEWS, by kind; the rows around them are good.
- Reviews. Stars and tone follow a quality of the item that nothing else shows.

Descriptions say nothing that a query asks for; many of the dialogues explain a trade word.

One seed gives the same bytes on one set of library versions. Three to five seconds of one core.
"""

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import polars as pl

from components.contract.files import disk_errors, write_bytes, write_json
from components.data.demo import faults, sizes
from components.data.demo.catalogue import Catalogue, build_catalogue, launch_date
from components.data.demo.opinions import write_dialogues, write_reviews
from components.data.demo.shoppers import draw_tastes
from components.data.demo.traffic import write_events
from components.data.demo.vocabulary import COLOURS, DRIFT_WORDS, FEATURES, STYLES

TRUTH = "truth.json"
"""Written last: where it is, the files are whole."""

Row = dict[str, object]

EVENT_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "happened": pl.Datetime("us"),
    "action": pl.String,
    "sku": pl.String,
    "customer": pl.String,
    "session": pl.String,
    "search": pl.String,
    "query": pl.String,
    "quantity": pl.Float64,
    "position": pl.Int64,
    "propensity": pl.Float64,
}


def generate(folder: Path, seed: int = 0) -> None:
    """Writes items.jsonl.gz, events.parquet, reviews.csv, dialogues.json and truth.json into `folder`,
    which is made where it is absent; the same seed gives the same bytes.

    `components/data/examples/demo.yaml` reads them. Raises StorageError where the disk refuses.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    seeds = np.random.SeedSequence(seed).spawn(6)
    items, tastes, traffic, reviews, dialogues, bad = (np.random.default_rng(each) for each in seeds)
    shop = build_catalogue(items)
    events = write_events(shop, draw_tastes(tastes), traffic)
    opinions = write_reviews(shop, events, reviews)
    write_bytes(folder / "items.jsonl.gz", _json_lines(faults.with_bad_items(shop.rows, bad)))
    write_bytes(folder / "events.parquet", _parquet(faults.with_bad_events(events, bad)))
    write_bytes(folder / "reviews.csv", _csv(faults.with_bad_reviews(opinions, bad)))
    write_bytes(folder / "dialogues.json", _json(write_dialogues(dialogues)))
    write_json(folder / TRUTH, _truth(shop, seed))


def _truth(shop: Catalogue, seed: int) -> dict[str, object]:
    """What is planted, for tests and monitoring; no source of the shop."""
    week = np.concatenate([shop.words.feature_week, shop.words.style_week, shop.words.colour_week])
    trade = [feature.trade for feature in FEATURES] + [look.trade[0] for look in (*STYLES, *COLOURS)]
    plain = [feature.plain for feature in FEATURES] + [look.plain for look in (*STYLES, *COLOURS)]
    words = {
        name: {"plain": list(meaning), "week": int(introduced)}
        for name, meaning, introduced in zip(trade, plain, week, strict=True)
    }
    return {
        "seed": seed,
        "launches": [launch_date(number).isoformat() for number in range(1, sizes.WEEKS + 1)],
        "trade_words": words,
        "drift": {
            "from": launch_date(sizes.DRIFT_FROM_WEEK).date().isoformat(),
            "share": sizes.DRIFT_SHARE,
            "words": DRIFT_WORDS,
        },
        "bad_rows": {"items": sizes.BAD_ITEMS, "events": sizes.BAD_EVENTS, "reviews": sizes.BAD_REVIEWS},
    }


def _json_lines(rows: list[Row]) -> bytes:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return gzip.compress(text.encode(), mtime=0)


def _json(rows: list[Row]) -> bytes:
    return (json.dumps(rows, ensure_ascii=False, indent=1) + "\n").encode()


def _parquet(rows: list[Row]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(rows, schema=EVENT_COLUMNS, infer_schema_length=None).write_parquet(buffer)
    return buffer.getvalue()


def _csv(rows: list[Row]) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()
