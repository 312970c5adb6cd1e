"""The pool: what challenger, champion and BM25 show of the new items for each judged query, judged or not.

From it people are asked for the judgements that are missing (gate.labelling), as TREC does (depth-k pooling).
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import polars as pl

from components.contract.ports import Ranking, Retriever
from components.split.judged import JudgedSet

System = Literal["challenger", "champion", "bm25"]
SYSTEMS: tuple[System, ...] = ("challenger", "champion", "bm25")
SCHEMA = {
    "request_id": pl.String,
    "query": pl.String,
    "item_id": pl.String,
    "title": pl.String,
    "grade": pl.Float64,
    "relevant": pl.Boolean,
    "relevant_new": pl.Int64,
    **{f"{system}_place": pl.Int64 for system in SYSTEMS},
    **{f"{system}_new_place": pl.Int64 for system in SYSTEMS},
    **{f"{system}_score": pl.Float64 for system in SYSTEMS},
}
"""grade, relevant: null where nobody judged the pair; relevant_new: relevant new items that the request has;
…_place: 1 for the first, in the full catalogue's top k and (new) in that of new items alone, else null;
…_score: the system's, of an item that it does not show that of its last one shown."""


def pool(
    retrievers: Mapping[System, Retriever], judged: JudgedSet, catalogue: pl.DataFrame, k: int
) -> pl.DataFrame:
    """SCHEMA, one row per judged query and new item in a top k of some retriever; queries in order, items by
    id."""
    new = catalogue.get_column("is_new").to_numpy()
    places: dict[tuple[int, int], dict[str, float]] = {}
    floors: dict[str, np.ndarray] = {}
    for system, retriever in retrievers.items():
        for kind, among in ((f"{system}_place", None), (f"{system}_new_place", new)):
            ranking = retriever.search(judged.requests, k, among=among)
            _collect(places, ranking, new, kind, f"{system}_score")
        # of new items alone, whose last place lies deepest
        floors[f"{system}_score"] = _last_scores(ranking)
    ids, titles = (catalogue.get_column(name).to_list() for name in ("item_id", "title"))
    is_new = frozenset(catalogue.filter("is_new").get_column("item_id"))
    rows = []
    for (number, row), found in sorted(places.items()):
        request = judged.requests[number]
        relevant = judged.relevant[request.request_id]
        grade = judged.judged[request.request_id].get(ids[row])
        rows.append(
            {name: float(scores[number]) for name, scores in floors.items()}
            | found
            | {
                "request_id": request.request_id,
                "query": request.text,
                "item_id": ids[row],
                "title": titles[row],
                "grade": grade,
                "relevant": None if grade is None else ids[row] in relevant,
                "relevant_new": len(relevant & is_new),
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA)


def _collect(
    places: dict[tuple[int, int], dict[str, float]],
    ranking: Ranking,
    new: np.ndarray,
    kind: str,
    score: str,
) -> None:
    for number, line in enumerate(ranking.rows.tolist()):
        for place, row in enumerate(line):
            if row >= 0 and new[row]:
                found = places.setdefault((number, row), {})
                found[kind] = place + 1
                found[score] = float(ranking.scores[number, place])


def _last_scores(ranking: Ranking) -> np.ndarray:
    """(n,): the lowest score of each list, 0 where it is empty."""
    filled = ranking.rows >= 0
    lowest = np.where(filled, ranking.scores, np.inf).min(axis=1)
    return np.where(filled.any(axis=1), lowest, 0.0)
