"""Build time, latency and memory of the index at 50,000, 200,000 and 1,000,000 items.

    python tests/benchmarks/growth.py [--items 50000 200000 1000000] [--markdown growth.md]

Vectors are synthetic, clustered (so that neighbours are near, as titles' are), 384 dimensions; titles are
drawn from 30,000 made-up words, and a query is three words of one: its terms' lists are about as long, for
the catalogue, as home_depot's. Each size is measured in a process of its own, so its memory is its own.
Searches are whole: 8-bit scan, words and grams, exact scores of the proposals; only the query's encoding is
left out. Beside it usearch's approximate index (HNSW, 8 bits), whose recall is against the exact ranking.
The last line is one JSON object.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
from numpy.typing import NDArray

from components.contract.ports import Request, Vectors
from components.contract.records import RetrievalPlan
from components.index.lexical import LexicalSnapshot
from components.index.live import LiveIndex
from components.index.live_rows import Snapshot
from components.index.vectors import SNAPSHOT_COLUMNS

DIMENSIONS, CLUSTER_ITEMS, SPREAD = 384, 100, 0.8
WORDS, TITLE_WORDS, QUERY_WORDS = 30_000, 8, 3
LETTERS = "etaoinshrdlcumwfgypbvk"
LETTER_CHANCES = (127, 91, 82, 75, 70, 67, 63, 61, 60, 43, 40, 28, 28, 24, 24, 22, 20, 20, 19, 15, 10, 8)
SEARCHES = 200
K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[50_000, 200_000, 1_000_000])
    parser.add_argument("--markdown", type=Path, help="write the figures as a table")
    parser.add_argument("--one", type=int, help="measure one size and print its JSON object")
    chosen = parser.parse_args()
    if chosen.one:
        sys.stdout.write(json.dumps(measure(chosen.one)) + "\n")
        return
    rows = [_apart(items) for items in chosen.items]
    figures: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    figures["build_exponent"] = _exponent(figures["items"], figures["build_s"])
    if chosen.markdown:
        chosen.markdown.write_text(_table(rows))
    sys.stdout.write(json.dumps(figures) + "\n")


def _apart(items: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", str(items)]
    line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    sys.stderr.write(line + "\n")
    row: dict[str, Any] = json.loads(line)
    return row


def measure(items: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    vectors, queries = clustered(rng, items)
    texts = titles(rng, items)
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    lexical = LexicalSnapshot.build(texts, "english")
    catalogue = _catalogue(texts)
    encoder = _Known(queries)
    index = LiveIndex(
        "growth",
        Snapshot(catalogue, vectors, lexical),
        encoder,
        RetrievalPlan(lexical_weight=1.0, grams_share=0.5),
        ("title",),
    )
    built = time.perf_counter() - started
    rss = psutil.Process().memory_info().rss
    words = [texts[n * (items // SEARCHES)].split()[:QUERY_WORDS] for n in range(SEARCHES)]
    requests = [Request(str(n), text=f"{n} {' '.join(words[n])}") for n in range(SEARCHES)]
    times = [_timed(lambda one=one: index.search([one], K)) for one in requests]
    found = {
        "items": items,
        "build_s": round(built, 2),
        "p50_ms": round(float(np.percentile(times, 50)) * 1_000, 2),
        "p99_ms": round(float(np.percentile(times, 99)) * 1_000, 2),
        "rss_mb": round(rss / 1e6),
        "index_mb": round((rss - before) / 1e6),
    }
    return found | approximate(vectors, queries)


def approximate(vectors: Vectors, queries: Vectors) -> dict[str, Any]:
    """usearch's HNSW in 8 bits: build, latency of the vector search alone, and recall@10 of its best 100
    after exact scores, against the exact ranking; beside it the exact 8-bit scan alone."""
    from usearch.index import Index

    from components.index.coded_vectors import CodedVectors

    started = time.perf_counter()
    index = Index(ndim=DIMENSIONS, metric="cos", dtype="i8")
    index.add(np.arange(len(vectors)), vectors)
    built = time.perf_counter() - started
    coded = CodedVectors(vectors)
    exact = [set(np.argsort(-(vectors @ query))[:K].tolist()) for query in queries[:50]]
    times, hits = [], 0
    for query, best in zip(queries[:50], exact, strict=True):
        began = time.perf_counter()
        rows = index.search(query, 100).keys.astype(np.int64)
        times.append(time.perf_counter() - began)
        order = np.argsort(-(vectors[rows] @ query))[:K]
        hits += len(best & set(rows[order].tolist()))
    scans = [_timed(lambda one=one: coded.cosines(one[None])) for one in queries[:50]]
    return {
        "hnsw_build_s": round(built, 1),
        "hnsw_p50_ms": round(float(np.median(times)) * 1_000, 2),
        "hnsw_recall": round(hits / (K * len(exact)), 4),
        "scan_p50_ms": round(float(np.median(scans)) * 1_000, 2),
    }


def clustered(rng: np.random.Generator, items: int) -> tuple[Vectors, Vectors]:
    """(items, d) unit vectors around one centre per hundred, and (SEARCHES, d) queries near some of them."""
    centres = rng.standard_normal((max(1, items // CLUSTER_ITEMS), DIMENSIONS), dtype=np.float32)
    vectors = centres[rng.integers(0, len(centres), items)]
    for start in range(0, items, 100_000):
        part = vectors[start : start + 100_000]
        part += SPREAD * rng.standard_normal(part.shape, dtype=np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    near = vectors[rng.integers(0, items, SEARCHES)]
    near = near + 0.5 * rng.standard_normal(near.shape, dtype=np.float32) / np.sqrt(DIMENSIONS)
    return vectors, near / np.linalg.norm(near, axis=1, keepdims=True)


def titles(rng: np.random.Generator, items: int) -> list[str]:
    """Words of 3 to 8 letters, which come as often as in English; word number r as often as 1 / (r + 2.7), by
    the law of Zipf and Mandelbrot."""
    letters, chance = list(LETTERS), np.asarray(LETTER_CHANCES) / sum(LETTER_CHANCES)
    names = ["".join(rng.choice(letters, size, p=chance)) for size in rng.integers(3, 9, WORDS)]
    weight = 1 / (np.arange(1, WORDS + 1) + 2.7)
    drawn: NDArray[np.int64] = rng.choice(WORDS, size=(items, TITLE_WORDS), p=weight / weight.sum())
    return [" ".join(names[number] for number in row) for row in drawn]


def _catalogue(texts: list[str]) -> pl.DataFrame:
    ids = [f"{number:08d}" for number in range(len(texts))]
    columns = {name: pl.Series([None] * len(ids), dtype=pl.String) for name in SNAPSHOT_COLUMNS}
    prices = pl.Series([None] * len(ids), dtype=pl.Float64)
    return pl.DataFrame({**columns, "item_id": ids, "title": texts, "price": prices})


class _Known:
    """An encoder whose query vectors are given by the number that a query begins with."""

    digest = "known"

    def __init__(self, queries: Vectors) -> None:
        self._queries = queries

    def encode_queries(self, texts: list[str]) -> Vectors:
        return self._queries[[int(text.split()[0]) for text in texts]]

    def encode_items(self, texts: list[str]) -> Vectors:
        raise NotImplementedError("nothing is listed here")


def _timed(act: Any) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _exponent(items: list[int], seconds: list[float]) -> float:
    """The slope of log seconds over log items: 1 is linear."""
    return round(float(np.polyfit(np.log(items), np.log(seconds), 1)[0]), 3) if len(items) > 1 else 0.0


def _table(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    return (
        "\n".join([*lines, *(f"| {' | '.join(str(row[name]) for name in names)} |" for row in rows)]) + "\n"
    )


if __name__ == "__main__":
    main()
