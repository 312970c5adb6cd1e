"""The service under load, beside the service that a team would build from the same libraries.

    python tests/benchmarks/serve.py [--workspace .debut] [--seconds 60] [--markdown serve.md]

All queries are distinct, so the query cache never helps, but for the one cached figure. Ratios are of one run
on one machine. About 20 minutes on two cores; the last line is one JSON object.
"""

import argparse
import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from bench_release import Bench, prepare
from http_load import Connection, Load, hammer, search_path
from numpy.typing import NDArray

from components.contract.ports import Encoder, Vectors
from components.contract.records import Entrance
from components.encoder.texts import item_texts
from components.encoder.transformer import TransformerEncoder
from components.evaluation.judge import judge
from components.index.exact import ExactIndex
from components.index.retrieval import ENCODER, INFERENCE, ONNX_FILE, open_encoder, read_plan
from components.release import promotion
from components.release.rollback import rollback
from components.split.judged import JUDGE, JudgedSet, read_judged
from flows.embedded import prepare_environment
from flows.serving import shop_keys

CLIENTS = 32
SINGLE_QUERIES = 2_000
LISTED = 20
RECALL_ITEMS = 15_000
SWAPS = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, default=Path(".debut"), help="where a champion may be")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load per service")
    parser.add_argument("--markdown", type=Path, help="write the figures as a table")
    chosen = parser.parse_args()
    prepare_environment(debug=False)
    with tempfile.TemporaryDirectory(prefix="debut-bench-") as folder:
        bench = prepare(Path(folder), chosen.workspace)
        figures = {"data": bench.data, "release": bench.built, "machine": _machine()}
        figures |= encoding(bench)
        queries = distinct_queries(bench)
        figures |= asyncio.run(served(bench, queries, chosen.seconds))
        figures |= asyncio.run(peer(bench, queries, chosen.seconds, figures["throughput_per_second"]))
    if chosen.markdown:
        rows = "".join(f"| {name} | {value} |\n" for name, value in figures.items())
        chosen.markdown.write_text(f"| figure | value |\n|---|---|\n{rows}")
    sys.stdout.write(json.dumps(figures) + "\n")


