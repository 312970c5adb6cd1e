"""A shop whose customers use other words than its titles, so that no lexical match finds anything and what an
encoder knows, it learned from clicks. Small enough for a retrain of seconds, and its truth is known: each
query names one item's colour, material and kind.

Two sets of customers' words: the second one comes into fashion later. A model trained on the first finds
nothing that is asked for in the second: the drift of the story. Its calendar always ends today: the data "two
weeks later" has the same last day and a longer past.
"""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import yaml

COLOURS, MATERIALS, THINGS = 8, 6, 20
LAUNCHED_PER_DAY = 10
JUDGE_DAYS = 7

ITEMS_SQL = """SELECT sku AS item_id, name AS title, maker AS brand, shelf AS category, price,
  listed AS listed_at FROM feed"""
EVENTS_SQL = "SELECT happened AS at, action AS kind, sku AS item_id, query FROM log"


def words(fashion: int) -> list[list[str]]:
    """Per slot (colour, material, thing) the words of the titles (0) or of a customers' fashion (1, 2)."""
    syllables = [["ba", "ko", "ti"], ["du", "ma", "re"], ["fo", "li", "ne"]][fashion]
    return [
        [syllables[slot] + "rstvxzlmnp"[number % 10] + "aeiou"[number // 10] for number in range(count)]
        for slot, count in enumerate((COLOURS, MATERIALS, THINGS))
    ]


def vocabulary() -> list[str]:
    return [word for fashion in range(3) for slot in words(fashion) for word in slot]


def today() -> datetime:
    """The last midnight, UTC: where the shop's calendar ends."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)


def items(days: int, seed: int = 0) -> pl.DataFrame:
    """All items that are listed by then: the first ones without a date, then LAUNCHED_PER_DAY a day."""
    start = today() - timedelta(days=days)
    colours, materials, things = words(0)
    combinations = [(c, m, t) for c in range(COLOURS) for m in range(MATERIALS) for t in range(THINGS)]
    random.Random(seed).shuffle(combinations)
    old = len(combinations) - 60 * LAUNCHED_PER_DAY
    rows = []
    for number, (c, m, t) in enumerate(combinations):
        day = max(0, (number - old) // LAUNCHED_PER_DAY) if number >= old else None
        if day is not None and day >= days:
            continue
        rows.append(
            {
                "sku": f"i{number:03d}",
                "name": f"{colours[c]} {materials[m]} {things[t]}",
                "maker": f"maker {number % 7}",
                "shelf": f"home > {things[t]}",
                "price": 5.0 + (number * 7) % 40,
                "listed": None if day is None else start + timedelta(days=day),
                "parts": [c, m, t],
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def asked(days: int, fashion: int, count: int, seed: int) -> list[str]:
    """Queries as they come in the judge window, in one fashion."""
    window = events(items(days), days, fashionable_from=0 if fashion == 2 else days).filter(
        pl.col("happened") >= today() - timedelta(days=JUDGE_DAYS)
    )
    return random.Random(seed).choices(window.get_column("query").to_list(), k=count)


def query_for(parts: list[int], fashion: int) -> str:
    return " ".join(words(fashion)[slot][number] for slot, number in enumerate(parts))


def events(shop: pl.DataFrame, days: int, fashionable_from: int, seed: int = 1) -> pl.DataFrame:
    """A click per search, 120 a day, half of them on the newest items; later in the second fashion."""
    draw, rows = random.Random(seed), []
    records = shop.to_dicts()
    for day in range(days):
        morning = today() - timedelta(days=days - day)
        stock = [row for row in records if row["listed"] is None or row["listed"] <= morning]
        for number in range(120):
            item = draw.choice(stock[-90:] if number % 2 else stock)
            query = query_for(item["parts"], 2 if day >= fashionable_from else 1)
            at = morning + timedelta(minutes=10 * number + 5)
            rows.append({"happened": at, "action": "search_click", "sku": item["sku"], "query": query})
    return pl.DataFrame(rows, infer_schema_length=None)


def write_data(folder: Path, days: int, fashionable_from: int) -> None:
    """items.parquet and events.parquet as of that day."""
    folder.mkdir(parents=True, exist_ok=True)
    shop = items(days)
    shop.drop("parts").write_parquet(folder / "items.parquet")
    events(shop, days, fashionable_from).write_parquet(folder / "events.parquet")


def write_encoder(folder: Path) -> Path:
    """A randomly initialised BERT (2 layers, 64 wide) that knows the words and nothing about them."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    letters = [
        *"abcdefghijklmnopqrstuvwxyz0123456789",
        *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789"),
    ]
    known = {
        word: n
        for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *vocabulary()])
    }
    tokenizer = Tokenizer(models.WordPiece(known, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", known["[CLS]"]), ("[SEP]", known["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    config = BertConfig(vocab_size=len(known), max_position_embeddings=64, **shape)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def settings(encoder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "shop": "words",
        "sources": {"feed": {"path": "items.parquet"}, "log": {"path": "events.parquet"}},
        "tables": {"items": ITEMS_SQL, "events": EVENTS_SQL},
        "split": {"judge_window_days": JUDGE_DAYS},
        "augment": {"hard_negatives": 0, "typo_share": 0.0, "attribute_dropout": 0.0},
        "encoder": {"name": str(encoder), "item_fields": ["title"], "max_length": 16},
        "training": {"max_epochs": 6, "batch_size": 64, "learning_rate": 0.003, "precision": "fp32"},
        "retrieval": {"inference": "torch", "lexical_weight": 0.0},
        # A word of one wrong letter is another word to an encoder that never saw letters.
        "gate": {
            "resamples": 2000,
            "bounds": {"typo_recall_loss": None, "p95_latency_ms": {"at_most": 1000.0}},
        },
        "tracking": {"system_metrics": False},
        **changes,
    }


def write_shop(folder: Path, days: int = 45, fashionable_from: int = 10_000, **changes: Any) -> Path:
    """Data, encoder and debut.yaml; returns the latter."""
    write_data(folder, days, fashionable_from)
    encoder = write_encoder(folder / "base-encoder")
    config = folder / "debut.yaml"
    config.write_text(yaml.safe_dump(settings(encoder, **changes), sort_keys=False))
    return config
