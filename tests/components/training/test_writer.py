"""The writer's training, and the queries that it writes as further pairs."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from components.contract.errors import DataError, LeakageError
from components.contract.learning import AugmentSettings, TrainingSettings, WriterSettings
from components.index.vectors import encode_catalogue
from components.training.pairs import read_pairs
from components.training.prepare import prepare_examples
from components.training.writer import train_writer
from components.training.written import write_for_few_clicks

SETTINGS = WriterSettings(layers=1, epochs=60, batch_size=16, learning_rate=1e-2)


@pytest.fixture(scope="module")
def trained(shop: Any) -> Any:
    return train_writer(shop.split, "train", shop.base, shop.encoder, SETTINGS)


def test_it_writes_what_people_ask_for_about_a_text(shop: Any, trained: Any) -> None:
    """Of "red chair" people ask "chair red" or "red chair for the garden": most queries name the thing."""
    texts = ["red chair", "blue lamp", "oak towel", "glass table"]
    written = trained.write(texts, 5)
    named = [text.split()[1] in query for text, of in zip(texts, written, strict=True) for query in of]
    assert sum(named) / len(named) > 0.6
    shuffled = [
        text.split()[1] in query
        for text, of in zip(texts, written[1:] + written[:1], strict=True)
        for query in of
    ]
    assert sum(shuffled) / len(shuffled) < 0.4


def test_the_same_arguments_give_the_same_weights(shop: Any) -> None:
    short = SETTINGS.model_copy(update={"epochs": 1})
    first, second = (train_writer(shop.split, "train", shop.base, shop.encoder, short) for _ in range(2))
    for name, weight in first.model.state_dict().items():
        assert weight.equal(second.model.state_dict()[name]), name
    assert first.write(["red chair"], 4) == second.write(["red chair"], 4)


@pytest.fixture
def split(shop: Any, tmp_path: Path) -> Path:
    """The shop's split, where nobody asked for hammers."""
    shutil.copytree(shop.split, tmp_path / "split")
    shutil.copy(shop.split / "validation/requests.parquet", tmp_path / "split/test")
    items = pl.read_parquet(tmp_path / "split/items.parquet").select("item_id", "title")
    searches = pl.read_parquet(tmp_path / "split/train/search.parquet").join(items, on="item_id", how="left")
    kept = searches.filter(~pl.col("title").str.contains("hammer")).drop("title")
    kept.write_parquet(tmp_path / "split/train/search.parquet")
    return tmp_path / "split"


def _written(shop: Any, split: Path, writer: Any, out: Path, **settings: Any) -> dict[str, int]:
    writer.save(out / "writer")
    (out / "vectors").mkdir()
    encoder = shop.load()
    encoder.save(out / "encoder")
    items, fields = pl.read_parquet(split / "items.parquet"), shop.encoder.item_fields
    items = items.with_columns(
        **{
            name: pl.lit(None, pl.String)
            for name in ("description", "category", "price", "image", "listed_at", "group_id", "first_seen")
        }
    )
    encode_catalogue(items, encoder.encode_items, fields, out / "vectors")
    (out / "written").mkdir()
    augment = AugmentSettings(written_queries=4, **settings)
    return write_for_few_clicks(
        split, "train", augment, out / "writer", out / "encoder", out / "vectors", out / "written"
    )