def encoding(bench: Bench) -> dict[str, Any]:
    """Items encoded by the release's inference on all cores, beside sentence-transformers of the same weights
    and cores; the new-item recall of both; apart, the fp32 path that encodes a candidate's own catalogue."""
    from sentence_transformers import SentenceTransformer

    candidate, settings = bench.shop.candidates / bench.first, bench.shop.settings
    cores = len(os.sched_getaffinity(0))
    plan = read_plan(candidate)
    catalogue = pl.read_parquet(bench.split / "items.parquet")
    texts = item_texts(catalogue, settings.encoder.item_fields)
    released = open_encoder(candidate / ENCODER, candidate / INFERENCE / ONNX_FILE, plan, cores)
    fp32 = TransformerEncoder.load_saved(candidate / ENCODER)
    peer = SentenceTransformer(str(candidate / ENCODER), device="cpu")
    peer.max_seq_length = settings.encoder.max_length
    sample = texts[:: max(1, len(texts) // 2_000)]
    for encode in (released.encode_items, fp32.encode_catalogue, peer.encode):
        encode(sample[:200])
    ratios: dict[str, list[float]] = {"encode_ratios": [], "encode_ratios_fp32": []}
    for _ in range(5):
        theirs = _seconds(lambda: peer.encode(sample))
        ratios["encode_ratios"].append(theirs / _seconds(lambda: released.encode_items(sample)))
        ratios["encode_ratios_fp32"].append(theirs / _seconds(lambda: fp32.encode_catalogue(sample)))
    judged = {"search": read_judged(bench.split, "test", reader=JUDGE)["search"]}
    rows = _judged_rows(catalogue, judged["search"])
    few, kept = [texts[row] for row in rows], catalogue[rows]
    ours = _new_recall(bench, kept, judged, released, released.encode_items(few))
    theirs = _new_recall(bench, kept, judged, fp32, peer.encode(few, normalize_embeddings=True))
    return {
        "encode_inference": plan.inference,
        "encode_ratio_vs_sentence_transformers": round(float(np.median(ratios["encode_ratios"])), 2),
        "encode_ratio_fp32": round(float(np.median(ratios["encode_ratios_fp32"])), 2),
        **{name: [round(ratio, 2) for ratio in measured] for name, measured in ratios.items()},
        "encode_new_recall_ratio": round(ours / theirs, 4),
    }


async def served(bench: Bench, queries: Iterator[str], seconds: float) -> dict[str, Any]:
    """Debut's service: one client, many clients, items listed and releases swapped under load."""
    command = [sys.executable, "-c", "from flows.cli import main; main()", "serve"]
    with running(command, bench) as port:
        await hammer(port, queries, 1, seconds=30, most=200)
        single = await hammer(port, queries, 1, seconds=120, most=SINGLE_QUERIES)
        cached = await _cached(port)
        many = await hammer(port, queries, CLIENTS, seconds=seconds)
        key = shop_keys(bench.shop).add("benchmark", "write")
        quiet = await _listed(port, key, "quiet")
        loaded, listed = await asyncio.gather(
            hammer(port, queries, CLIENTS, seconds=20), _listed(port, key, "loaded")
        )
        swapping, swaps = await asyncio.gather(
            hammer(port, queries, CLIENTS, seconds=45), _swaps(bench, port)
        )
    errors = [*single.errors, *many.errors, *loaded.errors]
    return {
        "search_p50_ms": _ms(single, 50),
        "search_p99_ms": _ms(single, 99),
        "search_cached_p50_ms": _ms(cached, 50),
        "throughput_per_second": round(many.per_second, 1),
        "clients": CLIENTS,
        "clients_p50_ms": _ms(many, 50),
        "clients_p99_ms": _ms(many, 99),
        "errors": len(errors),
        "first_errors": errors[:3],
        "listed_to_found_s": round(max(quiet + listed), 3),
        "listed_to_found_median_s": round(float(np.median(quiet + listed)), 3),
        "swaps": swaps,
        "swap_failed_requests": len(swapping.errors),
        "swap_requests": len(swapping.times),
    }


async def peer(bench: Bench, queries: Iterator[str], seconds: float, ours: float) -> dict[str, Any]:
    """The fp32 encoder in PyTorch with LanceDB's hybrid search behind the same HTTP service."""
    command = [sys.executable, str(Path(__file__).with_name("peer_service.py"))]
    with running(command, bench) as port:
        await hammer(port, queries, 1, seconds=30, most=50)
        single = await hammer(port, queries, 1, seconds=60, most=500)
        many = await hammer(port, queries, CLIENTS, seconds=seconds)
    return {
        "peer_p50_ms": _ms(single, 50),
        "peer_throughput_per_second": round(many.per_second, 1),
        "peer_errors": len(many.errors),
        "throughput_ratio_vs_fp32": round(ours / many.per_second, 2),
    }


def distinct_queries(bench: Bench) -> Iterator[str]:
    """The shop's queries, then pairs of them: never one twice."""
    parts = (
        read_judged(bench.split, "test", reader=JUDGE),
        read_judged(bench.split, "validation", reader="training"),
    )
    texts = sorted({str(request.text) for part in parts for request in part["search"].requests})
    np.random.default_rng(0).shuffle(texts)
    pairs = (f"{one.split()[0]} {other}" for one, other in itertools.permutations(texts, 2))
    seen: set[str] = set()
    for text in itertools.chain(texts, pairs):
        if text not in seen:
            seen.add(text)
            yield text


@contextmanager
def running(command: list[str], bench: Bench) -> Iterator[int]:
    """A service in a process of its own, ready; its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    shop = bench.shop
    options = ["--config", bench.data, "--workspace", str(shop.workspace.parent), "--port", str(port)]
    log = shop.workspace / f"service-{port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen([*command, *options], stdout=file, stderr=file)
        try:
            _wait_until_ready(port, process, log)
            yield port
        finally:
            process.terminate()
            process.wait(60)


def _wait_until_ready(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the service ended with {process.returncode}:\n{log.read_text()[-3_000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass  # not listening yet, or not ready: asked again until the deadline
        time.sleep(0.25)
    raise SystemExit(f"the service was not ready within 300 s:\n{log.read_text()[-3_000:]}")


async def _cached(port: int) -> Load:
    return await hammer(port, itertools.repeat("a query that was asked before"), 1, seconds=20, most=500)


async def _listed(port: int, key: str, label: str) -> list[float]:
    """Seconds from the start of a PUT until the item is first in the answer to its own title."""
    connection, seconds = Connection(port), []
    for number in range(LISTED):
        title = f"zorblax {label} gadget number {number} of {os.getpid()}"
        started = time.perf_counter()
        status, _, body = await connection.send(
            "PUT", "/items", {"item_id": f"{label}-{number}", "title": title}, key
        )
        if status != 200:
            raise SystemExit(f"PUT /items answered {status}: {body[:300]!r}")
        while True:
            _, _, body = await connection.send("GET", search_path(title))
            found = [hit["item_id"] for hit in json.loads(body)["results"]]
            if found and found[0] == f"{label}-{number}":
                break
        seconds.append(time.perf_counter() - started)
    return seconds


async def _swaps(bench: Bench, port: int) -> int:
    """Promotes and rolls back while the service answers; each time waits until the other release serves."""
    connection, log = Connection(port), bench.shop.decision_log()
    why = {"actor": "benchmark", "reason": "to measure it"}
    for number in range(SWAPS):
        wanted = bench.second if number % 2 == 0 else bench.first
        if number % 2 == 0:
            folder = bench.shop.candidates / wanted
            promotion.override(log, folder, None, expected_champion=log.champion(), role="benchmark", **why)
        else:
            rollback(log, bench.shop.candidates, to=wanted, **why)
        for _ in range(300):
            _, headers, _ = await connection.send("GET", search_path(f"swap {number}"))
            if headers.get("x-debut-release") == wanted:
                break
            await asyncio.sleep(0.1)
        else:
            raise SystemExit(f"the service did not swap to {wanted[:12]} within 30 s")
    return SWAPS


def _judged_rows(catalogue: pl.DataFrame, judged: JudgedSet) -> NDArray[np.int64]:
    """Ascending rows of every judged item and of others up to RECALL_ITEMS: both encoders on all items would
    take longer than everything else."""
    named = {item for items in judged.judged.values() for item in items}
    known = np.flatnonzero(catalogue.get_column("item_id").is_in(list(named)).to_numpy())
    others = np.setdiff1d(np.arange(len(catalogue)), known)
    room = max(0, RECALL_ITEMS - len(known))
    return np.sort(np.concatenate([known, np.random.default_rng(0).permutation(others)[:room]]))


def _new_recall(
    bench: Bench,
    catalogue: pl.DataFrame,
    judged: dict[Entrance, JudgedSet],
    encoder: Encoder,
    vectors: Vectors,
) -> float:
    """New-item recall@10 on the judged queries, by an exact scan; encoder: of the queries."""
    wide = np.asarray(vectors, dtype=np.float32)
    index = ExactIndex("vectors", catalogue.get_column("item_id").to_list(), wide, encoder)
    settings = bench.shop.settings.judge
    card = judge(index, judged, catalogue, settings, primary="search", digest=None, trained=())
    return card.mean("search", "new/recall@10") or 0.0


def _seconds(act: Any) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _ms(load: Load, percentile: float) -> float:
    return round(float(np.percentile(load.times, percentile)) * 1_000, 2)


def _machine() -> str:
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown CPU",
    )
    return f"{len(os.sched_getaffinity(0))} cores of {model}, load {os.getloadavg()[0]:.1f} at the start"


if __name__ == "__main__":
    main()
