"""A small shop split for training: two words say which item answers a query, and users keep to a colour."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaModel

from components.contract.learning import AugmentSettings, EncoderSettings, TrainingSettings
from components.encoder.transformer import TransformerEncoder
from components.training.prepare import prepare_examples
from components.training.spec import TrainingSpec

COLOURS = ("red", "blue", "green", "steel", "oak", "glass")
THINGS = ("chair", "table", "lamp", "mug", "towel", "hammer", "drill", "bracket")
FIELDS = ("title", "brand", "attributes")
FIRST_DAY = datetime(2025, 1, 1)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Matrices of 32 columns are no work for two threads, which only wait for each other (25 times slower on
    a busy machine)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Shop:
    """A split folder and the tiny encoder's settings."""

    split: Path
    base: Path
    encoder: EncoderSettings

    def load(self) -> TransformerEncoder:
        return TransformerEncoder.load(self.base, self.encoder)


def _items() -> pl.DataFrame:
    """48 items, one of them twice (rows 0 and 48 are duplicates); the drills are new in validation."""
    titles = [f"{colour} {thing}" for thing in THINGS for colour in COLOURS]
    rows = [*titles, titles[0], "folding garden chair"]
    is_new = [title == "folding garden chair" for title in rows]
    validation_new = ["drill" in title for title in rows]
    return pl.DataFrame(
        {
            "item_id": [f"i{number:02}" for number in range(len(rows))],
            "title": rows,
            "brand": ["steel hammer" if number % 3 else None for number in range(len(rows))],
            "attributes": [None if number % 4 else "outdoor kitchen" for number in range(len(rows))],
            "group": ["i00" if number == 48 else f"i{number:02}" for number in range(len(rows))],
            "is_new": is_new,
            "is_validation_new": validation_new,
            "trainable": [not new and not later for new, later in zip(is_new, validation_new, strict=True)],
        }
    )


def _searches(items: pl.DataFrame) -> pl.DataFrame:
    trainable = items.filter("trainable")
    rows = []
    for item_id, title in trainable.select("item_id", "title").iter_rows():
        colour, thing = title.split()
        rows += [(f"{thing} {colour}", item_id), (f"{colour} {thing} for the garden", item_id)]
        if colour == "red":
            rows.append((thing, item_id))
    return pl.DataFrame(rows, schema=["query", "item_id"], orient="row").with_columns(grade=pl.lit(3.0))


def _purchases(items: pl.DataFrame) -> pl.DataFrame:
    """12 users, each with six items of a colour, bought on three days, two a day."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(12):
        of_colour = items.filter(pl.col("title").str.starts_with(COLOURS[user % 6]), "trainable")
        bought = rng.permutation(of_colour.get_column("item_id").unique(maintain_order=True).to_numpy())[:6]
        rows += [(f"u{user:02}", item, FIRST_DAY + timedelta(days=n // 2)) for n, item in enumerate(bought)]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "at"], orient="row")


def _validation(items: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = items.filter(~pl.col("is_new")).select("item_id", "title")
    asked = rows.with_columns(
        request_id=pl.col("title").str.split(" ").list.reverse().list.join(" ") + pl.lit(" in oak"),
        entrance=pl.lit("search"),
    )
    requests = [
        ("search", text, text, [], [], 0)
        for text in asked.get_column("request_id").unique(maintain_order=True)
    ]
    judgements = asked.select("entrance", "request_id", "item_id", grade=pl.lit(3.0), relevant=pl.lit(True))
    request_frame = pl.DataFrame(
        requests,
        schema={
            "entrance": pl.String,
            "request_id": pl.String,
            "text": pl.String,
            "history": pl.List(pl.String),
            "exclude": pl.List(pl.String),
            "frequency": pl.Int64,
        },
        orient="row",
    )
    return request_frame, judgements


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Shop:
    split = tmp_path_factory.mktemp("shop") / "split"
    for name in ("train", "validation", "test"):
        (split / name).mkdir(parents=True)
    items = _items()
    items.write_parquet(split / "items.parquet")
    _searches(items).write_parquet(split / "train/search.parquet")
    _purchases(items).write_parquet(split / "train/purchases.parquet")
    requests, judgements = _validation(items)
    requests.write_parquet(split / "validation/requests.parquet")
    asked = "a folding chair"
    requests.head(1).with_columns(request_id=pl.lit(asked), text=pl.lit(asked)).write_parquet(
        split / "test/requests.parquet"
    )
    judgements.write_parquet(split / "validation/judgements.parquet")
    return Shop(
        split, tiny_encoder, EncoderSettings(name=str(tiny_encoder), max_length=24, item_fields=FIELDS)
    )


SpecMaker = Callable[..., TrainingSpec]


@pytest.fixture
def make_spec(shop: Shop, tmp_path: Path) -> SpecMaker:
    """make_spec(epochs=1, validation=False, hard_negatives=1, noise=0.1, **training settings)."""

    def make(
        *,
        epochs: int = 1,
        validation: bool = False,
        hard_negatives: int = 1,
        noise: float = 0.1,
        **training: Any,
    ) -> TrainingSpec:
        settings = TrainingSettings(
            **{"batch_size": 16, "precision": "fp32", "learning_rate": 1e-3, "validation_items": 100}
            | training
        )
        augment = AugmentSettings(hard_negatives=hard_negatives, typo_share=noise, attribute_dropout=noise)
        encoder = shop.load()
        prepared = prepare_examples(
            shop.split,
            tmp_path / "examples",
            base=encoder,
            training=settings,
            augment=augment,
            champion=encoder,
        )
        return TrainingSpec(
            base=str(shop.base),
            base_digest=encoder.digest,
            encoder=shop.encoder,
            training=settings,
            augment=augment,
            examples=str(tmp_path / "examples"),
            examples_digest=prepared.digest,
            validation=str(shop.split) if validation else None,
            primary="search",
            epochs=epochs,
        )

    return make


@pytest.fixture(scope="session")
def tiny_decoder(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """Folder of a randomly initialised Llama (2 layers, 32 wide) with the tiny encoder's tokenizer."""
    folder = tmp_path_factory.mktemp("decoder") / "decoder"
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        attention_dropout=0.1,
    )
    LlamaModel(config).save_pretrained(folder)
    return folder