def test_queries_are_written_for_items_without_clicks_and_trained_on(
    shop: Any, split: Path, trained: Any, tmp_path: Path
) -> None:
    """For the hammers and no held-out item; what is kept finds its item, and becomes pairs."""
    counts = _written(shop, split, trained, tmp_path)
    found = pl.read_parquet(tmp_path / "written/search.parquet")
    items = pl.read_parquet(split / "items.parquet").filter("trainable").select("item_id", "title")
    titles = found.join(items, on="item_id", how="inner")
    assert counts["items"] == 6 and counts["kept"] == len(found) == len(titles) > 0
    assert counts["written"] == counts["judged"] + counts["lost_on_the_way_back"] + counts["kept"]
    assert titles.get_column("title").str.contains("hammer").all()
    plain = read_pairs(split, "train", TrainingSettings())
    pairs = read_pairs(split, "train", TrainingSettings(), written=tmp_path / "written")
    assert len(pairs) == len(plain) + found.unique().height
    assert set(found.get_column("query")) <= set(pairs.queries)
    prepared = prepare_examples(
        split,
        tmp_path / "examples",
        base=shop.load(),
        training=TrainingSettings(),
        augment=AugmentSettings(hard_negatives=0),
        written=tmp_path / "written",
    )
    assert prepared.available_pairs == len(pairs)


def test_a_judged_query_is_not_trained_on(shop: Any, split: Path, tmp_path: Path) -> None:
    """Whatever writes it: here one that knows the validation's queries by heart."""

    class Spy:
        def save(self, folder: Path) -> None:
            folder.mkdir()

        def write(self, texts: list[str], count: int, seed: int) -> list[list[str]]:
            return [["Hammer  Red in oak", "hammer red"][:count] for _ in texts]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("components.training.written.QueryWriter.load", lambda _: Spy())
        counts = _written(shop, split, Spy(), tmp_path)
    assert counts["judged"] == 6, counts
    found = pl.read_parquet(tmp_path / "written/search.parquet")
    assert set(found.get_column("query")) == {"hammer red"}


def test_a_written_query_that_the_shop_knows_is_the_same_query(
    shop: Any, split: Path, tmp_path: Path
) -> None:
    """In the shop's spelling: as two queries each would have the other's answers for wrong ones."""
    train = split / "train" / "search.parquet"
    searches = pl.read_parquet(train)
    known = searches.item(0, "item_id")
    searches.with_columns(
        query=pl.when(pl.col("item_id") == known).then(pl.lit("Hammer Red")).otherwise("query")
    ).write_parquet(train)

    class Spy:
        def save(self, folder: Path) -> None:
            folder.mkdir()

        def write(self, texts: list[str], count: int, seed: int) -> list[list[str]]:
            return [["hammer  red"] for _ in texts]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("components.training.written.QueryWriter.load", lambda _: Spy())
        _written(shop, split, Spy(), tmp_path)
    written = pl.read_parquet(tmp_path / "written/search.parquet")
    assert set(written.get_column("query")) == {"Hammer Red"}
    pairs = read_pairs(split, "train", TrainingSettings(), written=tmp_path / "written")
    assert sum(query.lower() == "hammer red" for query in set(pairs.queries)) == 1


def test_nothing_to_write_for_writes_nothing(trained: Any) -> None:
    """Every item has been asked for."""
    assert trained.write([], 2) == []


def test_a_written_query_of_a_held_out_item_stops_the_training(shop: Any, tmp_path: Path) -> None:
    held_out = pl.read_parquet(shop.split / "items.parquet").filter(~pl.col("trainable"))
    pl.DataFrame({"query": ["drill"], "item_id": [held_out.item(0, "item_id")]}).write_parquet(
        tmp_path / "search.parquet"
    )
    with pytest.raises(LeakageError, match="items that may not be trained on"):
        read_pairs(shop.split, "train", TrainingSettings(), written=tmp_path)


def test_without_searches_there_is_nothing_to_learn_from(shop: Any, split: Path) -> None:
    (split / "train/search.parquet").unlink()
    with pytest.raises(DataError, match=r"learn writing from; set augment.written_queries to 0"):
        train_writer(split, "train", shop.base, shop.encoder, SETTINGS)


def test_a_service_has_an_address_and_a_model() -> None:
    with pytest.raises(ValidationError, match="give both or neither"):
        WriterSettings(endpoint="http://127.0.0.1:1/v1")
    with pytest.raises(ValidationError, match="begins with http"):
        WriterSettings(endpoint="file:///etc/passwd", model="small")
