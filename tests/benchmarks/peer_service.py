"""The same service as its peers would build it: the fp32 encoder in PyTorch, LanceDB's own hybrid search.

    python tests/benchmarks/peer_service.py --config home_depot --workspace … --port 8000

Vectors are indexed (IVF_HNSW_SQ), texts too; the two lists are fused by reciprocal rank, LanceDB's default.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lancedb
import pyarrow as pa
import uvicorn
from lancedb.index import FTS, HnswSq
from lancedb.rerankers import RRFReranker

from components.contract.ports import Ranking, Request
from components.encoder.transformer import TransformerEncoder
from components.index.columns import Mask
from components.index.live import LiveIndex
from components.index.live_rows import Snapshot
from components.index.retrieval import ENCODER, INDEX, read_snapshot
from components.index.topk import empty_ranking
from components.service.query_cache import QueryCache
from components.service.served_release import Release
from components.service.serving import Serving
from flows import serving
from flows.embedded import prepare_environment
from flows.shop import open_shop


class HybridTable(LiveIndex):
    """Ranks by a LanceDB table; all else as the service's own index."""

    def keep_in(self, folder: Path, snapshot: Snapshot) -> None:
        rows = pa.table(
            {
                "row": range(len(snapshot.items)),
                "title": snapshot.items.get_column("title").to_list(),
                "vector": pa.FixedSizeListArray.from_arrays(
                    pa.array(snapshot.vectors.ravel()), snapshot.vectors.shape[1]
                ),
            }
        )
        self._lance = lancedb.connect(folder).create_table("items", rows, mode="overwrite")
        self._lance.create_index("vector", config=HnswSq(distance_type="cosine"))
        self._lance.create_index("title", config=FTS())
        self._reranker = RRFReranker()

    def search_each(self, requests: Sequence[Request], k: int, among: Sequence[Mask | None]) -> Ranking:
        ranking = empty_ranking(len(requests), k)
        vectors = self.encoder.encode_queries([str(request.text) for request in requests])
        for line, (request, vector) in enumerate(zip(requests, vectors, strict=True)):
            search = self._lance.search(query_type="hybrid").vector(vector).text(str(request.text))
            found = search.rerank(self._reranker).limit(k).select(["row"]).to_arrow()
            rows = found["row"].to_pylist()
            ranking.rows[line, : len(rows)] = rows
            ranking.scores[line, : len(rows)] = found["_relevance_score"].to_pylist()
        return ranking


class PeerServing(Serving):
    def load(self, digest: str) -> Release:
        ours = super().load(digest)
        snapshot = read_snapshot(ours.folder / INDEX)
        cache = QueryCache(TransformerEncoder.load_saved(ours.folder / ENCODER), 0)
        index = HybridTable(digest[:12], snapshot, cache, ours.index.plan, ours.index.fields)
        index.keep_in(ours.folder.parent.parent / "peer", snapshot)
        return replace(ours, index=index, cache=cache)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("config", "workspace", "port"):
        parser.add_argument(f"--{name}", required=True)
    chosen = parser.parse_args()
    prepare_environment(debug=False)
    serving.Serving = PeerServing  # type: ignore[misc]  # the one part that differs
    shop = open_shop(chosen.config, None, chosen.workspace)
    app = serving.shop_app(shop, anonymous_read=True)
    sys.setswitchinterval(serving.SWITCH_SECONDS)
    uvicorn.run(app, host="127.0.0.1", port=int(chosen.port), log_config=None, access_log=False)


if __name__ == "__main__":
    main()
