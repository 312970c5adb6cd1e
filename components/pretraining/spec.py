"""What the ranks of a pretraining run are told, and what it leaves beside the weights."""

import json
from pathlib import Path

import polars as pl

from components.contract.digests import hashed
from components.contract.errors import LeakageError
from components.contract.learning import EncoderSettings
from components.contract.pretraining import PretrainingSettings
from components.contract.records import Record
from components.split.catalogue import in_groups_of
from components.split.judged import judged_queries
from components.split.split import cutoff_of
from components.training.spec import RankSpec

PROVENANCE = "pretraining.json"
_AGAIN = (
    "Set encoder.name to what it began with ({start}) and run `debut pretrain` again, or name another base."
)


class PretrainingSpec(RankSpec):
    start: str
    """Folder of the model to begin with."""
    start_digest: str
    encoder: EncoderSettings
    pretraining: PretrainingSettings
    corpus: str
    """Folder that `collect` wrote."""
    corpus_digest: str


class Measured(Record):
    """On the held-out text."""

    perplexity: float
    """exp of the mean cross entropy of the hidden tokens. Comparable under one tokenizer only."""
    matching_accuracy: float | None
    """Share of the titles whose own description scores best among a batch's; None: no pairs."""


class Pretrained(Record):
    """pretraining.json, beside the weights: what they were learned from, and what came of it."""

    start: str
    start_digest: str
    corpus_digest: str
    items: tuple[str, ...]
    """`hashed` ids of the items whose text was read, also by an earlier pretraining that it began with."""
    queries: tuple[str, ...] | None = None
    """`hashed` normalised queries that were read, likewise; None: an earlier version noted none."""
    settings: PretrainingSettings
    head_steps: int
    """Steps before `before` was measured: they trained a new prediction head on an unchanged encoder."""
    before: Measured
    after: Measured


def read_pretrained(folder: Path) -> Pretrained | None:
    """What an encoder's folder says about its pretraining; None where it had none by Debut."""
    path = folder / PROVENANCE
    return Pretrained.model_validate(json.loads(path.read_text())) if path.is_file() else None


def check_base(base: Path, split: Path) -> None:
    """Raises LeakageError where a base was pretrained on text of an item that this split holds out; of
    undated data also of its duplicates, and on a query that is held out.

    Dated training, too, reads an old item whose variant is new, and a query that is asked again.
    """
    pretrained = read_pretrained(base)
    if pretrained is None:
        return
    items = pl.read_parquet(split / "items.parquet")
    undated = cutoff_of(split) is None
    items = items.with_columns(_held_out=pl.col("is_new") | pl.col("is_validation_new"))
    held_out = items.filter(in_groups_of("_held_out") if undated else pl.col("_held_out"))
    _refuse(
        "texts of items", held_out.get_column("item_id").to_list(), pretrained.items, base, pretrained.start
    )
    if undated:
        judged = sorted(set().union(*judged_queries(split).values()))
        if pretrained.queries is None:
            raise LeakageError(
                f"encoder.name {base}: an earlier version made it, which did not note the queries that it "
                f"read. {_AGAIN.format(start=pretrained.start)}"
            )
        _refuse("queries", judged, pretrained.queries, base, pretrained.start)


def _refuse(what: str, held_out: list[str], read: tuple[str, ...], base: Path, start: str) -> None:
    known = set(read)
    shared = [one for one in held_out if hashed([one])[0] in known]
    if shared:
        raise LeakageError(
            f"encoder.name {base}: it was pretrained on {len(shared)} {what} that are held out now, first "
            f"{shared[0]!r}. {_AGAIN.format(start=start)}"
        )
