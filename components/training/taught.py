"""What the teacher thinks of each training query's own items and of others that look right, in a folder.

scores.parquet has the columns query, item_id, score (log odds) and candidate: whether the item is one of the
query's candidates, judged or not, or the positive of one of its pairs. What nobody judged is learnt at the
teacher's word: self-training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.augment.negatives import NONE, mine
from components.contract.errors import TrainingError
from components.contract.files import disk_errors
from components.contract.learning import AugmentSettings, TrainingSettings
from components.contract.ports import Rows, Vectors
from components.encoder.cross_encoder import CrossEncoder
from components.encoder.texts import item_texts
from components.encoder.transformer import TransformerEncoder
from components.training.pairs import (
    SEARCH,
    Pairs,
    TrainingPart,
    duplicate_groups,
    read_pairs,
    rows_of,
    trainable,
)

SCORES = "scores.parquet"


@dataclass(frozen=True)
class Taught:
    """Of p pairs with K candidates each; pairs of histories have none."""

    candidates: Rows
    """(p, K) item rows, NONE where there are fewer."""
    scores: NDArray[np.float32]
    """(p, 1 + K) of the pair's positive and its candidates; −inf where there is none. A pair that nothing is
    known of has 0 for its positive: nothing to learn."""

    @classmethod
    def nothing(cls, pairs: int, candidates: int = 0) -> "Taught":
        scores = np.full((pairs, 1 + candidates), -np.inf, dtype=np.float32)
        scores[:, 0] = 0.0
        return cls(np.full((pairs, candidates), NONE, dtype=np.int64), scores)


def score_candidates(
    split: Path,
    part: TrainingPart,
    training: TrainingSettings,
    augment: AugmentSettings,
    teacher: CrossEncoder,
    champion: TransformerEncoder,
    item_vectors: Vectors,
    out: Path,
    *,
    fields: Sequence[str],
    learned_until: datetime | None = None,
    written: Path | None = None,
) -> dict[str, int]:
    """Writes scores.parquet into `out`; returns counts.

    A query's candidates are drawn from the `augment.mining_depth` items that the champion finds first,
    without its known positives: neither a judgement nor a ceiling keeps one out, because the teacher says
    what it is worth. item_vectors: the champion's, of the split's catalogue. fields: of the texts that the
    teacher learned from. learned_until, written: as in `read_pairs`.
    """
    items = pl.read_parquet(split / "items.parquet")
    pairs = read_pairs(split, part, training, learned_until, written)
    own = pairs.kinds == SEARCH
    anchors, first = np.unique(pairs.anchors[own], return_index=True)
    mined = mine(
        champion.encode_queries([pairs.queries[anchor] for anchor in anchors]),
        item_vectors,
        (np.arange(len(anchors), dtype=np.int64), pairs.positives[own][first]),
        [pairs.known[pairs.owners[anchor]] for anchor in anchors],
        duplicate_groups(items),
        trainable(items, part).to_numpy(),
        depth=augment.mining_depth,
        per_pair=training.distillation.candidates,
        ceiling=None,
        seed=training.seed,
    ).rows
    present = mined != NONE
    queries = [pairs.queries[anchor] for anchor in pairs.anchors[own]]
    queries += [pairs.queries[anchor] for anchor in np.repeat(anchors, present.sum(axis=1))]
    rows = np.concatenate([pairs.positives[own], mined[present]])
    texts = item_texts(items, fields)
    with disk_errors(out):
        pl.DataFrame(
            {
                "query": queries,
                "item_id": items.get_column("item_id")[rows],
                "score": teacher.score(queries, [texts[row] for row in rows]),
                "candidate": np.arange(len(rows)) >= own.sum(),
            }
        ).write_parquet(out / SCORES)
    return {"queries": len(anchors), "pairs": int(own.sum()), "candidates": int(present.sum())}


def read_taught(folder: Path, pairs: Pairs, items: pl.DataFrame, part: TrainingPart, count: int) -> Taught:
    """The scores of these pairs, with up to `count` candidates each. Raises LeakageError where one is of an
    item that may not be trained on, TrainingError where a pair has no score."""
    rows = rows_of(folder / SCORES, part, items)
    if rows is None:
        raise TrainingError(f"{folder / SCORES} is missing: score the candidates again.")
    taught = Taught.nothing(len(pairs), count)
    own = {(query, row): score for query, row, score in _of(rows.filter(~pl.col("candidate")))}
    candidates: dict[str, list[tuple[int, float]]] = {}
    for query, row, score in _of(rows.filter("candidate")):
        candidates.setdefault(query, []).append((row, score))
    for pair in np.flatnonzero(pairs.kinds == SEARCH):
        query, positive = pairs.queries[pairs.anchors[pair]], int(pairs.positives[pair])
        if (query, positive) not in own:
            raise TrainingError(f"{folder / SCORES}: no score of {query!r}; score the candidates again.")
        taught.scores[pair, 0] = own[query, positive]
        for place, (row, score) in enumerate(candidates.get(query, [])[:count]):
            taught.candidates[pair, place], taught.scores[pair, 1 + place] = row, score
    return taught


def _of(rows: pl.DataFrame) -> list[tuple[str, int, float]]:
    return rows.select("query", "row", "score").rows()
