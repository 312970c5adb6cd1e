"""Trainings by the sentence-transformers trainer, as its documentation shows them."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract.files import write_json

PACKAGES = ("torch", "transformers", "sentence-transformers", "datasets")

DEFAULTS: dict[str, Any] = {"name": "sentence-transformers", "negatives": 0, "cached": False, "arguments": {}}
"""MultipleNegativesRankingLoss; every argument of the trainer as it is by default."""
BEST: dict[str, Any] = {
    "name": "sentence-transformers-best",
    "negatives": 0,
    "cached": True,
    "arguments": {
        "per_device_train_batch_size": 128,
        "num_train_epochs": 1,
        "warmup_steps": 0.1,
        "batch_sampler": "no_duplicates",
    },
}
"""CachedMultipleNegativesRankingLoss. With `negatives`, mined as mine_hard_negatives recommends (arXiv
2407.15831: those below 95 % of their positive's score, the highest of them)."""
MINI_BATCH = 32
RELATIVE_MARGIN = 0.05
RANGE_MAX = 1_000
"""Nearest texts among which a negative is looked for. A pair without one is left out, and of the 40 that are
looked at by default most pairs of a query with several products find none."""
PAIRS = "pairs.json"
"""Beside the model: how many pairs were given, and on how many it was trained."""


@dataclass(frozen=True)
class Texts:
    anchors: list[str]
    positives: list[str]
    corpus: list[str]
    """What negatives are mined from: items that may be trained on."""


def train(base: Path, texts: Texts, recipe: dict[str, Any], seed: int, work: Path, out: Path) -> None:
    """Leaves the model in `out`; goes on from the newest checkpoint in `work`, which is gone at the end."""
    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import (
        CachedMultipleNegativesRankingLoss,
        MultipleNegativesRankingLoss,
    )
    from transformers.trainer_utils import get_last_checkpoint

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = SentenceTransformer(str(base), device=device)
    given = Dataset.from_dict({"anchor": texts.anchors, "positive": texts.positives})
    pairs = given
    if recipe["negatives"]:
        pairs = _with_negatives(given, model, texts.corpus, recipe["negatives"])
    rate = {"learning_rate": recipe["learning_rate"]} if "learning_rate" in recipe else {}
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(work),
        seed=seed,
        use_cpu=device == "cpu",
        report_to="none",
        logging_strategy="no",
        disable_tqdm=True,
        save_steps=0.1,
        save_total_limit=1,
        **recipe["arguments"],
        **rate,
    )
    loss = (
        CachedMultipleNegativesRankingLoss(model, mini_batch_size=MINI_BATCH)
        if recipe["cached"]
        else MultipleNegativesRankingLoss(model)
    )
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=pairs, loss=loss)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(work)) if work.is_dir() else None)
    model.save_pretrained(str(out), safe_serialization=True)
    write_json(out / PAIRS, {"given": len(given), "trained on": len(pairs)})
    shutil.rmtree(work, ignore_errors=True)


def _with_negatives(pairs: Any, model: Any, corpus: list[str], count: int) -> Any:
    """anchor, positive, negative; pairs without a negative below the margin are left out, as it does."""
    from sentence_transformers.util import mine_hard_negatives

    return mine_hard_negatives(
        dataset=pairs,
        model=model,
        corpus=sorted(set(corpus)),
        relative_margin=RELATIVE_MARGIN,
        num_negatives=count,
        sampling_strategy="top",
        range_max=min(RANGE_MAX, len(set(corpus))),
        batch_size=128,
        verbose=False,
    )
